//! Tokens of every kind of wrong, each with its reason.

#[path = "../../../tests/it/harness/issuer.rs"]
#[allow(dead_code)] // shared with the tests from outside
pub mod issuer;

use std::sync::LazyLock;

use serde_json::{Value, json};

use self::issuer::{SigningKey, encode, hmac_token, key_set};
use super::token::{Said, TokenError, has_three_parts, is_token_shaped, verify};
use crate::config::user_tokens::jwks::KeySet;
use crate::config::user_tokens::{Claim, Claims, Keys, Verified};
use jsonwebtoken::Algorithm;

const NOW: i64 = 1_800_000_000;
const MOST: usize = 2048;

struct Bench {
    rsa: SigningKey,
    ec: SigningKey,
    ed: SigningKey,
    set: KeySet,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let (rsa, ec, ed) = (SigningKey::rsa("r"), SigningKey::ec("e"), SigningKey::ed("d"));
    let set = KeySet::parse(key_set(&[&rsa, &ec, &ed]).as_bytes(), &ALL).unwrap();
    Bench { rsa, ec, ed, set }
});

const ALL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

fn rules() -> Verified {
    Verified {
        issuer: "https://id.example".into(),
        audiences: vec!["gateway".to_owned(), "api".to_owned()],
        keys: Keys::File(KeySet::default()),
        algorithms: ALL.to_vec(),
        leeway: 30,
        max_age: None,
        claims: Claims {
            user: Claim::Name("sub".to_owned()),
            organization: Some(Claim::Name("org".to_owned())),
            permissions: Some(Claim::Pointer("/realm/roles".to_owned())),
        },
    }
}

/// Good claims, with these members in place of theirs; `null` removes one.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://id.example", "aud": "gateway", "sub": "user-1", "org": "acme",
        "exp": NOW + 300, "iat": NOW - 10, "realm": {"roles": ["read", "send"]},
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn verified(token: &str) -> Result<Said, TokenError> {
    verify(token.as_bytes(), MOST, &rules(), &BENCH.set, NOW)
}

#[test]
fn every_algorithm_verifies_and_says_who_it_is() {
    for key in [&BENCH.rsa, &BENCH.ec, &BENCH.ed] {
        let said = verified(&key.token(&claims(&json!({})))).unwrap();
        assert_eq!(
            (said.user.as_str(), said.organization.as_str()),
            ("user-1", "acme"),
            "{}",
            key.algorithm()
        );
        assert_eq!(*said.permissions, ["read", "send"]);
    }
}

#[test]
fn claims_that_are_not_believed() {
    let table = [
        (json!({"iss": "https://evil.example"}), TokenError::Issuer),
        (json!({"iss": "https://id.example/"}), TokenError::Issuer),
        (json!({"iss": ["https://id.example"]}), TokenError::Issuer),
        (json!({"iss": null}), TokenError::Issuer),
        (json!({"aud": "other"}), TokenError::Audience),
        (json!({"aud": ["other", 3]}), TokenError::Audience),
        (json!({"aud": []}), TokenError::Audience),
        (json!({"aud": null}), TokenError::Audience),
        (json!({"exp": NOW - 30}), TokenError::Expired),
        (json!({"exp": (NOW - 30) as f64 + 0.9}), TokenError::Expired),
        (json!({"exp": null}), TokenError::Claim),
        (json!({"exp": "1900000000"}), TokenError::Claim),
        (json!({"nbf": NOW + 31}), TokenError::NotYetValid),
        (json!({"nbf": "0"}), TokenError::Claim),
        (json!({"iat": NOW + 31}), TokenError::NotYetValid),
        (json!({"iat": {}}), TokenError::Claim),
        (json!({"sub": null}), TokenError::Claim),
        (json!({"sub": ""}), TokenError::Claim),
        (json!({"sub": ["user-1"]}), TokenError::Claim),
        (json!({"sub": "x".repeat(256)}), TokenError::Claim),
        (json!({"org": ["acme"]}), TokenError::Claim),
        (json!({"realm": {"roles": [1]}}), TokenError::Claim),
        (json!({"realm": {"roles": {"read": true}}}), TokenError::Claim),
    ];
    for (changes, expected) in table {
        let token = BENCH.ed.token(&claims(&changes));
        assert_eq!(verified(&token), Err(expected), "{changes}");
    }
    for claims in ["[]", "3", "{", "\"x\""] {
        let token = BENCH.ed.sign("{\"alg\":\"EdDSA\",\"kid\":\"d\"}", claims);
        assert!(verified(&token).is_err(), "{claims}");
    }
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    for changes in [
        json!({"exp": NOW - 29}),
        json!({"nbf": NOW + 30}),
        json!({"iat": NOW + 30}),
        json!({"iat": null}),
        json!({"aud": ["x", "api"]}),
    ] {
        assert!(verified(&BENCH.ed.token(&claims(&changes))).is_ok(), "{changes}");
    }
    let said = verified(&BENCH.ed.token(&claims(&json!({})))).unwrap();
    assert_eq!(said.holds(NOW + 329), Ok(()));
    assert_eq!(said.holds(NOW + 330), Err(TokenError::Expired));
    assert_eq!(said.holds(NOW - 41), Err(TokenError::NotYetValid));

    let rules = Verified {
        max_age: Some(60),
        ..rules()
    };
    let aged = |changes| {
        verify(
            BENCH.ed.token(&claims(&changes)).as_bytes(),
            MOST,
            &rules,
            &BENCH.set,
            NOW,
        )
        .err()
    };
    assert_eq!(aged(json!({"iat": NOW - 89})), None);
    assert_eq!(aged(json!({"iat": NOW - 90})), Some(TokenError::TooOld));
    assert_eq!(aged(json!({"iat": null})), Some(TokenError::TooOld));
}

#[test]
fn claims_are_mapped() {
    let table = [
        (json!({"org": 42}), "42", vec!["read", "send"]),
        (json!({"org": null}), "", vec!["read", "send"]),
        (
            json!({"realm": {"roles": "read  messages:send"}}),
            "acme",
            vec!["read", "messages:send"],
        ),
        (
            json!({"realm": {"roles": ["a b", "", "ü", "send"]}}),
            "acme",
            vec!["send"],
        ),
        (json!({"realm": null}), "acme", vec![]),
    ];
    for (changes, organization, permissions) in table {
        let said = verified(&BENCH.ed.token(&claims(&changes))).unwrap();
        assert_eq!(said.organization, organization, "{changes}");
        assert_eq!(*said.permissions, *permissions, "{changes}");
    }
}

#[test]
fn headers_that_are_refused() {
    let Bench { rsa, ec, ed, .. } = &*BENCH;
    let body = claims(&json!({})).to_string();
    let jwk = ed.jwk().to_string();
    let table: Vec<(String, TokenError)> = vec![
        (
            ed.sign("{\"alg\":\"none\",\"kid\":\"d\"}", &body),
            TokenError::Algorithm,
        ),
        (
            ed.sign("{\"alg\":\"NONE\",\"kid\":\"d\"}", &body),
            TokenError::Algorithm,
        ),
        (
            ed.sign("{\"alg\":\"PS256\",\"kid\":\"r\"}", &body),
            TokenError::Algorithm,
        ),
        (ed.sign("{\"kid\":\"d\"}", &body), TokenError::Form),
        (
            ed.sign("{\"alg\":\"EdDSA\",\"alg\":\"none\",\"kid\":\"d\"}", &body),
            TokenError::Form,
        ),
        (
            ed.sign("{\"alg\":\"EdDSA\",\"kid\":\"r\"}", &body),
            TokenError::KeyMismatch,
        ),
        (
            ec.sign("{\"alg\":\"RS256\",\"kid\":\"e\"}", &body),
            TokenError::KeyMismatch,
        ),
        (
            rsa.sign("{\"alg\":\"RS256\",\"kid\":\"e\"}", &body),
            TokenError::KeyMismatch,
        ),
        (
            ec.sign("{\"alg\":\"RS256\",\"kid\":\"r\"}", &body),
            TokenError::Signature,
        ),
        (
            ed.sign("{\"alg\":\"EdDSA\",\"kid\":\"other\"}", &body),
            TokenError::KeyUnknown,
        ),
        (ed.sign("{\"alg\":\"EdDSA\"}", &body), TokenError::KeyUnnamed),
        (
            ed.sign(&format!("{{\"alg\":\"EdDSA\",\"kid\":\"d\",\"jwk\":{jwk}}}"), &body),
            TokenError::EmbeddedKey,
        ),
        (
            ed.sign("{\"alg\":\"EdDSA\",\"kid\":\"d\",\"jku\":\"https://e\"}", &body),
            TokenError::EmbeddedKey,
        ),
        (
            ed.sign("{\"alg\":\"EdDSA\",\"kid\":\"d\",\"x5u\":\"https://e\"}", &body),
            TokenError::EmbeddedKey,
        ),
        (
            ed.sign("{\"alg\":\"EdDSA\",\"kid\":\"d\",\"x5c\":[\"MII\"]}", &body),
            TokenError::EmbeddedKey,
        ),
        (
            ed.sign(
                "{\"alg\":\"EdDSA\",\"kid\":\"d\",\"crit\":[\"b64\"],\"b64\":false}",
                &body,
            ),
            TokenError::Critical,
        ),
    ];
    for (token, expected) in table {
        assert_eq!(verified(&token), Err(expected), "{token}");
    }
}

#[test]
fn a_public_key_is_nobodys_secret() {
    let body = claims(&json!({})).to_string();
    for key in [&BENCH.rsa, &BENCH.ec, &BENCH.ed] {
        for secret in [
            key.public(),
            key.jwk().to_string().into_bytes(),
            encode(key.public()).into_bytes(),
        ] {
            for alg in ["HS256", "HS384", "HS512", key.algorithm()] {
                let header = json!({"alg": alg, "kid": key.id}).to_string();
                let found = verified(&hmac_token(&secret, &header, &body));
                assert!(
                    matches!(found, Err(TokenError::Algorithm | TokenError::Signature)),
                    "{alg}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn only_listed_algorithms_count() {
    let rules = Verified {
        algorithms: vec![Algorithm::ES256],
        ..rules()
    };
    let token = BENCH.ed.token(&claims(&json!({})));
    let found = verify(token.as_bytes(), MOST, &rules, &BENCH.set, NOW);
    assert_eq!(found, Err(TokenError::Algorithm));
}

#[test]
fn the_only_key_need_not_be_named() {
    let set = KeySet::parse(key_set(&[&BENCH.ed]).as_bytes(), &ALL).unwrap();
    let body = claims(&json!({})).to_string();
    let check = |token: String| verify(token.as_bytes(), MOST, &rules(), &set, NOW).map(|said| said.user);
    assert_eq!(
        check(BENCH.ed.sign("{\"alg\":\"EdDSA\"}", &body)).as_deref(),
        Ok("user-1")
    );
    assert_eq!(
        check(BENCH.ec.sign("{\"alg\":\"ES256\"}", &body)),
        Err(TokenError::KeyMismatch)
    );
}

#[test]
fn what_was_changed_cut_or_blown_up_is_refused() {
    let token = BENCH.ec.token(&claims(&json!({})));
    assert!(verified(&token).is_ok());
    let parts: Vec<&str> = token.split('.').collect();
    let forged = encode(claims(&json!({"sub": "admin"})).to_string());
    for (wrong, expected) in [
        (format!("{}.{forged}.{}", parts[0], parts[2]), TokenError::Signature),
        (format!("{}.{}.", parts[0], parts[1]), TokenError::Signature),
        (format!("{token}="), TokenError::Signature),
        (format!("{token}."), TokenError::Signature),
        (format!("{token}.x"), TokenError::Signature),
        (format!("{}.{}", parts[0], parts[1]), TokenError::Form),
        (format!(" {token}"), TokenError::Form),
        ("..".to_owned(), TokenError::Form),
        ("a.b.c".to_owned(), TokenError::Form),
        (String::new(), TokenError::Form),
        ("x".repeat(MOST + 1), TokenError::TooLong),
    ] {
        assert_eq!(verified(&wrong), Err(expected), "{wrong}");
    }
    let long = BENCH.ed.token(&claims(&json!({"padding": "x".repeat(MOST)})));
    assert_eq!(verified(&long), Err(TokenError::TooLong));
}

#[test]
fn a_token_is_told_from_a_key() {
    let token = BENCH.ed.token(&claims(&json!({})));
    let unsigned = format!("{}.{}.", encode("{\"alg\":\"none\"}"), encode("{}"));
    let spaced = format!("{}.{}.x", encode(" {\"alg\":\"none\"}"), encode("{}"));
    for (value, shaped, parts) in [
        (token.as_str(), true, true),
        (&unsigned, true, true),
        (&spaced, true, true),
        ("kg_alpha0123456789", false, false),
        ("a.b.c", false, true),
        ("eyJh.b.c", false, true),
        ("a.b.c.d", false, false),
        ("a.b.c.d.e", false, false),
    ] {
        assert_eq!(is_token_shaped(value.as_bytes()), shaped, "{value}");
        assert_eq!(has_three_parts(value.as_bytes()), parts, "{value}");
    }
}

#[test]
fn no_reason_is_told_twice() {
    let all = [
        TokenError::TooLong,
        TokenError::Form,
        TokenError::Algorithm,
        TokenError::EmbeddedKey,
        TokenError::Critical,
        TokenError::KeyUnnamed,
        TokenError::KeyUnknown,
        TokenError::KeysMissing,
        TokenError::KeyMismatch,
        TokenError::Signature,
        TokenError::Issuer,
        TokenError::Audience,
        TokenError::Expired,
        TokenError::NotYetValid,
        TokenError::TooOld,
        TokenError::Claim,
    ];
    let reasons: std::collections::HashSet<_> = all.iter().map(|error| error.reason()).collect();
    assert_eq!(reasons.len(), all.len());
}
