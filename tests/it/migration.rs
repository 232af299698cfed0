//! Moving to keys without breaking anybody: routes that only observe, and callers that may come without a key for a while.

use crate::harness::{ALPHA, BETA, Gate, Response, Setup, Upstream, exchange, key, key_file};

fn gate(more: &str) -> (Gate, Upstream) {
    let upstream = Upstream::hello();
    let mut setup = Setup::before(&upstream);
    setup.more = more.to_owned();
    setup.records = key_file(&[
        key("key_alpha", ALPHA, "permissions = [\"read\"]\nplan = \"small\""),
        key("key_beta", BETA, "active = false"),
    ]);
    (Gate::start(&setup), upstream)
}

#[track_caller]
fn ask(gate: &Gate, target: &str, lines: &str) -> Response {
    exchange(
        gate.ingress(),
        format!("GET {target} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n{lines}\r\n"),
    )
}

fn with(key: &str) -> String {
    format!("X-API-Key: {key}\r\n")
}

const SMALL: &str = "[plans.small]\nlimits = [{ name = \"hour\", requests = 2, per = \"1h\" }]\n";

#[test]
fn what_would_be_refused_passes_marked_and_counted() {
    let (gate, upstream) = gate(&format!(
        "{SMALL}[[routes]]\npath = \"/send\"\npermission = \"send\"\nenforcement = \"observe\"\n\
         [[routes]]\npath = \"/read\"\npermission = \"read\"\nenforcement = \"observe\"\n"
    ));
    for (lines, reason, key_id) in [
        (String::new(), "credential_missing", None),
        (with("kg_nobody"), "credential_invalid", None),
        (with(BETA), "credential_invalid", None),
        (
            format!("{}Authorization: Bearer {BETA}\r\n", with(ALPHA)),
            "credential_conflict",
            None,
        ),
        (with(ALPHA), "permission_denied", Some("key_alpha")),
    ] {
        assert_eq!(ask(&gate, "/send", &lines).status(), 200, "{reason}");
        let seen = upstream.last_request();
        let status = format!("would-refuse; reason={reason}");
        assert_eq!(seen.header("x-auth-status"), Some(status));
        assert_eq!(seen.header("x-auth-key-id").as_deref(), key_id, "{reason}");
        let head = seen.head.text();
        assert!(!head.contains(ALPHA) && !head.contains(BETA), "{head}");
    }
    // What nobody's record has may be the service's own.
    ask(&gate, "/send", &with("theirs"));
    assert_eq!(upstream.last_request().header("x-api-key").as_deref(), Some("theirs"));

    assert_eq!(gate.metric(&["keygate_would_refuse_total", "permission_denied"]), 1.0);
    assert_eq!(gate.metric(&["keygate_would_refuse_total", "credential_missing"]), 1.0);
    assert_eq!(gate.metric(&["keygate_would_refuse_total", "credential_invalid"]), 3.0);
    let line = gate.wait_for_log("the mark in the access line", |line| {
        line["would_refuse"] == "permission_denied"
    });
    assert_eq!(
        (&line["decision"], &line["key_id"]),
        (&"forward".into(), &"key_alpha".into())
    );
}

#[test]
fn what_would_be_refused_spends_nothing() {
    let (gate, upstream) = gate(&format!(
        "{SMALL}[[routes]]\npath = \"/send\"\npermission = \"send\"\nenforcement = \"observe\"\n\
         [[routes]]\npath = \"/read\"\nenforcement = \"observe\"\n\
         [[routes]]\npath = \"/strict\"\n"
    ));
    for _ in 0..5 {
        ask(&gate, "/send", &with(ALPHA));
    }
    let status = |target| {
        let response = ask(&gate, target, &with(ALPHA));
        let told = upstream.last_request().header("x-auth-status");
        (response.status(), told.unwrap_or_default())
    };
    assert_eq!(status("/read"), (200, "key".to_owned()));
    assert_eq!(status("/read"), (200, "key".to_owned()));
    assert_eq!(status("/read"), (200, "would-refuse; reason=rate_limited".to_owned()));
    assert_eq!(ask(&gate, "/strict", &with(ALPHA)).status(), 429);
}

#[test]
fn what_cannot_be_trusted_is_refused_even_where_a_route_observes() {
    let (gate, upstream) = gate(&format!(
        "{SMALL}[[routes]]\npath = \"/{{*rest}}\"\nenforcement = \"observe\"\n"
    ));
    assert_eq!(ask(&gate, "/a/../b", "").code(), "request_invalid");
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn legacy_callers_may_come_without_a_key_until_their_day() {
    let (gate, upstream) = gate(&format!(
        "{SMALL}[[legacy]]\nname = \"batch\"\nheader = {{ name = \"X-Client\", value = \"batch\" }}\npath = \"/v1/{{*rest}}\"\n\
         sources = [\"127.0.0.0/8\"]\nsince = 2026-01-01T00:00:00Z\nuntil = 2037-01-01\nnote = \"moves soon\"\n\
         [[legacy]]\nname = \"over\"\nheader = \"X-Over\"\nuntil = 2026-01-01\n\
         [[legacy]]\nname = \"elsewhere\"\nsources = [\"192.0.2.0/24\"]\nuntil = 2037-01-01\n"
    ));
    let batch = "X-Client: batch\r\n";
    let response = ask(&gate, "/v1/x", batch);
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("deprecation").as_deref(), Some("@1767225600"));
    assert_eq!(
        response.header("sunset").as_deref(),
        Some("Thu, 01 Jan 2037 00:00:00 GMT")
    );
    let seen = upstream.only_request();
    assert_eq!(seen.header("x-auth-status").as_deref(), Some("legacy"));
    assert_eq!(seen.header("x-auth-key-id"), None);
    // As in [[routes]], /v1/{*rest} is /v1/ too.
    assert_eq!(ask(&gate, "/v1/", batch).status(), 200);
    for (target, lines) in [
        ("/v2/x", batch.to_owned()),
        ("/v1/x", "X-Client: other\r\n".to_owned()),
        ("/v1/x", String::new()),
        ("/v1/x", "X-Over: 1\r\n".to_owned()),
        ("/v1/x", format!("{batch}{}", with("kg_nobody"))),
        ("/v1/x", format!("{batch}{}", with(BETA))),
    ] {
        let refused = ask(&gate, target, &lines);
        assert_eq!(refused.status(), 401, "{target} {lines}");
        assert_eq!(refused.header("sunset"), None);
    }
    assert_eq!(upstream.requests().len(), 2);
    // Whoever has a key is not a legacy caller any more.
    let moved = ask(&gate, "/v1/x", &format!("{batch}{}", with(ALPHA)));
    assert_eq!((moved.status(), moved.header("deprecation")), (200, None));

    assert_eq!(gate.metric(&["keygate_legacy_requests_total", "batch"]), 2.0);
    assert_eq!(gate.metric(&["keygate_legacy_callers", "batch"]), 1.0);
    gate.wait_for_log("the access line", |line| line["legacy"] == "batch");
}

#[test]
fn a_day_that_comes_while_keygate_runs_closes_the_door() {
    let now = || jiff::Timestamp::now().as_second();
    let end = now() + 3;
    let until = jiff::Timestamp::from_second(end).unwrap();
    let (gate, _upstream) = gate(&format!(
        "{SMALL}[[legacy]]\nname = \"batch\"\npath = \"/{{*rest}}\"\nuntil = {until}\n"
    ));
    crate::harness::wait_until("the day to come", || {
        let response = ask(&gate, "/x", "");
        let is_over = now() >= end;
        match response.status() {
            200 => None,
            401 => {
                assert!(is_over, "refused too early");
                Some(())
            }
            other => panic!("{other}"),
        }
    });
}
