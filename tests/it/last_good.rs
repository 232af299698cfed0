//! The keys that were last in force, kept beside the state: what a start goes on with when the key file cannot be trusted.

use serde_json::Value;

use crate::harness::{ALPHA, BETA, GAMMA, Gate, Setup, Upstream, key, key_file, wait_until};
use crate::key_files::{admin_status, ask_reload, only, status, token, wait_for, wait_metric};

/// A gate with a state, which has kept its keys.
fn with_state() -> (Upstream, Gate) {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: format!("[state]\npath = \"keygate.db\"\n{}", token()),
        ..Setup::before(&upstream)
    });
    let kept = gate.home.path("keygate.db.keys.jsonl");
    wait_until("the keys to be kept", || kept.exists().then_some(()));
    (upstream, gate)
}

#[test]
fn a_start_on_a_broken_key_file_goes_on_with_the_last_good_keys_and_says_so() {
    use std::os::unix::fs::MetadataExt as _;
    for (what, broken) in [("broken", Some("broken [")), ("empty", Some("")), ("gone", None)] {
        let (_upstream, mut gate) = with_state();
        gate.home
            .write("keys.toml", only(&[("key_alpha", ALPHA), ("key_beta", BETA)]));
        wait_until("the second key", || (status(&gate, BETA) == 200).then_some(()));
        let kept = gate.home.path("keygate.db.keys.jsonl");
        wait_until("it to be kept", || {
            std::fs::read_to_string(&kept)
                .unwrap()
                .contains("key_beta")
                .then_some(())
        });
        assert_eq!(std::fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
        match broken {
            Some(text) => drop(gate.home.write("keys.toml", text)),
            None => std::fs::remove_file(gate.home.path("keys.toml")).unwrap(),
        }
        gate.signal("TERM");
        gate.start_again();
        assert_eq!(
            [ALPHA, BETA, GAMMA].map(|key| status(&gate, key)),
            [200, 200, 401],
            "{what}"
        );
        gate.wait_for_log("the alarm", |line| {
            line["level"] == "ERROR" && line.to_string().contains("started on the last good keys")
        });
        wait_metric(&gate, &["keygate_keys_last_good "], 1.0);
        wait_metric(&gate, &["keygate_reload_failed "], 1.0);
        assert!(admin_status(&gate)["last_good"].is_i64(), "{what}");
        if what != "empty" {
            let checked = gate.home.keygate(&["check", "--config", "config.toml"]);
            assert_eq!(checked.status.code(), Some(2), "{what}: a check is about the files");
        }
        gate.home.write("keys.toml", only(&[("key_gamma", GAMMA)]));
        wait_for(&gate, GAMMA, ALPHA);
        wait_metric(&gate, &["keygate_keys_last_good "], 0.0);
        assert_eq!(admin_status(&gate)["last_good"], Value::Null);
    }
}

#[test]
fn a_start_that_would_drop_most_keys_is_held_like_a_reload() {
    let (_upstream, mut gate) = with_state();
    let file = |numbers: std::ops::Range<usize>, more: &str| {
        let keys = numbers.map(|number| key(&format!("key_{number}"), &format!("kg_nobody{number}"), ""));
        key_file(&keys.chain([more.to_owned()]).collect::<Vec<_>>())
    };
    let living = [key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")].concat();
    gate.home.write("keys.toml", file(0..30, &living));
    let kept = gate.home.path("keygate.db.keys.jsonl");
    wait_until("them to be kept", || {
        let text = std::fs::read_to_string(&kept).unwrap();
        text.contains("key_beta").then_some(())
    });
    gate.terminate();
    let tombstone = "[[tombstones]]\nkey = \"key_beta\"\nrevoked_at = 2026-01-01T00:00:00Z\n";
    let shrunk = file(0..2, tombstone);
    gate.home.write("keys.toml", &shrunk);
    // Nor is it taken up by one start after the other.
    for _ in 0..2 {
        gate.start_again();
        wait_metric(&gate, &["keygate_reload_held "], 1.0);
        assert_eq!(status(&gate, ALPHA), 200, "it is not dropped");
        assert_eq!(status(&gate, BETA), 401, "what is revoked in it is in force");
        wait_metric(&gate, &["keygate_keys_last_good "], 1.0);
        gate.wait_for_log("the alarm", |line| {
            line["level"] == "ERROR" && line.to_string().contains("would drop too many of them")
        });
        gate.terminate();
    }
    gate.start_again();
    wait_metric(&gate, &["keygate_reload_held "], 1.0);
    assert_eq!(ask_reload(&gate, "{\"accept\":true}")["result"], "applied");
    assert_eq!(status(&gate, ALPHA), 401);
    wait_metric(&gate, &["keygate_keys_last_good "], 0.0);
    wait_until("what was accepted to be kept", || {
        let text = std::fs::read_to_string(&kept).unwrap();
        (!text.contains("key_alpha")).then_some(())
    });
    gate.terminate();
    gate.start_again();
    assert_eq!(
        gate.metric(&["keygate_keys_last_good "]),
        0.0,
        "and is good at the next start"
    );
    assert_eq!(status(&gate, ALPHA), 401);
}

#[test]
fn a_start_says_why_what_was_kept_cannot_be_used_either() {
    let (_upstream, mut gate) = with_state();
    gate.terminate();
    gate.home.write("keys.toml", "broken [");
    gate.home.write("keygate.db.keys.jsonl", "{\"id\":");
    let ended = gate.home.keygate(&["run", "--config", "config.toml"]);
    assert_eq!(ended.status.code(), Some(2));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains("keys.toml:1:") && said.contains("keygate.db.keys.jsonl:1:"),
        "{said}"
    );
}

#[test]
fn a_revocation_whose_time_comes_while_nothing_is_read_is_remembered() {
    let (_upstream, mut gate) = with_state();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let soon = jiff::Timestamp::from_second(i64::try_from(now.as_secs()).unwrap() + 3).unwrap();
    let revoked = key("key_alpha", ALPHA, &format!("revoked_at = {soon}"));
    gate.home
        .write("keys.toml", key_file(&[revoked, key("key_beta", BETA, "")]));
    wait_until("the second key", || (status(&gate, BETA) == 200).then_some(()));
    wait_until("the revocation to be on disk", || {
        let text = std::fs::read_to_string(gate.home.path("keygate.db.revocations")).ok()?;
        text.contains("key_alpha").then_some(())
    });
    gate.terminate();
    gate.home
        .write("keys.toml", only(&[("key_alpha", ALPHA), ("key_beta", BETA)]));
    gate.start_again();
    assert_eq!(
        [ALPHA, BETA].map(|key| status(&gate, key)),
        [401, 200],
        "it is not put back"
    );
}

#[test]
fn revocations_are_on_disk_again_when_somebody_removes_them() {
    let (_upstream, mut gate) = with_state();
    let revoked = format!(
        "{}[[tombstones]]\nkey = \"key_alpha\"\nrevoked_at = 2026-01-01T00:00:00Z\n",
        only(&[("key_alpha", ALPHA), ("key_beta", BETA)])
    );
    gate.home.write("keys.toml", revoked);
    let journal = gate.home.path("keygate.db.revocations");
    let is_there = || journal.exists().then_some(());
    wait_until("the revocation to be on disk", is_there);
    wait_until("it to be in force", || (status(&gate, ALPHA) == 401).then_some(()));
    std::fs::remove_file(&journal).unwrap();
    wait_until("it to be on disk again", is_there);
    gate.terminate();
    gate.home
        .write("keys.toml", only(&[("key_alpha", ALPHA), ("key_beta", BETA)]));
    gate.start_again();
    assert_eq!([ALPHA, BETA].map(|key| status(&gate, key)), [401, 200]);
}

#[test]
fn what_is_kept_for_the_next_start_holds_no_key_in_plain_text() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        keys: "allow_plaintext_keys = true".to_owned(),
        more: "[state]\npath = \"keygate.db\"\n".to_owned(),
        records: key_file(&[format!(
            "[[keys]]\nid = \"key_alpha\"\nname = \"n\"\norganization = \"acme\"\nkey = \"{ALPHA}\"\n"
        )]),
        ..Setup::before(&upstream)
    });
    let kept = gate.home.path("keygate.db.keys.jsonl");
    let text = wait_until("the keys to be kept", || std::fs::read_to_string(&kept).ok());
    assert!(text.contains("key_alpha") && !text.contains(ALPHA), "{text}");
}

#[test]
fn a_broken_configuration_ends_the_start_whatever_was_kept() {
    let (_upstream, mut gate) = with_state();
    gate.terminate();
    let config = std::fs::read_to_string(gate.home.path("config.toml")).unwrap();
    gate.home.write("config.toml", format!("{config}\n[unknown]\nx = 1\n"));
    let ended = gate.home.keygate(&["run", "--config", "config.toml"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("unknown"));

    // So does a broken key file where nothing was kept.
    gate.home.write("config.toml", config);
    gate.home.write("keys.toml", "broken [");
    std::fs::remove_file(gate.home.path("keygate.db.keys.jsonl")).unwrap();
    let ended = gate.home.keygate(&["run", "--config", "config.toml"]);
    assert_eq!(ended.status.code(), Some(2));
}
