//! `keygate keys import`: the keys of another gateway are good afterwards, and are nowhere in plain text.

use serde_json::Value;

use crate::harness::{Desk, Done, sha256};

/// Of [`LONGEST`]; made by OpenWall's crypt_blowfish.
const BCRYPT: &str = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
const LONGEST: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

fn json(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{} {}", done.out, done.err))
}

fn accepts(desk: &Desk, file: &str, key: &str) -> bool {
    let done = desk.keys_with(&format!("verify --file {file} --json"), key.as_bytes());
    json(&done)["accepted"] == true
}

fn shown(desk: &Desk, file: &str, which: &str) -> Value {
    json(&desk.keys(&format!("show {which} --file {file} --json")))
}

#[test]
fn plaintext_keys_are_hashed_and_nowhere_else() {
    let csv = "API Key,consumer,tenantId,Scopes,created,expiry,enabled,weight\n\
               old_plain_key_number_one_of_two_0001,backend,acme,\"read, send\",2024-02-03,2999-01-01T00:00:00Z,true,7\n\
               \n\
               old_plain_key_number_two_0002,batch,acme,,1700000000,never,false,8\n\
               \"old_plain,\"\"key\"\"_three_0003\",third,other,send;read,,,yes,9\n";
    for file in ["keys.toml", "keys.jsonl"] {
        let desk = Desk::new();
        desk.write("export.csv", csv);
        let command = format!("import export.csv --file {file} --prefix old_plain_ --permission none --json");
        let dry = desk.keys(&format!("{command} --dry-run"));
        assert_eq!((dry.code, json(&dry)["added"].as_u64()), (0, Some(3)), "{}", dry.err);
        assert!(!desk.path(file).exists());

        let done = desk.keys(&command);
        assert_eq!(done.code, 0, "{}", done.err);
        let said = json(&done);
        assert_eq!(
            (&said["rows"], &said["added"], &said["known"]),
            (&3.into(), &3.into(), &0.into())
        );
        assert_eq!(said["passed_over"], serde_json::json!(["weight"]));
        assert!(accepts(&desk, file, "old_plain_key_number_one_of_two_0001"));
        assert!(accepts(&desk, file, "old_plain,\"key\"_three_0003"));
        assert!(!accepts(&desk, file, "old_plain_key_number_two_0002"), "it is off");
        let text = desk.read(file);
        for secret in ["key_number_one", "key_number_two", "_three_"] {
            assert!(!text.contains(secret) && !done.err.contains(secret) && !done.out.contains(secret));
        }
        let one = shown(&desk, file, "backend");
        assert_eq!(one["organization"], "acme");
        assert_eq!(one["permissions"], serde_json::json!(["read", "send"]));
        assert_eq!(one["hint"], "old_plain_…0001");
        assert_eq!(
            (&one["created_at"], &one["expires_at"]),
            (&"2024-02-03T00:00:00Z".into(), &"2999-01-01T00:00:00Z".into())
        );
        let two = shown(&desk, file, "batch");
        assert_eq!(two["permissions"], serde_json::json!(["none"]));
        assert_eq!(
            (&two["state"], &two["created_at"]),
            (&"disabled".into(), &"2023-11-14T22:13:20Z".into())
        );

        let again = desk.keys(&command);
        assert_eq!(
            (json(&again)["added"].as_u64(), json(&again)["known"].as_u64()),
            (Some(0), Some(3))
        );
        assert_eq!(desk.read(file), text);
    }
}

#[test]
fn hashes_of_other_systems_are_taken_as_they_are() {
    let plain = "a-key-of-an-older-gateway";
    let digits = sha256(plain).replace("sha256:", "");
    let export = format!(
        "{{\"id\":\"k1\",\"keyHash\":\"{digits}\",\"tenant\":\"acme\",\"scopes\":[\"send\"]}}\n\
         {{\"id\":\"k2\",\"keyHash\":\"{BCRYPT}\",\"visible\":\"0123456789...\",\"tenant\":\"acme\",\"name\":null,\"active\":true,\"expires_at\":4102444800000}}\n\
         \n\
         {{\"id\":\"k3\",\"keyHash\":\"{}\",\"tenant\":\"acme\",\"revoked\":true}}",
        sha256("third")
    );
    let desk = Desk::new();
    desk.write("keys.jsonl", "{\"id\":\"acme\",\"name\":\"Acme\"}");
    let command = "import - --format jsonl --file keys.jsonl --map visible=lead --lead-length 8 --json";
    let done = desk.keys_with(command, export.as_bytes());
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(json(&done)["added"], 3);
    assert!(
        desk.read("keys.jsonl")
            .starts_with("{\"id\":\"acme\",\"name\":\"Acme\"}\n{\"id\":\"k1\",")
    );
    assert!(accepts(&desk, "keys.jsonl", plain));
    assert!(accepts(&desk, "keys.jsonl", LONGEST));
    assert!(!accepts(&desk, "keys.jsonl", "third"));
    assert_eq!(shown(&desk, "keys.jsonl", "k2")["secrets"][0]["kind"], "bcrypt");
    assert_eq!(shown(&desk, "keys.jsonl", "k2")["expires_at"], "2100-01-01T00:00:00Z");
    assert!(desk.read("keys.jsonl").contains("\"lead\":\"01234567\""));
    assert_eq!(shown(&desk, "keys.jsonl", "k3")["state"], "revoked");
}

#[test]
fn one_wrong_row_keeps_all_out_and_every_problem_is_told_with_its_line() {
    let desk = Desk::with_config("");
    let secret = "a_secret_that_no_message_repeats";
    let csv = format!(
        "key,hash,id,name,organization,expires_at,allowed_ips,plan\n\
         {secret},,k1,fine,acme,,,\n\
         {secret},,k2,twin,acme,,,\n\
         ,,k3,none,acme,,,\n\
         {secret}2,,k 4,space,acme,soon,10.0.0.1/8,gold\n\
         {BCRYPT},,k5,hash,acme,,,\n\
         ,{BCRYPT},k6,lead,acme,,,\n\
         ,{},k7,short,,,,\n\
         {secret}3,,k1,same id,acme,,,\n",
        &sha256("x")[..40]
    );
    desk.write("keys.csv", &csv);
    let done = desk.keys("import keys.csv");
    assert_eq!((done.code, done.out.as_str()), (2, ""));
    for expected in [
        "keys.csv:3:1: error: hash: is the same key as in line 2",
        "keys.csv:4:1: error: key: is missing, and there is no hash",
        "keys.csv:5:1: error: expires_at: is not a point in time",
        "keys.csv:6:1: error: key: looks like a hash: as a key, it would open what it protects",
        "keys.csv:7:1: error: hash: needs a `lead` beside it, since a slow hash cannot be looked up",
        "keys.csv:8:1: error: organization: is missing",
        "keys.csv:9:1: error: id: is the id of another key in line 2",
    ] {
        assert!(done.err.contains(expected), "{expected} in {}", done.err);
    }
    assert!(
        !done.err.contains(secret) && !done.err.contains(&BCRYPT[7..]),
        "{}",
        done.err
    );
    assert!(!desk.path("keys.toml").exists());

    desk.write(
        "keys.csv",
        &csv.replace(",soon,", ",,")
            .lines()
            .take(2)
            .chain(csv.replace(",soon,", ",,").lines().skip(4).take(1))
            .fold(String::new(), |text, line| text + line + "\n"),
    );
    let done = desk.keys("import keys.csv");
    for expected in [
        "keys.csv:3:1: error: id: is longer than 128 characters, or not visible ASCII",
        "keys.csv:3:1: error: allowed_sources[0]: has bits behind its /8",
        "keys.csv:3:1: error: plan: names a plan that does not exist",
    ] {
        assert!(done.err.contains(expected), "{expected} in {}", done.err);
    }
    assert!(!desk.path("keys.toml").exists());
}

#[test]
fn what_is_no_export_is_refused_with_what_helps() {
    let desk = Desk::new();
    let refused = |name: &str, text: &str, more: &str, expected: &str| {
        desk.write(name, text);
        let done = desk.keys(&format!("import {name} --file keys.jsonl --organization o {more}"));
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{}", done.err);
        assert!(done.err.contains(expected), "{expected} in {}", done.err);
    };
    refused("a.txt", "", "", "the name of the export does not say how it is written");
    refused(
        "a.csv",
        "x,y\n1,2\n",
        "",
        "a.csv:1:1: error: has no column that Keygate knows",
    );
    refused(
        "a.csv",
        "key,token\n1,2\n",
        "",
        "has two columns that may be the key: key and token; write --map \"token=-\"",
    );
    refused(
        "a.csv",
        "key,name\na\n",
        "",
        "a.csv:2:1: error: has 1 columns, and the heading has 2",
    );
    refused(
        "a.csv",
        "key\nab\n",
        "--map nothing=name",
        "has no column nothing, which --map names",
    );
    refused(
        "a.jsonl",
        "{\"key\":\"a\"}\n[1]\n{\"key\":\n",
        "",
        "a.jsonl:2:1: error: is no JSON object",
    );
    refused(
        "a.jsonl",
        "{\"key\":\"a\"}\n[1]\n{\"key\":\n",
        "",
        "a.jsonl:3:1: error: does not parse",
    );
    refused(
        "a.jsonl",
        "{\"key\":{\"a\":1}}\n",
        "",
        "a.jsonl:1:1: error: key: is an object",
    );
    assert!(!desk.path("keys.jsonl").exists());
    let done = desk.keys("import missing.csv --file keys.jsonl");
    assert_eq!(done.code, 2);
    assert!(done.err.contains("cannot read missing.csv"), "{}", done.err);
}

#[test]
fn what_is_revoked_for_good_is_not_brought_back() {
    let desk = Desk::with_config("");
    let secret = desk.new_key("--name n --organization o");
    assert_eq!(desk.keys("revoke n").code, 0);
    // The record is gone, the tombstone is there.
    let text = desk.read("keys.toml");
    desk.write("keys.toml", &text[text.find("[[tombstones]]").unwrap()..]);
    desk.write(
        "old.csv",
        &format!("key,name,org\n{secret},n,o\nanother-key-of-then,m,o\n"),
    );
    let done = desk.keys("import old.csv --json");
    assert_eq!(
        (json(&done)["added"].as_u64(), json(&done)["revoked"].as_u64()),
        (Some(1), Some(1)),
        "{}",
        done.err
    );
    assert!(!accepts(&desk, "keys.toml", &secret));
}

#[test]
fn a_key_that_is_good_here_and_revoked_in_the_export_is_told() {
    let desk = Desk::new();
    let (good, dead) = ("old_plain_key_number_one_0001", "old_plain_key_number_two_0002");
    desk.write(
        "export.csv",
        &format!("key,name,tenant\n{good},good,acme\n{dead},dead,acme\n"),
    );
    assert_eq!(desk.keys("import export.csv --file keys.toml").code, 0);
    assert_eq!(desk.keys("revoke dead --file keys.toml").code, 0);
    desk.write(
        "export.csv",
        &format!("key,name,tenant,revoked\n{good},good,acme,true\n{dead},dead,acme,true\n"),
    );
    let before = desk.read("keys.toml");
    let done = desk.keys("import export.csv --file keys.toml --json");
    assert_eq!((done.code, json(&done)["known"].as_u64()), (0, Some(2)), "{}", done.err);
    assert_eq!(
        json(&done)["outlived"],
        serde_json::json!([2]),
        "the other is dead here, too"
    );
    assert_eq!(desk.read("keys.toml"), before);
    let done = desk.keys("import export.csv --file keys.toml");
    assert!(
        done.err.contains("the key in line 2 is revoked, and here it is good"),
        "{}",
        done.err
    );
}
