//! Pairs of keys: ed25519 (RFC 8032), `v1a` of Standard Webhooks 1.0.0.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{NoKey, WHPK, WHSK, decoded, signed_head};
use crate::secret::Secret;

/// How long a seed is, in bytes.
const SEED_BYTES: usize = 32;

/// A private key and its public half.
#[derive(Clone)]
pub struct Pair(Arc<Ed25519KeyPair>);

impl Pair {
    /// `whsk_` and in base64 a seed of 32 bytes, or 64 bytes, which are the seed and the public key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &Secret) -> Result<Self, NoKey> {
        if text.expose().starts_with(WHPK) {
            return Err(NoKey::Public);
        }
        let bytes = decoded(text, WHSK)?;
        match bytes.len() {
            SEED_BYTES => Self::of_seed(&bytes),
            64 => {
                let (seed, public) = bytes.split_at(SEED_BYTES);
                let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| NoKey::NoPair)?;
                Ok(Self(Arc::new(pair)))
            }
            _ => Err(NoKey::SeedLength),
        }
    }

    /// The pair that a seed of 32 bytes stands for.
    pub(super) fn of_seed(seed: &[u8]) -> Result<Self, NoKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoKey::SeedLength)?;
        Ok(Self(Arc::new(pair)))
    }

    /// What receivers verify with: `whpk_` and base64.
    #[must_use]
    pub fn public(&self) -> String {
        format!("{WHPK}{}", STANDARD.encode(self.0.public_key()))
    }

    /// One signature in `webhook-signature`, of a message that is sent at this time (Unix seconds): `v1a,…`.
    #[must_use]
    pub fn standard(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let message = [signed_head(id, timestamp).as_bytes(), body].concat();
        format!("v1a,{}", STANDARD.encode(self.0.sign(&message)))
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(…)")
    }
}
