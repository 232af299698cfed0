//! New secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Encoding, Pair, WHSEC, WHSK};
use crate::secret::Secret;
use crate::secret::generated::push_random;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62⁴³ is more than 2²⁵⁶.
const TEXT_CHARACTERS: usize = 43;
/// As long as an HMAC-SHA-256; a seed of ed25519 has as many.
const BYTES: usize = 32;

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 43 letters and digits, for headers that carry the secret itself, and for signatures of a service's own.
    Text,
    /// `whsec_`: 32 bytes, for Standard Webhooks.
    Standard,
    /// `whsk_`: a seed of 32 bytes, for Standard Webhooks.
    Ed25519,
}

/// A new secret.
#[derive(Debug, Clone)]
pub struct Generated {
    /// For Keygate; receivers need it too, unless there is a public key.
    pub secret: Secret,
    /// How it is written.
    pub encoding: Encoding,
    /// `whpk_`: for receivers.
    pub public: Option<String>,
}

/// Makes a secret.
///
/// # Panics
///
/// When the system has no randomness to give: no secret is better than a guessable one.
#[must_use]
pub fn generate(kind: Kind) -> Generated {
    match kind {
        Kind::Text => {
            let mut text = String::with_capacity(TEXT_CHARACTERS);
            push_random(&mut text, ALPHABET, TEXT_CHARACTERS);
            Generated {
                secret: Secret::new(text),
                encoding: Encoding::Text,
                public: None,
            }
        }
        Kind::Standard => Generated {
            secret: written(WHSEC, &random()),
            encoding: Encoding::Whsec,
            public: None,
        },
        Kind::Ed25519 => {
            let seed = random();
            let pair = Pair::of_seed(&seed[..]).expect("every 32 bytes are a seed");
            Generated {
                secret: written(WHSK, &seed),
                encoding: Encoding::Ed25519,
                public: Some(pair.public()),
            }
        }
    }
}

fn random() -> Zeroizing<[u8; BYTES]> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).expect("the system gives randomness");
    bytes
}

fn written(prefix: &str, bytes: &[u8; BYTES]) -> Secret {
    // Large enough from the start: what a growing text leaves behind would not be wiped.
    let mut text = String::with_capacity(prefix.len() + BYTES * 2);
    text.push_str(prefix);
    STANDARD.encode_string(bytes, &mut text);
    Secret::new(text)
}
