//! Where a caller's key may stand, and what is said when it is missing, malformed, in conflict or not valid.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::harness::{ALPHA, BETA, Connection, Gate, Setup, Upstream, curl, exchange, get, key, key_file, presents};

const EVERY_SOURCE: &str = r#"
[[credentials]]
header = "Authorization"
scheme = "Bearer"

[[credentials]]
header = "ConnXio-Api-Key"

[[credentials]]
basic = "password"

[[credentials]]
query = "api_key"

[[credentials]]
cookie = "api_key"

[[credentials]]
websocket_protocol = "keygate.key."
"#;

fn every_source(upstream: &Upstream) -> Gate {
    Gate::start(&Setup {
        more: EVERY_SOURCE.to_owned(),
        ..Setup::before(upstream)
    })
}

#[test]
fn bearer_scheme_is_compared_without_case() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let answer = exchange(
            gate.ingress(),
            get("/", &format!("Authorization: {scheme} {ALPHA}\r\n")),
        );
        assert_eq!(answer.status(), 200, "{scheme}");
        assert_eq!(upstream.last_request().head.all("authorization"), [""; 0], "{scheme}");
    }
}

#[test]
fn the_scheme_word_is_configurable_and_compared_without_case() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[[credentials]]\nheader = \"Authorization\"\nscheme = \"x-api-key\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    for scheme in ["x-api-key", "X-API-Key"] {
        let answer = exchange(
            gate.ingress(),
            get("/", &format!("Authorization: {scheme} {ALPHA}\r\n")),
        );
        assert_eq!(answer.status(), 200, "{scheme}");
    }
    let answer = exchange(gate.ingress(), get("/", &format!("Authorization: Bearer {ALPHA}\r\n")));
    assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_malformed"));
}

#[test]
fn x_api_key_is_a_default_source() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = curl(&["-H", &format!("x-api-KEY: {ALPHA}"), &gate.url("/")]);
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.only_request().header("x-api-key"), None);
}

#[test]
fn a_custom_header_is_taken_verbatim() {
    let base64_key = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ+/+/AAAAAA==";
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: EVERY_SOURCE.to_owned(),
        records: key_file(&[key("key_base64", base64_key, "")]),
        ..Setup::before(&upstream)
    });
    let answer = exchange(gate.ingress(), get("/", &format!("ConnXio-Api-Key: {base64_key}\r\n")));
    assert_eq!(answer.status(), 200);
    assert_eq!(upstream.only_request().header("connxio-api-key"), None);
    for changed in [base64_key.replace('+', " "), base64_key.replace("==", "")] {
        let answer = exchange(gate.ingress(), get("/", &format!("ConnXio-Api-Key: {changed}\r\n")));
        assert_eq!(answer.status(), 401, "{changed}");
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn the_key_may_be_the_password_of_basic() {
    let upstream = Upstream::hello();
    let gate = every_source(&upstream);
    for user in ["anybody", ""] {
        let answer = curl(&["--user", &format!("{user}:{ALPHA}"), &gate.url("/")]);
        assert_eq!(answer.status, 200, "user {user:?}");
        assert_eq!(upstream.last_request().header("authorization"), None);
    }
    let user_only = BASE64_STANDARD.encode(format!("{ALPHA}:"));
    let answer = exchange(
        gate.ingress(),
        get("/", &format!("Authorization: Basic {user_only}\r\n")),
    );
    assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_malformed"));
}

#[test]
fn the_query_is_no_source_by_default() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for name in ["api_key", "key", "access_token", "token"] {
        let answer = curl(&[&gate.url(&format!("/?{name}={ALPHA}"))]);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "credential_missing"),
            "{name}"
        );
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_key_in_the_query_is_removed_from_target_and_log() {
    let upstream = Upstream::hello();
    let gate = every_source(&upstream);
    let encoded = ALPHA.replace('_', "%5F");
    let table = [
        (format!("/a?api_key={ALPHA}"), "/a"),
        (format!("/b?x=1&api_key={ALPHA}&y=%2F+2"), "/b?x=1&y=%2F+2"),
        (format!("/c?api_key={ALPHA}&x"), "/c?x"),
        (format!("/d?x=&api_key={ALPHA}"), "/d?x="),
        (format!("/e?x&api_key={encoded}"), "/e?x"),
        (format!("/f?api_key={ALPHA}&api_key={ALPHA}&z"), "/f?z"),
        (
            format!("/g?my_api_key=1&api_key={ALPHA}&api_key2=2"),
            "/g?my_api_key=1&api_key2=2",
        ),
    ];
    for (sent, expected) in &table {
        let answer = curl(&[&gate.url(sent)]);
        assert_eq!(answer.status, 200, "{sent}: {}", answer.text());
        assert_eq!(upstream.last_request().target(), *expected);
    }
    gate.access_line("/g");
    assert!(!gate.log_lines().join("\n").contains(&ALPHA[3..]));
}

#[test]
fn a_refused_key_in_the_query_is_not_logged_either() {
    let upstream = Upstream::hello();
    let gate = every_source(&upstream);
    let answer = curl(&[&gate.url(&format!("/x?api_key={BETA}"))]);
    assert_eq!((answer.status, answer.code().as_str()), (401, "credential_invalid"));
    gate.access_line("/x");
    assert!(!gate.log_lines().join("\n").contains(&BETA[3..]));
}

#[test]
fn a_key_in_a_cookie_is_cut_out_and_the_other_cookies_stay() {
    let upstream = Upstream::hello();
    let gate = every_source(&upstream);
    let table = [
        (format!("api_key={ALPHA}"), None),
        (format!("a=1; api_key={ALPHA}; b=2"), Some("a=1; b=2")),
        (
            format!("api_key={ALPHA}; b=\"2\"; my_api_key=3"),
            Some("b=\"2\"; my_api_key=3"),
        ),
        (format!("a=1; api_key={ALPHA}"), Some("a=1")),
    ];
    for (sent, expected) in &table {
        let answer = exchange(gate.ingress(), get("/", &format!("Cookie: {sent}\r\n")));
        assert_eq!(answer.status(), 200, "{sent}");
        assert_eq!(upstream.last_request().header("cookie").as_deref(), *expected);
    }
}

#[test]
fn a_key_in_sec_websocket_protocol_is_cut_out_and_the_other_entries_stay() {
    let upstream = Upstream::hello();
    let gate = every_source(&upstream);
    let table = [
        (format!("chat, keygate.key.{ALPHA}"), Some("chat")),
        (format!("keygate.key.{ALPHA}, chat, superchat"), Some("chat, superchat")),
        (format!("keygate.key.{ALPHA}"), None),
    ];
    for (sent, expected) in &table {
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let answer = exchange(
            gate.ingress(),
            get("/", &format!("{upgrade}Sec-WebSocket-Protocol: {sent}\r\n")),
        );
        assert_eq!(answer.status(), 200, "{sent}: {}", answer.text());
        let seen = upstream.last_request().head.all("sec-websocket-protocol").join(", ");
        assert_eq!(Some(seen.as_str()).filter(|seen| !seen.is_empty()), *expected);
    }
}

#[test]
fn the_same_key_in_two_sources_is_one_credential_and_both_are_stripped() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(
        gate.ingress(),
        get("/", &format!("{}Authorization: Bearer {ALPHA}\r\n", presents(ALPHA))),
    );
    assert_eq!(answer.status(), 200);
    assert!(!upstream.only_request().head.text().contains(ALPHA));
}

#[test]
fn two_sources_with_different_keys_are_refused() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        records: key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")]),
        ..Setup::before(&upstream)
    });
    for (one, other) in [
        (ALPHA, BETA),
        (BETA, ALPHA),
        (ALPHA, "kg_nobodys"),
        ("kg_nobodys", ALPHA),
    ] {
        let answer = exchange(
            gate.ingress(),
            get("/", &format!("Authorization: Bearer {one}\r\n{}", presents(other))),
        );
        assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_conflict"));
        assert!(answer.header("www-authenticate").is_some());
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn one_source_given_twice_with_different_keys_is_refused() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        records: key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")]),
        ..Setup::before(&upstream)
    });
    for twice in [
        format!("{}{}", presents(ALPHA), presents(BETA)),
        format!("Authorization: Bearer {ALPHA}\r\nAuthorization: Bearer {BETA}\r\n"),
    ] {
        let answer = exchange(gate.ingress(), get("/", &twice));
        assert_eq!(answer.status(), 401, "{twice}");
        assert_ne!(answer.code(), "credential_missing");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn missing_malformed_and_invalid_are_three_refusals() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let table = [
        (String::new(), "credential_missing"),
        ("Cookie: api_key=x\r\n".to_owned(), "credential_missing"),
        (format!("Authorization: {ALPHA}\r\n"), "credential_malformed"),
        ("Authorization: Bearer\r\n".to_owned(), "credential_malformed"),
        ("Authorization: Bearer \r\n".to_owned(), "credential_malformed"),
        (format!("Authorization: Digest {ALPHA}\r\n"), "credential_malformed"),
        (format!("Authorization: Bearer{ALPHA}\r\n"), "credential_malformed"),
        ("X-API-Key:\r\n".to_owned(), "credential_malformed"),
        (presents(&"x".repeat(513)), "credential_malformed"),
        (presents(BETA), "credential_invalid"),
        (presents(&ALPHA.to_ascii_uppercase()), "credential_invalid"),
        (presents(&ALPHA[..ALPHA.len() - 1]), "credential_invalid"),
        (presents(&format!("{ALPHA}x")), "credential_invalid"),
        (presents(&"x".repeat(512)), "credential_invalid"),
        (format!("Authorization: bearer {BETA}\r\n"), "credential_invalid"),
    ];
    for (headers, code) in &table {
        let answer = exchange(gate.ingress(), get("/", headers));
        assert_eq!((answer.status(), answer.code().as_str()), (401, *code), "{headers}");
        let challenge = answer.header("www-authenticate").expect("a challenge on every 401");
        assert_eq!(
            challenge.contains("error="),
            *code != "credential_missing",
            "no error when nothing was sent: {challenge}"
        );
        assert_eq!(
            answer.header("content-type").as_deref(),
            Some("application/problem+json")
        );
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["status"], 401);
        assert_eq!(problem["request_id"].as_str(), answer.header("x-request-id").as_deref());
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_refusal_keeps_the_connection_usable() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", ""));
    assert_eq!(client.answer().status(), 401);
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn unknown_expired_disabled_revoked_and_not_yet_valid_look_alike_and_differ_in_the_log() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        records: key_file(&[
            key("key_expired", "kg_expired", "expires_at = 2020-01-01T00:00:00Z"),
            key("key_disabled", "kg_disabled", "active = false"),
            key("key_revoked", "kg_revoked", "revoked_at = 2020-01-01T00:00:00Z"),
            key("key_future", "kg_future", "not_before = 2099-01-01T00:00:00Z"),
        ]),
        ..Setup::before(&upstream)
    });
    let mut answers = Vec::new();
    for reason in ["unknown", "expired", "disabled", "revoked", "not_yet_valid"] {
        let presented = if reason == "not_yet_valid" {
            "kg_future".to_owned()
        } else {
            format!("kg_{reason}")
        };
        let answer = exchange(gate.ingress(), get(&format!("/{reason}"), &presents(&presented)));
        assert_eq!(answer.status(), 401);
        let request_id = answer.header("x-request-id").unwrap();
        let whole = format!("{}{}", answer.head.text(), answer.text()).replace(&request_id, "<id>");
        answers.push(whole);
        let line = gate.access_line(&format!("/{reason}"));
        assert_eq!(line["decision"], "credential_invalid");
        assert_eq!(line["reason"], reason);
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn what_lacks_the_prefix_of_its_source_is_somebody_elses() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[[credentials]]\nheader = \"Authorization\"\nscheme = \"Bearer\"\nprefix = \"kg_\"\n\n[[credentials]]\nheader = \"X-API-Key\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let other = "Authorization: Bearer eyJ.other.token\r\n";
    let answer = exchange(gate.ingress(), get("/", other));
    assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_malformed"));

    let answer = exchange(gate.ingress(), get("/", &format!("{other}X-API-Key: {ALPHA}\r\n")));
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_eq!(
        request.header("authorization").as_deref(),
        Some("Bearer eyJ.other.token")
    );
    assert_eq!(request.header("x-api-key"), None);

    let answer = exchange(gate.ingress(), get("/", &format!("Authorization: Bearer {ALPHA}\r\n")));
    assert_eq!(answer.status(), 200);
}
