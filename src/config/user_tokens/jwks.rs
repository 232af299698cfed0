//! A set of public keys (RFC 7517) → the keys that user tokens are verified with.
//!
//! A room of its own because a set comes from a file or over the network, and is read in the same way in both cases: what
//! cannot verify a token is passed over, and nothing but public keys is ever taken.
//!
//! # Security
//! A key verifies under exactly one algorithm, which its type decides, and not the token: an RSA key is never an HMAC's
//! secret. Symmetric keys have no place in a public set and are never taken.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// How many keys of a set are looked at.
const MOST_KEYS: usize = 100;

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
    keys: Vec<serde_json::Value>,
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
    d: Option<serde::de::IgnoredAny>,
    k: Option<serde::de::IgnoredAny>,
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
        for value in raw.keys {
            // A key in a form that is not known here is for somebody else.
            let Ok(raw) = serde_json::from_value::<RawKey>(value) else {
                continue;
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
            ("RSA", _) => (
                Algorithm::RS256,
                "RS256",
                DecodingKey::from_rsa_components(&self.n?, &self.e?),
            ),
            ("EC", Some("P-256")) => (
                Algorithm::ES256,
                "ES256",
                DecodingKey::from_ec_components(&self.x?, &self.y?),
            ),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, "EdDSA", DecodingKey::from_ed_components(&self.x?)),
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
            Self::NoKey => "RSA, P-256 or Ed25519 keys for signatures",
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
