//! What answers tell of a key's end.

use http::{HeaderMap, HeaderValue};

use super::world;
use crate::policy::Policy;
use crate::secret::Digest;

const NOW: i64 = 1_798_761_600; // 2027-01-01T00:00:00Z
const ENDING: &str = "kg_ending-and-long-enough";
const OLD: &str = "kg_rotated-old-and-long-enough";
const NEW: &str = "kg_rotated-new-and-long-enough";

fn keys() -> String {
    let hash = |key: &str| format!("hash = \"sha256:{}\"", hex::encode(Digest::of(key.as_bytes()).0));
    format!(
        "[[organizations]]\nid = \"acme\"\n\
         [[keys]]\nid = \"ending\"\nname = \"e\"\norganization = \"acme\"\n{}\nexpires_at = 2027-01-01T01:00:00Z\n\
         [[keys]]\nid = \"rotated\"\nname = \"r\"\norganization = \"acme\"\n\
         secrets = [{{ {}, expires_at = 2027-01-01T00:30:00Z }}, {{ {} }}]\n",
        hash(ENDING),
        hash(OLD),
        hash(NEW)
    )
}

fn policy(expiry: &str) -> Policy {
    let config = format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.default]\nurl = \"http://127.0.0.1:1\"\n\
         [keys]\nfile = \"keys.toml\"\n[keys.expiry]\n{expiry}\n\
         [[routes]]\npath = \"/a\"\npermission = \"nobody-has-it\"\n[[routes]]\npath = \"/open\"\naccess = \"public\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\n"
    );
    Policy::first(world::load(&config, &[("keys.toml", &keys())])).unwrap()
}

/// What an answer tells in which the service has already said something.
fn told(policy: &Policy, request: &str, key: &str, now: i64) -> Option<HeaderValue> {
    let mut call = world::Call::new(request);
    call.add(&format!("X-API-Key: {key}"));
    let said = world::decide(policy, &call, world::at(now));
    let mut headers = HeaderMap::new();
    headers.append("x-ends", HeaderValue::from_static("whenever"));
    headers.append("x-ends", HeaderValue::from_static("never"));
    policy.tell_end(&mut headers, said.trail(), now);
    let mut values = headers.get_all("x-ends").iter();
    let value = values.next().cloned();
    assert!(values.next().is_none() || policy.config.expiry.header.is_none());
    value
}

#[test]
fn the_last_window_tells_the_end_and_nothing_else_does() {
    let on = policy("header = \"X-Ends\"\nheader_within = \"1h\"");
    let own = Some(HeaderValue::from_static("Fri, 01 Jan 2027 01:00:00 GMT"));
    let overlap = Some(HeaderValue::from_static("Fri, 01 Jan 2027 00:30:00 GMT"));
    let table = [
        ("GET /b", ENDING, NOW - 1, None),
        ("GET /b", ENDING, NOW, own.clone()),
        ("GET /b", ENDING, NOW + 3_599, own.clone()),
        ("GET /b", ENDING, NOW + 3_600, None),
        ("GET /a", ENDING, NOW, own),
        ("GET /b", OLD, NOW - 1_801, None),
        ("GET /b", OLD, NOW, overlap),
        ("GET /b", NEW, NOW, None),
        ("GET /b", "kg_unknown-and-long-enough", NOW, None),
        ("GET /open", ENDING, NOW, None),
    ];
    for (request, key, now, expected) in table {
        assert_eq!(told(&on, request, key, now), expected, "{request} with {key} at {now}");
    }
    let off = policy("alerts = []");
    assert_eq!(
        told(&off, "GET /b", ENDING, NOW),
        Some(HeaderValue::from_static("whenever")),
        "what a service says is its own"
    );
}
