//! A set of public keys (RFC 7517) → the keys that user tokens are verified with.
//!
//! A room of its own because a set comes from a file or over the network, and is read in the same way in both cases: what
//! cannot verify a token is passed over, and nothing but public keys is ever taken.
//!
//! # Security
//! A key verifies under exactly one algorithm, which its type decides, and not the token: an RSA key is never an HMAC's
//! secret. Symmetric keys have no place in a public set and are never taken, and neither is a key that is too short to
//! verify anything: it would take the place of good ones.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How many keys of a set are looked at.
const MOST_KEYS: usize = 100;
/// How long an RSA key is: RFC 7518 §3.3 demands the least, and nobody verifies with more.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// The keys of one set that can verify tokens.
#[derive(Clone, Default)]
pub struct KeySet {
    /// In the order of the set.
    pub keys: Vec<VerificationKey>,
}

/// One public key.
#[derive(Clone)]
pub struct VerificationKey {
    /// `kid`
    pub id: Option<Box<str>>,
    /// The only algorithm that it verifies.
    pub algorithm: Algorithm,
    /// The key itself.
    pub key: DecodingKey,
}

/// Why a set cannot be used at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Not a JSON object with a list of `keys`.
    Form,
    /// Too many keys.
    TooMany,
    /// A private or symmetric key is among them: whoever wrote it has published a secret.
    Private,
    /// No key that can verify one of the algorithms.
    NoKey,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<RawEntry>,
}

/// A key in a form that is not known here is for somebody else.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawEntry {
    Key(Box<RawKey>),
    Other(IgnoredAny),
}

/// The members that matter, each of which may be there once.
#[derive(Deserialize)]
struct RawKey {
    kty: String,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

impl KeySet {
    /// Reads a set. Keys of other types, for other uses or for other algorithms than `allowed` are passed over.
    ///
    /// # Errors
    /// When nothing in it can be used, or when it holds a secret.
    pub fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<Self, Unusable> {
        let raw: RawSet = serde_json::from_slice(json).map_err(|_| Unusable::Form)?;
        if raw.keys.len() > MOST_KEYS {
            return Err(Unusable::TooMany);
        }
        let mut keys = Vec::with_capacity(raw.keys.len());
        for entry in raw.keys {
            let raw = match entry {
                RawEntry::Key(raw) => raw,
                RawEntry::Other(IgnoredAny) => continue,
            };
            if raw.d.is_some() || raw.k.is_some() {
                return Err(Unusable::Private);
            }
            keys.extend(raw.usable().filter(|key| allowed.contains(&key.algorithm)));
        }
        if keys.is_empty() {
            return Err(Unusable::NoKey);
        }
        Ok(Self { keys })
    }
}

impl RawKey {
    /// The key, if it is for signatures that are verified here. `use`, `key_ops` and `alg` are the issuer's own word on what
    /// it is for (RFC 7517 §4.2 to §4.4).
    fn usable(self) -> Option<VerificationKey> {
        if self.r#use.is_some_and(|purpose| purpose != "sig")
            || self
                .key_ops
                .is_some_and(|operations| !operations.iter().any(|operation| operation == "verify"))
        {
            return None;
        }
        let (algorithm, name, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (of_bits(self.n?, RSA_BITS)?, of_bits(self.e?, 2..=33)?);
                (Algorithm::RS256, "RS256", DecodingKey::from_rsa_components(&n, &e))
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (of_32_bytes(self.x?)?, of_32_bytes(self.y?)?);
                (Algorithm::ES256, "ES256", DecodingKey::from_ec_components(&x, &y))
            }
            ("OKP", Some("Ed25519")) => {
                let x = of_32_bytes(self.x?)?;
                (Algorithm::EdDSA, "EdDSA", DecodingKey::from_ed_components(&x))
            }
            (_, _) => return None,
        };
        if self.alg.is_some_and(|alg| alg != name) {
            return None;
        }
        Some(VerificationKey {
            id: self.kid.map(String::into_boxed_str),
            algorithm,
            key: key.ok()?,
        })
    }
}

/// `text`, if it is the base64url of a number with so many bits.
fn of_bits(text: String, bits: RangeInclusive<usize>) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(&text).ok()?;
    let first = bytes.iter().position(|&byte| byte != 0)?;
    let length = (bytes.len() - first) * 8 - bytes[first].leading_zeros() as usize;
    bits.contains(&length).then_some(text)
}

/// `text`, if it is the base64url of 32 bytes.
fn of_32_bytes(text: String) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(&text).ok()?;
    (bytes.len() == 32).then_some(text)
}

impl Unusable {
    /// What is wrong, for people.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Form => "is not a JSON Web Key Set",
            Self::TooMany => "holds more than 100 keys",
            Self::Private => "holds a private or symmetric key",
            Self::NoKey => "holds no key that can verify one of `algorithms`",
        }
    }

    /// What helps.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::Form => "{\"keys\": […]}, as the issuer publishes it (RFC 7517)",
            Self::TooMany => "is it the right one?",
            Self::Private => "publish public keys only, and replace the one that was published",
            Self::NoKey => "RSA (2048 bits or more), P-256 or Ed25519 keys for signatures",
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

impl std::error::Error for Unusable {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn taken(keys: &str, allowed: &[Algorithm]) -> Result<Vec<Algorithm>, Unusable> {
        let set = KeySet::parse(format!("{{\"keys\":[{keys}]}}").as_bytes(), allowed)?;
        Ok(set.keys.iter().map(|key| key.algorithm).collect())
    }

    #[test]
    fn only_what_verifies_signatures_is_taken() {
        let ed = |more: &str| format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{X}\"{more}}}");
        let rsa = |bytes| {
            format!(
                "{{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"{}\"}}",
                URL_SAFE_NO_PAD.encode(vec![0x80; bytes])
            )
        };
        let ec = |x: &str, y: &str| format!("{{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"{x}\",\"y\":\"{y}\"}}");
        let table = [
            (ed(""), Ok(vec![Algorithm::EdDSA])),
            (ed(",\"use\":\"sig\""), Ok(vec![Algorithm::EdDSA])),
            (
                ed(",\"alg\":\"EdDSA\",\"key_ops\":[\"verify\"]"),
                Ok(vec![Algorithm::EdDSA]),
            ),
            (ed(",\"use\":\"enc\""), Err(Unusable::NoKey)),
            (ed(",\"key_ops\":[\"sign\"]"), Err(Unusable::NoKey)),
            (ed(",\"alg\":\"ES256\""), Err(Unusable::NoKey)),
            (ed(",\"d\":\"x\""), Err(Unusable::Private)),
            ("{\"kty\":\"oct\",\"k\":\"AAAA\"}".to_owned(), Err(Unusable::Private)),
            (
                format!("{{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"{X}\"}},{}", ed("")),
                Ok(vec![Algorithm::EdDSA]),
            ),
            (format!("17,{{\"kty\":3}},{}", ed("")), Ok(vec![Algorithm::EdDSA])),
            (String::new(), Err(Unusable::NoKey)),
            // A key that is said to be for two things is for neither.
            (ed(",\"use\":\"enc\",\"use\":\"sig\""), Err(Unusable::NoKey)),
            (rsa(255), Err(Unusable::NoKey)),
            (rsa(256), Ok(vec![Algorithm::RS256])),
            (rsa(1025), Err(Unusable::NoKey)),
            (ed("").replace(X, "AAAA"), Err(Unusable::NoKey)),
            (ec("AAAA", X), Err(Unusable::NoKey)),
            (ec(X, X), Ok(vec![Algorithm::ES256])),
        ];
        for (keys, expected) in table {
            assert_eq!(taken(&keys, &ALL), expected, "{keys}");
        }
        assert_eq!(taken(&ed(""), &[Algorithm::RS256]), Err(Unusable::NoKey));
        assert_eq!(taken(&vec![ed(""); 101].join(","), &ALL), Err(Unusable::TooMany));
        for json in ["", "[]", "{\"keys\":3}", "<html>"] {
            assert_eq!(
                KeySet::parse(json.as_bytes(), &ALL).err(),
                Some(Unusable::Form),
                "{json}"
            );
        }
    }
}
