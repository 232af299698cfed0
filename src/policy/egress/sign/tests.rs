//! Headers, byte by byte, and what receivers' answers teach.

use http::{HeaderName, StatusCode};
use proptest::prelude::*;

use super::rotation::Progress;
use super::{Learned, Message, Rotations, Turn};
use crate::config::template::{Escape, Template};
use crate::config::webhooks::secret::Rotated;
use crate::config::webhooks::sign::{Authorization, Digits, Hmac, Overlap, Scheme, Signing, Unit};
use crate::secret::Secret;
use crate::secret::webhook::{Hash, Key, Symmetric};

const OLD: &str = "an-old-secret-of-32-characters-1";
const NEW: &str = "a-new-secret-of-32-characters-22";
const END: i64 = 1_700_000_000;

const MESSAGE: Message<'static> = Message {
    id: "msg_1",
    event: "message.received",
    organization: "42",
    unix_millis: 1_699_999_999_123,
    body: b"{\"a\":1}",
};

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn key(text: &str) -> Symmetric {
    Symmetric::text(&secret(text)).unwrap()
}

fn rotated<T>(of: impl Fn(&str) -> T) -> Rotated<T> {
    Rotated {
        current: of(NEW),
        previous: Some(of(OLD)),
        until: Some(END),
    }
}

fn authorization() -> Signing {
    let form = Authorization {
        header: http::header::AUTHORIZATION,
        word: Some("Bearer".to_owned()),
    };
    Signing {
        schemes: vec![Scheme::Authorization(form, rotated(secret))],
    }
}

fn hmac(form: Hmac, keys: Rotated<Symmetric>) -> Signing {
    Signing {
        schemes: vec![Scheme::Hmac(Box::new(form), keys)],
    }
}

fn form() -> Hmac {
    Hmac::new(HeaderName::from_static("x-signature"))
}

fn sent(signing: &Signing, message: &Message<'_>, turn: Turn) -> Vec<String> {
    let headers = signing.headers(message, turn);
    let line = |(name, value): &(HeaderName, http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    headers.iter().map(line).collect()
}

fn tag(text: &str, hash: Hash, signed: &str) -> String {
    hex::encode(key(text).hmac(hash, [signed.as_bytes()]))
}

#[test]
fn a_header_that_carries_one_secret_carries_that_of_the_turn() {
    let signing = authorization();
    assert_eq!(
        sent(&signing, &MESSAGE, Turn::Current),
        [format!("authorization: Bearer {NEW}")]
    );
    assert_eq!(
        sent(&signing, &MESSAGE, Turn::Previous),
        [format!("authorization: Bearer {OLD}")]
    );
    let after = Message {
        unix_millis: END * 1000,
        ..MESSAGE
    };
    assert_eq!(
        sent(&signing, &after, Turn::Previous),
        [format!("authorization: Bearer {NEW}")]
    );
    assert!(!signing.needs_body() && signing.has_single());
    assert!(signing.is_rotating(END - 1) && !signing.is_rotating(END));
    for (_, value) in signing.headers(&MESSAGE, Turn::Current) {
        assert!(value.is_sensitive());
        assert!(!format!("{value:?}").contains(NEW));
    }
    assert!(!format!("{signing:?}").contains(NEW));
}

#[test]
fn the_standard_carries_both_signatures_while_there_are_two_secrets() {
    let signing = Signing {
        schemes: vec![Scheme::Standard(rotated(|text| Key::from(key(text))))],
    };
    let [new, old] = [NEW, OLD].map(|text| key(text).standard("msg_1", 1_699_999_999, MESSAGE.body));
    for turn in [Turn::Current, Turn::Previous] {
        assert_eq!(
            sent(&signing, &MESSAGE, turn),
            [
                "webhook-id: msg_1".to_owned(),
                "webhook-timestamp: 1699999999".to_owned(),
                format!("webhook-signature: {new} {old}")
            ]
        );
    }
    let after = Message {
        unix_millis: END * 1000,
        ..MESSAGE
    };
    assert_eq!(sent(&signing, &after, Turn::Current)[2].matches("v1,").count(), 1);
    assert!(signing.needs_body() && !signing.has_single());
}

#[test]
fn hmac_in_every_form() {
    let body = "{\"a\":1}";
    let only = |form| hmac(form, Rotated::only(key(NEW)));
    assert_eq!(
        sent(&only(form()), &MESSAGE, Turn::Current),
        [format!("x-signature: {}", tag(NEW, Hash::Sha256, body))]
    );
    let full = Hmac {
        hash: Hash::Sha512,
        prefix: "v0=".to_owned(),
        over: Template::of("v0:{timestamp}:{id}:{event}:{organization}:{body}", Escape::None),
        unit: Unit::Milliseconds,
        id: Some(HeaderName::from_static("x-id")),
        timestamp: Some(HeaderName::from_static("x-time")),
        algorithm: Some(HeaderName::from_static("x-algorithm")),
        ..form()
    };
    let signed = format!("v0:1699999999123:msg_1:message.received:42:{body}");
    assert_eq!(
        sent(&only(full), &MESSAGE, Turn::Current),
        [
            format!("x-signature: v0={}", tag(NEW, Hash::Sha512, &signed)),
            "x-algorithm: sha512".to_owned(),
            "x-id: msg_1".to_owned(),
            "x-time: 1699999999123".to_owned(),
        ]
    );
    let base64 = Hmac {
        digits: Digits::Base64,
        over: Template::of("{timestamp}.{body}", Escape::None),
        ..form()
    };
    let [header] = <[String; 1]>::try_from(sent(&only(base64), &MESSAGE, Turn::Current)).unwrap();
    assert_eq!(header.len(), "x-signature: ".len() + 44, "{header}");
}

#[test]
fn hmac_in_a_rotation() {
    let [new, old] = [NEW, OLD].map(|text| tag(text, Hash::Sha256, "{\"a\":1}"));
    let with = |overlap| {
        let form = Hmac {
            prefix: "sha256=".to_owned(),
            overlap,
            ..form()
        };
        hmac(form, rotated(key))
    };
    let list = with(Overlap::List(",".to_owned()));
    assert_eq!(
        sent(&list, &MESSAGE, Turn::Previous),
        [format!("x-signature: sha256={new},sha256={old}")]
    );
    assert_eq!(
        sent(&with(Overlap::Lines), &MESSAGE, Turn::Current),
        [
            format!("x-signature: sha256={new}"),
            format!("x-signature: sha256={old}")
        ]
    );
    let learn = with(Overlap::Learn);
    assert_eq!(
        sent(&learn, &MESSAGE, Turn::Current),
        [format!("x-signature: sha256={new}")]
    );
    assert_eq!(
        sent(&learn, &MESSAGE, Turn::Previous),
        [format!("x-signature: sha256={old}")]
    );
    assert!(learn.has_single() && !list.has_single());
}

#[test]
fn a_receiver_that_moves_is_followed() {
    let signing = authorization();
    let mut rotations = Rotations::default();
    let mut now = END - 100_000;
    let progress = |rotations: &Rotations, now| rotations.progress([("a", &signing)], now);
    let done = |moved, holding, unknown| {
        Some(Progress {
            moved,
            holding,
            unknown,
        })
    };
    assert_eq!(progress(&rotations, now), done(0, 0, 1));

    // It has the old one still: refused once, then left alone.
    assert_eq!(rotations.turn("a", &signing, true, now), Turn::Current);
    let learned = rotations.learn("a", &signing, Turn::Current, StatusCode::UNAUTHORIZED, now);
    assert_eq!(learned, Learned::TryOther(Turn::Previous));
    assert_eq!(
        rotations.learn("a", &signing, Turn::Previous, StatusCode::OK, now),
        Learned::Holds
    );
    assert_eq!(rotations.turn("a", &signing, true, now + 1), Turn::Previous);
    assert_eq!(progress(&rotations, now), done(0, 1, 0));

    // Answers that say nothing about secrets change nothing.
    for status in [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::NOT_FOUND,
        StatusCode::FOUND,
    ] {
        assert_eq!(
            rotations.learn("a", &signing, Turn::Previous, status, now),
            Learned::Nothing
        );
        assert_eq!(rotations.turn("a", &signing, true, now + 1), Turn::Previous);
    }

    // After an hour the new one is tried again, where a refusal can be made good.
    now += 3600;
    assert_eq!(rotations.turn("a", &signing, false, now), Turn::Previous);
    assert_eq!(rotations.turn("a", &signing, true, now), Turn::Current);
    assert_eq!(
        rotations
            .learn("a", &signing, Turn::Current, StatusCode::FORBIDDEN, now)
            .other(),
        Some(Turn::Previous)
    );
    assert_eq!(rotations.turn("a", &signing, true, now), Turn::Previous);

    // It moves.
    now += 60;
    let learned = rotations.learn("a", &signing, Turn::Previous, StatusCode::UNAUTHORIZED, now);
    assert_eq!(learned, Learned::TryOther(Turn::Current));
    let learned = rotations.learn("a", &signing, Turn::Current, StatusCode::NO_CONTENT, now);
    assert_eq!(learned, Learned::Moved);
    assert_eq!(rotations.turn("a", &signing, true, now), Turn::Current);
    assert_eq!(rotations.has_moved("a", &signing, now), Some(true));
    assert!(progress(&rotations, now).unwrap().is_done());
    assert_eq!(
        rotations.learn("a", &signing, Turn::Current, StatusCode::OK, now),
        Learned::Nothing
    );

    // A late answer to an older message does not turn it back.
    assert_eq!(
        rotations.learn("a", &signing, Turn::Previous, StatusCode::OK, now),
        Learned::Holds
    );
    assert_eq!(rotations.has_moved("a", &signing, now), Some(true));
    assert_eq!(rotations.turn("a", &signing, true, now), Turn::Current);

    // At the end there is nothing more to learn.
    assert_eq!(progress(&rotations, END), None);
    assert_eq!(
        rotations.learn("a", &signing, Turn::Current, StatusCode::UNAUTHORIZED, END),
        Learned::Nothing
    );
    assert_eq!(rotations.turn("a", &signing, true, END), Turn::Current);
}

#[test]
fn what_was_learnt_is_forgotten_with_other_secrets() {
    let signing = authorization();
    let mut rotations = Rotations::default();
    let _ = rotations.learn("a", &signing, Turn::Previous, StatusCode::OK, 0);
    assert_eq!(rotations.has_moved("a", &signing, 0), Some(false));
    let Some(Scheme::Authorization(form, _)) = signing.schemes.first() else {
        panic!();
    };
    let third = Rotated {
        current: secret("a-third-secret-of-32-characters-"),
        previous: Some(secret(NEW)),
        until: None,
    };
    let next = Signing {
        schemes: vec![Scheme::Authorization(form.clone(), third)],
    };
    assert_eq!(rotations.has_moved("a", &next, 0), None);
    assert_eq!(rotations.turn("a", &next, false, 0), Turn::Current);
    rotations.retain(|webhook| webhook != "a");
    assert_eq!(rotations.has_moved("a", &signing, 0), None);
}

#[test]
fn where_nothing_is_to_be_learnt_nothing_is() {
    let list = hmac(form(), rotated(key));
    let mut rotations = Rotations::default();
    assert_eq!(
        rotations.learn("a", &list, Turn::Current, StatusCode::UNAUTHORIZED, 0),
        Learned::Nothing
    );
    assert_eq!(rotations.progress([("a", &list)], 0), None);
}

proptest! {
    /// Receivers switch whenever they like, answers to several messages come in any order: no message is refused twice.
    #[test]
    fn no_delivery_is_lost_whenever_a_receiver_moves(
        moves_at in 0_usize..40, overlap in 0_usize..10, steps in prop::collection::vec(0_i64..4000, 1..60),
    ) {
        let signing = authorization();
        let mut rotations = Rotations::default();
        let mut now = END - 4000 * 60;
        let mut refusals = 0;
        for (index, step) in steps.iter().enumerate() {
            now += step;
            // For a while it takes both.
            let takes = |turn: Turn| match turn {
                Turn::Current => index >= moves_at,
                Turn::Previous => index < moves_at + overlap,
            };
            let mut turn = rotations.turn("a", &signing, true, now);
            let mut is_taken = false;
            for _ in 0..2 {
                let status = if takes(turn) { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
                let learned = rotations.learn("a", &signing, turn, status, now);
                is_taken |= status.is_success();
                match learned.other() {
                    Some(other) => { refusals += 1; turn = other; }
                    None => break,
                }
            }
            prop_assert!(is_taken, "message {index} was lost");
        }
        let hours = usize::try_from((now - (END - 4000 * 60)) / 3600).unwrap();
        prop_assert!(refusals <= 2 + hours, "{refusals} refusals in {hours} hours");
    }

    /// Any id gives headers that can be sent, and the signature is over the id that the receiver reads.
    #[test]
    fn any_message_can_be_signed(id in "\\PC{0,40}", body in prop::collection::vec(any::<u8>(), 0..100), millis in any::<i64>()) {
        let signing = Signing { schemes: vec![Scheme::Standard(Rotated::only(key(NEW).into()))] };
        let message = Message { id: &id, unix_millis: millis, body: &body, ..MESSAGE };
        let headers = signing.headers(&message, Turn::Current);
        let read = |at: usize| headers[at].1.to_str().unwrap();
        prop_assert_eq!(read(2), key(NEW).standard(read(0), read(1).parse().unwrap(), &body));
    }
}
