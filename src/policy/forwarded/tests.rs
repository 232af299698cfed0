use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use super::*;

type Lines<'a> = &'a [(&'a str, &'a str)];

fn proxies() -> TrustedProxies {
    TrustedProxies {
        networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        unix: true,
    }
}

struct Outcome {
    address: Option<IpAddr>,
    tls: bool,
    local: bool,
    written: Vec<String>,
}

/// `peer`: an address, or `unix`.
fn request(style: ForwardedStyle, peer: &str, tls: bool, lines: &[(&str, &str)]) -> Outcome {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let head = ClientHead {
        method: &Method::GET,
        uri: &Uri::from_static("/"),
        version: Version::HTTP_11,
        headers: &headers,
        peer: &Peer::new(peer.parse().ok(), tls),
    };
    let client = client(&head, &proxies(), style);
    let host = HeaderValue::from_static("api.example:8080");
    let rendered = render(&head, client, &host, style);
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Outcome {
        address: client.address,
        tls: client.tls,
        local: client.local,
        written: rendered.iter().map(|(_, value)| text(value)).collect(),
    }
}

fn address(text: &str) -> Option<IpAddr> {
    (!text.is_empty()).then(|| text.parse().unwrap())
}

#[test]
fn x_forwarded_for_is_walked_from_the_right() {
    let table: &[(&str, &[&str], &str, &str)] = &[
        ("203.0.113.1", &[], "203.0.113.1", "203.0.113.1"),
        ("203.0.113.1", &["1.1.1.1"], "203.0.113.1", "203.0.113.1"),
        ("::ffff:203.0.113.1", &["1.1.1.1"], "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", &[], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.1"], "203.0.113.1", "203.0.113.1, 10.0.0.1"),
        (
            "::ffff:10.0.0.1",
            &["203.0.113.1"],
            "203.0.113.1",
            "203.0.113.1, 10.0.0.1",
        ),
        (
            "10.0.0.1",
            &["1.1.1.1, 203.0.113.1"],
            "203.0.113.1",
            "1.1.1.1, 203.0.113.1, 10.0.0.1",
        ),
        (
            "10.0.0.1",
            &["1.1.1.1,203.0.113.1 ,10.9.9.9"],
            "203.0.113.1",
            "1.1.1.1, 203.0.113.1, 10.9.9.9, 10.0.0.1",
        ),
        (
            "10.0.0.1",
            &["203.0.113.1", "10.9.9.9"],
            "203.0.113.1",
            "203.0.113.1, 10.9.9.9, 10.0.0.1",
        ),
        (
            "10.0.0.1",
            &["10.8.8.8, 10.9.9.9"],
            "10.8.8.8",
            "10.8.8.8, 10.9.9.9, 10.0.0.1",
        ),
        (
            "10.0.0.1",
            &["evil, 203.0.113.1"],
            "203.0.113.1",
            "203.0.113.1, 10.0.0.1",
        ),
        (
            "10.0.0.1",
            &["1.1.1.1, evil, 10.9.9.9"],
            "10.9.9.9",
            "10.9.9.9, 10.0.0.1",
        ),
        ("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", &["", ","], "10.0.0.1", "10.0.0.1"),
        (
            "10.0.0.1",
            &["203.0.113.1:4711"],
            "203.0.113.1",
            "203.0.113.1:4711, 10.0.0.1",
        ),
        (
            "10.0.0.1",
            &["[2001:db8::1]:4711"],
            "2001:db8::1",
            "[2001:db8::1]:4711, 10.0.0.1",
        ),
        ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1", "[2001:db8::1], 10.0.0.1"),
        ("fd00::1", &["2001:db8::1"], "2001:db8::1", "2001:db8::1, fd00::1"),
        ("unix", &["203.0.113.1"], "203.0.113.1", "203.0.113.1"),
        ("unix", &["é"], "", ""),
    ];
    for (peer, values, expected, written) in table {
        let lines: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
        let outcome = request(ForwardedStyle::XForwarded, peer, false, &lines);
        assert_eq!(outcome.address, address(expected), "{peer} {values:?}");
        let said = if written.is_empty() { 2 } else { 3 };
        assert_eq!(outcome.written.len(), said);
        assert!(
            written.is_empty() || outcome.written[0] == *written,
            "{:?}",
            outcome.written
        );
    }
}

#[test]
fn scheme_and_host_are_believed_from_the_trusted_only() {
    let (own, theirs) = ("api.example:8080", "shop.example");
    let table: &[(&str, bool, Lines<'_>, bool, &str)] = &[
        (
            "203.0.113.1",
            false,
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", theirs)],
            false,
            own,
        ),
        ("203.0.113.1", true, &[("x-forwarded-proto", "http")], true, own),
        (
            "10.0.0.1",
            false,
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", theirs)],
            true,
            theirs,
        ),
        ("10.0.0.1", false, &[("x-forwarded-proto", "HTTPS, wss")], true, own),
        ("10.0.0.1", false, &[("x-forwarded-proto", "https, http")], false, own),
        (
            "10.0.0.1",
            false,
            &[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")],
            false,
            own,
        ),
        ("10.0.0.1", true, &[("x-forwarded-proto", "http")], false, own),
        ("10.0.0.1", true, &[], true, own),
        ("10.0.0.1", false, &[], false, own),
        ("10.0.0.1", false, &[("x-forwarded-host", "a, b")], false, own),
        ("10.0.0.1", false, &[("x-forwarded-host", "a/b")], false, own),
        ("unix", false, &[("x-forwarded-proto", "https")], true, own),
    ];
    for (peer, tls, lines, expected, host) in table {
        let outcome = request(ForwardedStyle::XForwarded, peer, *tls, lines);
        assert_eq!(outcome.tls, *expected, "{peer} {lines:?}");
        let proto = if *expected { "https" } else { "http" };
        let [.., said_proto, said_host] = outcome.written.as_slice() else {
            panic!("scheme and host are always said");
        };
        assert_eq!(
            (said_proto.as_str(), said_host.as_str()),
            (proto, *host),
            "{peer} {lines:?}"
        );
    }
}

#[test]
fn forwarded_is_parsed_as_its_grammar_says() {
    const OWN: &str = "for=10.0.0.1;proto=http;host=\"api.example:8080\"";
    let table: &[(&[&str], &str, bool, &str)] = &[
        (&[], "10.0.0.1", false, ""),
        (
            &["for=203.0.113.1;proto=https"],
            "203.0.113.1",
            true,
            "for=203.0.113.1;proto=https, ",
        ),
        (
            &["For=203.0.113.1 ; Proto=HTTPS;by=_x"],
            "203.0.113.1",
            true,
            "For=203.0.113.1 ; Proto=HTTPS;by=_x, ",
        ),
        (
            &["for=\"203.0.113.1:4711\""],
            "203.0.113.1",
            false,
            "for=\"203.0.113.1:4711\", ",
        ),
        (
            &["for=\"[2001:db8::1]:47\""],
            "2001:db8::1",
            false,
            "for=\"[2001:db8::1]:47\", ",
        ),
        (
            &["for=\"203.0\\.113.1\""],
            "203.0.113.1",
            false,
            "for=\"203.0\\.113.1\", ",
        ),
        (
            &["for=1.1.1.1;proto=https, for=203.0.113.1;proto=http"],
            "203.0.113.1",
            false,
            "for=1.1.1.1;proto=https, for=203.0.113.1;proto=http, ",
        ),
        (
            &["for=203.0.113.1;proto=https", "for=10.9.9.9;proto=http"],
            "203.0.113.1",
            true,
            "for=203.0.113.1;proto=https, for=10.9.9.9;proto=http, ",
        ),
        (
            &["for=unknown;proto=https"],
            "10.0.0.1",
            true,
            "for=unknown;proto=https, ",
        ),
        (
            &["for=_hidden, for=10.9.9.9"],
            "10.9.9.9",
            false,
            "for=_hidden, for=10.9.9.9, ",
        ),
        (&["proto=https"], "10.0.0.1", true, "proto=https, "),
        (&["for=\"1.1.1.1, for=203.0.113.1"], "", false, ""),
        (
            &["for=\"x", "for=10.9.9.9;proto=https"],
            "",
            false,
            "for=10.9.9.9;proto=https, ",
        ),
        (
            &["for=\"x", "for=203.0.113.1"],
            "203.0.113.1",
            false,
            "for=203.0.113.1, ",
        ),
        (&["for=[::1]"], "", false, ""),
        (&["for=1.1.1.1;for=203.0.113.1"], "", false, ""),
        (&["for 203.0.113.1"], "", false, ""),
        (&["for="], "", false, ""),
        (&["for=203.0.113.1 proto=https"], "", false, ""),
        (&[", ,for=203.0.113.1,"], "203.0.113.1", false, "for=203.0.113.1, "),
    ];
    for (values, expected, tls, kept) in table {
        let lines: Vec<_> = values.iter().map(|value| ("forwarded", *value)).collect();
        let outcome = request(ForwardedStyle::Forwarded, "10.0.0.1", false, &lines);
        assert_eq!(outcome.address, address(expected), "{values:?}");
        assert_eq!(outcome.tls, *tls, "{values:?}");
        assert_eq!(outcome.written, [format!("{kept}{OWN}")], "{values:?}");
    }
}

#[test]
fn forwarded_says_only_the_peer_where_the_peer_is_not_trusted() {
    let lines = [("forwarded", "for=1.1.1.1;proto=https")];
    for (peer, tls, expected) in [
        (
            "203.0.113.1",
            true,
            "for=203.0.113.1;proto=https;host=\"api.example:8080\"",
        ),
        (
            "2001:db8::1",
            false,
            "for=\"[2001:db8::1]\";proto=http;host=\"api.example:8080\"",
        ),
    ] {
        assert_eq!(
            request(ForwardedStyle::Forwarded, peer, tls, &lines).written,
            [expected]
        );
    }
    let unix = request(ForwardedStyle::Forwarded, "unix", false, &[]);
    assert_eq!(unix.written, ["for=unknown;proto=http;host=\"api.example:8080\""]);
    assert_eq!(unix.address, None);
}

#[test]
fn a_client_is_local_only_where_nothing_else_was_said() {
    let table: &[(ForwardedStyle, &str, Lines<'_>, bool)] = &[
        (ForwardedStyle::XForwarded, "127.0.0.1", &[], true),
        (ForwardedStyle::XForwarded, "::1", &[], true),
        (ForwardedStyle::XForwarded, "::ffff:127.0.0.1", &[], true),
        (ForwardedStyle::XForwarded, "unix", &[], true),
        (
            ForwardedStyle::XForwarded,
            "203.0.113.1",
            &[("x-forwarded-for", "127.0.0.1")],
            false,
        ),
        (ForwardedStyle::XForwarded, "10.0.0.1", &[], false),
        (
            ForwardedStyle::XForwarded,
            "10.0.0.1",
            &[("x-forwarded-for", "127.0.0.1")],
            true,
        ),
        (
            ForwardedStyle::XForwarded,
            "unix",
            &[("x-forwarded-for", "203.0.113.1")],
            false,
        ),
        (
            ForwardedStyle::XForwarded,
            "unix",
            &[("x-forwarded-for", "unknown")],
            false,
        ),
        (
            ForwardedStyle::Forwarded,
            "unix",
            &[("forwarded", "for=unknown")],
            false,
        ),
        (ForwardedStyle::Forwarded, "unix", &[("forwarded", "for=\"")], false),
        (
            ForwardedStyle::Forwarded,
            "unix",
            &[("forwarded", "for=\"[::1]\"")],
            true,
        ),
    ];
    for (style, peer, lines, local) in table {
        assert_eq!(request(*style, peer, false, lines).local, *local, "{peer} {lines:?}");
    }
}

#[test]
fn the_other_dialect_is_not_read() {
    let lines = [("forwarded", "for=1.1.1.1;proto=https"), ("x-forwarded-for", "2.2.2.2")];
    let by = |style| request(style, "10.0.0.1", false, &lines).address;
    assert_eq!(by(ForwardedStyle::Forwarded), address("1.1.1.1"));
    assert_eq!(by(ForwardedStyle::XForwarded), address("2.2.2.2"));
    assert_eq!(by(ForwardedStyle::None), address("10.0.0.1"));
    assert!(
        request(ForwardedStyle::None, "10.0.0.1", false, &lines)
            .written
            .is_empty()
    );
}
