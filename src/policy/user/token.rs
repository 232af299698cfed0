//! A token, from its text to what it says, or to why it is not believed.
//!
//! A room of its own because everything that can be wrong with a token is here, in the order in which it is looked at: form,
//! header, key, signature, claims. Nothing of a token is believed before its signature.
//!
//! # Security
//! - The algorithm is the key's, not the token's: a header that names another one than its key has is refused (RFC 8725
//!   §3.1), and so is one outside of the configured list. `none` and HMACs are never on it.
//! - Keys come from the configured set only: a header that brings or points to a key, or that demands what is not
//!   understood here (`crit`), is refused.
//! - Times come as an argument, and a claim of the wrong type is not an absent one.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::config::user_tokens::jwks::{KeySet, VerificationKey};
use crate::config::user_tokens::{Claim, Verified};

/// The longest `sub` (OpenID Connect Core §2 allows 255).
const USER_BYTES: usize = 255;

/// Why a token is not believed: for the operator only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// Longer than `token_bytes`.
    TooLong,
    /// Not three parts of base64url, or not JSON within.
    Form,
    /// The header names an algorithm that is not on the list.
    Algorithm,
    /// The header brings a key, or points to one.
    EmbeddedKey,
    /// The header demands an extension.
    Critical,
    /// The header names no key, and there are several.
    KeyUnnamed,
    /// The header names a key that is not in the set.
    KeyUnknown,
    /// There are no keys yet.
    KeysMissing,
    /// The key that it names is for another algorithm.
    KeyMismatch,
    /// The signature is not the key's.
    Signature,
    /// `iss` is not the issuer.
    Issuer,
    /// `aud` names none of the audiences.
    Audience,
    /// `exp` has come.
    Expired,
    /// `nbf` or `iat` has not come.
    NotYetValid,
    /// Older than `max_age`, or without `iat`.
    TooOld,
    /// A claim that has to be there is not, or one is of another type than it has to be.
    Claim,
}

/// What a token says, once it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Who it is.
    pub user: String,
    /// The organization's id; empty where the token names none.
    pub organization: String,
    /// What the user may do.
    pub permissions: Arc<[String]>,
    times: Times,
}

/// When a token holds, in Unix seconds, leeway included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    from: i64,
    /// Not any more from then on.
    until: i64,
    /// As `until`, by `max_age`.
    too_old: i64,
}

/// The header's members that matter. Each may be there once: a parser that took the first and one that took the last would
/// read different tokens.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
}

/// Whether a value looks like a token: three parts, the first of which is a JSON object with an `alg`.
#[must_use]
pub fn is_token_shaped(value: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        #[serde(rename = "alg")]
        _alg: IgnoredAny,
    }
    let mut parts = value.split(|&byte| byte == b'.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let json = URL_SAFE_NO_PAD.decode(header);
    json.is_ok_and(|json| serde_json::from_slice::<Shape>(&json).is_ok())
}

/// Whether somebody could take a value for a token, however loosely they read it: it has three parts.
#[must_use]
pub fn has_three_parts(value: &[u8]) -> bool {
    memchr::memchr_iter(b'.', value).count() == 2
}

/// Verifies a token's signature, and what it says at `now` (Unix seconds).
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(token: &[u8], most_bytes: usize, rules: &Verified, set: &KeySet, now: i64) -> Result<Said, TokenError> {
    if token.len() > most_bytes {
        return Err(TokenError::TooLong);
    }
    let text = std::str::from_utf8(token).map_err(|_| TokenError::Form)?;
    let (message, signature) = text.rsplit_once('.').ok_or(TokenError::Form)?;
    let (header, payload) = message.split_once('.').ok_or(TokenError::Form)?;
    let header: Header = decode(header)?;
    let key = key_for(&header, rules, set)?;
    let signed = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, key.algorithm);
    if !signed.unwrap_or(false) {
        return Err(TokenError::Signature);
    }
    let said = believe(&decode(payload)?, rules)?;
    said.holds(now)?;
    Ok(said)
}

impl Said {
    /// Not any more from then on; Unix seconds.
    #[must_use]
    pub fn until(&self) -> i64 {
        self.times.until.min(self.times.too_old)
    }

    /// Whether it holds at `now` (Unix seconds).
    ///
    /// # Errors
    /// When it does not hold yet, or no longer.
    pub fn holds(&self, now: i64) -> Result<(), TokenError> {
        if now >= self.times.until {
            Err(TokenError::Expired)
        } else if now < self.times.from {
            Err(TokenError::NotYetValid)
        } else if now >= self.times.too_old {
            Err(TokenError::TooOld)
        } else {
            Ok(())
        }
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Form)
}

/// The only key that may have signed it.
fn key_for<'s>(header: &Header, rules: &Verified, set: &'s KeySet) -> Result<&'s VerificationKey, TokenError> {
    let algorithm = match header.alg.as_str() {
        "RS256" => Algorithm::RS256,
        "ES256" => Algorithm::ES256,
        "EdDSA" => Algorithm::EdDSA,
        _ => return Err(TokenError::Algorithm),
    };
    if !rules.algorithms.contains(&algorithm) {
        return Err(TokenError::Algorithm);
    }
    let embedded = [&header.jwk, &header.jku, &header.x5c, &header.x5u];
    if embedded.into_iter().any(Option::is_some) {
        return Err(TokenError::EmbeddedKey);
    }
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let fits = |key: &&VerificationKey| key.algorithm == algorithm;
    match &header.kid {
        Some(kid) => {
            let mut named = set.keys.iter().filter(|key| key.id.as_deref() == Some(kid)).peekable();
            named.peek().ok_or(TokenError::KeyUnknown)?;
            named.find(fits).ok_or(TokenError::KeyMismatch)
        }
        None => match set.keys.as_slice() {
            [only] => Some(only).filter(fits).ok_or(TokenError::KeyMismatch),
            _ => Err(TokenError::KeyUnnamed),
        },
    }
}

/// What the claims say, times aside.
fn believe(claims: &Value, rules: &Verified) -> Result<Said, TokenError> {
    if claims.get("iss").and_then(Value::as_str) != Some(&rules.issuer) {
        return Err(TokenError::Issuer);
    }
    let is_ours = |audience: &Value| {
        let audience = audience.as_str();
        audience.is_some_and(|name| rules.audiences.iter().any(|ours| ours == name))
    };
    let for_us = claims.get("aud").is_some_and(|audience| match audience.as_array() {
        Some(several) => several.iter().any(is_ours),
        None => is_ours(audience),
    });
    if !for_us {
        return Err(TokenError::Audience);
    }
    let names = &rules.claims;
    let user = find(claims, &names.user).and_then(scalar).ok_or(TokenError::Claim)?;
    if user.is_empty() || user.len() > USER_BYTES {
        return Err(TokenError::Claim);
    }
    let organization = match names.organization.as_ref().and_then(|claim| find(claims, claim)) {
        Some(value) => scalar(value).ok_or(TokenError::Claim)?,
        None => String::new(),
    };
    let permissions = match names.permissions.as_ref().and_then(|claim| find(claims, claim)) {
        Some(value) => words(value).ok_or(TokenError::Claim)?,
        None => Vec::new(),
    };
    Ok(Said {
        user,
        organization,
        permissions: permissions.into(),
        times: times(claims, rules)?,
    })
}

fn times(claims: &Value, rules: &Verified) -> Result<Times, TokenError> {
    let moment = |name: &str| {
        claims
            .get(name)
            .map(|value| seconds(value).ok_or(TokenError::Claim))
            .transpose()
    };
    let expires = moment("exp")?.ok_or(TokenError::Claim)?;
    let (not_before, issued) = (moment("nbf")?, moment("iat")?);
    let too_old = match (rules.max_age, issued) {
        (Some(age), Some(issued)) => issued.saturating_add(age).saturating_add(rules.leeway),
        (Some(_), None) => return Err(TokenError::TooOld),
        (None, _) => i64::MAX,
    };
    let from = not_before.into_iter().chain(issued).max();
    Ok(Times {
        from: from.map_or(i64::MIN, |from| from.saturating_sub(rules.leeway)),
        until: expires.saturating_add(rules.leeway),
        too_old,
    })
}

/// A claim that is there; `null` says nothing.
fn find<'v>(claims: &'v Value, claim: &Claim) -> Option<&'v Value> {
    let found = match claim {
        Claim::Name(name) => claims.get(name),
        Claim::Pointer(pointer) => claims.pointer(pointer),
    };
    found.filter(|value| !value.is_null())
}

/// A text, or a whole number as one.
fn scalar(value: &Value) -> Option<String> {
    value
        .as_str()
        .map(str::to_owned)
        .or_else(|| value.as_i64().map(|number| number.to_string()))
}

/// A list of texts, or one text with spaces (RFC 8693 §4.2). What cannot be a permission's name names none.
fn words(value: &Value) -> Option<Vec<String>> {
    let words: Vec<String> = match value.as_array() {
        Some(list) => list
            .iter()
            .map(|entry| entry.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        None => value.as_str()?.split_ascii_whitespace().map(str::to_owned).collect(),
    };
    let is_name = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
    Some(words.into_iter().filter(is_name).collect())
}

/// A NumericDate (RFC 7519 §2), which may have a fraction.
fn seconds(value: &Value) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation)] // rounded down, and saturated, on purpose
    value.as_i64().or_else(|| {
        value
            .as_f64()
            .filter(|seconds| seconds.is_finite())
            .map(|seconds| seconds.floor() as i64)
    })
}

impl TokenError {
    /// For the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::Form => "token_form",
            Self::Algorithm => "token_algorithm",
            Self::EmbeddedKey => "token_embedded_key",
            Self::Critical => "token_critical",
            Self::KeyUnnamed => "token_key_unnamed",
            Self::KeyUnknown => "token_key_unknown",
            Self::KeysMissing => "token_keys_missing",
            Self::KeyMismatch => "token_key_mismatch",
            Self::Signature => "token_signature",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::TooOld => "token_too_old",
            Self::Claim => "token_claim",
        }
    }
}
