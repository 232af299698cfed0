//! Bodies.

use super::super::{Findings, Scanner};
use super::*;

pub(super) fn scan(world: &World, parts: &[&[u8]]) -> Findings {
    let search = world.search();
    let mut scanner = Scanner::new(&world.leaks);
    for part in parts {
        if scanner.feed(part, &search).is_break() {
            break;
        }
    }
    scanner.end(&search)
}

fn live(world: &World, body: &str) -> Option<Box<str>> {
    scan(world, &[body.as_bytes()]).live
}

/// Every character as `\u00XX`.
fn unicode(key: &str) -> String {
    key.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
}

fn percent(key: &str) -> String {
    key.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_key_is_found_wherever_it_stands_alone() {
    let world = World::new("", &[]);
    for (id, key) in LIVE {
        let bodies = [
            key.to_owned(),
            format!(r#"{{"key":"{key}"}}"#),
            format!(r#"{{"a":1,"text":"your key is {key} "}}"#),
            format!("<key>{key}</key>"),
            format!("'{key}'\r\n"),
            format!("line\n{key}"),
            format!("\u{201e}{key}\u{201c}"),
            format!(r#""{}""#, key.replace('/', r"\/")),
            format!(r#""{}""#, unicode(key)),
            format!("api_key={}&more=1", percent(key)),
            format!("first&{key}&last"),
            format!(r#""Authorization: Bearer {key}""#),
            format!(r#"{{"text":"{{\"key\":\"{key}\"}}"}}"#),
        ];
        for body in bodies {
            assert_eq!(live(&world, &body).as_deref(), Some(id), "{body}");
        }
    }
}

#[test]
fn a_key_is_found_in_a_list_in_a_url_and_in_a_sentence() {
    let world = World::new("", &[]);
    for (id, key) in LIVE.into_iter().filter(|(id, _)| *id != "odd" && *id != "base64") {
        let bodies = [
            format!("https://service.example/v1/{key}/messages?x=1"),
            format!("https://user:{key}@service.example/"),
            format!("https://service.example/?api_key={key}#top"),
            format!("The key is {key}. It is yours."),
            format!("({key}), [{key}]; {{{key}}}"),
            format!("KEYS={key},{key};"),
            format!("**{key}**"),
            format!("KEY={key}"),
        ];
        for body in bodies {
            assert_eq!(live(&world, &body).as_deref(), Some(id), "{body}");
        }
    }
    for key in [BASE64, ODD] {
        assert!(live(&world, &format!("KEY={key}")).is_some(), "{key}");
        assert!(live(&world, &format!("user:{key}")).is_some(), "{key}");
    }
}

#[test]
fn a_key_with_a_known_prefix_is_found_within_a_word() {
    let world = World::new("", &[]);
    for before in ["x", "token_", "kg_live_", "0-"] {
        let generated = format!("{before}{GENERATED}and_more");
        assert_eq!(live(&world, &generated).as_deref(), Some("generated"), "{generated}");
        let prefixed = format!("{before}{PREFIXED}/more");
        assert_eq!(live(&world, &prefixed).as_deref(), Some("prefixed"), "{prefixed}");
    }
    // Behind more prefixes than are followed, the checksum still tells where a key ends.
    let many = format!("{}{GENERATED}", "kg_live_".repeat(100));
    assert_eq!(live(&world, &many).as_deref(), Some("generated"));
}

#[test]
fn what_is_documented_as_not_found_is_not() {
    let world = World::new("", &[]);
    let doubly = percent(&percent(HEX));
    let in_base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, HEX);
    let bodies = [
        format!("x{HEX}"),
        format!("{HEX}x"),
        HEX[..20].to_owned() + " " + &HEX[20..],
        doubly,
        in_base64,
        HEX.to_uppercase(),
    ];
    for body in bodies {
        assert!(scan(&world, &[body.as_bytes()]).is_clean(), "{body}");
    }
}

#[test]
fn a_key_longer_than_the_window_is_far_is_found_in_one_endless_word() {
    let world = World::new("", &[]);
    for before in [0, 1, 466, 511, 512, 513, 1000, 1022, 1023, 1024, 1025, 5000] {
        let body = format!("{}/{GENERATED}/{}", "A".repeat(before), "B".repeat(5000));
        assert_eq!(live(&world, &body).as_deref(), Some("generated"), "{before}");
        let body = format!("{}/{HEX}/{}", "A".repeat(before), "B".repeat(5000));
        assert_eq!(live(&world, &body).as_deref(), Some("hex"), "{before}");
    }
}

#[test]
fn dead_keys_are_told_and_are_no_leak() {
    let world = World::new("", &[]);
    let body = format!("{REVOKED} {EXPIRED} {REVOKED}");
    let findings = scan(&world, &[body.as_bytes()]);
    assert_eq!(findings.live, None);
    assert_eq!(findings.dead, vec!["revoked".into(), "expired".into()]);
    let findings = scan(&world, &[body.as_bytes(), b" ", HEX.as_bytes()]);
    assert_eq!(findings.live.as_deref(), Some("hex"));
}

#[test]
fn what_may_be_a_key_with_a_slow_hash_is_suspected_until_it_is_confirmed() {
    let world = World::new("", &[]);
    let body = format!(r#"{{"one":"people/chose:another-one","two":"{SLOW}"}}"#);
    let findings = scan(&world, &[body.as_bytes()]);
    assert_eq!(findings.live, None);
    let matches = |hash: &str, text: &[u8]| hash == "a slow hash" && text == SLOW.as_bytes();
    let confirmed: Vec<_> = findings
        .suspects
        .iter()
        .filter_map(|suspect| suspect.confirm(matches))
        .collect();
    assert_eq!(confirmed, vec!["slow"]);
    assert!(scan(&world, &[b"people are many"]).is_clean());
}

#[test]
fn what_may_still_become_a_key_is_held_back() {
    let world = World::new("", &[]);
    let search = world.search();
    let mut scanner = Scanner::new(&world.leaks);
    let mut held = |part: &str| {
        assert!(scanner.feed(part.as_bytes(), &search).is_continue());
        scanner.held()
    };
    assert_eq!(held("plain words"), "words".len());
    assert_eq!(held("%2"), "words%2".len());
    assert_eq!(held("0"), 0);
    assert_eq!(held("next "), 0);
    assert!(held(&"A".repeat(100_000)) <= 12 * 512);
}

#[test]
fn nothing_of_a_body_is_in_debug_output() {
    let world = World::new("", &[]);
    let search = world.search();
    let mut scanner = Scanner::new(&world.leaks);
    assert!(
        scanner
            .feed(format!("{SLOW} {REVOKED} half-of-a").as_bytes(), &search)
            .is_continue()
    );
    let shown = format!("{scanner:?}");
    let shown = format!("{shown} {:?} {:?}", scanner.end(&search), world.leaks);
    for text in [SLOW, "chose", REVOKED, "half-of-a", "slow hash"] {
        assert!(!shown.contains(text), "{shown}");
    }
    assert!(shown.contains("\"slow\"") && shown.contains("\"revoked\""), "{shown}");
}
