//! Spellings that mean the same, and those that are refused.

use std::net::Ipv4Addr;
use std::path::Path;

use http::Uri;
use proptest::prelude::*;
use url::Host;

use super::{Target, Unusable, read};
use crate::config::document::Source;
use crate::config::problem::Report;
use crate::config::reader::Table;
use crate::config::webhooks::destinations::Destinations;

fn registered(text: &str) -> Target {
    Target::registered(text).unwrap_or_else(|unusable| panic!("{text}: {unusable}"))
}

fn proxied(text: &str) -> Result<Target, Unusable> {
    let uri: Uri = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    Target::of_uri(&uri)
}

#[test]
fn equivalent_spellings_are_one_target() {
    let same: &[&[&str]] = &[
        &[
            "https://hooks.acme.example/in",
            "HTTPS://HOOKS.Acme.Example/in",
            "https://hooks.acme.example:443/in",
            "https://hooks.acme.example:/in",
            "https://hooks.acme.example./in",
            "https://hooks.acme.example:00443/in",
            "https://hooks.acme.example/%69n",
            "https://hooks.acme.example/%69%6E",
        ],
        &["http://a.example", "http://a.example/", "http://a.example:80"],
        &["http://a.example/%c3%bc", "http://a.example/%C3%BC"],
        &["http://a.example/?a=%7eb", "http://a.example?a=~b"],
        &["http://[2606:4700::1111]/", "http://[2606:4700:0:0:0::1111]/"],
        &[
            "http://1.1.1.1/",
            "http://16843009/",
            "http://0x1.0x1.0x101/",
            "http://1.1.257/",
            "http://1.1.1.1./",
        ],
    ];
    for spellings in same {
        let first = registered(spellings[0]);
        for spelling in *spellings {
            assert_eq!(registered(spelling), first, "{spelling}");
            assert_eq!(proxied(spelling), Ok(first.clone()), "{spelling}");
        }
    }
}

#[test]
fn what_differs_stays_different() {
    let different = [
        "http://a.example/",
        "https://a.example/",
        "https://a.example:80/",
        "http://b.example/",
        "http://a.example:8080/",
        "http://a.example/A",
        "http://a.example/a",
        "http://a.example/a/",
        "http://a.example/a?",
        "http://a.example/a?b",
        "http://a.example/a?B",
        "http://a.example/a%3Fb",
        "http://a.example//a",
        "http://a.example/a%21",
        "http://a.example/a!",
    ];
    for (at, one) in different.iter().enumerate() {
        for other in &different[at + 1..] {
            assert_ne!(registered(one), registered(other), "{one} {other}");
        }
    }
}

#[test]
fn registered_urls_are_normalised_as_the_standard_has_it() {
    let rows = [
        ("https://münchen.example/in", "https://xn--mnchen-3ya.example/in"),
        ("https://a.example/x/../in", "https://a.example/in"),
        ("https://a.example/x/%2E%2e/in", "https://a.example/in"),
        ("https://a.example/./in", "https://a.example/in"),
        ("https://a.example/ü?ü=1", "https://a.example/%C3%BC?%C3%BC=1"),
        ("https://a.example/a%2fb", "https://a.example/a%2Fb"),
        ("https://%61.example/", "https://a.example/"),
        ("https://a.example:8443", "https://a.example:8443/"),
        ("https://a.example/a\"b", "https://a.example/a%22b"),
        ("https://a_b.example/", "https://a_b.example/"),
        ("https://localhost/", "https://localhost/"),
    ];
    for (text, normal) in rows {
        assert_eq!(registered(text).to_string(), normal, "{text}");
        assert_eq!(registered(normal).to_string(), normal, "{normal}");
    }
}

#[test]
fn what_no_target_is_is_refused() {
    let rows = [
        ("hooks.example/in", Unusable::Scheme),
        ("ftp://a.example/", Unusable::Scheme),
        ("file:///etc/passwd", Unusable::Scheme),
        ("https:/a.example/", Unusable::Scheme),
        ("https:a.example", Unusable::Scheme),
        (" https://a.example/", Unusable::Scheme),
        ("https://", Unusable::Host),
        ("https:///in", Unusable::Host),
        ("https://:443/in", Unusable::Host),
        ("https://./", Unusable::Host),
        ("https://a..example/", Unusable::Host),
        ("https://a.example../", Unusable::Host),
        ("https://1.2.3.4.5/", Unusable::Host),
        ("https://1.2.3.256/", Unusable::Host),
        ("https://a.example.0x/", Unusable::Host),
        ("https://4294967296/", Unusable::Host),
        ("https://::1/", Unusable::Host),
        ("https://[::1/", Unusable::Host),
        ("https://[1.2.3.4]/", Unusable::Host),
        ("https://[fe80::1%25eth0]/", Unusable::Zone),
        ("https://[fe80::1%eth0]/", Unusable::Zone),
        ("https://a!b.example/", Unusable::Host),
        ("https://a%00.example/", Unusable::Host),
        ("https://a%2Fb.example/", Unusable::Host),
        ("https://user@a.example/", Unusable::UserInfo),
        ("https://user:pass@a.example/", Unusable::UserInfo),
        ("https://@a.example/", Unusable::UserInfo),
        ("https://a.example@127.0.0.1/", Unusable::UserInfo),
        ("https://127.0.0.1#@a.example/", Unusable::Fragment),
        ("https://a.example:0/", Unusable::Port),
        ("https://a.example:65536/", Unusable::Port),
        ("https://a.example:+443/", Unusable::Port),
        ("https://a.example:44 3/", Unusable::Character),
        ("https://a.exa\tmple/", Unusable::Character),
        ("https://a.example/in\n", Unusable::Character),
        ("https://a.example/a b", Unusable::Character),
        ("https://a.example\\@127.0.0.1/", Unusable::Character),
        ("https://a.example/a\\b", Unusable::Character),
        ("https://a.example/#part", Unusable::Fragment),
        ("https://a.example/%zz", Unusable::Escape),
        ("https://a.example/100%", Unusable::Escape),
        ("https://a.example/?%4", Unusable::Escape),
    ];
    for (text, unusable) in rows {
        assert_eq!(Target::registered(text), Err(unusable), "{text}");
    }
}

#[test]
fn an_ambiguous_target_of_a_forward_proxy_is_refused() {
    let rows = [
        ("http://a.example/x/../in", Unusable::DotSegment),
        ("http://a.example/x/..", Unusable::DotSegment),
        ("http://a.example/./in", Unusable::DotSegment),
        ("http://a.example/x/%2e%2E/in", Unusable::DotSegment),
        ("http://a.example/x/.%2e/in", Unusable::DotSegment),
        ("http://a.example/x/..;/in", Unusable::DotSegment),
        ("http://a.example/x/..;a=b/in", Unusable::DotSegment),
        ("http://a.example/x/..%3B/in", Unusable::DotSegment),
        ("http://a.example/x%2fin", Unusable::EncodedSlash),
        ("http://a.example/x/..%2Fin", Unusable::EncodedSlash),
        ("http://a.example/x%5Cin", Unusable::EncodedSlash),
        ("http://user@a.example/in", Unusable::UserInfo),
        ("http://a.example@127.0.0.1/in", Unusable::UserInfo),
        ("ftp://a.example/in", Unusable::Scheme),
        ("http://a.example:0/", Unusable::Port),
        ("http://1.2.3.4.5/", Unusable::Host),
        ("/in", Unusable::Scheme),
    ];
    for (text, unusable) in rows {
        assert_eq!(proxied(text), Err(unusable), "{text}");
    }
    // Dots that are not all of a segment mean nothing, and a query is nobody's path.
    for text in [
        "http://a.example/...",
        "http://a.example/a..b/.well-known",
        "http://a.example/in?x=../%2F",
    ] {
        assert!(proxied(text).is_ok(), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_webhooks_url_is_explained() {
    let rows = [
        ("https://a.example/", None),
        ("https://a.example:8443/", None),
        (
            "http://a.example:25/",
            Some(
                "f.toml:1:7: error: url: has port 25, to which events do not go\n  url = \"http://a.example:25/\"\n        ^^^^^^^^^^^^^^^^^^^^^^\n  help: name it in `allow_ports` of [webhooks]: [443, 8443, 25]",
            ),
        ),
        (
            "a.example/in",
            Some(
                "f.toml:1:7: error: url: does not begin with http:// or https://\n  url = \"a.example/in\"\n        ^^^^^^^^^^^^^^\n  help: for example \"https://hooks.example/in\"",
            ),
        ),
    ];
    let destinations = Destinations {
        ports: vec![443, 8443],
        ..Destinations::default()
    };
    for (url, said) in rows {
        let text = format!("url = {url:?}");
        let report = Report::new();
        let source = Source::new(Path::new("f.toml"), &text);
        let node = source.parse_toml(&report);
        let table = Table::root(&source, &node, &report);
        let target = table.get("url").and_then(|item| read(&item, &destinations));
        assert_eq!(target.is_some(), said.is_none(), "{url}");
        drop(table);
        assert_eq!(report.into_problems().to_string(), said.unwrap_or_default(), "{url}");
    }
}

#[test]
fn no_secret_in_a_url_is_shown() {
    let target = registered("https://a.example:8443/secret?token=secret");
    assert_eq!(format!("{target:?}"), "Target(https://a.example:8443/…)");
    assert_eq!(target.origin(), "https://a.example:8443");
    assert_eq!(target.authority(), "a.example:8443");
    assert_eq!(target.path_and_query(), "/secret?token=secret");
}

/// One of the ways to write `address`: how many parts, each part's base, the script of its digits, and encodings.
fn spelt(address: Ipv4Addr, parts: u32, bases: [u8; 4], dress: u8) -> String {
    let bits = address.to_bits();
    let mut texts = Vec::new();
    for (part, base) in (0..parts).zip(bases) {
        let is_last = part + 1 == parts;
        let number = match is_last {
            false => (bits >> (24 - 8 * part)) & 0xff,
            true => bits & (u32::MAX >> (8 * part)),
        };
        texts.push(match base % 5 {
            0 => number.to_string(),
            1 => format!("{number:#x}"),
            2 => format!("0X{number:010X}"),
            3 => format!("0{number:o}"),
            _ => format!("0000{number:o}"),
        });
    }
    let text = texts.join(".");
    match dress % 5 {
        0 => text,
        1 => text + ".",
        2 => text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        // Fullwidth digits, letters and dots.
        3 => text
            .chars()
            .map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap())
            .collect(),
        _ => text.replace('.', "\u{3002}"),
    }
}

proptest! {
    #[test]
    fn an_address_is_known_however_it_is_spelt(bits in any::<u32>(), parts in 1u32..=4, bases in any::<[u8; 4]>(), dress in any::<u8>()) {
        let address = Ipv4Addr::from_bits(bits);
        let text = format!("http://{}/", spelt(address, parts, bases, dress));
        let target = Target::registered(&text);
        prop_assert_eq!(target.map(|target| target.host), Ok(Host::Ipv4(address)), "{}", text);
    }

    #[test]
    fn normal_forms_are_normal(path in "(/[a-zA-Z0-9.%;~!ü -]{0,6}){0,4}", query in "(\\?[a-z%0-9&=/]{0,8})?") {
        if let Ok(target) = Target::registered(&format!("https://a.example{path}{query}")) {
            let again = registered(&target.to_string());
            prop_assert_eq!(again.to_string(), target.to_string());
            prop_assert!(!target.path.split('/').any(|segment| segment == "." || segment == ".."));
        }
    }

    #[test]
    fn both_readings_agree(text in "https?://[a-c.0-9x]{1,8}(:[0-9]{1,5})?(/[a-zA-Z0-9.%;~-]{0,6}){0,3}(\\?[a-z%0-9&=]{0,8})?") {
        if let Ok(uri) = text.parse::<Uri>()
            && let Ok(target) = Target::of_uri(&uri)
        {
            prop_assert_eq!(Target::registered(&text), Ok(target));
        }
    }

    #[test]
    fn any_text_can_be_read(text in "(http://)?[\\PC]{0,30}") {
        let _ = Target::registered(&text);
    }
}
