//! A revocation that is pushed through the admin listener is in force at once, whatever the key file says, and stays so.

use std::process::Output;

use serde_json::Value;

use crate::harness::{
    ALPHA, BETA, GAMMA, Gate, Home, Setup, Upstream, WebSocketClient, block_on, curl, exchange, get, key, key_file,
    presents, wait_until, websocket_server,
};

fn setup(upstream: &Upstream) -> Setup {
    Setup {
        more: "[state]\npath = \"keygate.db\"\n".to_owned(),
        records: key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")]),
        ..Setup::before(upstream)
    }
}

/// With an admin socket, on which the user of the tests needs no token, before the port.
fn start(setup: &Setup) -> Gate {
    let home = Home::new();
    setup.write(&home);
    home.write(
        "config.toml",
        setup
            .config()
            .replace("[admin]\nlisten = [", "[admin]\nlisten = [\"unix:admin.sock\", "),
    );
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    gate
}

fn status(gate: &Gate, presented: &str) -> u16 {
    exchange(gate.ingress(), get("/", &presents(presented))).status()
}

/// `POST /admin/v1/keys/ID/revoke` that leaves the file alone.
fn push(gate: &Gate, id: &str) -> Value {
    let answer = curl(&[
        "--unix-socket",
        &gate.home.text("admin.sock"),
        "--json",
        "{\"reason\": \"leaked\", \"file\": false}",
        &format!("http://localhost/admin/v1/keys/{id}/revoke"),
    ]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_push_closes_what_is_open_before_it_answers_and_the_file_is_left_alone() {
    let upstream = Upstream::tcp(websocket_server);
    let gate = start(&setup(&upstream));
    let before = std::fs::read(gate.home.path("keys.toml")).unwrap();
    block_on(async {
        let mut ours = WebSocketClient::open(gate.ingress(), "/", &[("x-api-key", ALPHA)])
            .await
            .unwrap();
        let mut others = WebSocketClient::open(gate.ingress(), "/", &[("x-api-key", BETA)])
            .await
            .unwrap();
        ours.send("one").await;
        assert_eq!(ours.text().await, "one");
        let answer = push(&gate, "key_alpha");
        assert_eq!(answer["push"]["durable"], true, "{answer}");
        assert!(answer["push"]["ms"].is_number(), "{answer}");
        assert_eq!(answer["file"]["outcome"], "left_alone", "{answer}");
        let closed = ours.next().await.unwrap().unwrap();
        assert!(format!("{closed:?}").contains("key revoked"), "{closed:?}");
        others.send("still here").await;
        assert_eq!(others.text().await, "still here");
    });
    assert_eq!(status(&gate, ALPHA), 401);
    assert_eq!(std::fs::read(gate.home.path("keys.toml")).unwrap(), before);
    assert!(gate.metric(&["keygate_revocation_lag_seconds_count", "push"]) >= 1.0);
    let again = push(&gate, "key_alpha");
    assert_eq!(again["changed"], false, "{again}");

    // Commands know of it, though the file does not.
    let shown = json(&gate.home.keygate(&["keys", "show", "key_alpha", "--json"]));
    assert_eq!(shown["state"], "revoked", "{shown}");
    for command in ["rotate", "enable"] {
        let done = gate.home.keygate(&["keys", command, "key_alpha"]);
        assert_eq!(
            (done.status.code(), text(&done.stdout)),
            (Some(1), String::new()),
            "{command}"
        );
    }
    let revoked = gate.home.keygate(&["keys", "revoke", "key_alpha"]);
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    let file = std::fs::read(gate.home.path("keys.toml")).unwrap();
    assert!(text(&file).contains("[[tombstones]]"), "now the file says it, too");
}

#[test]
fn a_push_survives_a_restart_and_a_key_file_that_knows_nothing_of_it() {
    let upstream = Upstream::hello();
    let mut gate = start(&setup(&upstream));
    push(&gate, "key_alpha");
    // Not in good order: what was answered is on disk.
    gate.kill();
    gate.start_again();
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (401, 200));
    // The same secret under another id, and another secret under the same.
    gate.home.write(
        "keys.toml",
        key_file(&[
            key("key_new", ALPHA, ""),
            key("key_alpha", "kg_another456789abcdefghijABCDEFGHIJ", ""),
            key("key_beta", BETA, ""),
        ]),
    );
    wait_until("the new file", || {
        (gate.metric(&["keygate_generation"]) >= 2.0).then_some(())
    });
    assert_eq!(status(&gate, ALPHA), 401);
    assert_eq!(status(&gate, "kg_another456789abcdefghijABCDEFGHIJ"), 401);
    assert_eq!(status(&gate, BETA), 200);
}

#[test]
fn what_the_file_once_revoked_stays_revoked_when_an_older_file_comes_back_even_after_a_restart() {
    let upstream = Upstream::hello();
    let mut gate = start(&setup(&upstream));
    let before = std::fs::read(gate.home.path("keys.toml")).unwrap();
    gate.home.write(
        "keys.toml",
        key_file(&[
            key("key_alpha", ALPHA, "revoked_at = 2026-01-01T00:00:00Z"),
            key("key_beta", BETA, ""),
        ]),
    );
    wait_until("the revocation", || (status(&gate, ALPHA) == 401).then_some(()));
    // It came long after the time that it gives.
    let slow = gate.wait_for_log("a slow file", |line| line["lag_seconds"].is_number());
    assert_eq!(
        (slow["level"].as_str(), slow["key_id"].as_str()),
        (Some("WARN"), Some("key_alpha")),
        "{slow}"
    );
    assert!(slow["lag_seconds"].as_f64() > Some(86_400.0), "{slow}");
    gate.home.write("keys.toml", &before);
    wait_until("the older file", || {
        (gate.metric(&["keygate_generation"]) >= 3.0).then_some(())
    });
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (401, 200));
    gate.terminate();
    gate.start_again();
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (401, 200));
}

#[test]
fn what_the_file_announced_stays_revoked_once_its_moment_has_come_even_after_a_restart() {
    let upstream = Upstream::hello();
    let records = |alpha: &str| key_file(&[key("key_alpha", ALPHA, alpha), key("key_beta", BETA, "")]);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    let soon = soon.strftime("%Y-%m-%dT%H:%M:%SZ");
    let mut gate = start(&Setup {
        records: records(&format!("revoked_at = {soon}")),
        ..setup(&upstream)
    });
    assert_eq!(status(&gate, ALPHA), 200);
    let lag = ["keygate_revocation_lag_seconds_count", "channel=\"file\""];
    assert_eq!(gate.metric(&lag), 0.0);
    let told = gate.wait_for_log("its moment", |line| line["message"] == "key revoked");
    assert_eq!(told["key_id"], "key_alpha", "{told}");
    assert_eq!(gate.metric(&lag), 1.0);
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (401, 200));
    // What was announced could have been taken back; what is in force cannot.
    gate.home.write("keys.toml", records(""));
    wait_until("the file that takes it back", || {
        (gate.metric(&["keygate_generation"]) == 2.0).then_some(())
    });
    gate.terminate();
    gate.start_again();
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (401, 200));
}

#[test]
fn a_key_that_is_said_to_be_dead_for_longer_than_was_known_is_told_once() {
    let upstream = Upstream::hello();
    let mut gate = start(&setup(&upstream));
    let lag = |gate: &Gate, channel: &str| {
        gate.metric(&[
            "keygate_revocation_lag_seconds_count",
            &format!("channel=\"{channel}\""),
        ])
    };
    let say = |gate: &Gate, moments: [&str; 3]| {
        let generation = gate.metric(&["keygate_generation"]);
        let keys = [("key_alpha", ALPHA), ("key_beta", BETA), ("key_gamma", GAMMA)];
        let records = keys.iter().zip(moments).map(|((id, secret), moment)| match moment {
            "" => key(id, secret, ""),
            _ => key(id, secret, &format!("revoked_at = {moment}T00:00:00Z")),
        });
        gate.home.write("keys.toml", key_file(&records.collect::<Vec<_>>()));
        wait_until("the new file", || {
            (gate.metric(&["keygate_generation"]) > generation).then_some(())
        });
    };
    push(&gate, "key_alpha");
    assert_eq!(lag(&gate, "push"), 1.0);
    gate.terminate();
    gate.start_again();
    // A process before this one has known of alpha.
    say(&gate, ["2026-01-02", "2026-01-02", ""]);
    say(&gate, ["2026-01-01", "2026-01-01", ""]);
    say(&gate, ["2026-01-01", "2025-01-01", "2026-01-01"]);
    let told = gate.wait_for_log("the last of them", |line| {
        line["key_id"] == "key_gamma" && line["lag_seconds"].is_number()
    });
    assert_eq!(told["level"], "WARN", "{told}");
    assert_eq!((lag(&gate, "file"), lag(&gate, "push")), (2.0, 0.0));
}

#[test]
fn keys_revoke_uses_both_channels_and_says_how_long_each_took() {
    let upstream = Upstream::hello();
    let gate = start(&setup(&upstream));
    let done = gate
        .home
        .keygate(&["keys", "revoke", "key_alpha-name", "--reason", "leaked"]);
    let told = text(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert!(
        told.contains("push   in force after ") && told.contains(" ms, and remembered\n"),
        "{told}"
    );
    assert!(told.contains("file   ") && told.contains(" ms)\n"), "{told}");
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (401, 200));
    assert!(text(&std::fs::read(gate.home.path("keys.toml")).unwrap()).contains("[[tombstones]]"));

    let again = json(&gate.home.keygate(&["keys", "revoke", "key_alpha", "--json"]));
    assert_eq!(
        (again["changed"].as_bool(), again["push"]["in_force"].as_bool()),
        (Some(false), Some(true))
    );
}

#[test]
fn a_key_file_that_cannot_be_changed_keeps_no_key_from_being_revoked() {
    let upstream = Upstream::hello();
    let gate = start(&setup(&upstream));
    // Nobody could write this one, not even root.
    gate.home.write("keys.toml", "this is not a key file");
    let done = gate.home.keygate(&["keys", "revoke", "key_alpha"]);
    let told = text(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert!(told.contains("push   in force after "), "{told}");
    assert!(told.contains("file   not changed: "), "{told}");
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (401, 200));
    let again = json(&gate.home.keygate(&["keys", "revoke", "key_alpha", "--json"]));
    assert_eq!(
        (again["changed"].as_bool(), &again["file"]),
        (Some(false), &Value::Null)
    );
}

#[test]
fn a_key_that_was_pushed_dead_gets_no_new_secret_and_is_not_turned_on() {
    let upstream = Upstream::hello();
    let gate = start(&setup(&upstream));
    push(&gate, "key_alpha");
    let before = std::fs::read(gate.home.path("keys.toml")).unwrap();
    for what in ["rotate", "enable"] {
        let answer = curl(&[
            "--unix-socket",
            &gate.home.text("admin.sock"),
            "--json",
            "{}",
            &format!("http://localhost/admin/v1/keys/key_alpha/{what}"),
        ]);
        assert_eq!(answer.status, 409, "{}", answer.text());
        assert!(answer.text().contains("key_revoked"), "{}", answer.text());
    }
    assert_eq!(std::fs::read(gate.home.path("keys.toml")).unwrap(), before);
}

#[test]
fn a_push_is_on_record_with_the_key_as_it_was_and_as_it_is() {
    let upstream = Upstream::hello();
    let gate = start(&setup(&upstream));
    push(&gate, "key_alpha");
    let listed = wait_until("the row", || {
        let listed = gate
            .home
            .keygate(&["audit", "list", "--action", "key.revoke", "--json"]);
        let listed = json(&listed)["entries"].clone();
        (!listed.as_array()?.is_empty()).then_some(listed)
    });
    let detail = &listed[0]["detail"];
    assert_eq!(
        (&detail["before"]["state"], &detail["after"]["state"]),
        (&Value::from("active"), &Value::from("revoked")),
        "{listed}"
    );
    assert_eq!(detail["after"]["id"], "key_alpha", "{listed}");
}

#[test]
fn a_secret_in_the_place_of_an_id_goes_nowhere() {
    let upstream = Upstream::hello();
    let gate = start(&setup(&upstream));
    // One that Keygate has not made is known by its hash.
    let done = gate.home.keygate(&["keys", "revoke", ALPHA]);
    let told = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{told}");
    assert!(told.contains("looks like a key itself"), "{told}");
    assert!(!told.contains(ALPHA) && !told.contains("push"), "{told}");
    assert_eq!(status(&gate, ALPHA), 200);
}

#[test]
fn without_a_sidecar_the_file_alone_says_it() {
    let upstream = Upstream::hello();
    let home = Home::new();
    setup(&upstream).write(&home);
    let done = home.keygate(&["keys", "revoke", "key_alpha", "--admin", "unix:nobody.sock"]);
    let told = text(&done.stderr);
    assert!(done.status.success(), "{told}");
    assert!(told.contains("push   not done: ") && told.contains("file   "), "{told}");
    assert!(text(&std::fs::read(home.path("keys.toml")).unwrap()).contains("[[tombstones]]"));
}

#[test]
fn revocations_that_cannot_be_read_keep_the_sidecar_from_starting() {
    let upstream = Upstream::hello();
    let mut gate = start(&setup(&upstream));
    push(&gate, "key_alpha");
    gate.terminate();
    let journal = gate.home.path("keygate.db.revocations");
    let whole = std::fs::read_to_string(&journal).unwrap();
    assert!(
        whole.contains("\"key\":\"key_alpha\"") && whole.contains("leaked"),
        "{whole}"
    );
    let home = std::mem::replace(&mut gate.home, Home::new());
    home.write("keygate.db.revocations", whole.replace("\"key\"", "\"kee\""));
    let done = home.keygate(&["run", "--config", "config.toml"]);
    let told = text(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{told}");
    assert!(
        told.contains("line 1 of ") && told.contains("keygate.db.revocations"),
        "{told}"
    );
}
