//! Symmetric keys: HMAC (RFC 2104).

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Encoding, Key, NoKey, SHORTEST_TEXT, STANDARD_BYTES, WHSEC, decoded, signed_head};
use crate::secret::Secret;

/// A secret that both sides know.
#[derive(Clone)]
pub struct Symmetric {
    /// As it is written.
    text: Secret,
    /// What `whsec_` holds; `None` where the text's own bytes are the key.
    decoded: Option<Zeroizing<Vec<u8>>>,
}

/// The hash function of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Symmetric {
    /// The text itself, at least 32 characters.
    ///
    /// # Errors
    /// [`NoKey::Short`]
    pub fn text(text: &Secret) -> Result<Self, NoKey> {
        if text.expose().chars().count() < SHORTEST_TEXT {
            return Err(NoKey::Short);
        }
        Ok(Self {
            text: text.clone(),
            decoded: None,
        })
    }

    /// `whsec_` and 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn whsec(text: &Secret) -> Result<Self, NoKey> {
        let bytes = decoded(text, WHSEC)?;
        if !STANDARD_BYTES.contains(&bytes.len()) {
            return Err(NoKey::Length);
        }
        Ok(Self {
            text: text.clone(),
            decoded: Some(bytes),
        })
    }

    /// As documentation promises it where there is one option for both: what begins with `whsec_` is base64, anything else is
    /// text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn by_prefix(text: &Secret) -> Result<Self, NoKey> {
        if text.expose().starts_with(WHSEC) {
            Self::whsec(text)
        } else {
            Self::text(text)
        }
    }

    /// The secret as it is written, for headers that carry it.
    #[must_use]
    pub fn as_written(&self) -> &Secret {
        &self.text
    }

    /// How it is written.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match self.decoded {
            Some(_) => Encoding::Whsec,
            None => Encoding::Text,
        }
    }

    /// The key with its text for its bytes, `whsec_` included: how senders use it who have taken the prefix for part of it.
    #[must_use]
    pub fn verbatim(&self) -> Self {
        Self {
            text: self.text.clone(),
            decoded: None,
        }
    }

    /// Whether it is as long as Standard Webhooks wants keys to be: 24 to 64 bytes.
    #[must_use]
    pub fn fits_standard(&self) -> bool {
        STANDARD_BYTES.contains(&self.bytes().len())
    }

    /// The HMAC of everything in `parts`, one after the other.
    #[must_use]
    pub fn hmac<'p>(&self, hash: Hash, parts: impl IntoIterator<Item = &'p [u8]>) -> hmac::Tag {
        let algorithm = match hash {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        // Its memory is wiped by the library when it is freed.
        let key = hmac::Key::new(algorithm, self.bytes());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(part);
        }
        context.sign()
    }

    /// One signature in `webhook-signature`, of a message that is sent at this time (Unix seconds): `v1,…`.
    #[must_use]
    pub fn standard(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let tag = self.hmac(Hash::Sha256, [signed_head(id, timestamp).as_bytes(), body]);
        format!("v1,{}", STANDARD.encode(tag))
    }

    fn bytes(&self) -> &[u8] {
        match &self.decoded {
            Some(bytes) => bytes,
            None => self.text.expose().as_bytes(),
        }
    }
}

impl fmt::Debug for Symmetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Symmetric(…)")
    }
}

impl From<Symmetric> for Key {
    fn from(key: Symmetric) -> Self {
        Self::Symmetric(key)
    }
}

impl fmt::Display for Hash {
    /// `sha256`, `sha512`: as headers name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        })
    }
}
