//! What webhooks are signed with, as Standard Webhooks 1.0.0 writes it.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Secret;

/// What a secret begins with that is written in base64.
const PREFIX: &str = "whsec_";
/// How short other text may be, in characters.
const SHORTEST_TEXT: usize = 32;

/// A symmetric key: HMAC-SHA-256.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSigningKey {
    /// `whsec_`, and then no base64.
    Base64,
    /// `whsec_`, and then fewer than 24 or more than 64 bytes.
    Length,
    /// Other text, too short to be a secret.
    Short,
}

impl SigningKey {
    /// The key that a text means: `whsec_` and 24 to 64 bytes in base64, or the text itself, at least 32 characters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &Secret) -> Result<Self, NoSigningKey> {
        let text = text.expose();
        if let Some(encoded) = text.strip_prefix(PREFIX) {
            let bytes = STANDARD.decode(encoded).map_err(|_| NoSigningKey::Base64)?;
            let bytes = Zeroizing::new(bytes);
            return if (24..=64).contains(&bytes.len()) {
                Ok(Self::of(&bytes))
            } else {
                Err(NoSigningKey::Length)
            };
        }
        if text.chars().count() < SHORTEST_TEXT {
            return Err(NoSigningKey::Short);
        }
        Ok(Self::of(text.as_bytes()))
    }

    fn of(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// `webhook-signature` of a message that is sent at this time (Unix seconds).
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign().as_ref()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

impl fmt::Display for NoSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base64 => "begins with `whsec_`, and what follows is not base64",
            Self::Length => "does not hold 24 to 64 bytes",
            Self::Short => "is shorter than 32 characters",
        })
    }
}

impl std::error::Error for NoSigningKey {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SigningKey, NoSigningKey> {
        SigningKey::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn the_example_that_receivers_are_tested_with_is_signed_as_they_expect() {
        let key = parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!format!("{key:?}").contains("MfKQ"));
    }

    #[test]
    fn what_is_too_short_or_garbled_is_no_key() {
        let of_bytes = |count| format!("whsec_{}", STANDARD.encode(vec![7; count]));
        let table = [
            (of_bytes(24), None),
            (of_bytes(64), None),
            ("x".repeat(32), None),
            (of_bytes(23), Some(NoSigningKey::Length)),
            (of_bytes(65), Some(NoSigningKey::Length)),
            ("whsec_".to_owned(), Some(NoSigningKey::Length)),
            (format!("whsec_{}", "!".repeat(40)), Some(NoSigningKey::Base64)),
            ("x".repeat(31), Some(NoSigningKey::Short)),
            (String::new(), Some(NoSigningKey::Short)),
        ];
        for (text, expected) in table {
            assert_eq!(parse(&text).err(), expected, "{text}");
        }
    }
}
