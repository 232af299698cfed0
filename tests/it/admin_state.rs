//! `/admin/v1/usage` and `/admin/v1/audit`: what the state file remembers, for those who ask the listener.

use serde_json::{Value, json};

use crate::admin::tokens;
use crate::harness::{ALPHA, Answer, Gate, Setup, Upstream, curl, exchange, get, presents, wait_until};

fn gate(upstream: &Upstream) -> Gate {
    Gate::start(&Setup {
        more: format!(
            "{}[state]\npath = \"keygate.db\"\nflush = \"100ms\"\n",
            tokens(&["viewer", "admin"])
        ),
        ..Setup::before(upstream)
    })
}

fn ask(gate: &Gate, role: &str, path: &str, more: &[&str]) -> Answer {
    let (token, url) = (format!("X-Admin-Key: kga_{role}"), gate.admin_url(path));
    curl(&[&["-H", &token, &url][..], more].concat())
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn usage_is_told_by_key_and_in_total() {
    let upstream = Upstream::hello();
    let gate = gate(&upstream);
    for _ in 0..3 {
        exchange(gate.ingress(), get("/", &presents(ALPHA)));
    }
    let usage = wait_until("three requests", || {
        let usage = json_of(&ask(&gate, "viewer", "/admin/v1/usage?by=hour", &[]));
        (usage["total"]["requests"] == 3).then_some(usage)
    });
    let key = &usage["keys"][0];
    assert_eq!((&key["key"], &key["requests"]), (&json!("key_alpha"), &json!(3)));
    assert!(key["last_use"]["used_at"].is_string() && key["periods"].is_array());
    assert_eq!(usage["next"], Value::Null);
    for query in ["of=acme", "of=key_alpha", "since=1h", "since=2020-01-01", "limit=1"] {
        let usage = json_of(&ask(&gate, "viewer", &format!("/admin/v1/usage?{query}"), &[]));
        assert_eq!(usage["keys"].as_array().unwrap().len(), 1, "{query}");
    }
    for query in ["of=nobody", "until=2020-01-01", "after=1"] {
        let usage = json_of(&ask(&gate, "viewer", &format!("/admin/v1/usage?{query}"), &[]));
        assert_eq!(usage["keys"], json!([]), "{query}");
    }
}

#[test]
fn the_trail_is_told_in_pages_and_exported_whole_to_an_admin() {
    let upstream = Upstream::hello();
    let gate = gate(&upstream);
    for verb in ["disable", "enable", "revoke"] {
        let path = format!("/admin/v1/keys/key_alpha/{verb}");
        assert_eq!(ask(&gate, "admin", &path, &["-X", "POST"]).status, 200);
    }
    let actions = |query: &str| -> Vec<String> {
        let page = json_of(&ask(&gate, "viewer", &format!("/admin/v1/audit?{query}"), &[]));
        let entries = page["entries"].as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry["action"].as_str().unwrap().to_owned())
            .collect()
    };
    wait_until("the last entry", || {
        (actions("action=key") == ["key.revoke", "key.enable", "key.disable"]).then_some(())
    });
    assert_eq!(actions("action=key.enable&key=key_alpha"), ["key.enable"]);
    assert_eq!(actions("action=key&limit=1"), ["key.revoke"]);
    assert_eq!(actions("action=key&until=2020-01-01"), [""; 0]);

    let mut walked = Vec::new();
    let mut before = String::new();
    loop {
        let page = json_of(&ask(&gate, "viewer", &format!("/admin/v1/audit?limit=2{before}"), &[]));
        let entries = page["entries"].as_array().unwrap();
        walked.extend(entries.iter().map(|entry| entry["seq"].as_i64().unwrap()));
        let Some(next) = page["next"].as_i64() else { break };
        before = format!("&before={next}");
    }
    let all: Vec<i64> = (1..=i64::try_from(walked.len()).unwrap()).rev().collect();
    assert_eq!(walked, all);

    let lines = ["-H", "Accept: application/jsonl"];
    let denied = ask(&gate, "viewer", "/admin/v1/audit", &lines);
    assert_eq!((denied.status, denied.code().as_str()), (403, "admin_role_denied"));
    // That goes on record too.
    wait_until("the refusal", || {
        (actions("action=admin.refused").len() == 1).then_some(())
    });
    let export = ask(&gate, "admin", "/admin/v1/audit", &lines);
    assert_eq!(export.status, 200);
    let rows: Vec<Value> = export
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), walked.len() + 1);
    for pair in rows.windows(2) {
        assert_eq!(pair[1]["previous"], pair[0]["hash"]);
    }
    let rest = ask(&gate, "admin", "/admin/v1/audit?after=2", &lines);
    assert_eq!(rest.text().lines().count(), rows.len() - 2);
}

#[test]
fn without_a_state_there_is_nothing_to_tell_and_the_answer_says_why() {
    let gate = Gate::start(&Setup {
        more: tokens(&["admin"]),
        ..Setup::url("http://127.0.0.1:9")
    });
    for path in ["/admin/v1/usage", "/admin/v1/audit"] {
        let answer = ask(&gate, "admin", path, &[]);
        assert_eq!((answer.status, answer.code().as_str()), (409, "no_state"), "{path}");
    }
}
