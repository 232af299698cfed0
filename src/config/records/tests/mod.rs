//! Key files as operators write them: what comes out, and what is said about what is wrong.

mod again;
mod changes;
mod files;
mod problems;
mod written;

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::config::keys::Advice;
use crate::config::problem::{Report, Severity};

/// 2026-01-15T10:00:00Z
const NOW: i64 = 1_768_471_200;
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
const PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$YWJjZGVmZ2hpamtsbW5vcA$0123456789abcdefghijklmnopqrstuvwxyzABCDEFE";

fn digits(of: &str) -> String {
    hex::encode(Digest::of(of.as_bytes()).0)
}

fn scope() -> Scope {
    Scope {
        permissions: None,
        plans: Names::closed(["default", "standard"]),
        environments: Names::closed(["live", "sandbox"]),
        peppers: Names::closed(["2026"]),
        allow_plaintext: false,
        advise: Advice::default(),
        key_limit: 1_000,
        now_unix: NOW,
        remembered: Vec::new(),
    }
}

fn file(name: &str, text: &str) -> File {
    File {
        path: PathBuf::from(name),
        text: text.to_owned(),
    }
}

/// Reads files given as (name, text).
fn read_with(scope: &mut Scope, files: &[(&str, &str)]) -> (Records, Report) {
    let files: Vec<File> = files.iter().map(|(name, text)| file(name, text)).collect();
    let report = Report::new();
    let records = parse(&files, scope, &report);
    (records, report)
}

fn good(files: &[(&str, &str)]) -> Records {
    let (records, report) = read_with(&mut scope(), files);
    let problems = report.into_problems();
    assert!(problems.0.is_empty(), "{problems}");
    records
}

/// Everything that is said about files.
fn said(files: &[(&str, &str)]) -> String {
    read_with(&mut scope(), files).1.into_problems().to_string()
}

/// A TOML file with one organization and one key, whose record ends with `more`.
fn toml(more: &str) -> String {
    format!("[[organizations]]\nid = \"42\"\n[[keys]]\nid = \"key_1\"\nname = \"one\"\norganization = \"42\"\n{more}\n")
}

/// As [`toml`], the key's hash in it already.
fn hashed(more: &str) -> String {
    toml(&format!("hash = \"sha256:{}\"\n{more}", digits("a")))
}

#[test]
fn every_field_of_a_toml_record_is_read() {
    let text = format!(
        r#"
[[organizations]]
id = "42"
name = "Acme Production"
plan = "standard"
metadata = {{ webhookUrl = "https://api.acme.example/hooks", n = [1, 2.5, true] }}

[[keys]]
id = "key_01k9v3"
name = "backend-prod"
organization = "42"
secrets = [
    {{ hash = "sha256:{}", expires_at = 2026-03-01T00:00:00Z }},
    {{ hash = "hmac-sha256:2026:{}" }},
    {{ hash = "{PHC}", lead = "acme" }},
]
hint = "kg_live_…x7Qd"
permissions = ["read", "send"]
environment = "sandbox"
subscriptions = ["eu-1"]
plan = "default"
created_at = 2026-01-15T10:00:00Z
not_before = 2026-01-15T12:00:00+02:00
expires_at = "2027-01-15T10:00:00Z"
active = false
revoked_at = 2026-02-01T00:00:00Z
allowed_sources = ["203.0.113.0/24", "2001:db8::7"]
owner = "Ada"
metadata = {{ since = 2026-01-15 }}
"#,
        digits("a"),
        digits("b")
    );
    let records = good(&[("keys.toml", &text)]);
    let [organization] = records.organizations.as_slice() else {
        panic!()
    };
    assert_eq!(organization.id, "42");
    assert_eq!(organization.name.as_deref(), Some("Acme Production"));
    assert_eq!(organization.plan, Some(PlanId(1)));
    assert_eq!(
        serde_json::to_string(&organization.metadata).unwrap(),
        r#"{"n":[1,2.5,true],"webhookUrl":"https://api.acme.example/hooks"}"#
    );
    let [key] = records.keys.as_slice() else { panic!() };
    assert_eq!(
        (key.id.as_str(), key.name.as_str(), key.organization),
        ("key_01k9v3", "backend-prod", 0)
    );
    assert!(matches!(key.secrets[0].hash, Hash::Sha256(digest) if digest == Digest::of(b"a")));
    assert_eq!(key.secrets[0].expires_at, Some(1_772_323_200));
    assert!(matches!(key.secrets[1].hash, Hash::HmacSha256 { pepper: 0, digest } if digest == Digest::of(b"b")));
    assert!(matches!(&key.secrets[2].hash, Hash::Slow { lead, phc } if lead == "acme" && phc == PHC));
    assert_eq!(key.hint.as_deref(), Some("kg_live_…x7Qd"));
    assert_eq!(key.permissions, ["read", "send"]);
    assert_eq!(key.environment, Some(EnvironmentId(1)));
    assert_eq!(key.subscriptions, ["eu-1"]);
    assert_eq!(key.plan, Some(PlanId(0)));
    assert_eq!(key.created_at, Some(NOW));
    assert_eq!(key.not_before, Some(NOW));
    assert_eq!(key.expires_at, Some(1_800_007_200));
    assert!(!key.active);
    assert_eq!(key.revoked_at, Some(1_769_904_000));
    assert_eq!(
        key.allowed_sources,
        [
            "203.0.113.0/24".parse().unwrap(),
            "2001:db8::7/128".parse::<IpNet>().unwrap()
        ]
    );
    assert_eq!(key.owner.as_deref(), Some("Ada"));
    assert_eq!(key.metadata["since"], "2026-01-15");
    assert_eq!(records.files[0].path, PathBuf::from("keys.toml"));
}

#[test]
fn the_same_record_in_json_lines_is_the_same_key() {
    let a = digits("a");
    let toml = format!(
        "[[organizations]]\nid = \"42\"\nname = \"\u{c9}\"\n[[keys]]\nid = \"k\"\nname = \"a\\\"b\"\norganization = \"42\"\nhash = \
         \"sha256:{a}\"\npermissions = [\"read\"]\nexpires_at = 2027-01-15T10:00:00Z\nmetadata = {{ a = {{ b = [1] }} }}\n"
    );
    let json = format!(
        "{{\"id\":\"42\", \"name\":\"\\u00c9\", \"plan\": null}}\n\n  {{\"id\":\"k\",\"name\":\"a\\\"b\",\"organization\":\"42\",\"hash\":\
         \"sha256:{a}\",\"permissions\":[\"read\"],\"expires_at\":\"2027-01-15T10:00:00Z\",\"metadata\":{{\"a\":{{\"b\":[1]}}}}}}\r\n"
    );
    let (from_toml, from_json) = (good(&[("k.toml", &toml)]), good(&[("k.jsonl", &json)]));
    assert_eq!(format!("{:?}", from_toml.keys), format!("{:?}", from_json.keys));
    assert_eq!(
        format!("{:?}", from_toml.organizations),
        format!("{:?}", from_json.organizations)
    );
}

#[test]
fn all_files_are_one_set_in_any_order() {
    let key = format!(
        "{{\"id\":\"k\",\"name\":\"n\",\"organization\":\"later\",\"hash\":\"sha256:{}\"}}",
        digits("k")
    );
    let records = good(&[
        ("a.jsonl", key.as_str()),
        ("b.toml", &hashed("")),
        ("c.toml", "[[organizations]]\nid = \"later\""),
    ]);
    assert_eq!(records.organizations[records.keys[0].organization as usize].id, "later");
    assert_eq!(records.organizations[records.keys[1].organization as usize].id, "42");
}

/// What is said about a file named `keys.toml`: the first lines of its problems.
fn heads(text: &str) -> Vec<String> {
    let all = said(&[("keys.toml", text)]);
    all.lines()
        .filter(|line| !line.starts_with(' '))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_plaintext_key_has_the_hash_of_the_same_key() {
    let mut scope = Scope {
        allow_plaintext: true,
        ..scope()
    };
    let (records, report) = read_with(&mut scope, &[("k.toml", &toml("key = \"a\""))]);
    assert!(matches!(records.keys[0].secrets[0].hash, Hash::Sha256(digest) if digest == Digest::of(b"a")));
    let problems = report.into_problems().0;
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].severity, Severity::Warning);
    let both = format!(
        "{}[[keys]]\nid = \"k2\"\nname = \"n\"\norganization = \"42\"\nkey = \"a\"\n",
        hashed("")
    );
    let (_, report) = read_with(&mut scope, &[("k.toml", &both)]);
    let all = report.into_problems().to_string();
    assert!(
        all.contains("k.toml:13:7: error: keys[1].key: stands in two places; the first is at k.toml:7:8"),
        "{all}"
    );
}

#[test]
fn the_state_that_is_hardest_to_undo_wins() {
    let key = |change: &dyn Fn(&mut Key)| {
        let mut key = good(&[("k.toml", &hashed(""))]).keys.remove(0);
        change(Arc::make_mut(&mut key));
        key.state(NOW)
    };
    assert_eq!(key(&|_| {}), KeyState::Active);
    assert_eq!(key(&|key| key.not_before = Some(NOW)), KeyState::Active);
    assert_eq!(key(&|key| key.not_before = Some(NOW + 1)), KeyState::NotYetValid);
    assert_eq!(key(&|key| key.expires_at = Some(NOW + 1)), KeyState::Active);
    assert_eq!(key(&|key| key.expires_at = Some(NOW)), KeyState::Expired);
    assert_eq!(key(&|key| key.secrets[0].expires_at = Some(NOW)), KeyState::Expired);
    assert_eq!(key(&|key| key.revoked_at = Some(NOW + 1)), KeyState::Active);
    assert_eq!(key(&|key| key.revoked_at = Some(NOW)), KeyState::Revoked);
    assert_eq!(
        key(&|key| {
            key.active = false;
            key.expires_at = Some(NOW);
        }),
        KeyState::Disabled
    );
}

#[test]
fn keys_are_counted_by_state() {
    let mut records = good(&[("k.toml", &hashed("active = false"))]);
    let one = Arc::clone(&records.keys[0]);
    let active = Key {
        active: true,
        ..Key::clone(&one)
    };
    records.keys.extend([one, Arc::new(active)]);
    assert_eq!(
        records.count_by_state(NOW).map(|(state, count)| (state.word(), count)),
        [
            ("active", 1),
            ("not_yet_valid", 0),
            ("expired", 0),
            ("disabled", 2),
            ("revoked", 0)
        ]
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]{}\":,=a-zé\\n0-9. ]{0,200}", keys in any::<bool>()) {
        let text = if keys { format!("[[keys]]\n{text}") } else { text };
        let _ = read_with(&mut scope(), &[("a.toml", &text), ("b.jsonl", &text)]);
    }

    #[test]
    fn cutting_a_file_anywhere_is_an_error_or_a_prefix(cut in 0_usize..900) {
        let two = format!(
            "{}[[keys]]\nid = \"k2\"\nname = \"n\"\norganization = \"42\"\nhash = \"sha256:{}\"\n", hashed(""), digits("b"),
        );
        let cut = cut.min(two.len());
        let (records, report) = read_with(&mut scope(), &[("a.toml", &two[..cut])]);
        if !report.has_errors() {
            prop_assert!(records.keys.iter().all(|key| !key.secrets.is_empty()));
            let whole = two[cut..].trim_start();
            prop_assert!(records.keys.len() == 2 || whole.is_empty() || whole.starts_with("[[") || records.keys.is_empty());
        }
    }
}
