//! Key files as operators write them: what comes out, and what is said about what is wrong.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::config::problem::{Report, Severity};
use crate::config::sources::Sources;

/// 2026-01-15T10:00:00Z
const NOW: i64 = 1_768_471_200;
const PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$YWJjZGVmZ2hpamtsbW5vcA$0123456789abcdefghijklmnopqrstuvwxyzABCDEFE";

fn digits(of: &str) -> String {
    hex::encode(Digest::of(of.as_bytes()).0)
}

fn scope() -> Scope {
    Scope {
        plans: Names::closed(["default", "standard"]),
        environments: Names::closed(["live", "sandbox"]),
        peppers: Names::closed(["2026"]),
        allow_plaintext: false,
        key_limit: 1_000,
        now_unix: NOW,
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
hint = "gsk_live_…x7Qd"
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
    assert!(matches!(&key.secrets[2].hash, Hash::Argon2id { lead, phc } if lead == "acme" && phc == PHC));
    assert_eq!(key.hint.as_deref(), Some("gsk_live_…x7Qd"));
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
    assert_eq!(records.files, [PathBuf::from("keys.toml")]);
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
fn each_wrong_field_is_named_with_its_place() {
    let cases: &[(&str, &str)] = &[
        (
            "permisions = []",
            "8:1: error: keys[0].permisions: is not a known option",
        ),
        (
            "permissions = [\"a b\"]",
            "8:16: error: keys[0].permissions[0]: is longer than 128 characters, or not visible ASCII",
        ),
        (
            "environment = \"lve\"",
            "8:15: error: keys[0].environment: names an environment that does not exist",
        ),
        (
            "plan = \"gold\"",
            "8:8: error: keys[0].plan: names a plan that does not exist",
        ),
        (
            "lead = \"abcd\"",
            "8:8: error: keys[0].lead: is only for `$argon2id$` hashes",
        ),
        (
            "owner = \"a\\u0007\"",
            "8:9: error: keys[0].owner: is longer than 256 bytes, or holds control characters",
        ),
        (
            "secrets = []",
            "8:1: error: keys[0].secrets: stands beside another hash",
        ),
        ("key = \"x\"", "8:1: error: keys[0].key: stands beside another hash"),
        (
            "expires_at = 2026-01-15",
            "8:14: error: keys[0].expires_at: is not a date and time with an offset, such as 2026-01-15T10:00:00Z",
        ),
        (
            "active = 1",
            "8:10: error: keys[0].active: is a whole number, expected `true` or `false`",
        ),
        (
            "allowed_sources = []",
            "8:19: error: keys[0].allowed_sources: is empty, which would admit callers from everywhere",
        ),
        (
            "allowed_sources = [\"10.1.2.3/8\"]",
            "8:20: error: keys[0].allowed_sources[0]: has bits behind its /8",
        ),
        (
            "allowed_sources = [\"host\"]",
            "8:20: error: keys[0].allowed_sources[0]: is not a network or an address",
        ),
        (
            "allowed_sources = [\"::ffff:1.2.3.4\"]",
            "8:20: error: keys[0].allowed_sources[0]: is an IPv4 address in IPv6 form",
        ),
        (
            "metadata = { n = nan }",
            "8:12: error: keys[0].metadata: holds a number that JSON cannot hold",
        ),
        (
            "not_before = 2027-01-01T00:00:00Z\nexpires_at = 2027-01-01T00:00:00Z",
            "9:14: error: keys[0].expires_at: is not after `not_before`",
        ),
    ];
    for (more, expected) in cases {
        assert_eq!(heads(&hashed(more)), [format!("keys.toml:{expected}")], "{more}");
    }
}

#[test]
fn each_wrong_hash_is_explained_and_never_shown() {
    let a = digits("a");
    let phc = |parameters: &str| {
        format!(
            "hash = \"{}\"\nlead = \"acme\"",
            PHC.replace("m=19456,t=2,p=1", parameters)
        )
    };
    let cases: &[(String, &str)] = &[
        (String::new(), "3:1: error: keys[0]: `hash` is missing"),
        (
            format!("hash = \"{a}\""),
            "7:8: error: keys[0].hash: does not say which hash it is",
        ),
        (
            format!("hash = \"{}\"", &a[..40]),
            "7:8: error: keys[0].hash: is not the length of a SHA-256",
        ),
        (
            format!("hash = \"sha256:{}\"", &a[..63]),
            "7:8: error: keys[0].hash: is malformed: its last part has 63 characters, expected 64 hexadecimal digits",
        ),
        (
            format!("hash = \"sha256:{}g\"", &a[..63]),
            "7:8: error: keys[0].hash: is malformed: its last part holds characters that are not hexadecimal digits",
        ),
        (
            format!("hash = \"md5:{a}\""),
            "7:8: error: keys[0].hash: is not a hash in a form that Keygate knows",
        ),
        (
            format!("hash = \"hmac-sha256:{a}\""),
            "7:8: error: keys[0].hash: names no pepper",
        ),
        (
            format!("hash = \"hmac-sha256:2025:{a}\""),
            "7:8: error: keys[0].hash: names a pepper that is not declared",
        ),
        (
            "hash = \"kg_S3cretS3cretS3cret\"".to_owned(),
            "7:8: error: keys[0].hash: is not a hash in a form that Keygate knows",
        ),
        (
            "key = \"kg_S3cretS3cretS3cret\"".to_owned(),
            "7:7: error: keys[0].key: holds a key in plain text",
        ),
        (
            format!("hash = \"{PHC}\""),
            "7:8: error: keys[0].hash: needs a `lead` beside it, since an argon2id hash cannot be looked up",
        ),
        (
            format!("hash = \"{PHC}\"\nlead = \"abc\""),
            "8:8: error: keys[0].lead: is not 4 to 32 visible ASCII characters",
        ),
        (
            format!("hash = \"{}\"\nlead = \"acme\"", PHC.replace("argon2id", "argon2i")),
            "7:8: error: keys[0].hash: is a slow hash of another kind than argon2id",
        ),
        (
            format!("hash = \"{}\"\nlead = \"acme\"", PHC.replace("v=19$", "")),
            "7:8: error: keys[0].hash: does not say which version of argon2id it is",
        ),
        (
            format!("hash = \"{}\"\nlead = \"acme\"", PHC.replace("abc", "a!c")),
            "7:8: error: keys[0].hash: is not a valid PHC string",
        ),
        (
            phc("m=1048577,t=1,p=1"),
            "7:8: error: keys[0].hash: is too expensive to verify",
        ),
        (
            phc("m=1048576,t=5,p=1"),
            "7:8: error: keys[0].hash: is too expensive to verify",
        ),
        (
            phc("m=4294967295,t=4294967295,p=4294967295"),
            "7:8: error: keys[0].hash: is too expensive to verify",
        ),
        (
            phc("m=15,t=1,p=2"),
            "7:8: error: keys[0].hash: has parameters that argon2id does not allow",
        ),
        (
            phc("m=19456,t=2"),
            "7:8: error: keys[0].hash: lacks one of the parameters m, t and p",
        ),
        (
            "secrets = []".to_owned(),
            "7:11: error: keys[0].secrets: holds 0 hashes",
        ),
        (
            "secrets = [{ hash = 1 }]".to_owned(),
            "7:21: error: keys[0].secrets[0].hash: is a whole number, expected a string",
        ),
    ];
    for (more, expected) in cases {
        let text = toml(more);
        assert_eq!(heads(&text), [format!("keys.toml:{expected}")], "{more}");
        let all = said(&[("keys.toml", &text)]);
        assert!(
            !all.contains(&a[..12]) && !all.contains("S3cret") && !all.contains("YWJj"),
            "{all}"
        );
    }
}

#[test]
fn slow_hashes_up_to_the_bounds_are_accepted() {
    for parameters in [
        "m=1048576,t=4,p=1",
        "m=65536,t=64,p=64",
        "m=19456,t=2,p=1",
        "m=8,t=1,p=1",
    ] {
        let phc = PHC.replace("m=19456,t=2,p=1", parameters);
        good(&[("keys.toml", &toml(&format!("hash = \"{phc}\"\nlead = \"acme\"")))]);
    }
}

#[test]
fn duplicates_name_both_places() {
    let a = digits("a");
    let again = format!("[[keys]]\nid = \"key_1\"\nname = \"two\"\norganization = \"42\"\nhash = \"sha256:{a}\"\n");
    let text = format!("[[organizations]]\nid = \"42\"\n\n{}{again}", hashed(""));
    assert_eq!(
        heads(&text),
        [
            "keys.toml:5:6: error: organizations[1].id: is the id of two organizations; the first is at keys.toml:2:6",
            "keys.toml:13:6: error: keys[1].id: is the id of two keys; the first is at keys.toml:7:6",
            "keys.toml:16:8: error: keys[1].hash: stands in two places; the first is at keys.toml:10:8",
        ]
    );
    let twice = format!(
        "secrets = [{{ hash = \"sha256:{a}\" }}, {{ hash = \"sha256:{}\" }}]",
        a.to_uppercase()
    );
    assert_eq!(
        heads(&toml(&twice)),
        ["keys.toml:7:107: error: keys[0].secrets[1].hash: stands in two places; the first is at keys.toml:7:21"]
    );
    let line = format!("{{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"sha256:{a}\"}}");
    let all = said(&[("a.toml", &hashed("")), ("b.jsonl", &line)]);
    assert!(
        all.starts_with("b.jsonl:1:49: error: hash: stands in two places; the first is at a.toml:7:8"),
        "{all}"
    );
}

#[test]
fn no_more_slow_hashes_share_a_lead_than_are_tried() {
    let secrets = |leads: &[&str]| {
        let secret = |(n, lead): (usize, &&str)| {
            let phc = PHC.replace("YWJj", &format!("YW{n:02}"));
            format!("{{ hash = \"{phc}\", lead = \"{lead}\" }}")
        };
        let all: Vec<String> = leads.iter().enumerate().map(secret).collect();
        toml(&format!("secrets = [\n{}]", all.join(",\n")))
    };
    good(&[("k.toml", &secrets(&["acme"; 8]))]);
    good(&[(
        "k.toml",
        &secrets(&[
            "acme", "acme_a", "acme_b", "acme_c", "acme_d", "other", "acme_e", "acme_f", "acme_g",
        ]),
    )]);
    let said = heads(&secrets(&["acme"; 9]));
    assert_eq!(
        said,
        [
            "keys.toml:16:10: error: keys[0].secrets[8].hash: is one of 9 argon2id hashes that a key beginning with acme could have"
        ]
    );
    let nested = [
        "acme",
        "acme",
        "acme",
        "acme",
        "acme_l",
        "acme_l",
        "acme_l",
        "acme_l",
        "acme_live",
    ];
    let said = heads(&secrets(&nested));
    assert_eq!(said.len(), 1);
    assert!(
        said[0].ends_with("is one of 9 argon2id hashes that a key beginning with acme_live could have"),
        "{said:?}"
    );
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
fn unknown_organizations_are_named_with_a_suggestion() {
    let text = hashed("").replace("organization = \"42\"", "organization = \"43\"");
    let all = said(&[("k.toml", &text)]);
    assert!(
        all.contains("k.toml:6:16: error: keys[0].organization: names an organization that does not exist"),
        "{all}"
    );
    assert!(all.contains("did you mean \"42\"?"), "{all}");
    // Where a file does not parse, the organization may stand behind the error.
    let all = said(&[("k.toml", &text), ("l.jsonl", "{\"id\":\"43\"")]);
    assert!(!all.contains("organization"), "{all}");
}

#[test]
fn ends_within_two_weeks_are_warned_about_ten_times_at_most() {
    let day = |days: i64| jiff::Timestamp::from_second(NOW + days * 86_400).unwrap();
    for (days, warned) in [(-1, false), (1, true), (14, true), (15, false)] {
        let heads = heads(&hashed(&format!("expires_at = {}", day(days))));
        assert_eq!(heads.len(), usize::from(warned), "{heads:?}");
        assert!(
            heads
                .iter()
                .all(|head| head.contains("warning: keys[0].expires_at: is within 14 days"))
        );
    }
    let many: String = (0..25)
        .map(|n| {
            let hash = digits(&n.to_string());
            format!("[[keys]]\nid = \"k{n}\"\nname = \"n\"\norganization = \"42\"\nhash = \"sha256:{hash}\"\nexpires_at = {}\n", day(3))
        })
        .collect();
    let heads = heads(&format!("{}{many}", hashed("")));
    assert_eq!(heads.len(), 11);
    assert!(
        heads.contains(&"keys.toml: warning: 15 more keys end within 14 days".to_owned()),
        "{heads:?}"
    );
}

#[test]
fn more_keys_than_allowed_are_one_problem() {
    let two = format!("{}[[keys]]\nunread = 1\n[[keys]]\nunread = 2\n", hashed(""));
    let mut scope = Scope {
        key_limit: 1,
        ..scope()
    };
    let all = read_with(&mut scope, &[("k.toml", &two)]).1.into_problems().to_string();
    assert!(all.starts_with("k.toml: error: there are more than 1 keys"), "{all}");
    assert_eq!(all.matches("error").count(), 1, "{all}");
}

#[test]
fn lines_that_are_not_records_are_named_with_their_place() {
    let cases = [
        (
            "[]",
            "1:1: error: does not parse: a line is one record: a JSON object in braces",
        ),
        ("{\"id\"; 3}", "1:6: error: does not parse: expected `:`"),
        (
            "{\"id\": [1, null]}",
            "1:12: error: does not parse: null cannot stand in a list",
        ),
        ("{\"id\": 1, \"id\": 1}", "1:11: error: `\"id\"` is set twice"),
        (
            "{\"id\":\"7\"",
            "1:9: error: does not parse: EOF while parsing an object",
        ),
        ("{\"id\":\"7\"} x", "1:12: error: does not parse: trailing characters"),
        ("{\"id\":\"7\", \"nam\": 1}", "1:12: error: nam: is not a known option"),
        (
            "{\"id\":\"7\", \"metadata\": [1]}",
            "1:24: error: metadata: is a list, expected a table",
        ),
        (
            "\n \n{\"id\": 7}",
            "3:8: error: id: is a whole number, expected a string",
        ),
        (
            "{\"organization\":\"7\",\"id\":\"k\",\"name\":\"n\"}",
            "1:1: error: `hash` is missing",
        ),
    ];
    for (line, expected) in cases {
        let all = said(&[("k.jsonl", line)]);
        let head = all.lines().next().unwrap_or_default();
        assert_eq!(head, format!("k.jsonl:{expected}"), "{line}");
    }
    let deep = format!(
        "{{\"id\":\"1\",\"metadata\":{}{}}}",
        "{\"a\":".repeat(5_000),
        "1".to_owned() + &"}".repeat(5_000)
    );
    assert!(said(&[("k.jsonl", &deep)]).contains("does not parse: is nested too deeply"));
}

#[test]
fn the_state_that_is_hardest_to_undo_wins() {
    let key = |change: &dyn Fn(&mut Key)| {
        let mut key = good(&[("k.toml", &hashed(""))]).keys.remove(0);
        change(&mut key);
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
    let one = records.keys[0].clone();
    records.keys.extend([one.clone(), Key { active: true, ..one }]);
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

/// Reads a directory made of (name, text), with all that is said about it.
fn directory(entries: &[(&str, &str)]) -> (tempfile::TempDir, Records, String) {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in entries {
        fs::write(home.path().join(name), text).unwrap();
        fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (records, said) = load_from(home.path());
    (home, records, said)
}

fn load_from(root: &Path) -> (Records, String) {
    let report = Report::new();
    let records = load(root, &mut scope(), &mut Sources::default(), &report);
    (records, report.into_problems().to_string())
}

#[test]
fn a_directory_is_read_by_name_without_hidden_files() {
    let key = |id: &str| {
        let hash = digits(id);
        format!("{{\"id\":\"{id}\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"sha256:{hash}\"}}\n")
    };
    let (home, records, said) = directory(&[
        ("b.jsonl", &key("b")),
        ("a.toml", &hashed("")),
        ("c.jsonl", &key("c")),
        (".hidden.toml", "broken ["),
        ("notes.txt", "x"),
    ]);
    assert!(
        said.ends_with("help: rename it, or move it out of the key directory"),
        "{said}"
    );
    assert_eq!(said.matches("is not read").count(), 1, "{said}");
    let ids: Vec<&str> = records.keys.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, ["key_1", "b", "c"]);
    assert_eq!(
        records.files,
        ["a.toml", "b.jsonl", "c.jsonl"].map(|name| home.path().join(name))
    );
}

#[test]
fn a_kubernetes_volume_is_read_through_its_links() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("..2026_01_15");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("keys.toml"), hashed("")).unwrap();
    fs::set_permissions(data.join("keys.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("..2026_01_15", home.path().join("..data")).unwrap();
    symlink("..data/keys.toml", home.path().join("keys.toml")).unwrap();
    for root in [home.path().to_owned(), home.path().join("keys.toml")] {
        let (records, said) = load_from(&root);
        assert_eq!(said, "");
        assert_eq!(records.keys.len(), 1);
        assert_eq!(records.files, [home.path().join("keys.toml")]);
    }
}

#[test]
fn files_that_cannot_be_used_say_why() {
    let (home, _, said) = directory(&[("a.toml", "x")]);
    assert!(said.contains("a.toml:1:2: error: does not parse"), "{said}");
    let file = home.path().join("a.toml");
    fs::write(&file, b"# one\nname = '\xff'").unwrap();
    assert!(
        load_from(&file)
            .1
            .contains("a.toml: error: is not UTF-8 text: line 2 holds other bytes")
    );
    fs::write(&file, hashed("")).unwrap();
    for (mode, warning) in [(0o640, None), (0o604, Some("read")), (0o646, Some("changed"))] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let said = load_from(&file).1;
        let expected = warning.map_or_else(String::new, |verb| {
            let shown = file.display();
            format!("{shown}: warning: can be {verb} by every user of this machine\n  help: chmod o-rwx {shown}")
        });
        assert_eq!(said, expected);
    }
    assert!(
        load_from(&home.path().join("b.toml"))
            .1
            .contains("b.toml: error: does not exist")
    );
    symlink("nowhere", home.path().join("c.toml")).unwrap();
    assert!(load_from(home.path()).1.contains("c.toml: error: does not exist"));
    let (_home, _, said) = directory(&[("a.txt", "")]);
    assert!(said.contains("error: holds no *.toml and no *.jsonl file"), "{said}");
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
