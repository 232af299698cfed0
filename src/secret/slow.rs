//! Slow hashes, for keys that people chose or that other systems hashed: argon2id and bcrypt.
//!
//! A room of its own so that which of the two a text is, and what it is worth, has one answer. Whoever holds a slow hash
//! holds a text and need not know.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, Version};

/// bcrypt looks at no byte behind these: of two longer keys that begin alike, each would be taken for the other.
pub const BCRYPT_KEY_BYTES_MAX: usize = 72;

/// Whether a text says that it is a bcrypt hash: `$2a$`, `$2b$` or `$2y$`, which are the same for visible ASCII. `$2x$`
/// is a broken one, and none.
#[must_use]
pub fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|start| hash.starts_with(start))
}

/// Whether `key` is what the hash was made from: a PHC string (`$argon2id$…`) or a bcrypt hash. Takes as long and as much
/// memory as the hash says, which the configuration has bounded: nothing for a thread that others wait for.
#[must_use]
pub fn matches(hash: &str, key: &[u8]) -> bool {
    if is_bcrypt(hash) {
        return key.len() <= BCRYPT_KEY_BYTES_MAX && bcrypt::verify(key, hash).unwrap_or(false);
    }
    // The string's own parameters go before these.
    let argon2id = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
    PasswordHash::new(hash).is_ok_and(|hash| argon2id.verify_password(key, &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bcrypt_of_other_tools_is_understood() {
        // From the test vectors of OpenWall's crypt_blowfish.
        let cases: [(&str, &str, bool); 6] = [
            (
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "U*U",
                true,
            ),
            (
                "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
                "U*U*",
                true,
            ),
            (
                "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "U*U",
                true,
            ),
            (
                "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "U*V",
                false,
            ),
            (
                "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "U*U",
                false,
            ),
            ("$2b$05$CCCC", "U*U", false),
        ];
        for (hash, key, expected) in cases {
            assert_eq!(matches(hash, key.as_bytes()), expected, "{hash} {key}");
        }
    }

    #[test]
    fn a_key_that_bcrypt_would_cut_off_is_not_taken_for_its_beginning() {
        let longest = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        let hash = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
        assert_eq!(longest.len(), BCRYPT_KEY_BYTES_MAX);
        assert!(matches(hash, longest.as_bytes()));
        let longer = format!("{longest}chars after 72 are ignored");
        assert!(bcrypt::verify(&longer, hash).unwrap(), "as bcrypt itself has it");
        assert!(!matches(hash, longer.as_bytes()));
    }
}
