use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::config::identity::Field;
use crate::config::template::{Escape, Template};
use crate::policy::credential::{Extraction, extract, live};
use crate::policy::head::{ClientHead, Peer};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Lines<'a> = &'a [(&'a str, &'a str)];

fn sources() -> Vec<Source> {
    vec![
        Source::Scheme {
            header: http::header::AUTHORIZATION,
            scheme: "Bearer".to_owned(),
        },
        Source::Header(HeaderName::from_static("x-api-key")),
        Source::Cookie("api_key".to_owned()),
        Source::WebSocketProtocol("keygate.key.".to_owned()),
        Source::Query("api_key".to_owned()),
    ]
}

fn law(style: ForwardedStyle) -> HeaderLaw {
    let identity = Identity {
        headers: vec![(
            HeaderName::from_static("x-auth-key-id"),
            Template::field(Field::KeyId, Escape::Header),
        )],
        reserved: ["x-auth-organization", "x-auth-status", "x-auth-signature"]
            .map(HeaderName::from_static)
            .to_vec(),
    };
    HeaderLaw::compile(&sources(), &identity, style)
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// All lines as text.
fn lines(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", text(value)))
        .collect()
}

fn taken(headers: &HeaderMap) -> Taken {
    live(
        &sources(),
        |_| true,
        &ClientHead {
            method: &http::Method::GET,
            uri: &Uri::from_static("/"),
            version: http::Version::HTTP_11,
            headers,
            peer: &Peer::new(None, false),
        },
        |_| true,
    )
}

struct Case {
    trusted: bool,
    protocol: Protocol,
    style: ForwardedStyle,
    upgrade: Option<&'static str>,
}

const PLAIN: Case = Case {
    trusted: false,
    protocol: Protocol::Http1,
    style: ForwardedStyle::XForwarded,
    upgrade: None,
};

/// What remains of the client's own lines: the injected ones are checked and taken off.
fn rewritten(case: &Case, client: &[(&str, &str)]) -> Vec<String> {
    let incoming = headers(client);
    let taken = taken(&incoming);
    let identity = [(
        HeaderName::from_static("x-auth-key-id"),
        HeaderValue::from_static("key_1"),
    )];
    let rewrite = Rewrite {
        taken: &taken,
        trusted: case.trusted,
        protocol: case.protocol,
        upgrade: case.upgrade.map(HeaderValue::from_static),
        identity: &identity,
        forwarded: smallvec::smallvec![(X_FORWARDED_PROTO, HeaderValue::from_static("https"))],
        request_id: HeaderValue::from_static("made-id"),
        traceparent: kept_traceparent(&incoming, case.trusted).unwrap_or(HeaderValue::from_static("made-trace")),
    };
    let made_trace = rewrite.traceparent.clone();
    let outgoing = law(case.style).request(incoming, rewrite);
    let injected = [
        ("x-auth-key-id", HeaderValue::from_static("key_1")),
        ("x-forwarded-proto", HeaderValue::from_static("https")),
        ("x-request-id", HeaderValue::from_static("made-id")),
        ("traceparent", made_trace),
    ];
    for (name, value) in &injected {
        assert!(outgoing.get_all(*name).iter().eq([value]), "{name}");
    }
    let mut left = lines(&outgoing);
    left.retain(|line| !injected.iter().any(|(name, _)| line.starts_with(&format!("{name}: "))));
    left
}

#[test]
fn hop_by_hop_and_whatever_connection_names_is_removed() {
    let client = [
        ("host", "a"),
        ("connection", "keep-alive, X-One"),
        ("connection", "x-two"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip"),
        ("upgrade", "websocket"),
        ("http2-settings", "AAMAAABkAAQ"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("trailer", "x-checksum"),
        ("content-length", "7"),
    ];
    let expected = ["host: a", "x-three: 3", "trailer: x-checksum", "content-length: 7"];
    assert_eq!(rewritten(&PLAIN, &client), expected);
    let chunked = [
        ("transfer-encoding", "chunked"),
        ("content-length", "7"),
        ("expect", "100-continue"),
    ];
    assert_eq!(rewritten(&PLAIN, &chunked), ["expect: 100-continue"]);
}

#[test]
fn trailers_and_upgrades_are_said_again() {
    let grpc = [("te", "trailers"), ("connection", "te"), ("upgrade", "x")];
    assert_eq!(rewritten(&PLAIN, &grpc), ["connection: te", "te: trailers"]);
    let h2c = Case {
        protocol: Protocol::H2c,
        ..PLAIN
    };
    assert_eq!(rewritten(&h2c, &grpc), ["te: trailers"]);
    let tunnel = Case {
        upgrade: Some("websocket"),
        ..PLAIN
    };
    let websocket = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
    ];
    assert_eq!(
        rewritten(&tunnel, &websocket),
        ["sec-websocket-version: 13", "connection: upgrade", "upgrade: websocket"]
    );
}

#[test]
fn the_credential_is_cut_where_it_stood_and_nothing_else() {
    let table: &[(Lines<'_>, &[&str])] = &[
        (&[("authorization", "Bearer k")], &[]),
        (&[("authorization", "Digest k")], &["authorization: Digest k"]),
        (
            &[("authorization", "Digest d"), ("x-api-key", "k")],
            &["authorization: Digest d"],
        ),
        (&[("x-api-key", "k"), ("x-api-key", "k")], &[]),
        (&[("cookie", "a=1; api_key=k;  b=2")], &["cookie: a=1;  b=2"]),
        (&[("cookie", "api_key=k; a=\"x;y\"")], &["cookie: a=\"x;y\""]),
        (&[("cookie", "api_key=k; ")], &[]),
        (&[("cookie", "api_key=k")], &[]),
        (
            &[("cookie", "a=1"), ("cookie", "api_key=k"), ("cookie", "b=2")],
            &["cookie: a=1; b=2"],
        ),
        (&[("cookie", "api_keys=k;a = 1 ;;")], &["cookie: api_keys=k;a = 1 ;;"]),
        (
            &[("sec-websocket-protocol", "chat, keygate.key.k, v2")],
            &["sec-websocket-protocol: chat, v2"],
        ),
        (&[("sec-websocket-protocol", "keygate.key.k")], &[]),
        (
            &[
                ("sec-websocket-protocol", "keygate.key.k"),
                ("sec-websocket-protocol", "chat"),
            ],
            &["sec-websocket-protocol: chat"],
        ),
        (
            &[("sec-websocket-protocol", "chat,v2")],
            &["sec-websocket-protocol: chat,v2"],
        ),
        (
            &[("x_api_key", "k"), ("X.Api-Key", "k"), ("Authorization_", "k")],
            &["authorization_: k"],
        ),
    ];
    for (client, expected) in table {
        assert_eq!(rewritten(&PLAIN, client), *expected, "{client:?}");
    }
    let h2c = Case {
        protocol: Protocol::H2c,
        ..PLAIN
    };
    assert_eq!(
        rewritten(&h2c, &[("cookie", "a=1"), ("cookie", "b=2; api_key=k")]),
        ["cookie: a=1", "cookie: b=2"]
    );
}

#[test]
fn what_may_be_said_about_the_way_depends_on_who_says_it() {
    let client = [
        ("forwarded", "for=1.2.3.4"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-port", "443"),
        ("x-real-ip", "1.2.3.4"),
        ("x-request-id", "theirs"),
        ("traceparent", TRACE),
        ("tracestate", "a=1"),
        ("X_Forwarded_For", "5.6.7.8"),
        ("x-admin-key", "k"),
    ];
    let with = |trusted, style| {
        rewritten(
            &Case {
                trusted,
                style,
                ..PLAIN
            },
            &client,
        )
    };
    for style in [
        ForwardedStyle::XForwarded,
        ForwardedStyle::Forwarded,
        ForwardedStyle::None,
    ] {
        assert_eq!(with(false, style), [""; 0], "{style:?}");
    }
    assert_eq!(
        with(true, ForwardedStyle::XForwarded),
        ["x-forwarded-port: 443", "x-real-ip: 1.2.3.4", "tracestate: a=1"]
    );
    assert_eq!(with(true, ForwardedStyle::Forwarded), ["tracestate: a=1"]);
    assert_eq!(
        with(true, ForwardedStyle::None),
        [
            "forwarded: for=1.2.3.4",
            "x-forwarded-for: 1.2.3.4",
            "x-forwarded-port: 443",
            "x-real-ip: 1.2.3.4",
            "tracestate: a=1",
        ]
    );
}

#[test]
fn a_tracestate_does_not_outlive_its_traceparent() {
    let trusted = Case { trusted: true, ..PLAIN };
    let client = [("traceparent", "broken"), ("tracestate", "a=1")];
    assert_eq!(rewritten(&trusted, &client), [""; 0]);
}

#[test]
fn query_parameters_are_cut_and_the_rest_stays() {
    let law = law(ForwardedStyle::XForwarded);
    for (target, expected) in [
        ("/a", "/a"),
        ("/a?", "/a?"),
        ("/a?b=%41+&&c", "/a?b=%41+&&c"),
        ("/a?api_key=k", "/a"),
        ("/a?api_key", "/a"),
        ("/a?api_key=k&b=1", "/a?b=1"),
        ("/a?b=1&api_key=k", "/a?b=1"),
        ("/a?b=1&api%5Fkey=k&c=%20", "/a?b=1&c=%20"),
        ("/a?api_key=k&b&api_key=l", "/a?b"),
        ("/a?api_key=k&", "/a"),
        ("/a?x=api_key=k", "/a?x=api_key=k"),
        ("http://h", "/"),
        ("http://h/a?api_key=k", "/a"),
        ("*", "*"),
    ] {
        assert_eq!(law.target(&target.parse().unwrap()).as_str(), expected, "{target}");
    }
}

#[test]
fn answers_lose_what_belongs_to_one_connection_only() {
    let answer = [
        ("set-cookie", "a=1"),
        ("connection", "close, x-hop"),
        ("connection", "X-Hop-Too"),
        ("keep-alive", "timeout=5"),
        ("set-cookie", "b=2"),
        ("transfer-encoding", "chunked"),
        ("x-hop", "1"),
        ("x-hop-too", "2"),
        ("x-auth-key-id", "the upstream may say so"),
        ("upgrade", "websocket"),
        ("date", "now"),
    ];
    let expected = [
        "set-cookie: a=1",
        "set-cookie: b=2",
        "x-auth-key-id: the upstream may say so",
        "date: now",
    ];
    assert_eq!(lines(&response(headers(&answer), false)), expected);

    let switching = response(headers(&answer), true);
    assert_eq!(switching["connection"], "upgrade");
    assert_eq!(switching["upgrade"], "websocket");

    let plain = [("x", "2"), ("a", "1"), ("x", "3")];
    assert_eq!(lines(&response(headers(&plain), false)), ["x: 2", "x: 3", "a: 1"]);
}

#[test]
fn trailers_hold_nothing_that_means_something() {
    let law = law(ForwardedStyle::XForwarded);
    let mut trailers = headers(&[
        ("x-checksum", "1"),
        ("content-digest", "sha-256=:x:"),
        ("x-auth-key-id", "forged"),
        ("x_auth_organization", "forged"),
        ("authorization", "Bearer k"),
        ("x-api-key", "k"),
        ("content-length", "7"),
        ("transfer-encoding", "chunked"),
        ("host", "evil"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-request-id", "forged"),
        ("x-checksum", "2"),
        ("if-match", "x"),
    ]);
    law.trailers(&mut trailers);
    assert_eq!(
        lines(&trailers),
        ["x-checksum: 1", "x-checksum: 2", "content-digest: sha-256=:x:"]
    );
}

#[test]
fn request_ids_and_traces_are_kept_from_the_trusted_and_only_when_valid() {
    let long = "a".repeat(129);
    for (id, kept) in [
        ("a", true),
        ("01890a5d-ac96-774b-bcce-b302099a8057", true),
        ("Root=1-67891233-abcdef012345678912345678;x/y+z==", true),
        (&long[1..], true),
        (&long, false),
        ("", false),
        ("a b", false),
        ("a\"b", false),
        ("a,b", false),
        ("é", false),
    ] {
        let headers = headers(&[("x-request-id", id)]);
        assert_eq!(kept_request_id(&headers, true).is_some(), kept, "{id}");
        assert_eq!(kept_request_id(&headers, false), None);
    }
    assert_eq!(
        kept_request_id(&headers(&[("x-request-id", "a"), ("x-request-id", "a")]), true),
        None
    );

    for (trace, kept) in [
        (TRACE, true),
        ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
        ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more", false),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
        ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g", false),
        ("00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01", false),
        ("", false),
    ] {
        let headers = headers(&[("traceparent", trace)]);
        assert_eq!(kept_traceparent(&headers, true).is_some(), kept, "{trace}");
        assert_eq!(kept_traceparent(&headers, false), None);
    }
}

/// A reserved name in some spelling that a header may have.
fn misspelled_reserved() -> impl Strategy<Value = String> {
    let names = [
        "x-auth-key-id",
        "x-auth-organization",
        "x-auth-status",
        "x-auth-signature",
        "x-admin-key",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-prefix",
        "x-real-ip",
        "forwarded",
        "proxy-authorization",
        "x-api-key",
        "content_length",
        "transfer_encoding",
    ];
    (
        prop::sample::select(names.to_vec()),
        prop::collection::vec((any::<bool>(), 0_usize..4), 24),
    )
        .prop_map(|(name, twists)| {
            let twist = |(byte, (upper, separator)): (char, &(bool, usize))| match byte {
                '-' | '_' if name.contains('_') => '_',
                '-' | '_' => ['-', '_', '.', '~'][*separator],
                letter if *upper => letter.to_ascii_uppercase(),
                letter => letter,
            };
            name.chars().zip(&twists).map(twist).collect()
        })
}

proptest! {
    #[test]
    fn no_spelling_of_a_reserved_name_gets_through(name in misspelled_reserved(), named in any::<bool>()) {
        let mut client = vec![(name.as_str(), "forged")];
        if named {
            client.push(("connection", "x-other"));
        }
        let left = rewritten(&PLAIN, &client);
        prop_assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn everything_else_arrives_byte_for_byte(
        client in prop::collection::vec(("z-[a-z_.0-9-]{0,12}", prop::collection::vec(0x20_u8..=0xff, 0..40)), 0..20)
    ) {
        let mut incoming = HeaderMap::new();
        for (name, value) in &client {
            let value: Vec<u8> = value.iter().copied().filter(|&byte| byte != 0x7f).collect();
            incoming.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(&value).unwrap());
        }
        let before = incoming.clone();
        let taken = Taken::default();
        let rewrite = Rewrite {
            taken: &taken,
            trusted: false,
            protocol: Protocol::Http1,
            upgrade: None,
            identity: &[],
            forwarded: Rendered::new(),
            request_id: HeaderValue::from_static("id"),
            traceparent: HeaderValue::from_static("trace"),
        };
        let mut outgoing = law(ForwardedStyle::XForwarded).request(incoming, rewrite);
        outgoing.remove(X_REQUEST_ID);
        outgoing.remove(TRACEPARENT);
        prop_assert_eq!(outgoing, before);
    }

    /// What extraction finds is not there any more afterwards, wherever it stood.
    #[test]
    fn no_extracted_key_is_left(
        places in prop::collection::vec(0_usize..5, 1..4),
        noise in "[a-z]{1,6}",
    ) {
        let client: Vec<(&str, String)> = places.iter().map(|place| match place {
            0 => ("authorization", "bearer  SECRET".to_owned()),
            1 => ("x-api-key", "SECRET".to_owned()),
            2 => ("cookie", format!("{noise}=1; api_key=SECRET;{noise}=2")),
            3 => ("cookie", "api_key=\"SECRET\"".to_owned()),
            _ => ("sec-websocket-protocol", format!("{noise} ,keygate.key.SECRET")),
        }).collect();
        let client: Vec<(&str, &str)> = client.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let headers = headers(&client);
        let head = ClientHead {
            method: &http::Method::GET,
            uri: &Uri::from_static("/"),
            version: http::Version::HTTP_11,
            headers: &headers,
            peer: &Peer::new(None, false),
        };
        let found = matches!(extract(&sources(), |_| true, &head, 64, |_, _| false), Extraction::Found { .. });
        prop_assert!(found);
        let left = rewritten(&PLAIN, &client);
        prop_assert!(!left.iter().any(|line| line.contains("SECRET")), "{left:?}");
    }
}
