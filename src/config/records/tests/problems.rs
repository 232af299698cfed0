//! What is said about records that are wrong.

use super::*;

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
        ("lead = \"abcd\"", "8:8: error: keys[0].lead: is only for slow hashes"),
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
            "limits = [{ name = \"all\", requests = 1, per = \"1s\", scope = \"organization\" }]",
            "8:61: error: keys[0].limits[0].scope: is not possible for a key's own limits",
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
fn an_organization_has_quotas_of_its_own_and_of_no_key() {
    let with = |quota: &str| {
        hashed("").replace(
            "id = \"42\"\n[[keys]]",
            &format!("id = \"42\"\nquota = {quota}\n[[keys]]"),
        )
    };
    let good = "[{ name = \"month\", requests = 9, per = \"month\", time_zone = \"Asia/Tokyo\" }]";
    assert_eq!(heads(&with(good)), [""; 0]);
    assert_eq!(heads(&with("[]")), [""; 0]);
    assert_eq!(
        heads(&with(
            "[{ name = \"day\", requests = 9, per = \"day\", scope = \"key\" }]"
        )),
        ["keys.toml:3:61: error: organizations[0].quota[0].scope: \"key\" is not known here"]
    );
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
            "7:8: error: keys[0].hash: needs a `lead` beside it, since a slow hash cannot be looked up",
        ),
        (
            format!("hash = \"{PHC}\"\nlead = \"abc\""),
            "8:8: error: keys[0].lead: is not 4 to 32 visible ASCII characters",
        ),
        (
            format!("hash = \"{}\"\nlead = \"acme\"", PHC.replace("argon2id", "argon2i")),
            "7:8: error: keys[0].hash: is a slow hash of a kind that Keygate does not know",
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
            format!("hash = \"{BCRYPT}\""),
            "7:8: error: keys[0].hash: needs a `lead` beside it, since a slow hash cannot be looked up",
        ),
        (
            format!("hash = \"{}\"\nlead = \"acme\"", BCRYPT.replace("$05$", "$16$")),
            "7:8: error: keys[0].hash: has a cost that is not computed",
        ),
        (
            format!("hash = \"{}\"\nlead = \"acme\"", &BCRYPT[..59]),
            "7:8: error: keys[0].hash: is not a valid bcrypt hash",
        ),
        (
            format!("hash = \"{}\"\nlead = \"acme\"", BCRYPT.replace("$2a$", "$2x$")),
            "7:8: error: keys[0].hash: is not a valid PHC string",
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
            "keys.toml:16:10: error: keys[0].secrets[8].hash: is one of 9 slow hashes that a key beginning with acme could have"
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
        said[0].ends_with("is one of 9 slow hashes that a key beginning with acme_live could have"),
        "{said:?}"
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
fn keys_that_are_good_for_more_than_advised_are_warned_about() {
    let text = hashed("permissions = [\"a\", \"b\"]\nsubscriptions = [\"one\", \"two\"]");
    let said = |advise| {
        let mut scope = Scope { advise, ..scope() };
        let (records, report) = read_with(&mut scope, &[("k.toml", &text)]);
        assert_eq!(records.keys.len(), 1, "a warning keeps no key out");
        report.into_problems().to_string()
    };
    assert_eq!(said(Advice::default()), "");
    let enough = Advice {
        permissions: Some(2),
        subscriptions: None,
    };
    assert_eq!(said(enough), "");
    let one = said(Advice {
        permissions: Some(1),
        subscriptions: Some(1),
    });
    assert_eq!(one.matches("warning").count(), 2, "{one}");
    assert!(
        one.contains("permissions: has 2 permissions; not more than 1 are advised"),
        "{one}"
    );
    assert!(one.contains("subscriptions: has 2 subscriptions"), "{one}");
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
fn a_record_of_what_is_dead_for_good_is_warned_about_with_both_places() {
    let hash = hex::encode(Digest::of(b"dead").0);
    let key = |id: &str, hash: &str, more: &str| {
        format!("{{\"id\":\"{id}\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"sha256:{hash}\"{more}}}\n")
    };
    let other = digits("7");
    let organization = "{\"id\":\"42\"}\n";
    let by_id = |at: &str| format!("[[tombstones]]\nkey = \"k\"\nrevoked_at = {at}\n");
    let by_hash = |at: &str| format!("[[tombstones]]\nhashes = [\"sha256:{hash}\"]\nrevoked_at = {at}\n");
    let (past, future) = ("2026-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    let cases = [
        (
            by_id(past),
            "",
            "a.jsonl:2:7: warning: is the id of a key that is dead for good: its tombstone is at b.toml:2:7",
        ),
        (
            by_hash(past),
            "",
            "warning: is of a secret that is dead for good: its tombstone is at b.toml:2:11",
        ),
        (by_id(future), "", ""),
        (by_hash(future), "", ""),
        (by_id(past), ",\"revoked_at\":\"2026-01-01T00:00:00Z\"", ""),
        (by_hash(past), ",\"expires_at\":\"2026-01-02T00:00:00Z\"", ""),
    ];
    for (tombstone, more, expected) in cases {
        let records = format!("{organization}{}{}", key("k", &hash, more), key("other", &other, ""));
        let all = said(&[("a.jsonl", &records), ("b.toml", &tombstone)]);
        if expected.is_empty() {
            assert_eq!(all, "", "{tombstone}{more}");
        } else {
            assert!(all.contains(expected), "{tombstone}{more}\n{all}");
            assert!(all.contains("help: remove"), "{all}");
            assert_eq!(all.matches("dead for good").count(), 1, "{all}");
        }
    }
}
