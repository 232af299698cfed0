//! Rate limits, concurrency, and what a source of bad keys may do.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::harness::{
    ALPHA, BETA, Connection, Gate, H2Client, Response, Setup, Upstream, block_on, exchange, get, key, key_file,
    presents, wait_until,
};

fn with_plan(upstream: &Upstream, plan: &str) -> Gate {
    Gate::start(&Setup {
        more: format!("[plans.default]\n{plan}\n"),
        ..Setup::before(upstream)
    })
}

fn call(gate: &Gate, target: &str) -> Response {
    exchange(gate.ingress(), get(target, &presents(ALPHA)))
}

#[test]
fn a_window_admits_what_it_says_and_refuses_the_rest_with_retry_after() {
    let upstream = Upstream::hello();
    let gate = with_plan(&upstream, "limits = [{ name = \"hour\", requests = 3, per = \"1h\" }]");
    for _ in 0..3 {
        assert_eq!(call(&gate, "/").status(), 200);
    }
    for _ in 0..3 {
        let answer = call(&gate, "/refused");
        assert_eq!((answer.status(), answer.code().as_str()), (429, "rate_limited"));
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3600).contains(&seconds), "{seconds}");
    }
    assert_eq!(upstream.requests().len(), 3);
    assert_eq!(gate.access_line("/refused")["decision"], "rate_limited");
}

#[test]
fn a_caller_that_waits_as_told_is_admitted() {
    let upstream = Upstream::hello();
    let gate = with_plan(&upstream, "limits = [{ name = \"sec\", requests = 1, per = \"1s\" }]");
    assert_eq!(call(&gate, "/").status(), 200);
    let refused = call(&gate, "/");
    assert_eq!(refused.status(), 429);
    let told = Duration::from_secs(refused.header("retry-after").unwrap().parse().unwrap());
    let since = Instant::now();
    wait_until("the told time to pass", || (since.elapsed() >= told).then_some(()));
    assert_eq!(call(&gate, "/").status(), 200);
}

#[test]
fn every_dialect_is_told_on_allowed_and_refused_answers() {
    let upstream = Upstream::hello();
    let gate = with_plan(
        &upstream,
        "limits = [{ name = \"hour\", requests = 2, per = \"1h\" }]\n\
         rate_limit_headers = [\"ratelimit\", \"x-ratelimit\", \"x-ratelimit-window\"]",
    );
    for (status, remaining) in [(200, "1"), (200, "0"), (429, "0")] {
        let answer = call(&gate, "/");
        assert_eq!(answer.status(), status);
        assert_eq!(
            answer.header("ratelimit-policy").as_deref(),
            Some("\"hour\";q=2;w=3600")
        );
        let current = answer.header("ratelimit").unwrap();
        assert!(current.starts_with(&format!("\"hour\";r={remaining};t=")), "{current}");
        assert_eq!(answer.header("x-ratelimit-limit").as_deref(), Some("2"));
        assert_eq!(answer.header("x-ratelimit-remaining").as_deref(), Some(remaining));
        let reset: u64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!((now - 5..now + 3605).contains(&reset), "{reset} is in Unix seconds");
        assert_eq!(answer.header("x-ratelimit-hour-limit").as_deref(), Some("2"));
        assert_eq!(answer.header("x-ratelimit-hour-remaining").as_deref(), Some(remaining));
    }
}

#[test]
fn rate_limit_headers_are_told_over_http2_and_by_default_in_one_dialect() {
    let upstream = Upstream::hello();
    let gate = with_plan(&upstream, "limits = [{ name = \"hour\", requests = 2, per = \"1h\" }]");
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        for status in [200, 200, 429] {
            let answer = client.get("/", &[("x-api-key", ALPHA)]).await;
            assert_eq!(answer.status(), status);
            assert!(answer.header("ratelimit").is_some());
            assert!(answer.header("ratelimit-policy").is_some());
            assert_eq!(answer.header("x-ratelimit-limit"), None);
        }
    });
    assert_eq!(call(&gate, "/").status(), 429, "one limit for both protocols");
}

#[test]
fn several_windows_are_told_and_spent_all_or_none() {
    let upstream = Upstream::hello();
    let gate = with_plan(
        &upstream,
        "limits = [{ name = \"hour\", requests = 10, per = \"1h\" }, { name = \"day\", requests = 2, per = \"24h\" }]\n\
         rate_limit_headers = [\"ratelimit\", \"x-ratelimit\", \"x-ratelimit-window\"]",
    );
    for (hour, day) in [("9", "1"), ("8", "0")] {
        let answer = call(&gate, "/");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("x-ratelimit-hour-remaining").as_deref(), Some(hour));
        assert_eq!(answer.header("x-ratelimit-day-remaining").as_deref(), Some(day));
        assert_eq!(
            answer.header("x-ratelimit-remaining").as_deref(),
            Some(day),
            "the tightest window"
        );
    }
    for _ in 0..5 {
        let answer = call(&gate, "/");
        assert_eq!(answer.status(), 429);
        assert_eq!(
            answer.header("x-ratelimit-hour-remaining").as_deref(),
            Some("8"),
            "nothing is spent by a refused request"
        );
        let policy = answer.head.all("ratelimit-policy").join(", ");
        assert!(
            policy.contains("\"hour\";q=10;w=3600") && policy.contains("\"day\";q=2;w=86400"),
            "{policy}"
        );
    }
}

#[test]
fn burst_says_how_many_may_come_at_once() {
    let upstream = Upstream::hello();
    let gate = with_plan(
        &upstream,
        "limits = [{ name = \"hour\", requests = 100, per = \"1h\", burst = 2 }]",
    );
    let statuses: Vec<_> = (0..4).map(|_| call(&gate, "/").status()).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn a_strict_window_never_admits_more_than_it_says() {
    let upstream = Upstream::hello();
    let gate = with_plan(
        &upstream,
        "limits = [{ name = \"sec\", requests = 5, per = \"1s\", strict = true }]",
    );
    let mut client = Connection::open(gate.ingress());
    let mut admitted = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(3500) {
        let sent = Instant::now();
        client.send(get("/", &presents(ALPHA)));
        if client.answer().status() == 200 {
            admitted.push((sent, Instant::now()));
        }
    }
    for six in admitted.windows(6) {
        // From before the first was sent to after the sixth was answered: a sure upper bound of their distance.
        let distance = six[5].1 - six[0].0;
        assert!(
            distance >= Duration::from_secs(1),
            "six were admitted within {distance:?}"
        );
    }
    assert!(admitted.len() >= 5, "but it does admit: {}", admitted.len());
}

#[test]
fn a_route_may_cost_more_or_nothing() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[plans.default]\nlimits = [{ name = \"hour\", requests = 6, per = \"1h\" }]\n\
               rate_limit_headers = [\"x-ratelimit\"]\n\
               [[routes]]\npath = \"/heavy\"\ncost = 5\n[[routes]]\npath = \"/free\"\ncost = 0\n[[routes]]\npath = \"/{*rest}\"\n"
            .to_owned(),
        ..Setup::before(&upstream)
    });
    let remaining = |answer: &Response| answer.header("x-ratelimit-remaining").unwrap();
    let answer = call(&gate, "/heavy");
    assert_eq!((answer.status(), remaining(&answer).as_str()), (200, "1"));
    let answer = call(&gate, "/heavy");
    assert_eq!(
        (answer.status(), remaining(&answer).as_str()),
        (429, "1"),
        "nothing is spent"
    );
    let answer = call(&gate, "/light");
    assert_eq!((answer.status(), remaining(&answer).as_str()), (200, "0"));
    assert_eq!(call(&gate, "/light").status(), 429);
    assert_eq!(call(&gate, "/free").status(), 200);
}

#[test]
fn each_key_has_limits_of_its_own_and_may_have_its_own_plan() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[plans.default]\nlimits = [{ name = \"hour\", requests = 1, per = \"1h\" }]\n\
               [plans.gold]\nlimits = [{ name = \"hour\", requests = 3, per = \"1h\" }]\n"
            .to_owned(),
        records: key_file(&[
            key("key_alpha", ALPHA, ""),
            key("key_beta", BETA, ""),
            key("key_gold", "kg_gold", "plan = \"gold\""),
            key(
                "key_own",
                "kg_own",
                "limits = [{ name = \"hour\", requests = 2, per = \"1h\" }]",
            ),
        ]),
        ..Setup::before(&upstream)
    });
    for (presented, admitted) in [(ALPHA, 1), (BETA, 1), ("kg_gold", 3), ("kg_own", 2)] {
        let statuses: Vec<_> = (0..5)
            .map(|_| exchange(gate.ingress(), get("/", &presents(presented))).status())
            .collect();
        assert_eq!(
            statuses.iter().filter(|status| **status == 200).count(),
            admitted,
            "{presented}"
        );
    }
}

#[test]
fn concurrency_is_limited_per_key_and_released() {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::tcp(move |it| {
        if it.head.word(1) == "/slow" {
            let _ = wait.lock().unwrap().recv();
        }
        it.answer("200 OK", "", "done")
    });
    let gate = Gate::start(&Setup {
        more: "[plans.default]\nconcurrency = 1\nlimits = [{ name = \"hour\", requests = 9, per = \"1h\" }]\n"
            .to_owned(),
        records: key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")]),
        ..Setup::before(&upstream)
    });
    let mut slow = Connection::open(gate.ingress());
    slow.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(1);
    let refused = call(&gate, "/");
    assert_eq!(
        (refused.status(), refused.code().as_str()),
        (429, "concurrency_exceeded")
    );
    assert!(refused.header("retry-after").is_some());
    let told = refused.header("ratelimit").unwrap_or_default();
    assert!(told.starts_with("\"hour\";r=8;"), "{told}");
    assert_eq!(
        exchange(gate.ingress(), get("/", &presents(BETA))).status(),
        200,
        "another key is free"
    );
    release.send(()).unwrap();
    assert_eq!(slow.answer().status(), 200);
    wait_until("the place to be free again", || {
        (call(&gate, "/").status() == 200).then_some(())
    });
}

#[test]
fn concurrency_is_released_when_the_client_goes_away() {
    let upstream = Upstream::tcp(|it| {
        if it.head.word(1) == "/slow" {
            return it.wait_for_end();
        }
        it.answer("200 OK", "", "done")
    });
    let gate = with_plan(&upstream, "concurrency = 1");
    let mut slow = Connection::open(gate.ingress());
    slow.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(1);
    assert_eq!(call(&gate, "/").status(), 429);
    // A reset: a mere half-close would leave the request waiting for its answer, as it should.
    socket2::SockRef::from(slow.reader.get_ref())
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(slow);
    wait_until("the place to be free again", || {
        (call(&gate, "/").status() == 200).then_some(())
    });
}

#[test]
fn refused_requests_spend_nothing_of_the_keys_limit() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[plans.default]\nlimits = [{ name = \"hour\", requests = 3, per = \"1h\" }]\n\
               rate_limit_headers = [\"x-ratelimit\"]\n\
               [[routes]]\npath = \"/admin\"\npermission = \"admin\"\n[[routes]]\npath = \"/\"\n"
            .to_owned(),
        ..Setup::before(&upstream)
    });
    for _ in 0..5 {
        let answer = call(&gate, "/admin");
        assert_eq!((answer.status(), answer.code().as_str()), (403, "permission_denied"));
        assert_eq!(answer.header("x-ratelimit-remaining").as_deref(), Some("3"));
        assert_eq!(call(&gate, "/nowhere").status(), 404);
        assert_eq!(call(&gate, "/a//b").status(), 400);
        let conflict = format!("{}Authorization: Bearer {BETA}\r\n", presents(ALPHA));
        assert_eq!(exchange(gate.ingress(), get("/", &conflict)).status(), 401);
    }
    let answer = call(&gate, "/");
    assert_eq!(answer.header("x-ratelimit-remaining").as_deref(), Some("2"));
}

#[test]
fn bad_keys_of_one_source_run_out_and_a_valid_key_from_there_is_still_admitted() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[limits]\ncredential_failures = { requests = 3, per = \"1h\" }\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let bad = |n: usize| exchange(gate.ingress(), get("/", &presents(&format!("kg_guess_{n}"))));
    for n in 0..3 {
        assert_eq!(bad(n).status(), 401);
    }
    for n in 3..6 {
        let answer = bad(n);
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (429, "credential_failures_exceeded")
        );
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3600).contains(&seconds), "{seconds}");
    }
    assert_eq!(call(&gate, "/").status(), 200, "a shared address is not locked out");
    assert_eq!(bad(6).status(), 429, "and a valid key does not fill the bucket");
}

#[test]
fn the_failure_bucket_belongs_to_the_client_behind_a_trusted_proxy() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "trusted_proxies = [\"127.0.0.1/32\"]".to_owned(),
        more: "[limits]\ncredential_failures = { requests = 2, per = \"1h\" }\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let bad = |source: &str| {
        let headers = format!("{}X-Forwarded-For: {source}\r\n", presents("kg_guess"));
        exchange(gate.ingress(), get("/", &headers)).status()
    };
    assert_eq!(
        [bad("203.0.113.1"), bad("203.0.113.1"), bad("203.0.113.1")],
        [401, 401, 429]
    );
    assert_eq!(bad("203.0.113.2"), 401);
}

#[test]
fn the_failure_bucket_can_be_off() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[limits]\ncredential_failures = false\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    for n in 0..400 {
        client.send(get("/", &presents(&format!("kg_guess_{n}"))));
        assert_eq!(client.answer().status(), 401);
    }
}

#[test]
fn the_failure_bucket_is_generous_by_default() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    let mut statuses = Vec::new();
    for n in 0..400 {
        client.send(get("/", &presents(&format!("kg_guess_{n}"))));
        statuses.push(client.answer().status());
    }
    assert!(statuses[..300].iter().all(|status| *status == 401));
    assert!(statuses.contains(&429), "but it has an end");
}
