//! Usage: what operators are told of how keys are used, and of what they could do without.

use std::process::Output;

use serde_json::Value;

use crate::harness::{
    ALPHA, BETA, GAMMA, Gate, Home, Setup, Upstream, exchange, get, key, key_file, post, presents, rows, wait_until,
};

fn setup(upstream: &Upstream) -> Setup {
    let route = |path: &str, permission: &str| format!("[[routes]]\npath = \"{path}\"\npermission = {permission}\n");
    Setup {
        more: [
            "[state]\npath = \"keygate.db\"\nflush = \"100ms\"\n",
            "[permissions.office]\nincludes = [\"reports:*\", \"mail\"]\n",
            &route("/send/{id}", "\"messages:send\""),
            &route("/read/{id}", "{ any = [\"messages:read\", \"messages:all\"] }"),
            &route("/both", "{ all = [\"messages:send\", \"messages:read\"] }"),
            &route("/reports", "\"reports:daily\""),
            &route("/manage", "\"manage\""),
            "[[routes]]\npath = \"/free\"\n",
        ]
        .concat(),
        records: key_file(&[
            key(
                "key_alpha",
                ALPHA,
                "permissions = [\"messages:send\", \"messages:read\", \"unneeded\"]\ncreated_at = 2020-01-01T00:00:00Z",
            ),
            key(
                "key_beta",
                BETA,
                "permissions = [\"messages:*\", \"office\", \"*:never\"]",
            ),
            key(
                "key_gamma",
                GAMMA,
                "permissions = [\"messages:send\"]\ncreated_at = 2999-01-01T00:00:00Z",
            ),
        ]),
        ..Setup::before(upstream)
    }
}

#[track_caller]
fn done(home: &Home, arguments: &[&str]) -> Output {
    let output = home.keygate(arguments);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaints}");
    output
}

#[track_caller]
fn json(home: &Home, arguments: &[&str]) -> Value {
    serde_json::from_slice(&done(home, arguments).stdout).unwrap()
}

#[track_caller]
fn call(gate: &Gate, key: &str, path: &str, status: u16) {
    assert_eq!(
        exchange(gate.ingress(), get(path, &presents(key))).status(),
        status,
        "{path}"
    );
}

#[track_caller]
fn wait_for(gate: &Gate, requests: u32) {
    let file = gate.home.path("keygate.db");
    wait_until(&format!("{requests} requests"), || {
        (rows(&file, "SELECT sum(requests) FROM usage") == [requests.to_string()]).then_some(())
    });
}

#[test]
fn usage_is_told_by_key_organization_hour_and_day_while_the_gate_runs() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    for _ in 0..3 {
        call(&gate, ALPHA, "/send/1", 200);
    }
    call(&gate, ALPHA, "/manage", 403);
    call(&gate, BETA, "/manage", 403);
    let answer = exchange(gate.ingress(), post("/free", &presents(BETA), "four"));
    assert_eq!(answer.status(), 200);
    wait_for(&gate, 6);

    let usage = json(&gate.home, &["usage", "--json"]);
    let alpha = &usage["keys"][0];
    assert_eq!(
        (&alpha["key"], &alpha["organization"]),
        (&"key_alpha".into(), &"acme".into())
    );
    assert_eq!(
        (&alpha["requests"], &alpha["refused"], &alpha["failed"]),
        (&4.into(), &1.into(), &0.into())
    );
    assert_eq!(alpha["refusals"], serde_json::json!({ "permission_denied": 1 }));
    assert_eq!(alpha["last_use"]["network"], "127.0.0.0/24");
    assert_eq!(alpha["last_use"]["route"], "/send/{id}");
    assert_eq!(usage["keys"][1]["bytes_in"], 4);
    assert_eq!(
        (&usage["total"]["requests"], &usage["more"]),
        (&6.into(), &false.into())
    );
    assert_eq!(usage["total"]["refusals"]["permission_denied"], 2);

    let of = |of: &str| json(&gate.home, &["usage", of, "--json"]);
    assert_eq!(of("key_beta")["total"]["requests"], 2);
    assert_eq!(of("acme")["total"], usage["total"]);
    assert_eq!(of("nobody")["keys"], serde_json::json!([]));
    let limited = json(&gate.home, &["usage", "--json", "--limit", "1"]);
    assert_eq!(
        (&limited["keys"][0]["key"], &limited["more"]),
        (&"key_alpha".into(), &true.into())
    );
    assert_eq!(limited["total"], usage["total"]);

    for (by, length) in [("hour", "2026-01-31T23:00:00Z".len()), ("day", "2026-01-31".len())] {
        let usage = json(&gate.home, &["usage", "key_alpha", "--by", by, "--json"]);
        let periods = usage["keys"][0]["periods"].as_array().unwrap();
        // The clock may have struck between two requests.
        let sum = |of: fn(&Value) -> u64| periods.iter().map(of).sum::<u64>();
        assert_eq!(sum(|period| period["requests"].as_u64().unwrap()), 4, "{by}");
        assert_eq!(
            sum(|period| period["refusals"]["permission_denied"].as_u64().unwrap_or(0)),
            1,
            "{by}"
        );
        assert_eq!(periods[0]["begins"].as_str().unwrap().len(), length);
    }
    let text = String::from_utf8(done(&gate.home, &["usage"]).stdout).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        lines[0][..8],
        [
            "key_alpha",
            "acme",
            "4",
            "1",
            "0",
            "0",
            lines[0][6],
            "permission_denied=1"
        ]
    );
    assert_eq!(lines[0][9..], ["127.0.0.0/24", "/send/{id}"]);
    assert_eq!(lines[1][10], "/free");
    let output = done(&gate.home, &["usage", "--since", "2999-01-01"]);
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Nothing was counted since 2999"));
}

#[test]
fn a_permission_is_used_where_a_route_asks_for_it_and_the_key_has_it_and_the_request_is_carried() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    call(&gate, ALPHA, "/read/1", 200);
    call(&gate, ALPHA, "/free", 200);
    call(&gate, ALPHA, "/manage", 403);
    call(&gate, GAMMA, "/both", 403);
    call(&gate, BETA, "/read/1", 200);
    call(&gate, BETA, "/reports", 200);
    wait_for(&gate, 6);
    let file = gate.home.path("keygate.db");
    assert_eq!(
        rows(
            &file,
            "SELECT key_id, permission, abs(strftime('%s', used_at) - strftime('%s')) < 60 FROM permission_use"
        ),
        [
            "key_alpha|messages:read|1",
            "key_beta|messages:all|1",
            "key_beta|messages:read|1",
            "key_beta|reports:daily|1"
        ]
    );
    call(&gate, ALPHA, "/both", 200);
    wait_for(&gate, 7);
    assert_eq!(
        rows(
            &file,
            "SELECT permission FROM permission_use WHERE key_id = 'key_alpha'"
        ),
        ["messages:read", "messages:send"]
    );
}

#[test]
fn keys_and_permissions_that_nobody_used_are_told_so_that_keys_can_be_narrowed() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    call(&gate, ALPHA, "/send/1", 200);
    call(&gate, BETA, "/send/1", 200);
    call(&gate, BETA, "/reports", 200);
    wait_for(&gate, 3);
    let found = json(&gate.home, &["keys", "unused", "--json"]);
    assert!(found["counted_since"].is_string() && found["permissions_counted_since"].is_string());
    let keys = found["keys"].as_array().unwrap();
    let key = |id: &str| keys.iter().find(|key| key["id"] == id).unwrap();
    let alpha = key("key_alpha");
    assert_eq!((&alpha["unused"], &alpha["young"]), (&false.into(), &false.into()));
    assert_eq!(
        alpha["unused_permissions"],
        serde_json::json!(["messages:read", "unneeded"])
    );
    let beta = key("key_beta");
    assert_eq!(
        beta["unused_permissions"],
        serde_json::json!(["*:never"]),
        "a set and a wildcard are used"
    );
    let used: Vec<&String> = beta["used_permissions"].as_object().unwrap().keys().collect();
    assert_eq!(used, ["messages:send", "reports:daily"]);
    assert_eq!((&beta["unused"], &beta["young"]), (&false.into(), &Value::Null));
    let gamma = key("key_gamma");
    assert_eq!(
        (&gamma["unused"], &gamma["young"], &gamma["last_used"]),
        (&true.into(), &true.into(), &Value::Null)
    );

    let output = done(&gate.home, &["keys", "unused", "--since", "30d"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("key_gamma\tkey_gamma-name\tacme\tnever\tyoung\tmessages:send\n"),
        "{text}"
    );
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("only: before that"),
        "it has not counted for so long"
    );
    // From now on, nothing was used.
    let found = json(&gate.home, &["keys", "unused", "--since", "2998-01-01", "--json"]);
    assert!(
        found["keys"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key["unused"] == true)
    );
    // Keys that are not accepted are no risk.
    done(&gate.home, &["keys", "revoke", "key_gamma"]);
    let found = json(&gate.home, &["keys", "unused", "--json"]);
    assert_eq!(found["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn the_list_of_keys_says_when_each_was_last_used() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    call(&gate, ALPHA, "/send/1", 200);
    call(&gate, BETA, "/manage", 403);
    wait_for(&gate, 2);
    let keys = json(&gate.home, &["keys", "list", "--json"]);
    assert_eq!(keys[0]["last_use"]["route"], "/send/{id}");
    assert_eq!(keys[1]["last_use"], Value::Null, "what is refused is no use");
    let text = String::from_utf8(done(&gate.home, &["keys", "list"]).stdout).unwrap();
    let last: Vec<&str> = text.lines().map(|line| line.rsplit('\t').next().unwrap()).collect();
    assert_eq!(last, [keys[0]["last_use"]["used_at"].as_str().unwrap(), "-", "-"]);
}

#[test]
fn what_is_older_than_its_retention_is_forgotten() {
    let upstream = Upstream::hello();
    let more =
        "[state]\npath = \"keygate.db\"\nflush = \"100ms\"\nusage_retention = \"2d\"\naudit_retention = \"3d\"\n";
    let mut gate = Gate::start(&Setup {
        more: more.to_owned(),
        ..setup(&upstream)
    });
    call(&gate, ALPHA, "/", 200);
    wait_for(&gate, 1);
    gate.kill();
    let file = gate.home.path("keygate.db");
    for (hour, key) in [("-3 days", "old"), ("-1 day", "recent")] {
        rows(
            &file,
            &format!(
                "INSERT INTO usage VALUES (strftime('%Y-%m-%dT%H:00:00Z', 'now', '{hour}'), '{key}', 'acme', 1, 0, 0, 0, 0);
                 INSERT INTO last_use VALUES ('{key}', 'acme', strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '{hour}'), NULL, NULL);"
            ),
        );
    }
    gate.start_again();
    call(&gate, ALPHA, "/", 200);
    wait_until("the old row to go", || {
        (rows(&file, "SELECT DISTINCT key_id FROM usage ORDER BY 1") == ["key_alpha", "recent"]).then_some(())
    });
    assert_eq!(
        rows(&file, "SELECT count(*) FROM last_use WHERE key_id = 'old'"),
        ["1"],
        "last use is kept for longer"
    );
    for wrong in ["usage_retention = \"1h\"", "audit_retention = \"forever\""] {
        let home = Home::new();
        Setup {
            more: format!("[state]\npath = \"keygate.db\"\n{wrong}\n"),
            ..setup(&upstream)
        }
        .write(&home);
        let output = home.keygate(&["check"]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
    }
}
