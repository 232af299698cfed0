//! `keygate keys`: makes, lists and verifies keys, and never loses, shows or changes what it should not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Child;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use crate::harness::{Desk, finish_command as finish};

fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A record with more fields behind it.
fn record(id: &str, hash: &str, more: &str) -> String {
    format!("[[keys]]\nid = \"{id}\"\nname = \"{id}\"\norganization = \"42\"\n{hash}\n{more}\n")
}

const ORGANIZATION: &str = "[[organizations]]\nid = \"42\"\nname = \"Acme\"\n";

#[test]
fn the_secret_is_alone_on_stdout_and_in_no_file() {
    let desk = Desk::with_config("");
    let done = desk.keys("new --name first --organization 42 --permission read,send --permission read");
    assert_eq!(done.code, 0, "{}", done.err);
    let secret = done.out.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("kg_") && secret.len() == 41, "{secret}");
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    for text in [&done.err, &desk.read("keys.toml"), &desk.read("config.toml")] {
        assert!(!text.contains(&secret[3..37]), "{text}");
    }
    let file = desk.read("keys.toml");
    assert!(file.contains(&format!("hash = \"sha256:{}\"", sha256(secret))));
    assert!(file.contains(&format!("hint = \"kg_…{}\"", &secret[37..])));
    assert!(file.contains("permissions = [\"read\", \"send\"]\n"));
    assert_eq!(mode(&desk.path("keys.toml")), 0o600);
    for told in [
        "key_",
        "first",
        "42 (added)",
        "keys.toml",
        "curl -H \"authorization: Bearer $KEY\"",
    ] {
        assert!(done.err.contains(told), "{told} in {}", done.err);
    }
    assert_eq!(
        desk.verify("", secret),
        (0, "verdict       accepted: the key is good now".to_owned())
    );
}

#[test]
fn keys_made_at_the_same_time_all_survive() {
    for file in ["keys.toml", "keys.jsonl"] {
        let desk = Desk::new();
        let children: Vec<Child> = (0..16)
            .map(|n| desk.start(&format!("new --file {file} --name n{n} --organization o{}", n % 4)))
            .collect();
        let secrets: Vec<String> = children
            .into_iter()
            .map(|child| {
                let done = finish(child);
                assert_eq!(done.code, 0, "{}", done.err);
                done.out
            })
            .collect();
        let listed = desk.keys(&format!("list --file {file}"));
        assert_eq!((listed.code, listed.out.lines().count()), (0, 16), "{}", listed.err);
        for secret in secrets {
            assert_eq!(desk.verify(&format!("--file {file}"), &secret).0, 0);
        }
        let text = desk.read(file);
        let organizations = if file == "keys.toml" {
            "[[organizations]]"
        } else {
            "{\"id\":\"o"
        };
        assert_eq!(text.matches(organizations).count(), 4, "{text}");
        let left: Vec<_> = fs::read_dir(desk.path("")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

#[test]
fn comments_order_and_mode_of_the_file_stay() {
    let desk = Desk::with_config("");
    let mine = "# keys of the house\n\n[[keys]]   # the old one\nname = 'z'\nid = 'old'\norganization = '42'\nhash = \
                'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'\n\n[[organizations]]\nid = '42'\n# the \
                end, without a line end";
    desk.write("keys.toml", mine);
    fs::set_permissions(desk.path("keys.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    desk.new_key("--name a --organization 42");
    desk.new_key("--name b --organization 7 --organization-name Seven");
    let text = desk.read("keys.toml");
    assert!(text.starts_with(&format!("{mine}\n\n[[keys]]\nid = \"key_")), "{text}");
    assert_eq!(text.matches("[[keys]]").count(), 3);
    assert_eq!(
        text.matches("[[organizations]]\nid = \"7\"\nname = \"Seven\"\n")
            .count(),
        1
    );
    assert_eq!(mode(&desk.path("keys.toml")), 0o640);
    assert_eq!(desk.verify("", "test").0, 0, "the old key");
}

#[test]
fn a_key_is_not_taken_as_an_argument() {
    let desk = Desk::with_config("");
    let secret = desk.new_key("--name a --organization 42");
    for arguments in [
        secret.clone(),
        format!("--json {secret}"),
        format!("-{secret}"),
        format!("--{secret}"),
    ] {
        let done = desk.keys(&format!("verify {arguments}"));
        assert_eq!(done.code, 2);
        assert_eq!(done.out, "");
        assert!(done.err.contains("a key is not taken as an argument"), "{}", done.err);
        assert!(!done.err.contains(&secret[3..20]), "{}", done.err);
    }
}

#[test]
fn verify_says_what_the_gate_would() {
    let desk = Desk::with_config(
        "peppers = [{ id = \"p1\", file = \"pepper\" }]\n[environments.live]\nprefixes = [\"kg_live_\"]\nchecksum = \
         true\n[environments.test]\nprefixes = [\"kg_test_\"]\n",
    );
    let pepper = "0123456789abcdef0123456789abcdef";
    desk.write("pepper", &format!("{pepper}\n"));
    let hash = |key: &str| format!("hash = \"sha256:{}\"", sha256(key));
    let peppered = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pepper.as_bytes()), b"peppered-key");
    let phc = {
        use argon2::PasswordHasher as _;
        let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
        let hash = argon2.hash_password_with_salt(b"chosen-by-a-human", b"abcdefghijklmnop");
        hash.unwrap().to_string()
    };
    desk.write(
        "keys.toml",
        &[
            ORGANIZATION.to_owned(),
            record("good", &hash("good-key"), ""),
            record("peppered", &format!("hash = \"hmac-sha256:p1:{}\"", hex::encode(peppered)), ""),
            record("slow", &format!("hash = \"{phc}\"\nlead = \"chosen\""), ""),
            record("ended", &hash("ended-key"), "expires_at = 2020-01-01T00:00:00Z"),
            record("early", &hash("early-key"), "not_before = 2999-01-01T00:00:00Z"),
            record("off", &hash("off-key"), "active = false"),
            record("revoked", &hash("revoked-key"), "revoked_at = 2020-01-01T00:00:00Z"),
            record("elsewhere", &hash("kg_test_elsewhere"), "environment = \"live\""),
            record(
                "rotated",
                &format!(
                    "secrets = [{{ hash = \"sha256:{}\", expires_at = 2020-01-01T00:00:00Z }}, {{ hash = \"sha256:{}\" }}]",
                    sha256("before-rotation"),
                    sha256("after-rotation")
                ),
                "",
            ),
        ]
        .concat(),
    );
    let cases = [
        ("good-key", 0, "accepted", "good"),
        ("good-key\n", 0, "accepted", "good"),
        ("good-key\r\n", 0, "accepted", "good"),
        ("peppered-key", 0, "accepted", "peppered"),
        ("chosen-by-a-human", 0, "accepted", "slow"),
        ("after-rotation", 0, "accepted", "rotated"),
        ("before-rotation", 1, "expired", "rotated"),
        ("ended-key", 1, "expired", "ended"),
        ("early-key", 1, "not_yet_valid", "early"),
        ("off-key", 1, "disabled", "off"),
        ("revoked-key", 1, "revoked", "revoked"),
        ("kg_test_elsewhere", 1, "environment_denied", "elsewhere"),
        (
            "kg_live_0123456789ABCDEFGHIJKLMNOPQRSTUV000000",
            1,
            "checksum_wrong",
            "",
        ),
        ("chosen-by-another", 1, "unknown", ""),
        ("nobody-has-this", 1, "unknown", ""),
        ("good-key\n\n", 1, "malformed", ""),
        ("good key", 1, "malformed", ""),
    ];
    for (key, code, verdict, record) in cases {
        let (found, line) = desk.verify("", key);
        assert!(
            found == code && line.starts_with(&format!("verdict       {verdict}: ")),
            "{key:?}: {found} {line}"
        );
        let done = desk.keys_with("verify --json", key.as_bytes());
        let said: serde_json::Value = serde_json::from_str(&done.out).unwrap();
        assert_eq!((done.code, said["verdict"].as_str()), (code, Some(verdict)));
        assert_eq!(said["accepted"], code == 0);
        assert_eq!(said["key"]["id"].as_str().unwrap_or_default(), record);
    }
    let done = desk.keys_with("verify --file keys.toml", b"peppered-key");
    assert_eq!(done.code, 1);
    assert!(
        done.err.contains("1 hashes in the file were made with a pepper"),
        "{}",
        done.err
    );
    for empty in ["", "\n"] {
        assert_eq!(desk.keys_with("verify", empty.as_bytes()).code, 2);
    }
    assert_eq!(desk.keys_with("verify", &[b'a'; 9_000]).code, 2);
}

#[test]
fn list_shows_keys_and_no_hashes() {
    let desk = Desk::with_config("[environments.live]\nprefixes = [\"kg_live_\"]\n");
    desk.new_key(
        "--name a --organization 42 --organization-name Acme --environment live --permission read,send --expires 30d",
    );
    desk.new_key("--name b --organization 7");
    let text = desk.read("keys.toml");
    desk.write("keys.toml", &format!("{text}active = false\n"));

    let listed = desk.keys("list").out;
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0][1..6], ["a", "42", "live", "read,send", "active"]);
    assert!(
        rows[0][7].starts_with("kg_live_…") && rows[0][7].chars().count() == 13,
        "{listed}"
    );
    assert_eq!(rows[1][1..7], ["b", "7", "-", "-", "disabled", "never"]);
    assert!(!listed.contains("sha256"));

    for (filter, names) in [
        ("--organization 42", vec!["a"]),
        ("--organization Acme", vec!["a"]),
        ("--state disabled", vec!["b"]),
        ("--state active --organization 7", vec![]),
    ] {
        let said: serde_json::Value = serde_json::from_str(&desk.keys(&format!("list --json {filter}")).out).unwrap();
        let found: Vec<&str> = said
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, names, "{filter}");
    }
    let json = desk.keys("list --json").out;
    assert!(
        json.contains("\"organization_name\": \"Acme\"") && !json.contains("sha256:"),
        "{json}"
    );
}

#[test]
fn every_problem_of_a_key_file_has_its_place() {
    let desk = Desk::with_config("");
    let hash = format!("hash = \"sha256:{}\"", sha256("k"));
    desk.write(
        "keys.toml",
        &[
            ORGANIZATION.to_owned(),
            record("one", &hash, ""),
            record("two", &hash, ""),
            record("one", &format!("hash = \"sha256:{}\"", sha256("l")), "expires_at = 1"),
        ]
        .concat(),
    );
    let before = desk.read("keys.toml");
    for command in ["list", "new --name n --organization 42"] {
        let done = desk.keys(command);
        assert_eq!((done.code, done.out.as_str()), (2, ""));
        for expected in [
            "keys.toml:14:8: error: keys[1].hash: stands in two places; the first is at ./keys.toml:8:8",
            "keys.toml:17:6: error: keys[2].id: is the id of two keys; the first is at ./keys.toml:5:6",
            "keys.toml:21:14: error: keys[2].expires_at: is a whole number",
        ] {
            assert!(done.err.contains(expected), "{expected} in {}", done.err);
        }
        assert!(!done.err.contains(&sha256("k")[..16]), "{}", done.err);
    }
    assert_eq!(desk.read("keys.toml"), before);
    desk.write("keys.toml", "keys = []\n");
    let done = desk.keys("new --name n --organization 42");
    assert_eq!(done.code, 2);
    assert!(
        done.err
            .contains("is written as keys = […], to which nothing can be added"),
        "{}",
        done.err
    );
}

#[test]
fn a_directory_of_toml_and_json_lines_is_one_set() {
    let desk = Desk::with_config("");
    let config = desk.read("config.toml").replace("keys.toml", "keys");
    desk.write("config.toml", &config);
    fs::create_dir(desk.path("keys")).unwrap();
    desk.write("keys/organizations.jsonl", "{\"id\":\"42\",\"name\":\"Acme\"}\n");
    let done = desk.keys("new --name n --organization 42");
    assert_eq!(done.code, 2);
    assert!(
        done.err.contains("is a directory") && done.err.contains("--file ./keys/keys.toml"),
        "{}",
        done.err
    );
    // With the configuration named, the other files of the directory are known.
    let secrets = [
        desk.new_key("--config config.toml --file keys/a.toml --name a --organization 42"),
        desk.new_key("--config config.toml --file keys/b.jsonl --name b --organization 42"),
    ];
    assert!(!desk.read("keys/a.toml").contains("[[organizations]]"));
    assert_eq!(desk.read("keys/b.jsonl").lines().count(), 1);
    assert_eq!(desk.keys("list").out.lines().count(), 2);
    for secret in secrets {
        assert_eq!(desk.verify("", &secret).0, 0);
    }
    let done = desk.keys("new --config config.toml --file elsewhere.toml --name a --organization 42");
    assert_eq!(done.code, 2);
    assert!(done.err.contains("is not one of the key files in"), "{}", done.err);
}

#[test]
fn what_a_new_key_begins_with_and_when_it_ends() {
    let desk = Desk::with_config(
        "prefix = \"acme_\"\n[environments.live]\nprefixes = [\"kg_live_\", \"old_\"]\n[environments.test]\nprefixes = \
         [\"kg_test_\"]\n",
    );
    for (arguments, prefix) in [
        ("", "acme_"),
        ("--environment live", "kg_live_"),
        ("--environment live --prefix old_", "old_"),
        ("--prefix mine-", "mine-"),
    ] {
        let secret = desk.new_key(&format!("--name n --organization 42 {arguments}"));
        assert_eq!(secret.strip_prefix(prefix).map(str::len), Some(38), "{secret}");
    }
    let told = desk.keys("new --json --name n --organization 42 --expires 2999-01-01");
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told["expires_at"], "2999-01-01T00:00:00Z");
    assert!(told["id"].as_str().unwrap().starts_with("key_"));
    assert_eq!(desk.verify("", told["secret"].as_str().unwrap()).0, 0);

    let before = desk.read("keys.toml");
    for (arguments, said) in [
        ("--environment lve", "did you mean \"live\"?"),
        (
            "--environment live --prefix kg_test_",
            "belongs to the environment test, not live",
        ),
        ("--plan gold", "there is no plan named \"gold\""),
        ("--expires 2020-01-01", "--expires is in the past"),
        ("--expires soon", "write 90d"),
        ("--allowed-source 10.1.0.0/8", "write 10.0.0.0/8"),
        ("--permission é", "visible ASCII"),
        ("--config nowhere.toml", "there is no configuration at nowhere.toml"),
    ] {
        let done = desk.keys(&format!("new --name n --organization 42 {arguments}"));
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{arguments}");
        assert!(done.err.contains(said), "{said} in {}", done.err);
    }
    assert_eq!(desk.read("keys.toml"), before);
}
