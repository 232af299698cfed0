use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use super::*;
use crate::config::credentials::default_sources;
use crate::config::environments::{Environment, EnvironmentId};
use crate::policy::head::Peer;

/// What [`extract`] says, as text: `key@0,1` for a key taken from the sources 0 and 1.
fn extracted(sources: &[Source], target: &str, lines: &[(&str, &str)]) -> String {
    let uri: Uri = target.parse().unwrap();
    let headers = headers(lines);
    let head = head(&uri, &headers);
    match extract(
        sources,
        |_| true,
        &head,
        32,
        |_, key| key.expose().starts_with(b"foreign"),
    ) {
        Extraction::Missing => "missing".to_owned(),
        Extraction::Malformed(reason) => format!("malformed: {reason}"),
        Extraction::Foreign(reason) => format!("foreign: {reason}"),
        Extraction::Conflict => "conflict".to_owned(),
        Extraction::Found { key, taken } => {
            let taken: Vec<String> = taken.indices().map(|index| index.to_string()).collect();
            format!("{}@{}", std::str::from_utf8(key.expose()).unwrap(), taken.join(","))
        }
    }
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

static PEER: Peer = Peer {
    address: None,
    tls: false,
    written: None,
};

fn head<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> ClientHead<'a> {
    ClientHead {
        method: &Method::GET,
        uri,
        version: Version::HTTP_11,
        headers,
        peer: &PEER,
    }
}

fn scheme(header: &'static str, scheme: &str) -> Source {
    Source::Scheme {
        header: HeaderName::from_static(header),
        scheme: scheme.to_owned(),
    }
}

#[test]
fn bearer_and_header() {
    let sources = default_sources();
    let long = "k".repeat(33);
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[], "missing"),
        (&[("authorization", "Bearer kg_1")], "kg_1@0"),
        (&[("authorization", "bEARER   kg_1 ")], "kg_1@0"),
        (&[("authorization", "Bearer\tkg_1")], "foreign: scheme"),
        (&[("authorization", "Bearer")], "malformed: empty"),
        (&[("authorization", "Bearer ")], "malformed: empty"),
        (&[("authorization", "")], "foreign: scheme"),
        (&[("authorization", "kg_1")], "foreign: scheme"),
        (&[("authorization", "Basic dTpw")], "foreign: scheme"),
        (&[("authorization", "Bearer a b")], "malformed: characters"),
        (&[("authorization", "Bearer kg_ü")], "malformed: characters"),
        (&[("x-api-key", " kg_+/= ")], "kg_+/=@1"),
        (&[("x-api-key", "")], "malformed: empty"),
        (&[("x-api-key", &long)], "malformed: too_long"),
        (&[("x-api-key", &long[1..])], "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk@1"),
        (&[("x-api-key", "a"), ("x-api-key", "a")], "a@1"),
        (&[("x-api-key", "a"), ("x-api-key", "b")], "conflict"),
        (
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
            "conflict",
        ),
        (&[("authorization", "Bearer a"), ("x-api-key", "a")], "a@0,1"),
        (&[("authorization", "Bearer a"), ("x-api-key", "b")], "conflict"),
        (&[("authorization", "Bearer a"), ("x-api-key", "")], "malformed: empty"),
        (&[("authorization", "Bearer"), ("x-api-key", "b")], "malformed: empty"),
        (&[("authorization", "Digest x"), ("x-api-key", "b")], "b@1"),
        (&[("api-key", "a"), ("cookie", "x-api-key=a")], "missing"),
        (&[("x_api_key", "a")], "missing"),
    ];
    for (lines, expected) in table {
        assert_eq!(extracted(&sources, "/", lines), *expected, "{lines:?}");
    }
    assert_eq!(extracted(&sources, "/?api_key=a&x-api-key=b", &[]), "missing");
    assert_eq!(
        extracted(&[], "/?api_key=a", &[("authorization", "Bearer a")]),
        "missing"
    );
}

#[test]
fn a_bearer_token_of_somebody_else_is_not_looked_at() {
    let sources = [Source::Header(HeaderName::from_static("x-acme-key"))];
    let oauth = ("authorization", "Bearer oauth");
    assert_eq!(extracted(&sources, "/", &[oauth]), "missing");
    assert_eq!(
        extracted(&sources, "/", &[oauth, ("x-acme-key", "aGk+/w==")]),
        "aGk+/w==@0"
    );
}

#[test]
fn several_schemes_and_a_verbatim_header_share_one_name() {
    let sources = [
        scheme("authorization", "Bearer"),
        scheme("authorization", "x-api-key"),
        Source::BasicPassword,
        Source::Header(HeaderName::from_static("authorization")),
    ];
    for (value, expected) in [
        ("Bearer a", "a@0"),
        ("X-Api-Key a", "a@1"),
        ("Basic dTph", "a@2"),
        ("a", "a@3"),
        ("Bearer", "malformed: empty"),
        ("Other a", "malformed: characters"),
    ] {
        assert_eq!(
            extracted(&sources, "/", &[("authorization", value)]),
            expected,
            "{value}"
        );
    }
}

#[test]
fn what_is_not_a_key_by_its_prefix_is_passed_over() {
    let sources = default_sources();
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("authorization", "Bearer foreign")], "foreign: prefix"),
        (&[("authorization", "Bearer foreign"), ("x-api-key", "a")], "a@1"),
        (
            &[("authorization", "Bearer foreign"), ("x-api-key", "")],
            "malformed: empty",
        ),
        (&[("authorization", "Bearer a"), ("x-api-key", "foreign")], "a@0"),
        (
            &[("authorization", "Bearer foreign"), ("authorization", "Bearer a")],
            "a@0",
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(extracted(&sources, "/", lines), *expected, "{lines:?}");
    }
}

#[test]
fn basic_password() {
    for (value, expected) in [
        ("Basic dXNlcjprZXk=", "key@0"),
        ("basic  dXNlcjprZXk=", "key@0"),
        ("Basic OmtleTppbg==", "key:in@0"),
        ("Basic dXNlcjprZXk", "malformed: basic"),
        ("Basic dXNlcjprZX*=", "malformed: basic"),
        ("Basic dXNlcg==", "malformed: basic"),
        ("Basic dXNlcjo=", "malformed: empty"),
        ("Basic", "malformed: basic"),
        ("Basic dTprIGs=", "malformed: characters"),
        ("Bearer key", "foreign: scheme"),
    ] {
        let found = extracted(&[Source::BasicPassword], "/", &[("authorization", value)]);
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn query_parameter() {
    let sources = [Source::Query("api_key".to_owned())];
    for (target, expected) in [
        ("/", "missing"),
        ("/?", "missing"),
        ("/?API_KEY=a", "missing"),
        ("/?xapi_key=a&api_keyx=b", "missing"),
        ("/?api_key=a", "a@0"),
        ("/?x=1&api_key=a&y", "a@0"),
        ("/?api_key=a+b%2B%3d=", "a+b+==@0"),
        ("/?api%5Fkey=a", "a@0"),
        ("/?api_key=a&api%5fkey=%61", "a@0"),
        ("/?api_key=a&api_key=b", "conflict"),
        ("/?api_key=", "malformed: empty"),
        ("/?api_key", "malformed: empty"),
        ("/?api_key=a&api_key", "malformed: empty"),
        ("/?api_key=%4", "malformed: percent_encoding"),
        ("/?api_key=%zz", "malformed: percent_encoding"),
        ("/?api_key=%+1", "malformed: percent_encoding"),
        ("/?api_key=a%20b", "malformed: characters"),
        ("/?api_key=%C3%A9", "malformed: characters"),
        ("http://h/?api_key=a", "a@0"),
    ] {
        assert_eq!(extracted(&sources, target, &[]), expected, "{target}");
    }
}

#[test]
fn cookie() {
    let sources = [Source::Cookie("api_key".to_owned())];
    let table: &[(&[&str], &str)] = &[
        (&["a=b; c=d"], "missing"),
        (&["API_KEY=k"], "missing"),
        (&["a=b; api_key=k; c=d"], "k@0"),
        (&["a=b;api_key=k=="], "k==@0"),
        (&["api_key=\"k\""], "k@0"),
        (&["a=b", "api_key=k"], "k@0"),
        (&["api_key=k", "api_key=k"], "k@0"),
        (&["api_key=k; api_key=l"], "conflict"),
        (&["api_key=k", "api_key=l"], "conflict"),
        (&["api_key="], "malformed: empty"),
        (&["api_key=\"\""], "malformed: empty"),
        (&["api_key"], "malformed: empty"),
    ];
    for (cookies, expected) in table {
        let lines: Vec<_> = cookies.iter().map(|value| ("cookie", *value)).collect();
        assert_eq!(extracted(&sources, "/", &lines), *expected, "{cookies:?}");
    }
}

#[test]
fn websocket_protocol() {
    let sources = [Source::WebSocketProtocol("keygate.key.".to_owned())];
    let table: &[(&[&str], &str)] = &[
        (&["chat, superchat"], "missing"),
        (&["chat, keygate.key.k"], "k@0"),
        (&["keygate.key.k,chat"], "k@0"),
        (&["chat", "keygate.key.k"], "k@0"),
        (&["keygate.key.k, keygate.key.l"], "conflict"),
        (&["keygate.key."], "malformed: empty"),
        (&["Keygate.key.k"], "missing"),
    ];
    for (values, expected) in table {
        let lines: Vec<_> = values.iter().map(|value| ("sec-websocket-protocol", *value)).collect();
        assert_eq!(extracted(&sources, "/", &lines), *expected, "{values:?}");
    }
}

#[test]
fn live_keys_are_found_wherever_they_stand() {
    let sources = default_sources();
    let uri: Uri = "/".parse().unwrap();
    let carried_by = |lines: &[(&str, &str)]| -> Vec<usize> {
        let headers = headers(lines);
        let is_live = |key: &Presented<'_>| key.expose() == b"live";
        live(&sources, |_| true, &head(&uri, &headers), is_live)
            .indices()
            .collect()
    };
    assert_eq!(
        carried_by(&[("authorization", "Bearer live"), ("x-api-key", "live")]),
        [0, 1]
    );
    assert_eq!(
        carried_by(&[("authorization", "Bearer theirs"), ("x-api-key", "live")]),
        [1]
    );
    assert_eq!(carried_by(&[("authorization", "Digest live")]), [0; 0]);
}

#[test]
fn the_longest_prefix_names_the_environment() {
    let environment = |name: &str, prefixes: &[&str]| Environment {
        name: name.to_owned(),
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        checksum: false,
        upstream: None,
        plan: None,
        quota: true,
    };
    let prefixes = Prefixes::compile(&[
        environment("any", &["acme_"]),
        environment("live", &["acme_live_", "live_"]),
        environment("none", &[""]),
    ]);
    for (key, expected) in [
        ("acme_live_x", Some(1)),
        ("acme_live", Some(0)),
        ("acme_test_x", Some(0)),
        ("live_", Some(1)),
        ("LIVE_x", None),
        ("", None),
    ] {
        let found = prefixes.environment_of(&Presented::borrowed(key.as_bytes()));
        assert_eq!(found, expected.map(EnvironmentId), "{key}");
    }
}
