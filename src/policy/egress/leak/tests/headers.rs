//! Headers.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const SOURCES: &str = r#"
[[credentials]]
header = "Authorization"
scheme = "Bearer"
[[credentials]]
header = "X-API-Key"
[[credentials]]
cookie = "api_key"
[[credentials]]
websocket_protocol = "keygate.key."
"#;

fn headers(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("Name: value");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn scrubbed(world: &World, lines: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut headers = headers(lines);
    let removed = world.leaks.scrub(&mut headers, &world.search());
    let rest = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")));
    let names: Vec<String> = removed.names().map(ToString::to_string).collect();
    assert_eq!(names.len(), removed.len());
    assert_eq!(removed.is_empty(), names.is_empty());
    (rest.collect(), names)
}

#[test]
fn what_belongs_to_the_connection_to_keygate_or_to_the_upstream_goes() {
    let world = World::new(SOURCES, &["x-internal-token"]);
    let gone = [
        "connection: x-hop, close",
        "x-hop: 1",
        "keep-alive: timeout=5",
        "te: trailers",
        "upgrade: websocket",
        "transfer-encoding: chunked",
        "proxy-authorization: Basic eDp0b2tlbg==",
        "x-egress-token: token",
        "x_egress_token: token",
        "x-admin-key: admin",
        "X_Admin_Key: admin",
        "authorization: Bearer whatever",
        "authorization: bearer  whatever",
        "x-api-key: whatever",
        "x_api_key: whatever",
        "x-auth-user: 7",
        "x-auth-organization: 42",
        "x_auth_organization: 42",
        "x-forwarded-for: 10.0.0.1",
        "x-forwarded-anything: 1",
        "forwarded: for=10.0.0.1",
        "x-real-ip: 10.0.0.1",
        "x-internal-token: 1",
        "x_internal_token: 1",
        "sec-websocket-protocol: keygate.key.whatever",
    ];
    for line in gone {
        let lines = if line.starts_with("x-hop") {
            vec!["connection: X-Hop", line]
        } else {
            vec![line]
        };
        let (rest, names) = scrubbed(&world, &lines);
        let name = line.split(':').next().expect("a name").to_ascii_lowercase();
        assert!(rest.is_empty() && names.contains(&name), "{line}: {rest:?} {names:?}");
    }
}

#[test]
fn what_is_the_services_own_stays_byte_for_byte() {
    let world = World::new(SOURCES, &["x-internal-token"]);
    let lines = [
        "content-type: application/json",
        "host: hooks.acme.example",
        "content-length: 12",
        "user-agent: service/1.0",
        "x-request-id: 0197c0de-0000-7000-8000-000000000000",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "authorization: Token of-the-customer-0123456789",
        "authorization: Basic dXNlcjpwYXNzd29yZA==",
        "x-event-type: message.received",
        "x-event-type: again",
        "cookie: session=1; api_keys=2",
        "webhook-id: msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "x-custom: p@ss!w0rd",
    ];
    let (rest, names) = scrubbed(&world, &lines);
    let sorted = |lines: &mut Vec<String>| lines.sort();
    let (mut rest, mut expected) = (rest, lines.map(str::to_owned).to_vec());
    sorted(&mut rest);
    sorted(&mut expected);
    assert_eq!(rest, expected);
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn an_authorization_goes_in_the_forms_of_sources_and_with_keys_only() {
    const BASIC: &str = "[[credentials]]\nbasic = \"password\"\n";
    const WHOLE: &str = "[[credentials]]\nheader = \"Authorization\"\n";
    let of_a_key = format!("Basic {}", STANDARD.encode(format!("{HEX}:")));
    let table = [
        ("", "Bearer of-the-customer", false),
        ("", "Basic dXNlcjpwYXNzd29yZA==", true),
        ("", &of_a_key, false),
        ("", "of-the-customer", true),
        (BASIC, "Bearer of-the-customer", true),
        (BASIC, "basic dXNlcjpwYXNzd29yZA==", false),
        (WHOLE, "of-the-customer", false),
        (WHOLE, "Digest username=x", false),
    ];
    for (sources, value, stays) in table {
        let world = World::new(sources, &[]);
        let (rest, names) = scrubbed(&world, &[&format!("authorization: {value}")]);
        assert_eq!((rest.len() == 1, names.is_empty()), (stays, stays), "{sources} {value}");
    }
}

#[test]
fn a_value_that_holds_a_key_goes_whatever_its_name() {
    let world = World::new("", &[]);
    let all = LIVE.into_iter().chain([("revoked", REVOKED), ("slow", SLOW)]);
    for (id, key) in all {
        let percent: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let values = [
            key.to_owned(),
            format!("Token {key}"),
            format!("Some-Word   {key}"),
            format!("key={percent}"),
            percent,
            format!("Basic {}", STANDARD.encode(format!("user:{key}"))),
            format!("Basic {}", STANDARD_NO_PAD.encode(format!("{key}:"))),
            URL_SAFE_NO_PAD.encode(key),
            format!("\"{key}\""),
            format!("key=\"{key}\", other=1"),
        ];
        for value in values {
            let (rest, names) = scrubbed(&world, &[&format!("x-anything: {value}")]);
            assert!(rest.is_empty() && names == ["x-anything"], "{id}: {value}");
        }
    }
    for key in [GENERATED, PREFIXED, HEX, PEPPERED, DISABLED] {
        let values = [
            format!("a, {key}, b"),
            format!("{key};q=1"),
            format!("a {key} b"),
            format!("https://x.example/?key={key}&a=b"),
        ];
        for value in values {
            let (rest, names) = scrubbed(&world, &[&format!("x-anything: {value}")]);
            assert!(rest.is_empty() && names == ["x-anything"], "{value}");
        }
    }
}

#[test]
fn of_several_values_and_of_cookies_only_what_holds_a_key_goes() {
    let world = World::new(SOURCES, &[]);
    let lines = [
        "x-list: one",
        &format!("x-list: {HEX}"),
        "x-list: two",
        &format!("cookie: a=1; api_key=x; b=2; c={HEX}; d=4"),
    ];
    let (rest, names) = scrubbed(&world, &lines);
    assert_eq!(rest, ["x-list: one", "x-list: two", "cookie: a=1; b=2; d=4"]);
    assert_eq!(names, ["x-list", "cookie"]);
    let (rest, names) = scrubbed(&world, &[&format!("cookie: c={HEX}")]);
    assert!(rest.is_empty() && names == ["cookie"]);
}

#[test]
fn what_was_removed_is_told_without_a_value() {
    let world = World::new("", &[]);
    let mut headers = headers(&[&format!("x-one: {HEX}"), "x-api-key: secret"]);
    let removed = world.leaks.scrub(&mut headers, &world.search());
    let shown = format!("{removed:?}");
    assert!(!shown.contains(HEX) && !shown.contains("secret"), "{shown}");
}
