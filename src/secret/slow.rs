//! Slow hashes: argon2id, for keys that people chose.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};

/// Whether `key` is what the PHC string `phc` was made from. Takes as long and as much memory as the string says, which
/// the configuration has bounded: nothing for a thread that others wait for.
#[must_use]
pub fn matches(phc: &str, key: &[u8]) -> bool {
    // The string's own parameters go before these.
    let argon2id = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    PasswordHash::new(phc).is_ok_and(|hash| argon2id.verify_password(key, &hash).is_ok())
}
