//! What webhooks are signed with: symmetric keys, and ed25519 pairs, as they are written down, made and used.
//!
//! A room of its own because three kinds of text look alike and mean different bytes. Which kind a text is, an
//! [`Encoding`] says; nothing here guesses it.
//!
//! - text: its own bytes are the key of an HMAC; at least 32 characters.
//! - `whsec_` and base64: the 24 to 64 bytes behind it are (Standard Webhooks 1.0.0, "Signature scheme").
//! - `whsk_` and base64: an ed25519 private key (RFC 8032): its 32-byte seed, or the seed and the public key behind it.
//!
//! # Security
//! Neither `Debug` nor an error shows a key. Everything that holds one is wiped on drop.

mod asymmetric;
mod generate;
mod symmetric;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::Secret;

pub use asymmetric::Pair;
pub use generate::{Generated, Kind, generate};
pub use symmetric::{Hash, Symmetric};

/// What a symmetric secret begins with that is written in base64.
pub const WHSEC: &str = "whsec_";
/// What an ed25519 private key begins with.
pub const WHSK: &str = "whsk_";
/// What an ed25519 public key begins with.
pub const WHPK: &str = "whpk_";
/// How short a text may be, in characters.
pub const SHORTEST_TEXT: usize = 32;
/// How many bytes a symmetric key of Standard Webhooks has.
pub const STANDARD_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Standard base64 (RFC 4648 §4); its padding may be left out, as other programs leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a secret is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `"text"`: as it is.
    Text,
    /// `"whsec"`: `whsec_` and base64.
    Whsec,
    /// `"ed25519"`: `whsk_` and base64.
    Ed25519,
}

/// A key to sign with.
#[derive(Debug, Clone)]
pub enum Key {
    /// Both sides know it.
    Symmetric(Symmetric),
    /// Only the sender knows it; receivers know its public half.
    Pair(Pair),
}

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {
    /// Text that is too short to be a secret.
    Short,
    /// It does not begin with what its encoding begins with.
    Prefix(&'static str),
    /// It begins so, and then comes no base64.
    Base64(&'static str),
    /// `whsec_`, and then fewer than 24 or more than 64 bytes.
    Length,
    /// `whsk_`, and then neither 32 nor 64 bytes.
    SeedLength,
    /// `whsk_`, and then a seed and a public key that do not belong together.
    NoPair,
    /// `whpk_`: what receivers have.
    Public,
}

impl Key {
    /// The key that a text means.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &Secret, encoding: Encoding) -> Result<Self, NoKey> {
        match encoding {
            Encoding::Text => Symmetric::text(text).map(Self::Symmetric),
            Encoding::Whsec => Symmetric::whsec(text).map(Self::Symmetric),
            Encoding::Ed25519 => Pair::parse(text).map(Self::Pair),
        }
    }

    /// One signature in `webhook-signature`, of a message that is sent at this time (Unix seconds): `v1,…` with a symmetric
    /// key, `v1a,…` with a pair.
    #[must_use]
    pub fn standard(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        match self {
            Self::Symmetric(key) => key.standard(id, timestamp, body),
            Self::Pair(pair) => pair.standard(id, timestamp, body),
        }
    }
}

/// What stands behind `prefix`, decoded.
fn decoded(text: &Secret, prefix: &'static str) -> Result<Zeroizing<Vec<u8>>, NoKey> {
    let encoded = text.expose().strip_prefix(prefix).ok_or(NoKey::Prefix(prefix))?;
    let bytes = BASE64.decode(encoded).map_err(|_| NoKey::Base64(prefix))?;
    Ok(Zeroizing::new(bytes))
}

/// What Standard Webhooks signs before the body.
fn signed_head(id: &str, timestamp: i64) -> String {
    format!("{id}.{timestamp}.")
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "is shorter than {SHORTEST_TEXT} characters"),
            Self::Prefix(prefix) => write!(f, "does not begin with `{prefix}`"),
            Self::Base64(prefix) => write!(f, "begins with `{prefix}`, and what follows is not base64"),
            Self::Length => f.write_str("does not hold 24 to 64 bytes"),
            Self::SeedLength => f.write_str("holds neither a seed of 32 bytes nor a private key of 64"),
            Self::NoPair => f.write_str("holds a seed and a public key that do not belong together"),
            Self::Public => f.write_str("is a public key, which signs nothing"),
        }
    }
}

impl std::error::Error for NoKey {}
