//! `keygate keys revoke|disable|enable|rotate|show`: a key's life after it was made, as its file tells it.

use serde_json::Value;

use crate::harness::{ALPHA, Desk, Done, Gate, Setup, Upstream, exchange, get, presents, rows, wait_until};

/// Made by another tool: OpenWall's crypt_blowfish, from its own tests.
const BCRYPT: &str = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
/// What it was made from: 72 characters, the most that bcrypt looks at.
const LONGEST: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

fn json(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{} {}", done.out, done.err))
}

fn verdict(desk: &Desk, key: &str) -> String {
    let (_, line) = desk.verify("", key);
    let verdict = line.strip_prefix("verdict").unwrap_or(&line);
    verdict.split(':').next().unwrap().trim().to_owned()
}

fn status(gate: &Gate, key: &str) -> u16 {
    exchange(gate.ingress(), get("/", &presents(key))).status()
}

#[test]
fn a_revoked_key_is_dead_for_good_even_when_its_record_comes_back() {
    let desk = Desk::with_config("");
    let secret = desk.new_key("--name backend --organization 42");
    let other = desk.new_key("--name other --organization 42");
    let before = desk.read("keys.toml");
    assert_eq!(verdict(&desk, &secret), "accepted");

    let done = desk.keys("revoke backend --reason=leaked");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(
        done.out.starts_with("key_") && done.out.ends_with("  backend  revoked\n"),
        "{}",
        done.out
    );
    assert!(done.err.contains(": leaked\n"), "{}", done.err);
    assert_eq!(verdict(&desk, &secret), "revoked");
    assert_eq!(verdict(&desk, &other), "accepted");

    let after = desk.read("keys.toml");
    let again = desk.keys("revoke backend --reason=again --json");
    assert_eq!((again.code, json(&again)["changed"].as_bool()), (0, Some(false)));
    assert_eq!(json(&again)["after"]["revoked_reason"], "leaked");
    assert_eq!(desk.read("keys.toml"), after);

    // Somebody takes the old records out of a drawer.
    let tombstone = &after[after.find("[[tombstones]]").unwrap()..];
    desk.write("keys.toml", &format!("{before}\n{tombstone}"));
    assert_eq!(verdict(&desk, &secret), "revoked");
    assert_eq!(verdict(&desk, &other), "accepted");
    let id = again
        .out
        .split('"')
        .find(|text| text.starts_with("key_"))
        .unwrap()
        .to_owned();
    desk.write(
        "keys.toml",
        &format!("{}\n{tombstone}", before.replace(&id, "key_another")),
    );
    assert_eq!(verdict(&desk, &secret), "revoked");
    for command in ["enable", "rotate"] {
        let done = desk.keys(&format!("{command} key_another"));
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{}", done.err);
        assert!(
            done.err.contains("key_another is revoked, which is for good"),
            "{}",
            done.err
        );
    }
}

#[test]
fn a_disabled_key_is_refused_until_it_is_enabled() {
    let desk = Desk::with_config("");
    let secret = desk.new_key("--name n --organization 42");
    let before = desk.read("keys.toml");
    for (command, verdict_then, said) in [
        ("disable", "disabled", "  n  disabled\n"),
        ("disable", "disabled", "  n  already disabled\n"),
        ("enable", "accepted", "  n  enabled\n"),
        ("enable", "accepted", "  n  already enabled\n"),
    ] {
        let done = desk.keys(&format!("{command} n"));
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.out.ends_with(said), "{}", done.out);
        assert_eq!(verdict(&desk, &secret), verdict_then);
    }
    assert_eq!(desk.read("keys.toml"), before);
}

#[test]
fn a_rotated_key_has_a_new_secret_and_nothing_else_changes() {
    let desk = Desk::with_config("");
    let first = desk.new_key("--name n --organization 42 --permission send --expires 30d");
    let shown = json(&desk.keys("show n --json"));
    let done = desk.keys("rotate n --overlap 24h");
    assert_eq!(done.code, 0, "{}", done.err);
    let second = done.out.trim_end().to_owned();
    assert!(done.err.contains("old secret    good until 2"), "{}", done.err);
    assert_eq!(verdict(&desk, &first), "accepted");
    assert_eq!(verdict(&desk, &second), "accepted");

    let third = json(&desk.keys("rotate n --json"));
    assert_eq!(third["overlap_ends"], Value::Null);
    let third = third["secret"].as_str().unwrap().to_owned();
    assert_eq!(verdict(&desk, &first), "unknown");
    assert_eq!(verdict(&desk, &second), "unknown");
    assert_eq!(verdict(&desk, &third), "accepted");

    let after = json(&desk.keys("show n --json"));
    for same in ["id", "permissions", "expires_at", "created_at", "organization"] {
        assert_eq!(after[same], shown[same], "{same}");
    }
    assert_ne!(after["hint"], shown["hint"]);
    assert!(after["rotated_at"].is_string());
    let text = desk.read("keys.toml");
    for secret in [&first, &second, &third] {
        assert!(!text.contains(&secret[3..37]) && !done.err.contains(&secret[3..37]));
    }
    // What was rotated away stays dead, whoever's record it is put into.
    let hash = crate::harness::sha256(&first);
    desk.write(
        "keys.toml",
        &format!("{text}\n[[keys]]\nid = 'x'\nname = 'x'\norganization = '42'\nhash = '{hash}'\n"),
    );
    assert_eq!(verdict(&desk, &first), "revoked");
}

#[test]
fn which_key_is_meant_is_never_guessed() {
    let desk = Desk::with_config("");
    desk.new_key("--name twin --organization 42");
    desk.new_key("--name twin --organization 43");
    let before = desk.read("keys.toml");
    for command in ["revoke", "disable", "enable", "rotate", "show"] {
        let done = desk.keys(&format!("{command} twin"));
        assert_eq!(done.code, 2);
        assert!(
            done.err.contains("2 keys have the name twin") && done.err.matches("key_").count() == 2,
            "{}",
            done.err
        );
        let done = desk.keys(&format!("{command} twim --json"));
        assert_eq!((done.code, done.out.as_str()), (2, ""));
        assert!(done.err.contains("did you mean twin?"), "{}", done.err);
        let key = "kg_0123456789ABCDEFGHIJKLMNOPQRSTUV3E6O7i";
        let done = desk.keys(&format!("{command} {key}"));
        assert_eq!(done.code, 2);
        assert!(
            !done.err.contains(key) && done.err.contains("it looks like a key itself"),
            "{}",
            done.err
        );
    }
    assert_eq!(desk.read("keys.toml"), before);
}

#[test]
fn what_ends_soon_and_what_is_old_is_listed() {
    let desk = Desk::new();
    let record = |id: &str, more: &str| {
        let hash = crate::harness::sha256(id);
        format!("[[keys]]\nid = '{id}'\nname = '{id}'\norganization = '42'\nhash = '{hash}'\n{more}\n")
    };
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 10);
    let text = [
        "[[organizations]]\nid = '42'\n".to_owned(),
        record(
            "soon",
            &format!(
                "expires_at = {soon}\ncreated_at = 2020-01-01T00:00:00Z\nrotated_at = {}",
                soon - jiff::SignedDuration::from_hours(480)
            ),
        ),
        record(
            "later",
            "expires_at = 2999-01-01T00:00:00Z\ncreated_at = 2020-01-01T00:00:00Z",
        ),
        record(
            "ended",
            "expires_at = 2020-01-02T00:00:00Z\ncreated_at = 2020-01-01T00:00:00Z",
        ),
        record(
            "revoked",
            "revoked_at = 2020-01-02T00:00:00Z\ncreated_at = 2020-01-01T00:00:00Z",
        ),
        record("ageless", ""),
    ]
    .concat();
    desk.write("keys.toml", &text);
    let listed = |arguments: &str| {
        let done = desk.keys(&format!("list --file keys.toml {arguments}"));
        assert_eq!(done.code, 0, "{}", done.err);
        let ids = done.out.lines().map(|line| line.split('\t').next().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(listed("--expiring 14d"), ["soon"]);
    assert_eq!(listed("--expiring 9d"), [""; 0]);
    assert_eq!(listed("--older-than 90d"), ["later", "ended", "ageless"]);
    assert_eq!(listed("--older-than 9d --state active"), ["soon", "later", "ageless"]);
}

#[test]
fn what_is_changed_is_put_on_record_without_secrets() {
    let desk = Desk::with_config("[state]\npath = \"keygate.db\"\n");
    desk.new_key("--name n --organization 42");
    desk.keys("disable n");
    assert!(
        !desk.path("keygate.db").exists(),
        "it would belong to whoever ran the command"
    );
    // As if a sidecar had made it.
    desk.write("keygate.db", "");
    desk.new_key("--name second --organization 42");
    for command in [
        "disable n",
        "enable n",
        "rotate n --overlap 1h",
        "revoke n --reason=gone",
    ] {
        assert_eq!(desk.keys(command).code, 0);
    }
    let told = rows(
        &desk.path("keygate.db"),
        "SELECT action, actor LIKE 'user:%', source, target LIKE 'key_%', json_extract(detail, '$.before.state'), \
         json_extract(detail, '$.after.state') FROM audit ORDER BY seq",
    );
    assert_eq!(
        told,
        [
            "key.create|1|cli|1||active",
            "key.enable|1|cli|1|disabled|active",
            "key.rotate|1|cli|1|active|active",
            "key.revoke|1|cli|1|active|revoked"
        ]
    );
    let details = rows(&desk.path("keygate.db"), "SELECT detail FROM audit").concat();
    assert!(!details.contains("sha256:"), "{details}");
}

#[test]
fn a_key_that_another_system_hashed_with_bcrypt_is_good() {
    let upstream = Upstream::hello();
    let mut setup = Setup::before(&upstream);
    setup.records = format!(
        "[[organizations]]\nid = 'acme'\n[[keys]]\nid = 'old'\nname = 'old'\norganization = 'acme'\nhash = '{BCRYPT}'\nlead = '0123'\n"
    );
    let gate = Gate::start(&setup);
    assert_eq!(status(&gate, LONGEST), 200);
    let longer = format!("{LONGEST}more");
    for wrong in [longer.as_str(), &LONGEST.replace('a', "b"), &LONGEST[..71]] {
        assert_eq!(status(&gate, wrong), 401);
    }

    let desk = Desk::with_config("");
    desk.write("keys.toml", &setup.records);
    assert_eq!(verdict(&desk, LONGEST), "accepted");
    assert_eq!(verdict(&desk, &longer), "unknown");
    let done = desk.keys("rotate old --overlap 1h");
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(verdict(&desk, LONGEST), "accepted");
    assert_eq!(verdict(&desk, done.out.trim_end()), "accepted");
    assert_eq!(desk.keys("revoke old").code, 0);
    assert_eq!(verdict(&desk, LONGEST), "revoked");
}

#[test]
fn a_running_gate_follows_the_file() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    assert_eq!(status(&gate, ALPHA), 200);
    let file = gate.home.text("keys.toml");
    let desk = Desk::new();
    for (command, expected) in [("disable", 401), ("enable", 200), ("revoke", 401)] {
        let done = desk.keys(&format!("{command} key_alpha --file {file}"));
        assert_eq!(done.code, 0, "{}", done.err);
        wait_until(command, || (status(&gate, ALPHA) == expected).then_some(()));
    }
}
