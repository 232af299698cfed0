//! Which webhook a request is for, what its event is, and what its receiver gets.

use std::fs;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::sign::Turn;
use super::{Addressed, Cleared, Dispatch, Head, Judged, Path, Refusal, Searched};
use crate::config;
use crate::config::sources::Sources;
use crate::policy::Policy;

const KEY: &str = "a-key-of-a-caller-0123456789";
const SECRET: &str = "a-secret-of-at-least-32-characters";

fn policy(settings: &str, webhooks: &str) -> Policy {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(directory.path().join(name), text).unwrap();
    let hash = hex::encode(crate::secret::Digest::of(KEY.as_bytes()).0);
    write(
        "keys.toml",
        format!(
            "[[organizations]]\nid = \"acme\"\n[[keys]]\nid = \"key_a\"\nname = \"a\"\norganization = \"acme\"\nhash = \"sha256:{hash}\"\n"
        ),
    );
    write("webhooks.toml", webhooks.to_owned());
    write(
        "config.toml",
        format!(
            "[ingress]\nlisten = [\"127.0.0.1:0\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:9\"\n[keys]\nfile = \"keys.toml\"\n\
             [egress]\nlisten = [\"127.0.0.1:0\"]\n[webhooks]\nfile = \"webhooks.toml\"\n{settings}\n"
        ),
    );
    let loaded = config::load(&directory.path().join("config.toml"), &mut Sources::default());
    Policy::first(loaded.unwrap_or_else(|problems| panic!("{problems}")).config).unwrap()
}

fn webhook(id: &str, url: &str, more: &str) -> String {
    format!("[[webhooks]]\nid = \"{id}\"\norganization = \"acme\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{more}\n")
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let parse = |(name, value): &(&str, &str)| {
        (
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    lines.iter().map(parse).collect()
}

/// The webhook's id and what is asked of it, or the code of the refusal.
fn addressed(policy: &Policy, method: Method, target: &str, version: Version) -> String {
    let egress = policy.egress.as_ref().unwrap();
    let head = Head {
        method: &method,
        uri: &target.parse().unwrap(),
        version,
        headers: &HeaderMap::new(),
        is_local: false,
    };
    match egress.address(&head) {
        Ok(Addressed::One { webhook, path }) => match path {
            Path::Registered => egress.webhook(webhook).id.clone(),
            Path::Given(path) => format!("{} {path}", egress.webhook(webhook).id),
        },
        Ok(Addressed::Organization { organization, webhooks }) => format!("{organization} {}", webhooks.len()),
        Err(refusal) => refusal.code().to_owned(),
    }
}

#[test]
fn a_request_is_for_the_webhook_that_it_names() {
    let policy = policy(
        "",
        &[
            webhook("wh_tls", "https://hooks.example/in", ""),
            webhook("wh_below", "https://hooks.example/in/below/", ""),
            webhook("wh_port", "https://hooks.example:443/port", ""),
            webhook("wh_clear", "http://clear.example/", ""),
            webhook("wh_query", "https://query.example/?a=1", ""),
            webhook("wh_any", "https://any.example/", "query = \"any\""),
            webhook("wh_one", "https://any.example/?a=1", ""),
            webhook("wh_off", "https://off.example/", "active = false"),
            webhook("wh_twin", "https://off.example/", ""),
            webhook("wh_v6", "https://[2001:4860::8888]/", ""),
            webhook("wh_idn", "https://bücher.example/", ""),
        ]
        .concat(),
    );
    for (target, expected) in [
        ("/webhooks/wh_tls", "wh_tls"),
        ("/webhooks/wh_tls/", "webhook_unknown"),
        ("/webhooks/WH_TLS", "webhook_unknown"),
        ("/organizations/acme/events", "acme 11"),
        ("/organizations/%61cme/events", "acme 11"),
        ("/organizations//events", "path_unknown"),
        ("/organizations/acme/x/events", "path_unknown"),
        ("/organizations/other/events", "webhook_unknown"),
        ("*", "path_unknown"),
        // From http to https, where the ports are the defaults, or the same.
        ("http://hooks.example/in", "wh_tls /in"),
        ("https://hooks.example/in", "wh_tls /in"),
        ("http://hooks.example:443/in", "wh_tls /in"),
        ("http://hooks.example:8080/in", "destination_unregistered"),
        // And never back.
        ("https://clear.example/", "destination_unregistered"),
        ("http://clear.example", "wh_clear /"),
        ("http://clear.example/all/of/it", "wh_clear /all/of/it"),
        // Spelt in another way.
        ("HTTP://HOOKS.example:80/%69n", "wh_tls /in"),
        ("http://hooks.example./in", "wh_tls /in"),
        ("http://[2001:4860:0::8888]/", "wh_v6 /"),
        ("http://xn--bcher-kva.example/", "wh_idn /"),
        // The longest counts; a segment is a whole one.
        ("http://hooks.example/in/below", "wh_below /in/below"),
        ("http://hooks.example/in/below/x", "wh_below /in/below/x"),
        ("http://hooks.example/in/belo", "wh_tls /in/belo"),
        ("http://hooks.example/inside", "destination_unregistered"),
        // Queries.
        ("http://hooks.example/in?a=1", "destination_unregistered"),
        ("http://query.example/?a=1", "wh_query /?a=1"),
        ("http://query.example/?a=2", "destination_unregistered"),
        ("http://query.example/", "destination_unregistered"),
        ("http://any.example/?b=2", "wh_any /?b=2"),
        ("http://any.example/?a=1", "wh_one /?a=1"),
        // Of two with the same URL, the active one.
        ("http://off.example/", "wh_twin /"),
        ("http://user@hooks.example/in", "destination_invalid"),
        ("http://hooks.example/in/../in", "destination_invalid"),
        ("ftp://hooks.example/in", "destination_invalid"),
    ] {
        assert_eq!(
            addressed(&policy, Method::POST, target, Version::HTTP_11),
            expected,
            "{target}"
        );
    }
    for (method, expected) in [
        (Method::PUT, "wh_tls"),
        (Method::PATCH, "wh_tls"),
        (Method::GET, "method_unsupported"),
        (Method::DELETE, "method_unsupported"),
        (Method::CONNECT, "connect_unsupported"),
    ] {
        assert_eq!(
            addressed(&policy, method, "/webhooks/wh_tls", Version::HTTP_11),
            expected
        );
    }
    // Over HTTP/2, every target has an authority.
    for (target, expected) in [
        ("http://127.0.0.1:8081/webhooks/wh_tls", "wh_tls"),
        ("http://keygate/organizations/acme/events", "acme 11"),
        ("http://hooks.example/in", "wh_tls /in"),
        ("http://clear.example/webhooks/wh_tls", "wh_clear /webhooks/wh_tls"),
        ("http://127.0.0.1:8081/other", "destination_unregistered"),
    ] {
        assert_eq!(
            addressed(&policy, Method::POST, target, Version::HTTP_2),
            expected,
            "{target}"
        );
    }
}

fn cleared(policy: &Policy, body: &str) -> Result<Cleared, Refusal> {
    match policy.search(Bytes::copy_from_slice(body.as_bytes()), 0)? {
        Searched::Cleared(cleared) => Ok(cleared),
        Searched::Suspected(_) => panic!("there are no slow hashes here"),
    }
}

fn dispatch(policy: &Policy, lines: &[(&str, &str)], body: &str) -> Result<Option<Box<Dispatch>>, Refusal> {
    let egress = policy.egress.as_ref().unwrap();
    let index = egress.index_of("wh").unwrap();
    let (headers, body) = (headers(lines), cleared(policy, body)?);
    let event = policy.event(&headers, Some(&body), 0, || "made".to_owned())?;
    match policy.dispatch((index, &Path::Registered), event, &headers, Some(&body), 0)? {
        Judged::Deliver(dispatch) => Ok(Some(dispatch)),
        Judged::NotSubscribed(_) => Ok(None),
    }
}

#[test]
fn an_event_says_its_type_and_its_id_where_it_is_configured() {
    let of = |settings: &str, lines: &[(&str, &str)], body: &str| {
        let policy = policy(settings, &webhook("wh", "https://hooks.example/", ""));
        dispatch(&policy, lines, body).map(|dispatch| {
            let event = dispatch.unwrap().event().clone();
            (event.kind, event.id)
        })
    };
    let is = |kind: &str, id: &str| Ok((Some(kind.to_owned()), id.to_owned()));
    assert_eq!(of("", &[("x-event-type", "a"), ("x-event-id", "1")], ""), is("a", "1"));
    assert_eq!(
        of(
            "",
            &[("x-event-type", "a"), ("x-event-id", "1"), ("webhook-id", "2")],
            ""
        ),
        is("a", "2")
    );
    assert_eq!(of("", &[("x-event-type", "a")], ""), is("a", "made"));
    assert_eq!(of("", &[("x-event-type", "")], ""), Ok((None, "made".to_owned())));
    let pointers = "event = { pointer = \"/e/type\" }\nevent_id = { pointer = \"/e/i~1d\" }";
    assert_eq!(of(pointers, &[], "{\"e\":{\"type\":\"a\",\"i/d\":7}}"), is("a", "7"));
    assert_eq!(of(pointers, &[], "no json"), Ok((None, "made".to_owned())));
    for broken in [
        "{\"e\":{\"type\":[]}}",
        "{\"e\":{\"type\":\"a b\"}}",
        "{\"e\":{\"type\":\"ä\"}}",
    ] {
        assert_eq!(of(pointers, &[], broken), Err(Refusal::EventInvalid), "{broken}");
    }
    assert_eq!(
        of("", &[("x-event-id", "1"), ("x-event-id", "2")], ""),
        Err(Refusal::EventInvalid)
    );
    assert_eq!(
        of("", &[("x-event-id", &"x".repeat(257))], ""),
        Err(Refusal::EventInvalid)
    );
}

#[test]
fn events_are_subscribed_to_exactly_by_prefix_or_all() {
    let policy = policy(
        "",
        &webhook("wh", "https://hooks.example/", "events = [\"message\", \"status.*\"]"),
    );
    for (kind, is_taken) in [
        ("message", true),
        ("messages", false),
        ("Message", false),
        ("status.", true),
        ("status.read.late", true),
        ("status", false),
    ] {
        let taken = dispatch(&policy, &[("x-event-type", kind)], "").unwrap().is_some();
        assert_eq!(taken, is_taken, "{kind}");
    }
    assert_eq!(dispatch(&policy, &[], "").unwrap_err(), Refusal::EventMissing);
}

#[test]
fn what_leaves_is_signed_and_has_no_key_and_nothing_that_the_service_forged() {
    let policy = policy(
        "scan_bodies = true",
        &webhook(
            "wh",
            "https://hooks.example:443/in?x=1",
            "headers = { X-Org = \"{organization}\" }",
        ),
    );
    let lines = [
        ("x-event-id", "evt_1"),
        ("webhook-signature", "v1,forged"),
        ("x-org", "forged"),
        ("x-api-key", "whatever"),
        ("x-note", KEY),
        ("host", "inner"),
        ("content-length", "3"),
        ("x-kept", "yes"),
    ];
    let dispatch = dispatch(&policy, &lines, "{}").unwrap().unwrap();
    let sent = dispatch.headers(1_614_265_330_123, Turn::Current);
    let one = |name: &str| {
        let mut values = sent.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap().to_owned());
        assert!(values.next().is_none(), "{name} is there twice");
        first
    };
    assert_eq!(one("webhook-id").as_deref(), Some("evt_1"));
    assert_eq!(one("webhook-timestamp").as_deref(), Some("1614265330"));
    assert!(one("webhook-signature").unwrap().starts_with("v1,"));
    assert!(!one("webhook-signature").unwrap().contains("forged"));
    assert_eq!(one("x-org").as_deref(), Some("acme"));
    assert_eq!(one("host").as_deref(), Some("hooks.example"));
    assert_eq!(one("x-kept").as_deref(), Some("yes"));
    assert_eq!(one("user-agent").as_deref(), Some("keygate"));
    for name in ["x-api-key", "x-note", "content-length"] {
        assert_eq!(one(name), None, "{name}");
    }
    assert_eq!(dispatch.target().as_str(), "/in?x=1");
    assert_eq!(dispatch.removed().len(), 2);
}

#[test]
fn what_cannot_be_searched_or_holds_a_key_stays() {
    let policy = policy(
        "scan_bodies = true",
        &webhook("wh", "https://hooks.example/", "query = \"any\""),
    );
    let refused = |lines: &[(&str, &str)], body: &str| dispatch(&policy, lines, body).unwrap_err();
    assert_eq!(
        refused(&[], &format!("{{\"k\":\"{KEY}\"}}")),
        Refusal::KeyInBody("key_a".to_owned())
    );
    assert_eq!(refused(&[("content-encoding", "gzip")], "x"), Refusal::BodyEncoded);
    assert_eq!(refused(&[("webhook-id", KEY)], "x"), Refusal::KeyInEvent);
    assert_eq!(refused(&[("x-event-type", KEY)], "x"), Refusal::KeyInEvent);
    assert!(dispatch(&policy, &[("content-encoding", "identity")], "x").is_ok());
    let egress = policy.egress.as_ref().unwrap();
    let (index, body) = (egress.index_of("wh").unwrap(), cleared(&policy, "").unwrap());
    let event = policy.event(&HeaderMap::new(), None, 0, || "made".to_owned()).unwrap();
    let path = Path::Given(format!("/?k={KEY}"));
    let judged = policy.dispatch((index, &path), event, &HeaderMap::new(), Some(&body), 0);
    assert_eq!(judged.unwrap_err(), Refusal::KeyInTarget);
}

#[test]
fn a_token_may_come_in_several_ways_and_over_a_socket_none_is_asked_for() {
    let token = "egress-token-of-a-test";
    let hash = hex::encode(crate::secret::Digest::of(token.as_bytes()).0);
    let settings = format!("[[egress.tokens]]\nname = \"service\"\nhash = \"sha256:{hash}\"");
    let policy = policy(&settings, &webhook("wh", "https://hooks.example/", ""));
    let egress = policy.egress.as_ref().unwrap();
    let admits = |lines: &[(&str, &str)], is_local| {
        let head = Head {
            method: &Method::POST,
            uri: &"/webhooks/wh".parse().unwrap(),
            version: Version::HTTP_11,
            headers: &headers(lines),
            is_local,
        };
        egress.admit(&head).is_ok()
    };
    // `x:TOKEN` and `TOKEN:`.
    let basic = "Basic eDplZ3Jlc3MtdG9rZW4tb2YtYS10ZXN0";
    let wrong = "Basic ZWdyZXNzLXRva2VuLW9mLWEtdGVzdDo=";
    let bearer = format!("bearer {token}");
    for (lines, is_local, expected) in [
        (vec![("proxy-authorization", &*bearer)], false, true),
        (vec![("proxy-authorization", basic)], false, true),
        (vec![("authorization", &*bearer)], false, false),
        (vec![("x-egress-token", token)], false, true),
        (vec![("proxy-authorization", wrong)], false, false),
        (vec![("proxy-authorization", token)], false, false),
        (
            vec![("x-egress-token", "wrong"), ("proxy-authorization", &bearer)],
            false,
            false,
        ),
        (vec![], false, false),
        (vec![], true, true),
    ] {
        assert_eq!(admits(&lines, is_local), expected, "{lines:?}");
    }
}
