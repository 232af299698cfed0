//! What a list of calls cannot say: keys that are made, exchanged and revoked while the gateway runs.

use std::path::Path;
use std::sync::mpsc::channel;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio_tungstenite::tungstenite::Message;

use super::replay::WEBSOCKET;
use super::stage::Stage;
use crate::harness::{Connection, Response, WebSocketClient, block_on, exchange, get, post, rows, wait_until};
use crate::keyring::argon2id;

/// The rows that are shown here.
pub const ROWS: &[(&str, &[&str])] = &[
    ("connexease", &["management", "key service broken"]),
    ("connxio", &["lint", "active switch", "scopes"]),
    ("gosendapi", &["rotation", "revocation", "last used"]),
    ("swellsign", &["creation", "monitoring", "security"]),
    ("wa-gateway", &["creation", "revocation"]),
];

/// Makes a key with these arguments of `keygate keys new` and gives its secret, which is shown this once.
#[track_caller]
fn new_key(stage: &Stage, arguments: &[&str]) -> String {
    let made = stage.gate.home.keygate(&[&["keys", "new"], arguments].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim_end().to_owned()
}

#[track_caller]
fn listed(stage: &Stage) -> String {
    let list = stage.gate.home.keygate(&["keys", "list"]);
    assert!(list.status.success());
    String::from_utf8(list.stdout).unwrap()
}

/// Replaces what stands in the key file once.
#[track_caller]
fn edit_keys(stage: &Stage, from: &str, to: &str) {
    let keys = std::fs::read_to_string(stage.gate.home.path("keys.toml")).unwrap();
    assert_eq!(keys.matches(from).count(), 1, "{from}");
    stage.gate.home.replace("keys.toml", keys.replace(from, to));
}

/// Waits until a call has this status.
#[track_caller]
fn wait_for(status: u16, call: impl Fn() -> Response) {
    wait_until(&format!("status {status}"), || {
        (call().status() == status).then_some(())
    });
}

/// Waits until the state file says this.
#[track_caller]
fn wait_for_rows(database: &Path, query: &str, expected: &[&str]) {
    wait_until(query, || (rows(database, query) == expected).then_some(()));
}

#[test]
fn connexease_keys_are_made_shown_once_and_revoked_at_once() {
    let stage = Stage::set("connexease");
    let key = new_key(
        &stage,
        &[
            "--name",
            "new",
            "--organization",
            "1001",
            "--environment",
            "staging",
            "--expires",
            "30d",
        ],
    );
    assert!(key.starts_with("sk_"), "a key of staging begins with {}", &key[..3]);
    let list = listed(&stage);
    assert!(list.contains("new") && !list.contains(&key), "{list}");
    let call = || {
        let bearer = format!("Authorization: Bearer {key}\r\n");
        exchange(stage.gate.ingress(), post("/v1/wa/message", &bearer, "{}"))
    };
    wait_for(202, call);
    edit_keys(
        &stage,
        "name = \"new\"",
        "name = \"new\"\nrevoked_at = 2026-01-01T00:00:00Z",
    );
    wait_for(401, call);
    assert!(!stage.gate.log_lines().join("\n").contains(&key[3..]));
}

/// Where slow hashes are asked for faster than they can be computed, the check itself fails.
#[test]
fn connexease_says_that_a_key_could_not_be_checked() {
    let files = Stage::files("connexease");
    let slow = argon2id("pk_chosen_by_a_person");
    files.append("keys.toml", &format!(
        "\n[[keys]]\nid = \"key_slow\"\nname = \"old\"\norganization = \"1001\"\nhash = \"{slow}\"\nlead = \"pk_chosen\"\n"
    ));
    files.replace(
        "config.toml",
        "prefix = \"pk_\"",
        "prefix = \"pk_\"\nargon2_concurrency = 1",
    );
    let stage = files.start();
    let (answers, answered) = channel();
    for number in 0..100 {
        let (answers, address) = (answers.clone(), stage.gate.ingress());
        std::thread::spawn(move || {
            let bearer = format!("Authorization: Bearer pk_chosen_guess_{number}\r\n");
            let mut connection = Connection::open(address);
            connection.send(post("/v1/wa/message", &bearer, "{}"));
            // The program may end before it has looked at every guess.
            connection.try_answer().map(|answer| answers.send(answer))
        });
    }
    drop(answers);
    let busy = answered
        .iter()
        .find(|answer| answer.status() != 401)
        .expect("more guesses than can wait");
    assert_eq!(busy.status(), 500);
    assert_eq!(
        busy.text(),
        "{\"isSuccess\":false,\"errors\":{\"code\":\"AUTH_004\",\"group\":\"INTERNAL_SERVER_ERROR\",\
         \"description\":\"The API key could not be checked.\",\"params\":{}}}"
    );
    assert!(
        stage
            .upstreams
            .iter()
            .all(|(_, upstream)| upstream.requests().is_empty())
    );
}

#[test]
fn connxio_keys_are_switched_off_and_on_and_broad_ones_are_advised_against() {
    let stage = Stage::set("connxio");
    let check = stage.gate.home.keygate(&["check"]);
    let said = String::from_utf8(check.stderr).unwrap();
    assert!(check.status.success(), "advice keeps nothing out: {said}");
    assert!(
        said.contains("has 2 permissions") && said.contains("has 2 subscriptions"),
        "{said}"
    );
    assert_eq!(
        said.matches("warning").count(),
        2,
        "only one key is good for more than one thing: {said}"
    );
    let key = "RXhhbXBsZSBrZXkgdGhhdCBpcyBzd2l0Y2hlZCBvZmY=";
    let call = || {
        let header = format!("ConnXio-Api-Key: {key}\r\n");
        exchange(stage.gate.ingress(), get("/management/sub-1/integrations", &header))
    };
    assert_eq!(call().status(), 401);
    let audited = stage.gate.access_line("/management/sub-1/integrations");
    assert_eq!(audited["source"], "header", "{audited}");
    edit_keys(&stage, "active = false", "active = true");
    wait_for(200, call);
    edit_keys(&stage, "active = true", "active = false");
    wait_for(401, call);
}

/// The key as a Basic password is less safe than in a header of its own: its uses can be told apart.
#[test]
fn connxio_every_use_of_basic_authentication_is_audited() {
    let stage = Stage::set("connxio");
    let basic = BASE64_STANDARD.encode("integration:RXhhbXBsZSBrZXkgZm9yIHdlYmhvb2tzIG9ubHkrLy8=");
    let header = format!("Authorization: Basic {basic}\r\n");
    let answer = exchange(stage.gate.ingress(), post("/webhook/sub-1/orders", &header, "{}"));
    assert_eq!(answer.status(), 202);
    let audited = stage.gate.access_line("/webhook/sub-1/orders");
    assert_eq!(audited["key_id"], "key_webhook");
    assert_eq!(audited["source"], "basic", "{audited}");
}

#[test]
fn gosendapi_rotation_stops_the_old_key_and_revocation_is_for_good() {
    let stage = Stage::set("gosendapi");
    let old = "gsk_live_example_backend_0123456789ab";
    let call = |key: &str| {
        exchange(
            stage.gate.ingress(),
            get("/v1/messages", &format!("X-API-Key: {key}\r\n")),
        )
    };
    assert_eq!(call(old).status(), 200);
    let rotated = stage.gate.home.keygate(&["keys", "rotate", "backend-prod"]);
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let new = String::from_utf8(rotated.stdout).unwrap();
    let new = new.trim_end();
    wait_for(200, || call(new));
    assert_eq!(call(old).status(), 401, "there is no time in which both are good");
    let (_, production) = stage.upstreams.iter().find(|(name, _)| name == "default").unwrap();
    let id = production.last_request().header("x-auth-key-id");
    assert_eq!(id.as_deref(), Some("key_backend"), "the key's id stays");

    let before = std::fs::read(stage.gate.home.path("keys.toml")).unwrap();
    let revoked = stage.gate.home.keygate(&["keys", "revoke", "backend-prod"]);
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    wait_for(401, || call(new));
    stage.gate.home.replace("keys.toml", before);
    stage
        .gate
        .wait_for_log("the older file", |line| line["generation"] == 4);
    assert_eq!(call(new).status(), 401, "not even its record brings it back");
}

#[test]
fn gosendapi_remembers_when_each_key_was_last_used_and_what_is_left_of_a_month() {
    let mut stage = Stage::set("gosendapi");
    let call = |stage: &Stage, key: &str| {
        let header = format!("X-API-Key: {key}\r\n");
        exchange(stage.gate.ingress(), post("/v1/messages", &header, "{}")).status()
    };
    let trial = "gsk_live_example_trial_0123456789abcd";
    assert_eq!(call(&stage, trial), 202);
    assert_eq!(call(&stage, "gsk_test_example_trial_0123456789abcd"), 202);
    assert_eq!(call(&stage, "gsk_live_example_contractor_012345678"), 401);
    let database = stage.gate.home.path("keygate.db");
    let used = "SELECT key_id, organization, route FROM last_use ORDER BY key_id";
    wait_for_rows(
        &database,
        used,
        &["key_trial|43|/v1/{*rest}", "key_trial_test|43|/v1/{*rest}"],
    );
    // The sandbox is free.
    wait_for_rows(
        &database,
        "SELECT owner, quota, used, allowed FROM quota_balances",
        &["43|month|1|2"],
    );
    stage.gate.kill();
    stage.gate.start_again();
    assert_eq!(
        [(); 3].map(|()| call(&stage, trial)),
        [202, 429, 429],
        "a restart gives nothing back"
    );
}

#[test]
fn swellsign_keys_end_and_their_end_is_foretold_and_they_are_masked() {
    let stage = Stage::set("swellsign");
    let key = new_key(
        &stage,
        &[
            "--name",
            "Trial",
            "--organization",
            "org-7",
            "--permission",
            "member",
            "--expires",
            "10d",
        ],
    );
    let address = stage.gate.ingress();
    let call = || {
        exchange(
            address,
            get("/v1/envelopes", &format!("Authorization: x-api-key {key}\r\n")),
        )
    };
    wait_for(200, call);
    let list = listed(&stage);
    assert!(!list.contains(&key), "{list}");
    let line = |name: &str| {
        list.lines()
            .find(|line| line.contains(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(line("Development Testing").contains("expired"), "{list}");
    assert!(line("Mobile App").contains("revoked"), "{list}");
    assert!(line("Production Server").contains("2100-01-01"), "{list}");
    let check = stage.gate.home.keygate(&["check"]);
    let warned = String::from_utf8(check.stderr).unwrap();
    assert!(
        check.status.success() && warned.contains("is within 14 days"),
        "an end in ten days is foretold: {warned}"
    );
    let used = stage
        .gate
        .wait_for_log("the use of the key", |line| line["decision"] == "forward");
    let id = used["key_id"].as_str().unwrap().to_owned();
    edit_keys(
        &stage,
        "name = \"Trial\"",
        "name = \"Trial\"\nrevoked_at = 2026-01-01T00:00:00Z",
    );
    wait_for(401, call);
    let forwarded = stage
        .gate
        .access()
        .iter()
        .filter(|line| line["decision"] == "forward")
        .count();
    let usage = format!("SELECT requests - refused FROM usage WHERE key_id = '{id}'");
    wait_for_rows(&stage.gate.home.path("keygate.db"), &usage, &[&forwarded.to_string()]);
}

#[test]
fn wa_gateway_keys_are_shown_once_and_stop_when_they_are_revoked() {
    let stage = Stage::set("wa-gateway");
    let key = new_key(
        &stage,
        &[
            "--name",
            "listener",
            "--organization",
            "org_shop",
            "--permission",
            "read,events",
        ],
    );
    assert!(key.starts_with("wa_"), "a key begins with {}", &key[..3]);
    assert!(!listed(&stage).contains(&key), "it is shown once");
    let bearer = format!("Authorization: Bearer {key}\r\n");
    let read = || exchange(stage.gate.ingress(), get("/api/v1/sessions", &bearer));
    let listen = || {
        exchange(
            stage.gate.ingress(),
            get("/api/v1/realtime", &format!("{bearer}{WEBSOCKET}")),
        )
    };
    wait_for(200, read);
    let address = stage.gate.ingress();
    let authorization = format!("Bearer {key}");
    let revoked = block_on(async {
        let mut events = WebSocketClient::open(address, "/api/v1/realtime", &[("authorization", &authorization)])
            .await
            .unwrap();
        events.send("one").await;
        assert_eq!(events.text().await, "one");
        let revoked = stage.gate.home.keygate(&["keys", "revoke", "listener"]);
        match events.next().await {
            Some(Ok(Message::Close(Some(close)))) => {
                assert_eq!((u16::from(close.code), close.reason.as_str()), (1008, "key revoked"));
            }
            other => panic!("a close frame, not {other:?}"),
        }
        revoked
    });
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    wait_for(401, read);
    assert_eq!(listen().status(), 401);
}
