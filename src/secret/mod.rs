//! Redacted secret types: what may never be printed.
//!
//! A room of its own so that "can this leak?" is answered by a type. Nothing here has `Display`, `Debug` says only what
//! kind of secret it is, and owned bytes are wiped on drop.

pub mod generated;
pub mod slow;
pub mod webhook;

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::{digest, hmac};
use zeroize::{Zeroize, Zeroizing};

/// A key as a caller presented it: borrowed from the request where it stands there verbatim, owned (and wiped on drop)
/// where it had to be decoded. Lives only until its digest is computed.
pub struct Presented<'a>(Cow<'a, [u8]>);

impl<'a> Presented<'a> {
    /// A key that stands verbatim in the request.
    #[must_use]
    pub fn borrowed(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    /// A key that had to be decoded out of the request.
    #[must_use]
    pub fn decoded(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }

    /// The key's bytes, for hashing, prefix and checksum tests only.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The SHA-256 digest: what the keyring is indexed by, and what every cache uses in place of the key.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl Drop for Presented<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(bytes) = &mut self.0 {
            bytes.zeroize();
        }
    }
}

/// A 32-byte digest of a key: SHA-256, or HMAC-SHA-256 under a pepper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_slice(digest::digest(&digest::SHA256, bytes).as_ref())
    }

    /// HMAC-SHA-256 of `bytes` under `pepper` (RFC 2104).
    #[must_use]
    pub fn keyed(pepper: &Secret, bytes: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, pepper.expose().as_bytes());
        Self::from_slice(hmac::sign(&key, bytes).as_ref())
    }

    /// The first eight bytes as a number: already uniform, so it is the table hash itself.
    #[must_use]
    pub fn table_hash(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn from_slice(bytes: &[u8]) -> Self {
        Self(bytes.try_into().expect("SHA-256 is 32 bytes long"))
    }
}

/// SHA-256 of what comes part by part.
pub struct Digesting(digest::Context);

impl Default for Digesting {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Digesting {
    /// The next part.
    pub fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The digest of all of them.
    #[must_use]
    pub fn end(self) -> Digest {
        Digest::from_slice(self.0.finish().as_ref())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

/// An owned secret text: a generated key, a pepper, an admin token. Wiped on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself: for hashing, and for the one place that prints a new key.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
