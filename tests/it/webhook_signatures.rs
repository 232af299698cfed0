//! What webhooks are signed with is verified by libraries that are not Keygate's: Standard Webhooks' own from PyPI and npm, Node's
//! ed25519, and Python's `hmac` for the forms of services' own.
//!
//! `tests/run` installs them into target/verify. The headers are those that a receiver gets, made by the function that makes them
//! for every try.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderName, header};
use keygate::config::template::{Escape, Template};
use keygate::config::webhooks::secret::Rotated;
use keygate::config::webhooks::sign::{Authorization, Digits, Hmac, Overlap, Scheme, Signing, Unit};
use keygate::policy::egress::sign::{Message, Turn};
use keygate::secret::Secret;
use keygate::secret::webhook::{Encoding, Generated, Key, Kind, Symmetric, generate};
use serde_json::{Map, Value, json};

use crate::harness::Verifier;

const BODY: &str = "{\"event\":\"message\",\"text\":\"Grüße, 世界 \\u0000\"}";
const TEXT: &str = "a-secret-of-at-least-32-characters";
const OTHER: &str = "another-secret-of-32-characters-and-more";

fn by_python(cases: &[Value]) -> Vec<bool> {
    Verifier::PythonStandard.ask(cases)
}

fn by_node(cases: &[Value]) -> Vec<bool> {
    Verifier::NodeStandard.ask(cases)
}

fn by_hmac(cases: &[Value]) -> Vec<bool> {
    Verifier::PythonHmac.ask(cases)
}

fn message(body: &str) -> Message<'_> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Message {
        id: "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        event: "message",
        organization: "42",
        unix_millis: i64::try_from(now.as_millis()).unwrap(),
        body: body.as_bytes(),
    }
}

fn headers(signing: &Signing, turn: Turn) -> Value {
    let mut object = Map::new();
    for (name, value) in signing.headers(&message(BODY), turn) {
        let before = object.insert(name.to_string(), value.to_str().unwrap().into());
        assert!(before.is_none(), "{name} twice");
    }
    object.into()
}

fn key(generated: &Generated) -> Key {
    Key::parse(&generated.secret, generated.encoding).unwrap()
}

fn standard(keys: Rotated<Key>) -> Signing {
    Signing {
        schemes: vec![Scheme::Standard(keys)],
    }
}

fn case(secret: &str, headers: &Value) -> Value {
    json!({ "secret": secret, "body": BODY, "headers": headers })
}

/// The same case, with each part of it changed.
fn forged(case: &Value) -> Vec<Value> {
    let mut cases = Vec::new();
    let mut changed = case.clone();
    changed["body"] = BODY.replace("text", "test").into();
    cases.push(changed);
    for (name, value) in [("webhook-id", "msg_other"), ("webhook-timestamp", "1700000000")] {
        let mut changed = case.clone();
        changed["headers"][name] = value.into();
        cases.push(changed);
    }
    cases
}

#[test]
fn standard_webhooks_libraries_verify_symmetric_signatures_and_no_forgery() {
    let [current, previous, stranger] = [(); 3].map(|()| generate(Kind::Standard));
    let alone = headers(&standard(Rotated::only(key(&current))), Turn::Current);
    let both = Rotated {
        current: key(&current),
        previous: Some(key(&previous)),
        until: None,
    };
    let both = headers(&standard(both), Turn::Current);
    let mut cases = vec![
        case(current.secret.expose(), &alone),
        case(current.secret.expose(), &both),
        case(previous.secret.expose(), &both),
    ];
    let right = cases.len();
    cases.push(case(stranger.secret.expose(), &both));
    cases.push(case(previous.secret.expose(), &alone));
    cases.extend(forged(&cases[1]));
    let expected: Vec<bool> = (0..cases.len()).map(|index| index < right).collect();
    assert_eq!(by_python(&cases), expected);
    assert_eq!(by_node(&cases), expected);
}

#[test]
fn a_secret_that_is_text_is_verified_by_its_bytes() {
    use base64::Engine as _;
    let secret = Symmetric::text(&Secret::new(TEXT.to_owned())).unwrap();
    let headers = headers(&standard(Rotated::only(secret.into())), Turn::Current);
    let bytes = base64::engine::general_purpose::STANDARD.encode(TEXT);
    let cases = [case(&format!("whsec_{bytes}"), &headers)];
    assert_eq!(by_python(&cases), [true]);
    assert_eq!(by_node(&cases), [true]);
}

#[test]
fn ed25519_signatures_are_verified_by_the_public_key_also_beside_symmetric_ones() {
    let (pair, stranger, symmetric) = (
        generate(Kind::Ed25519),
        generate(Kind::Ed25519),
        generate(Kind::Standard),
    );
    let public = pair.public.clone().unwrap();
    let alone = headers(&standard(Rotated::only(key(&pair))), Turn::Current);
    let moving = Rotated {
        current: key(&pair),
        previous: Some(key(&symmetric)),
        until: None,
    };
    let moving = headers(&standard(moving), Turn::Current);
    let mut cases = vec![
        case(&public, &alone),
        case(&public, &moving),
        case(symmetric.secret.expose(), &moving),
    ];
    let right = cases.len();
    cases.push(case(&stranger.public.unwrap(), &moving));
    cases.extend(forged(&cases[0]));
    let expected: Vec<bool> = (0..cases.len()).map(|index| index < right).collect();
    assert_eq!(by_node(&cases), expected);
    // A receiver with the old library and secret is not disturbed by the other signature.
    assert_eq!(by_python(&cases[2..3]), [true]);
}

#[test]
fn forms_of_services_own_are_verified_as_their_receivers_do_it() {
    let name = HeaderName::from_static;
    let wa_gateway = Hmac {
        hash: keygate::secret::webhook::Hash::Sha512,
        unit: Unit::Milliseconds,
        id: Some(name("x-webhook-request-id")),
        timestamp: Some(name("x-webhook-timestamp")),
        algorithm: Some(name("x-webhook-hmac-algorithm")),
        ..Hmac::new(name("x-webhook-hmac"))
    };
    let gosendapi = Hmac {
        prefix: "sha256=".to_owned(),
        ..Hmac::new(name("x-gosendapi-signature"))
    };
    let timestamped = Hmac {
        digits: Digits::Base64,
        over: Template::of("{timestamp}.{body}", Escape::None),
        timestamp: Some(name("x-timestamp")),
        overlap: Overlap::Learn,
        ..Hmac::new(name("x-signature"))
    };
    let bearer = Authorization {
        header: header::AUTHORIZATION,
        word: Some("Bearer".to_owned()),
    };
    let keys = |of: fn(&Secret) -> Symmetric| Rotated {
        current: of(&Secret::new(TEXT.to_owned())),
        previous: Some(of(&Secret::new(OTHER.to_owned()))),
        until: None,
    };
    let hmac = |form, keys| Signing {
        schemes: vec![Scheme::Hmac(Box::new(form), keys)],
    };
    let text = |secret: &Secret| Symmetric::text(secret).unwrap();
    let only = Rotated::only(text(&Secret::new(TEXT.to_owned())));
    let secrets = Rotated {
        current: Secret::new(TEXT.to_owned()),
        previous: Some(Secret::new(OTHER.to_owned())),
        until: None,
    };
    let bearer = Signing {
        schemes: vec![Scheme::Authorization(bearer, secrets)],
    };
    let of = |form: &str, secret: &str, headers: Value| json!({ "form": form, "secret": secret, "body": BODY, "headers": headers });
    let (both, learning) = (hmac(gosendapi, keys(text)), hmac(timestamped, keys(text)));
    let mut cases = vec![
        of("wa_gateway", TEXT, headers(&hmac(wa_gateway, only), Turn::Current)),
        of("gosendapi", TEXT, headers(&both, Turn::Current)),
        of("gosendapi", OTHER, headers(&both, Turn::Current)),
        of("timestamped", TEXT, headers(&learning, Turn::Current)),
        of("timestamped", OTHER, headers(&learning, Turn::Previous)),
        of("connexease", TEXT, headers(&bearer, Turn::Current)),
        of("connexease", OTHER, headers(&bearer, Turn::Previous)),
    ];
    let right = cases.len();
    let mut changed: Vec<Value> = cases[..5].to_vec();
    for case in &mut changed {
        case["body"] = BODY.replace("text", "test").into();
    }
    cases.extend(changed);
    cases.push(of("timestamped", OTHER, headers(&learning, Turn::Current)));
    cases.push(of("connexease", OTHER, headers(&bearer, Turn::Current)));
    let expected: Vec<bool> = (0..cases.len()).map(|index| index < right).collect();
    assert_eq!(by_hmac(&cases), expected);
}

#[test]
fn a_secret_with_a_prefix_is_decoded_or_not_as_it_is_said() {
    let generated = generate(Kind::Standard);
    let text = generated.secret.expose();
    let form = || Hmac {
        prefix: "sha256=".to_owned(),
        ..Hmac::new(HeaderName::from_static("x-gosendapi-signature"))
    };
    let signed = |key: Symmetric| Signing {
        schemes: vec![Scheme::Hmac(Box::new(form()), Rotated::only(key))],
    };
    let Key::Symmetric(decoded) = Key::parse(&generated.secret, Encoding::Whsec).unwrap() else {
        panic!("{text} is symmetric");
    };
    let of = |signing: &Signing| json!({ "form": "gosendapi", "secret": text, "body": BODY, "headers": headers(signing, Turn::Current) });
    let cases = [of(&signed(decoded.verbatim())), of(&signed(decoded))];
    assert_eq!(by_hmac(&cases), [true, false]);
}
