use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use proptest::prelude::*;

use super::*;
use crate::config::credentials::default_sources;
use crate::config::identity::Identity;
use crate::config::ingress::ForwardedStyle;
use crate::config::patterns;
use crate::policy::head::Peer;

type Lines<'a> = &'a [(&'a str, &'a str)];

fn law() -> HeaderLaw {
    let identity = Identity {
        headers: vec![],
        reserved: vec![HeaderName::from_static("x-auth-key-id")],
    };
    HeaderLaw::compile(&default_sources(), &identity, ForwardedStyle::XForwarded)
}

/// What a sound head said, owned.
#[derive(Debug, PartialEq)]
struct Said {
    authority: String,
    upgrade: Option<String>,
    expects_continue: bool,
}

fn checked(version: Version, request: &str, lines: &[(&str, &str)]) -> Result<Said, Hygiene> {
    let (method, target) = request.split_once(' ').unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let uri: Uri = target.parse().unwrap();
    let head = ClientHead {
        method: &method.parse().unwrap(),
        uri: &uri,
        version,
        headers: &headers,
        peer: &Peer::new(None, false),
    };
    check(&head, &law(), &Paths::default()).map(|checked| Said {
        authority: checked.authority.to_owned(),
        upgrade: checked.upgrade.map(|value| value.to_str().unwrap().to_owned()),
        expects_continue: checked.expects_continue,
    })
}

/// The verdict on a GET with a good host and these lines.
fn with(lines: &[(&str, &str)]) -> Result<Said, Hygiene> {
    let lines: Vec<_> = [("host", "h")].iter().chain(lines).copied().collect();
    checked(Version::HTTP_11, "GET /", &lines)
}

#[test]
fn exactly_one_valid_host() {
    let v1 = Version::HTTP_11;
    for host in [
        "h",
        "example.com",
        "example.com:8080",
        "127.0.0.1:1",
        "[::1]",
        "[2001:db8::1]:443",
        "a_b~c.x.",
    ] {
        assert_eq!(checked(v1, "GET /", &[("host", host)]).unwrap().authority, host);
    }
    for host in [
        "",
        " ",
        "a b",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
        "u:p@b",
        "a%41",
        "a\"",
        "h:",
        "h:x",
        "h:65536",
        "h:-1",
        "h:1:2",
        "[::1",
        "::1",
        "[::g]",
        "[::1]x",
        "[::1]:",
        "[v1.a]",
        "[fe80::1%25eth0]",
        ":80",
        "hé",
    ] {
        assert_eq!(checked(v1, "GET /", &[("host", host)]), Err(Hygiene::Host), "{host}");
    }
    for version in [Version::HTTP_10, v1, Version::HTTP_2] {
        assert_eq!(checked(version, "GET /", &[]), Err(Hygiene::Host), "{version:?}");
        assert_eq!(
            checked(version, "GET /", &[("host", "h"), ("host", "h")]),
            Err(Hygiene::Host)
        );
        assert_eq!(checked(version, "GET /", &[("host", "h")]).unwrap().authority, "h");
    }
}

#[test]
fn a_target_agrees_with_its_host() {
    let table: &[(Version, &str, Lines<'_>, Result<&str, Hygiene>)] = &[
        (Version::HTTP_11, "GET http://h/x", &[("host", "h")], Ok("h")),
        (Version::HTTP_11, "GET http://H:80/x", &[("host", "h")], Ok("h")),
        (Version::HTTP_11, "GET https://h:443/x", &[("host", "H")], Ok("H")),
        (Version::HTTP_11, "GET http://h/x", &[], Err(Hygiene::Host)),
        (
            Version::HTTP_11,
            "GET http://i/x",
            &[("host", "h")],
            Err(Hygiene::HostMismatch),
        ),
        (
            Version::HTTP_11,
            "GET http://h:443/x",
            &[("host", "h")],
            Err(Hygiene::HostMismatch),
        ),
        (
            Version::HTTP_11,
            "GET http://u@h/x",
            &[("host", "h")],
            Err(Hygiene::Host),
        ),
        (
            Version::HTTP_11,
            "GET ftp://h/x",
            &[("host", "h")],
            Err(Hygiene::AbsoluteForm),
        ),
        (
            Version::HTTP_11,
            "GET h:80",
            &[("host", "h:80")],
            Err(Hygiene::AbsoluteForm),
        ),
        (
            Version::HTTP_11,
            "GET http://h/../x",
            &[("host", "h")],
            Err(Hygiene::DotSegment),
        ),
        (Version::HTTP_2, "GET https://h/x", &[], Ok("h")),
        (
            Version::HTTP_2,
            "GET https://h:8443/x",
            &[("host", "h:8443")],
            Ok("h:8443"),
        ),
        (
            Version::HTTP_2,
            "GET https://h/x",
            &[("host", "i")],
            Err(Hygiene::HostMismatch),
        ),
        (Version::HTTP_2, "GET https://u@h/x", &[], Err(Hygiene::Host)),
    ];
    for (version, request, lines, expected) in table {
        let said = checked(*version, request, lines).map(|said| said.authority);
        assert_eq!(said, expected.map(str::to_owned), "{request} {lines:?}");
    }
}

#[test]
fn methods_versions_and_the_asterisk() {
    let host = [("host", "h")];
    for request in ["TRACE /", "CONNECT /", "CONNECT h:80"] {
        assert_eq!(
            checked(Version::HTTP_11, request, &host),
            Err(Hygiene::Method),
            "{request}"
        );
    }
    for version in [Version::HTTP_09, Version::HTTP_3] {
        assert_eq!(checked(version, "GET /", &host), Err(Hygiene::Version));
    }
    assert!(checked(Version::HTTP_11, "PURGE /", &host).is_ok());
    assert!(checked(Version::HTTP_11, "OPTIONS *", &host).is_ok());
    assert_eq!(checked(Version::HTTP_11, "GET *", &host), Err(Hygiene::Syntax));
}

#[test]
fn one_length_or_none() {
    let table: &[(Lines<'_>, Result<(), Hygiene>)] = &[
        (&[("content-length", "0")], Ok(())),
        (&[("content-length", "10737418240")], Ok(())),
        (&[("transfer-encoding", "Chunked")], Ok(())),
        (
            &[("content-length", "7"), ("content-length", "7")],
            Err(Hygiene::ContentLength),
        ),
        (&[("content-length", "7, 7")], Err(Hygiene::ContentLength)),
        (&[("content-length", "+7")], Err(Hygiene::ContentLength)),
        (&[("content-length", "")], Err(Hygiene::ContentLength)),
        (
            &[("content-length", "99999999999999999999")],
            Err(Hygiene::ContentLength),
        ),
        (
            &[("content-length", "7"), ("transfer-encoding", "chunked")],
            Err(Hygiene::AmbiguousLength),
        ),
        (
            &[("transfer-encoding", "gzip, chunked")],
            Err(Hygiene::TransferEncoding),
        ),
        (
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            Err(Hygiene::TransferEncoding),
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(with(lines).map(|_| ()), *expected, "{lines:?}");
    }
    let old = [("host", "h"), ("transfer-encoding", "chunked")];
    assert_eq!(
        checked(Version::HTTP_10, "POST /", &old),
        Err(Hygiene::TransferEncoding)
    );
}

#[test]
fn connection_names_nothing_that_others_rely_on() {
    for fine in [
        "close",
        "keep-alive, Upgrade",
        "te, HTTP2-Settings",
        "x-custom",
        "",
        ", ,close,",
        "proxy-connection",
    ] {
        assert!(with(&[("connection", fine)]).is_ok(), "{fine}");
    }
    for abuse in [
        "host",
        "close, Content-Length",
        "transfer-encoding",
        "content-type",
        "authorization",
        "X-API-Key",
        "x_api_key",
        "cookie",
        "x-auth-key-id",
        "X_Auth_Key_Id",
        "x-admin-key",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-anything",
        "x-real-ip",
        "x-request-id",
        "traceparent",
        "tracestate",
        "sec-websocket-key",
        "a b",
        "a;b",
        "\"close\"",
        "é",
    ] {
        assert_eq!(with(&[("connection", abuse)]), Err(Hygiene::Connection), "{abuse}");
        assert_eq!(
            with(&[("connection", "close"), ("connection", abuse)]),
            Err(Hygiene::Connection)
        );
    }
}

#[test]
fn http2_has_no_connection() {
    let check = |line| checked(Version::HTTP_2, "GET https://h/", &[line]).map(|_| ());
    assert_eq!(check(("te", "trailers")), Ok(()));
    for line in [
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("upgrade", "websocket"),
    ] {
        assert_eq!(check(line), Err(Hygiene::Connection), "{line:?}");
    }
    assert!(check(("transfer-encoding", "chunked")).is_err());
}

#[test]
fn the_only_expectation_is_to_continue() {
    assert!(!with(&[]).unwrap().expects_continue);
    assert!(with(&[("expect", "100-Continue")]).unwrap().expects_continue);
    for other in ["", "200-ok", "100-continue, x", "100-continue;q=1"] {
        assert_eq!(with(&[("expect", other)]), Err(Hygiene::Expectation), "{other}");
    }
    let old = checked(Version::HTTP_10, "POST /", &[("host", "h"), ("expect", "100-continue")]);
    assert!(!old.unwrap().expects_continue);
}

#[test]
fn upgrades_that_can_be_carried_out() {
    let upgrade = ("connection", "keep-alive, Upgrade");
    let table: &[(Lines<'_>, Result<Option<&str>, Hygiene>)] = &[
        (&[], Ok(None)),
        (&[upgrade], Ok(None)),
        (&[upgrade, ("upgrade", "")], Ok(None)),
        (&[upgrade, ("upgrade", "websocket")], Ok(Some("websocket"))),
        (
            &[upgrade, ("upgrade", "WebSocket, foo/2")],
            Ok(Some("WebSocket, foo/2")),
        ),
        (
            &[upgrade, ("upgrade", "websocket"), ("content-length", "0")],
            Ok(Some("websocket")),
        ),
        (&[upgrade, ("upgrade", "h2c")], Ok(None)),
        (&[("upgrade", "h2c")], Ok(None)),
        (&[upgrade, ("upgrade", "HTTP/2.0, H2C, TLS/1.3")], Ok(None)),
        (&[upgrade, ("upgrade", "websocket, h2c")], Err(Hygiene::Upgrade)),
        (
            &[upgrade, ("upgrade", "websocket"), ("upgrade", "h2c")],
            Err(Hygiene::Upgrade),
        ),
        (&[upgrade, ("upgrade", "web socket")], Err(Hygiene::Upgrade)),
        (&[upgrade, ("upgrade", "a/b/c")], Err(Hygiene::Upgrade)),
        (&[("upgrade", "websocket")], Ok(None)),
        (&[("connection", "close"), ("upgrade", "websocket")], Ok(None)),
        (
            &[upgrade, ("upgrade", "websocket"), ("content-length", "1")],
            Err(Hygiene::Upgrade),
        ),
        (
            &[upgrade, ("upgrade", "x"), ("transfer-encoding", "chunked")],
            Err(Hygiene::Upgrade),
        ),
    ];
    for (lines, expected) in table {
        let said = with(lines).map(|said| said.upgrade);
        assert_eq!(said, expected.map(|value| value.map(str::to_owned)), "{lines:?}");
    }
    let old = [("host", "h"), upgrade, ("upgrade", "websocket")];
    assert_eq!(checked(Version::HTTP_10, "GET /", &old).unwrap().upgrade, None);
}

const ANYTHING: Paths = Paths {
    allow_dot_segments: true,
    allow_encoded_slashes: true,
    allow_backslashes: true,
    allow_empty_segments: true,
};

#[test]
fn paths_with_one_reading() {
    for path in [
        "*",
        "/",
        "/a",
        "/a/",
        "/a/b.c",
        "/...",
        "/a..b/.c/d.",
        "/%41%2e%2ea",
        "/a%20b",
        "/%C3%A9",
        "/a;x=1/b",
        "/%25",
        "/~@:!$&'()*+,=",
    ] {
        assert_eq!(path_check(path, &Paths::default()), Ok(()), "{path}");
    }
    use Hygiene::{Backslash, ControlCharacter, DotSegment, EmptySegment, EncodedSlash, PercentEncoding, Syntax};
    for (path, wrong, loosened) in [
        ("/.", DotSegment, Ok(())),
        ("/..", DotSegment, Ok(())),
        ("/a/./b", DotSegment, Ok(())),
        ("/a/../b", DotSegment, Ok(())),
        ("/a/%2e%2E/b", DotSegment, Ok(())),
        ("/a/.%2e", DotSegment, Ok(())),
        ("/a/..;x=1/b", DotSegment, Ok(())),
        ("/a/..%3bx", DotSegment, Ok(())),
        ("//", EmptySegment, Ok(())),
        ("//a", EmptySegment, Ok(())),
        ("/a//b", EmptySegment, Ok(())),
        ("/a//", EmptySegment, Ok(())),
        ("/a%2Fb", EncodedSlash, Ok(())),
        ("/a%2f", EncodedSlash, Ok(())),
        ("/a%5Cb", EncodedSlash, Ok(())),
        ("/a\\b", Backslash, Ok(())),
        ("/%", PercentEncoding, Err(PercentEncoding)),
        ("/%4", PercentEncoding, Err(PercentEncoding)),
        ("/%zz", PercentEncoding, Err(PercentEncoding)),
        ("/%+1", PercentEncoding, Err(PercentEncoding)),
        ("/%00", PercentEncoding, Err(PercentEncoding)),
        ("/%0d%0a", PercentEncoding, Err(PercentEncoding)),
        ("/%7F", PercentEncoding, Err(PercentEncoding)),
        ("/%c0%af", PercentEncoding, Err(PercentEncoding)),
        ("/%e0%80%af", PercentEncoding, Err(PercentEncoding)),
        ("/%f0%80%80%af", PercentEncoding, Err(PercentEncoding)),
        ("/a b", ControlCharacter, Err(ControlCharacter)),
        ("/a\tb", ControlCharacter, Err(ControlCharacter)),
        ("/é", Syntax, Err(Syntax)),
        ("", Syntax, Err(Syntax)),
        ("a", Syntax, Err(Syntax)),
        ("**", Syntax, Err(Syntax)),
    ] {
        assert_eq!(path_check(path, &Paths::default()), Err(wrong), "{path:?}");
        assert_eq!(path_check(path, &ANYTHING), loosened, "{path:?} loosened");
    }
}

#[test]
fn each_option_loosens_its_own_form_only() {
    let off = Paths::default();
    let options = [
        (
            "/a/../b",
            Paths {
                allow_dot_segments: true,
                ..off
            },
        ),
        (
            "/a%2Fb",
            Paths {
                allow_encoded_slashes: true,
                ..off
            },
        ),
        (
            "/a\\b",
            Paths {
                allow_backslashes: true,
                ..off
            },
        ),
        (
            "/a//b",
            Paths {
                allow_empty_segments: true,
                ..off
            },
        ),
    ];
    for (own, paths) in &options {
        for (path, _) in &options {
            assert_eq!(path_check(path, paths).is_ok(), path == own, "{path} under {paths:?}");
        }
    }
    let slashes = Paths {
        allow_encoded_slashes: true,
        ..off
    };
    assert_eq!(path_check("/a/..%2Fb", &slashes), Err(Hygiene::DotSegment));
    assert_eq!(path_check("/a%2F%2e%2e%2Fb", &slashes), Err(Hygiene::DotSegment));
}

proptest! {
    /// What a naive upstream would do with a path that passes: decode it, cut it at every kind of slash, and resolve
    /// dots. It finds nothing to resolve, and as many segments as there are raw slashes.
    #[test]
    fn a_naive_decoder_reads_the_same_segments(path in "(/|\\.|%2[eEfF]|%5[cC]|\\\\|;|%3b|a|%61|%c0%ae|%25|%0a){1,12}") {
        if path_check(&path, &Paths::default()).is_ok() {
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(&path).collect();
            let segments: Vec<&[u8]> = decoded[1..].split(|&byte| byte == b'/' || byte == b'\\').collect();
            let raw = path[1..].split('/').count();
            prop_assert_eq!(segments.len(), raw);
            for (at, segment) in segments.iter().enumerate() {
                let name = segment.split(|&byte| byte == b';').next().unwrap();
                prop_assert!(name != b"." && name != b"..", "{path}");
                prop_assert!(!segment.is_empty() || at + 1 == raw, "{path}");
                prop_assert!(segment.iter().all(|&byte| byte >= 0x20 && byte != 0xc0), "{path}");
            }
        }
    }

    /// `check` says that a route is never reached exactly where its requests would be refused here.
    #[test]
    fn patterns_are_refused_as_paths_are(
        path in "/(/|\\.|%2[eEfF]|%5[cC]|\\\\|;|%3b|a|%61|%c0|%25|%0a|%z|%){0,8}",
        flags in any::<[bool; 4]>(),
    ) {
        let paths = Paths {
            allow_dot_segments: flags[0],
            allow_encoded_slashes: flags[1],
            allow_backslashes: flags[2],
            allow_empty_segments: flags[3],
        };
        prop_assert_eq!(patterns::is_refused(&path, &paths), path_check(&path, &paths).is_err());
    }

    #[test]
    fn any_text_gets_a_verdict(path in "\\PC{0,40}") {
        let _ = path_check(&path, &Paths::default());
        if path_check(&path, &Paths::default()).is_ok() {
            prop_assert_eq!(path_check(&path, &ANYTHING), Ok(()));
        }
    }
}
