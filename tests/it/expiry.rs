//! Keys that end: operators are told before, once, and callers in the last moments.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::harness::{
    ALPHA, BETA, GAMMA, Gate, Home, Recorded, Setup, Upstream, exchange, get, key, key_file, presents, rows, wait_until,
};

/// 24 bytes, as `whsec_` has them.
const SECRET: [u8; 24] = *b"twenty-four secret bytes";

fn unix() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn ending(id: &str, plain: &str, at: i64) -> String {
    let at = Timestamp::from_second(at).unwrap();
    key(id, plain, &format!("permissions = [\"read\"]\nexpires_at = {at}"))
}

fn setup(upstream: &Upstream, expiry: &str, records: &[String]) -> Setup {
    Setup {
        more: format!("[state]\npath = \"keygate.db\"\n[keys.expiry]\n{expiry}\n"),
        records: key_file(records),
        ..Setup::before(upstream)
    }
}

/// A home with the secret in a file.
fn home() -> Home {
    let home = Home::new();
    home.write("webhook-secret", format!("whsec_{}\n", STANDARD.encode(SECRET)));
    home
}

fn webhook(receiver: &Upstream) -> String {
    format!(
        "webhook = {{ url = \"{}/hooks?from=gate\", secret = {{ file = \"webhook-secret\" }} }}",
        receiver.url()
    )
}

/// What was told of keys in the log: `key_alpha within 1h`, `key_alpha ended`.
fn told(gate: &Gate) -> Vec<String> {
    let log = gate.log();
    let told = log.iter().filter_map(|line| {
        let key = line["key_id"].as_str()?;
        match line["message"].as_str()? {
            "a key expires soon" => Some(format!("{key} within {}", line["within"].as_str()?)),
            "a key has expired" => Some(format!("{key} ended")),
            _ => None,
        }
    });
    told.collect()
}

/// HMAC-SHA-256 (RFC 2104), from its definition.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let sha256 = |parts: [&[u8]; 2]| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &parts.concat());
        digest.as_ref().to_vec()
    };
    let padded = |byte: u8| -> Vec<u8> {
        let key = key.iter().copied().chain(std::iter::repeat(0));
        key.take(64).map(|of_key| of_key ^ byte).collect()
    };
    sha256([&padded(0x5c), &sha256([&padded(0x36), message])])
}

/// A message, if a receiver may believe it.
#[track_caller]
fn believed(request: &Recorded) -> Value {
    let header = |name: &str| request.header(name).unwrap();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &request.body].concat();
    let signature = format!("v1,{}", STANDARD.encode(hmac(&SECRET, &signed)));
    assert_eq!(header("webhook-signature"), signature);
    assert!((unix() - timestamp.parse::<i64>().unwrap()).abs() <= 60, "{timestamp}");
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(
        (request.head.word(0).as_str(), request.target().as_str()),
        ("POST", "/hooks?from=gate")
    );
    serde_json::from_slice(&request.body).unwrap()
}

#[track_caller]
fn wait_for_messages(receiver: &Upstream, count: usize) -> Vec<Recorded> {
    wait_until(&format!("{count} messages"), || {
        let requests = receiver.requests();
        (requests.len() >= count && requests.iter().all(|request| request.complete)).then_some(requests)
    })
}

fn delivered(gate: &Gate, result: &str) -> f64 {
    gate.metric(&["keygate_alert_deliveries_total", &format!("result=\"{result}\"")])
}

#[test]
fn an_end_is_told_in_each_window_once_in_order_to_operators_and_at_last_to_callers() {
    let upstream = Upstream::tcp(|it| it.answer("200 OK", "X-Key-Ends: the service's own\r\n", "hello"));
    let receiver = Upstream::tcp(|it| match it.number {
        1 => it.answer("503 Service Unavailable", "", ""),
        _ => it.answer("204 No Content", "", ""),
    });
    let end = unix() + 8;
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&Timestamp::from_second(end).unwrap())
        .unwrap();
    let expiry = format!(
        "alerts = [\"1h\", \"2s\"]\nheader = \"X-Key-Ends\"\n{}",
        webhook(&receiver)
    );
    let records = [ending("key_alpha", ALPHA, end), key("key_beta", BETA, "")];
    let gate = Gate::start_in(home(), &setup(&upstream, &expiry, &records));
    let within = |window: &str| gate.metric(&["keygate_keys_expiring", &format!("within=\"{window}\"")]);
    wait_until("the count", || (within("1h") > 0.0 || unix() >= end).then_some(()));

    let mut announced = 0;
    wait_until("the end", || {
        let before = unix();
        let answer = exchange(gate.ingress(), get("/a", &presents(ALPHA)));
        let (ends, after) = (answer.header("x-key-ends"), unix());
        if answer.status() == 401 {
            assert!(after >= end);
            assert_eq!(ends, None, "whoever has no valid key learns nothing");
            return Some(());
        }
        assert_eq!(answer.status(), 200);
        assert!(ends.as_ref().is_none_or(|ends| *ends == date), "{ends:?}");
        assert!(ends.is_none() || after + 2 >= end, "too early");
        assert!(ends.is_some() || before + 2 < end, "missing");
        announced += usize::from(ends.is_some());
        None
    });
    assert!(announced > 0);
    let other = exchange(gate.ingress(), get("/a", &presents(BETA)));
    assert_eq!((other.status(), other.header("x-key-ends")), (200, None));

    // The first message came twice, since the receiver was not ready for it.
    let messages = wait_for_messages(&receiver, 4);
    wait_until("the deliveries", || {
        (delivered(&gate, "delivered") == 3.0).then_some(())
    });
    assert_eq!(messages[0].header("webhook-id"), messages[1].header("webhook-id"));
    assert_eq!(messages[0].body, messages[1].body);
    assert_ne!(
        messages[0].header("webhook-timestamp"),
        messages[1].header("webhook-timestamp")
    );
    let bodies: Vec<Value> = messages.iter().map(believed).collect();
    let said: Vec<_> = bodies[1..]
        .iter()
        .map(|body| (body["type"].as_str().unwrap(), body["data"]["within"].as_str()))
        .collect();
    assert_eq!(
        said,
        [
            ("key.expiring", Some("1h")),
            ("key.expiring", Some("2s")),
            ("key.expired", None)
        ]
    );
    let expires_at = Timestamp::from_second(end).unwrap().to_string();
    let named = serde_json::json!({
        "key_id": "key_alpha", "name": "key_alpha-name", "organization": "acme", "expires_at": expires_at, "days_left": 0,
    });
    for body in &bodies {
        assert_eq!(body["data"]["keys"], Value::from(vec![named.clone()]));
        let timestamp: Timestamp = body["timestamp"].as_str().unwrap().parse().unwrap();
        assert!((unix() - timestamp.as_second()).abs() <= 60);
    }

    assert_eq!(
        told(&gate),
        ["key_alpha within 1h", "key_alpha within 2s", "key_alpha ended"]
    );
    let line = gate.wait_for_log("the event", |line| line["message"] == "a key expires soon");
    assert_eq!(line["level"], "WARN");
    assert_eq!(
        (
            &line["name"],
            &line["organization"],
            &line["expires_at"],
            &line["days_left"]
        ),
        (&"key_alpha-name".into(), &"acme".into(), &expires_at.into(), &0.into())
    );
    assert_eq!((within("1h"), within("2s")), (0.0, 0.0));
    let file = gate.home.path("keygate.db");
    assert_eq!(
        rows(
            &file,
            "SELECT actor, target, json_extract(detail, '$.event'), json_extract(detail, '$.within') \
             FROM audit WHERE action = 'key.expire' ORDER BY seq"
        ),
        [
            "keygate|key_alpha|key.expiring|1h",
            "keygate|key_alpha|key.expiring|2s",
            "keygate|key_alpha|key.expired|"
        ]
    );
    let secret = STANDARD.encode(SECRET);
    assert!(
        gate.log_lines()
            .iter()
            .all(|line| !line.contains(&secret) && !line.contains("from=gate"))
    );
}

#[test]
fn nothing_is_told_again_after_a_restart_with_a_state_and_a_moved_end_is_told_anew() {
    let upstream = Upstream::hello();
    let (soon, later) = (unix() + 1_800, unix() + 2_400);
    let beta = |at| ending("key_beta", BETA, at);
    let setup = setup(&upstream, "alerts = [\"1h\"]", &[beta(soon)]);
    let mut gate = Gate::start(&setup);
    gate.wait_for_log("the first event", |line| line["message"] == "a key expires soon");
    wait_until("the record", || {
        let query = "SELECT count(*) FROM audit WHERE action = 'key.expire'";
        (rows(&gate.home.path("keygate.db"), query) == ["1"]).then_some(())
    });
    gate.terminate();
    gate.start_again();
    wait_until("the count", || {
        (gate.metric(&["keygate_keys_expiring"]) == 1.0).then_some(())
    });

    // What is told next is told after all that would have been told.
    gate.home
        .replace("keys.toml", key_file(&[beta(soon), ending("key_gamma", GAMMA, soon)]));
    wait_until("the new key", || (!told(&gate).is_empty()).then_some(()));
    assert_eq!(told(&gate), ["key_gamma within 1h"]);
    gate.home
        .replace("keys.toml", key_file(&[beta(later), ending("key_gamma", GAMMA, soon)]));
    wait_until("the moved end", || (told(&gate).len() > 1).then_some(()));
    assert_eq!(told(&gate), ["key_gamma within 1h", "key_beta within 1h"]);
}

#[test]
fn a_thousand_keys_at_once_are_ten_messages_and_a_receiver_that_refuses_holds_nothing_up() {
    let upstream = Upstream::hello();
    let receiver = Upstream::tcp(|it| match it.number {
        1 => it.answer("410 Gone", "", ""),
        _ => it.answer("200 OK", "", "thank you"),
    });
    let end = unix() + 1_800;
    let records: Vec<String> = (0..1_000)
        .map(|number| {
            ending(
                &format!("key_{number:04}"),
                &format!("kg_{number:04}-and-long-enough"),
                end,
            )
        })
        .collect();
    let expiry = format!("alerts = [\"1h\"]\n{}", webhook(&receiver));
    let gate = Gate::start_in(home(), &setup(&upstream, &expiry, &records));
    let messages = wait_for_messages(&receiver, 10);
    wait_until("the deliveries", || {
        (delivered(&gate, "delivered") == 9.0 && delivered(&gate, "failed") == 1.0).then_some(())
    });
    assert_eq!(receiver.requests().len(), 10, "what is refused is not sent again");
    gate.wait_for_log("the failure", |line| {
        line["message"] == "a webhook cannot be delivered" && line["reason"] == "the answer is 410 Gone"
    });
    let mut keys: Vec<String> = messages
        .iter()
        .map(believed)
        .flat_map(|body| body["data"]["keys"].as_array().unwrap().clone())
        .map(|key| key["key_id"].as_str().unwrap().to_owned())
        .collect();
    keys.sort();
    let expected: Vec<String> = (0..1_000).map(|number| format!("key_{number:04}")).collect();
    assert_eq!(keys, expected);
    assert_eq!(gate.metric(&["keygate_keys_expiring"]), 1_000.0);
    let file = gate.home.path("keygate.db");
    wait_until("all of it on record", || {
        let query = "SELECT count(DISTINCT target) FROM audit WHERE action = 'key.expire'";
        (rows(&file, query) == ["1000"]).then_some(())
    });
    assert_eq!(gate.metric(&["keygate_audit_lost_total "]), 0.0);
}

#[test]
fn a_receiver_that_never_answers_holds_nothing_up_and_windows_follow_the_configuration() {
    let upstream = Upstream::hello();
    // Takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let end = unix() + 1_800;
    let url = format!("http://{}", silent.local_addr().unwrap());
    let webhook =
        format!("webhook = {{ url = \"{url}\", secret = {{ file = \"webhook-secret\" }}, timeout = \"1m\" }}");
    let setup = setup(
        &upstream,
        &format!("alerts = [\"1h\"]\n{webhook}"),
        &[ending("key_alpha", ALPHA, end)],
    );
    let mut gate = Gate::start_in(home(), &setup);
    let _connection = silent.accept().unwrap();
    gate.home.replace(
        "keys.toml",
        key_file(&[ending("key_alpha", ALPHA, end), ending("key_beta", BETA, end)]),
    );
    wait_until("the second key", || (told(&gate).len() == 2).then_some(()));
    assert_eq!(told(&gate), ["key_alpha within 1h", "key_beta within 1h"]);
    assert_eq!(gate.metric(&["keygate_keys_expiring{within=\"1h\"}"]), 2.0);

    let config = setup
        .config()
        .replace("alerts = [\"1h\"]", "alerts = [\"40m\", \"10m\"]");
    gate.home.replace("config.toml", config);
    wait_until("the other windows", || {
        (gate.metric(&["keygate_keys_expiring{within=\"40m\"}"]) == 2.0).then_some(())
    });
    assert!(!gate.metrics().contains("within=\"1h\""));
    assert_eq!(gate.metric(&["keygate_keys_expiring{within=\"10m\"}"]), 0.0);
    let answer = exchange(gate.ingress(), get("/a", &presents(ALPHA)));
    assert_eq!(answer.status(), 200);

    wait_until("both keys to be told of again", || {
        (told(&gate).len() == 4).then_some(())
    });
    gate.terminate();
    let end = gate.wait_for_log("what is left", |line| line["messages"].is_number());
    assert_eq!(end["messages"], 3, "one under way, and two behind it");
}
