//! Quotas and what an organization shares: counted to the unit, over restarts and reloads, and after a `kill -9`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    ALPHA, BETA, Connection, GAMMA, Gate, Response, Setup, Upstream, exchange, get, key, key_file, post, presents,
    rows, wait_until,
};

const STATE: &str = "[state]\npath = \"keygate.db\"\nflush = \"200ms\"\n";

fn call(gate: &Gate, target: &str, key: &str) -> Response {
    exchange(gate.ingress(), get(target, &presents(key)))
}

/// The statuses of some calls with one key.
fn statuses(gate: &Gate, key: &str, calls: usize) -> Vec<u16> {
    (0..calls).map(|_| call(gate, "/", key).status()).collect()
}

/// One organization more, with this record.
fn with_organization(records: &str, id: &str, more: &str, key: &str) -> String {
    let key = key.replace("\"acme\"", &format!("\"{id}\""));
    format!("{records}\n[[organizations]]\nid = \"{id}\"\n{more}\n\n{key}")
}

/// What the state file says is used of a quota.
fn used(gate: &Gate) -> u64 {
    let rows = rows(&gate.home.path("keygate.db"), "SELECT sum(used) FROM quota_balances");
    rows[0].parse().unwrap_or(0)
}

#[test]
fn a_spent_quota_says_when_it_renews_and_a_refusal_charges_nothing() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: format!(
            "{STATE}[plans.default]\nlimits = [{{ name = \"hour\", requests = 9, per = \"1h\" }}]\n\
             quota = [{{ name = \"month\", requests = 3, per = \"month\", time_zone = \"Europe/Berlin\" }}]\n\
             [[routes]]\npath = \"/bulk\"\ncost = 2\n[[routes]]\npath = \"/free\"\ncost = 0\n[[routes]]\npath = \"/{{*rest}}\"\n[[routes]]\npath = \"/\"\n"
        ),
        ..Setup::before(&upstream)
    });
    let first = call(&gate, "/bulk", ALPHA);
    assert_eq!(first.status(), 200);
    let policy = first.header("ratelimit-policy").unwrap();
    assert_eq!(policy, "\"hour\";q=9;w=3600, \"month\";q=3");
    assert!(first.header("ratelimit").unwrap().contains("\"month\";r=1;t="));

    let refused = call(&gate, "/bulk", ALPHA);
    assert_eq!((refused.status(), refused.code().as_str()), (429, "quota_exceeded"));
    let told: Value = serde_json::from_str(&refused.text()).unwrap();
    let renews: jiff::Timestamp = told["renews_at"].as_str().unwrap().parse().unwrap();
    let there = renews.to_zoned(jiff::tz::TimeZone::get("Europe/Berlin").unwrap());
    assert_eq!((there.day(), there.hour(), there.minute()), (1, 0, 0), "{there}");
    let seconds: i64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(told["retry_after"], seconds);
    let now = jiff::Timestamp::now().as_second();
    assert!((renews.as_second() - now - seconds).abs() < 60);
    assert!(
        refused.header("ratelimit").unwrap().starts_with("\"hour\";r=7;"),
        "no window was charged"
    );

    assert_eq!(call(&gate, "/one", ALPHA).status(), 200, "and the quota was not either");
    assert_eq!(call(&gate, "/one", ALPHA).status(), 429);
    assert_eq!(call(&gate, "/free", ALPHA).status(), 200);
    assert_eq!(upstream.requests().len(), 3);
    wait_until("the balance to be written", || (used(&gate) == 3).then_some(()));
}

#[test]
fn a_body_that_is_declared_too_large_charges_nothing() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[limits]\nbody_bytes = 4\n[plans.default]\nquota = [{ name = \"day\", requests = 2, per = \"day\" }]\n"
            .to_owned(),
        ..Setup::before(&upstream)
    });
    let send = |body: &str| exchange(gate.ingress(), post("/", &presents(ALPHA), body));
    for _ in 0..3 {
        let refused = send("12345");
        assert_eq!((refused.status(), refused.code().as_str()), (413, "body_too_large"));
        assert!(refused.header("ratelimit").unwrap().starts_with("\"day\";r=2;"));
    }
    assert_eq!(send("1234").status(), 200);
}

#[test]
fn a_body_that_turns_out_too_large_gives_its_quota_back_and_no_window() {
    let upstream = Upstream::tcp(|conversation| {
        conversation.read_body();
        conversation.answer("200 OK", "", "hello")
    });
    let gate = Gate::start(&Setup {
        more: format!(
            "{STATE}[limits]\nbody_bytes = 4\n[plans.default]\nlimits = [{{ name = \"hour\", requests = 9, per = \"1h\" }}]\n\
             quota = [{{ name = \"day\", requests = 2, per = \"day\" }}]\n"
        ),
        ..Setup::before(&upstream)
    });
    for _ in 0..4 {
        let refused = exchange(
            gate.ingress(),
            format!(
                "POST / HTTP/1.1\r\nHost: api\r\n{}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
                presents(ALPHA)
            ),
        );
        assert_eq!((refused.status(), refused.code().as_str()), (413, "body_too_large"));
    }
    gate.wait_for_log("the last refusal", |line| line["decision"] == "body_too_large");
    let passed = call(&gate, "/", ALPHA);
    assert_eq!(passed.status(), 200);
    let told = passed.header("ratelimit").unwrap();
    assert!(
        told.starts_with("\"hour\";r=4;") && told.contains("\"day\";r=1;"),
        "{told}"
    );
}

#[test]
fn keys_of_an_organization_share_quotas_and_windows_and_others_do_not() {
    let upstream = Upstream::hello();
    let records = key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")]);
    let gate = Gate::start(&Setup {
        more: format!(
            "{STATE}[plans.default]\nlimits = [{{ name = \"all\", requests = 5, per = \"1h\", scope = \"organization\" }}]\n\
             quota = [{{ name = \"each\", requests = 3, per = \"day\", scope = \"key\" }}, {{ name = \"month\", requests = 4, per = \"month\" }}]\n"
        ),
        records: with_organization(&records, "globex", "", &key("key_gamma", GAMMA, "")),
        ..Setup::before(&upstream)
    });
    assert_eq!(statuses(&gate, ALPHA, 4), [200, 200, 200, 429]);
    assert_eq!(statuses(&gate, BETA, 2), [200, 429], "the month of all keys is spent");
    assert_eq!(call(&gate, "/", BETA).code(), "quota_exceeded");
    assert_eq!(
        statuses(&gate, GAMMA, 4),
        [200, 200, 200, 429],
        "another organization has its own"
    );
}

#[test]
fn windows_that_an_organization_shares_hold_over_all_its_keys() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[plans.default]\nlimits = [{ name = \"own\", requests = 4, per = \"1h\" }, \
               { name = \"all\", requests = 5, per = \"1h\", scope = \"organization\" }]\n"
            .to_owned(),
        records: key_file(&[
            key("key_alpha", ALPHA, ""),
            key("key_beta", BETA, ""),
            key(
                "key_gamma",
                GAMMA,
                "limits = [{ name = \"more\", requests = 9, per = \"1h\" }]",
            ),
        ]),
        ..Setup::before(&upstream)
    });
    assert_eq!(statuses(&gate, ALPHA, 5), [200, 200, 200, 200, 429]);
    assert_eq!(statuses(&gate, BETA, 2), [200, 429]);
    let refused = call(&gate, "/", BETA);
    assert_eq!(refused.code(), "rate_limited");
    let told = refused.header("ratelimit").unwrap();
    assert!(
        told.starts_with("\"own\";r=3;") && told.contains("\"all\";r=0;"),
        "{told}"
    );
    assert_eq!(
        statuses(&gate, GAMMA, 1),
        [429],
        "a key's own limits do not free it of what is shared"
    );
}

#[test]
fn an_organization_may_have_a_quota_of_its_own_and_an_environment_none() {
    let upstream = Upstream::hello();
    let records = key_file(&[key("key_alpha", ALPHA, ""), key("key_test", "kgt_test", "")]);
    let gate = Gate::start(&Setup {
        more: format!(
            "{STATE}[plans.default]\nquota = [{{ name = \"month\", requests = 1, per = \"month\" }}]\n\
             [environments.test]\nprefixes = [\"kgt_\"]\nquota = false\n"
        ),
        records: with_organization(
            &records,
            "globex",
            "quota = [{ name = \"month\", requests = 3, per = \"day\", time_zone = \"Asia/Tokyo\" }]",
            &key("key_gamma", GAMMA, ""),
        ),
        ..Setup::before(&upstream)
    });
    assert_eq!(statuses(&gate, ALPHA, 2), [200, 429]);
    assert_eq!(
        statuses(&gate, "kgt_test", 3),
        [200, 200, 200],
        "not though the organization's is spent"
    );
    assert_eq!(statuses(&gate, GAMMA, 4), [200, 200, 200, 429]);
}

#[test]
fn a_balance_survives_a_reload_another_plan_and_a_restart_to_the_unit() {
    let upstream = Upstream::hello();
    let setup = |month: u32, key_plan: &str| Setup {
        more: format!(
            "{STATE}[plans.default]\nquota = [{{ name = \"month\", requests = {month}, per = \"month\" }}]\n\
             [plans.gold]\nquota = [{{ name = \"month\", requests = 12, per = \"month\" }}]\n"
        ),
        records: key_file(&[
            key("key_alpha", ALPHA, key_plan),
            key("key_gold", "kg_gold", "plan = \"gold\""),
        ]),
        ..Setup::before(&upstream)
    };
    let mut gate = Gate::start(&setup(10, ""));
    let left = |gate: &Gate, key: &str| {
        let told = call(gate, "/", key).header("ratelimit").unwrap();
        told.split(";r=").nth(1).unwrap().split(';').next().unwrap().to_owned()
    };
    assert_eq!(left(&gate, ALPHA), "9");
    assert_eq!(left(&gate, ALPHA), "8");
    gate.home.replace("config.toml", setup(20, "").config());
    gate.wait_for_log("the reload", |line| line["message"] == "reloaded");
    assert_eq!(left(&gate, ALPHA), "17");
    gate.home.replace("keys.toml", setup(20, "plan = \"gold\"").records);
    wait_until("the other plan", || {
        (gate.metric(&["keygate_generation "]) == 3.0).then_some(())
    });
    assert_eq!(left(&gate, ALPHA), "8");
    assert!(gate.terminate().success());
    assert_eq!(used(&gate), 4);
    gate.start_again();
    assert_eq!(left(&gate, ALPHA), "7");
    assert_eq!(left(&gate, "kg_gold"), "6");
}

#[test]
fn without_state_quotas_count_in_memory() {
    let upstream = Upstream::hello();
    let mut gate = Gate::start(&Setup {
        more: "[plans.default]\nquota = [{ name = \"day\", requests = 2, per = \"day\" }]\n".to_owned(),
        ..Setup::before(&upstream)
    });
    assert_eq!(statuses(&gate, ALPHA, 3), [200, 200, 429]);
    gate.terminate();
    gate.start_again();
    assert_eq!(statuses(&gate, ALPHA, 1), [200]);
}

/// After `kill -9`, what is missing was spent within the last `flush`, and nothing is there that was not spent.
#[test]
fn a_kill_under_load_loses_no_more_than_one_flush_interval() {
    const FLUSH: Duration = Duration::from_secs(2);
    let upstream = Upstream::hello();
    let mut gate = Gate::start(&Setup {
        ingress: "workers = 2".to_owned(),
        more: "[state]\npath = \"keygate.db\"\nflush = \"2s\"\n[telemetry]\naccess_log = \"off\"\n\
               [plans.default]\nquota = [{ name = \"month\", requests = 1000000000, per = \"month\" }]\n"
            .to_owned(),
        records: key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")]),
        ..Setup::before(&upstream)
    });
    let mut remembered = 0;
    for _ in 0..2 {
        let sent = AtomicU64::new(0);
        let admitted = Mutex::new(Vec::new());
        let stop = Arc::new(AtomicBool::new(false));
        let address = gate.ingress();
        let killed = thread::scope(|scope| {
            for key in [ALPHA, BETA] {
                let (sent, admitted, stop) = (&sent, &admitted, Arc::clone(&stop));
                scope.spawn(move || {
                    let mut client = Connection::open(address);
                    while !stop.load(Ordering::Relaxed) {
                        sent.fetch_add(1, Ordering::Relaxed);
                        // The kill cuts the last ones short.
                        if !client.try_send(get("/", &presents(key))) || client.try_answer().is_none() {
                            return;
                        }
                        admitted.lock().unwrap().push(Instant::now());
                    }
                });
            }
            let begun = Instant::now();
            wait_until("two intervals of load", || (begun.elapsed() >= FLUSH * 2).then_some(()));
            let killed = Instant::now();
            gate.kill();
            stop.store(true, Ordering::Relaxed);
            killed
        });
        let admitted = admitted.into_inner().unwrap();
        let safe = admitted
            .iter()
            .filter(|at| killed.duration_since(**at) >= FLUSH)
            .count() as u64;
        assert!(safe > 50, "there was load: {safe}");
        gate.start_again();
        let found = used(&gate);
        assert!(found >= remembered + safe, "{found} of at least {remembered} + {safe}");
        let most = remembered + sent.into_inner();
        assert!(found <= most, "{found} of at most {most}");
        // What the file says is what the new process counts on from.
        let told = call(&gate, "/", ALPHA).header("ratelimit").unwrap();
        let left = format!("\"month\";r={};", 1_000_000_000 - found - 1);
        assert!(told.starts_with(&left), "{told}, not {left}");
        remembered = found + 1;
        wait_until("that one to be written", || (used(&gate) == remembered).then_some(()));
    }
}
