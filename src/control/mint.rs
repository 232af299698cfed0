//! A new key: its secret, and the record that goes into a key file.
//!
//! A room of its own so that whoever makes keys makes them alike. The secret is in nothing but the [`Secret`] that is
//! handed back beside the record.

use ipnet::IpNet;

use crate::config::environments::{Environment, EnvironmentId};
use crate::secret::generated::{generate, hint, push_random};
use crate::secret::{Digest, Secret};

/// Crockford's base32 in lower case: no `i`, `l`, `o`, `u`.
const ID_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters that say when: 48 bits of milliseconds, as in a ULID.
const ID_TIME_CHARACTERS: u32 = 10;
/// Characters that are random: 80 bits, as in a ULID.
const ID_RANDOM_CHARACTERS: usize = 16;

/// A key to be written into a key file. What it refers to is named, not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Public and stable.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The organization's id.
    pub organization: String,
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// For people.
    pub hint: String,
    /// `permissions`
    pub permissions: Vec<String>,
    /// `environment`
    pub environment: Option<String>,
    /// `subscriptions`
    pub subscriptions: Vec<String>,
    /// `plan`
    pub plan: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
    /// Unix seconds.
    pub expires_at: Option<i64>,
    /// `allowed_sources`
    pub allowed_sources: Vec<IpNet>,
    /// `owner`
    pub owner: Option<String>,
}

/// What new keys begin with.
#[derive(Debug, Clone, Copy)]
pub struct Prefixes<'a> {
    /// The configuration's environments.
    pub environments: &'a [Environment],
    /// Where no environment says: `[keys] prefix`.
    pub default: &'a str,
}

impl Prefixes<'_> {
    /// The prefix where nothing says another.
    pub const DEFAULT: &'static str = "kg_";

    /// What a key of this environment begins with.
    #[must_use]
    pub fn of(&self, environment: Option<EnvironmentId>) -> &str {
        let environment = environment.and_then(|id| self.environments.get(usize::from(id.0)));
        environment
            .and_then(|environment| environment.prefixes.first())
            .map_or(self.default, String::as_str)
    }

    /// What the next secret of a key begins with: as the one before it, where its hint shows a prefix that its environment
    /// still allows.
    #[must_use]
    pub fn of_next(&self, environment: Option<EnvironmentId>, old_hint: Option<&str>) -> String {
        let shown = old_hint
            .and_then(|hint| hint.split_once('…'))
            .map(|(prefix, _)| prefix)
            // Hints of other systems show the first characters of the secret itself.
            .filter(|prefix| prefix.ends_with(['_', '-']) && is_prefix(prefix));
        let fits = |prefix: &&str| match environment.and_then(|id| self.environments.get(usize::from(id.0))) {
            Some(environment) => {
                let named = Environment::of_key(prefix, self.environments);
                named.is_some_and(|named| named.name == environment.name) || environment.prefixes.is_empty()
            }
            None => true,
        };
        shown.filter(fits).unwrap_or_else(|| self.of(environment)).to_owned()
    }
}

/// Whether keys may begin with this text: at most 32 letters, digits, `_` or `-`.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    text.len() <= 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl NewKey {
    /// Makes a secret that begins with `prefix`, and a record for it that holds nothing else yet.
    #[must_use]
    pub fn mint(prefix: &str, name: &str, organization: &str, now_unix: i64) -> (Self, Secret) {
        let secret = generate(prefix);
        let key = Self {
            id: id(now_unix),
            name: name.to_owned(),
            organization: organization.to_owned(),
            digest: Digest::of(secret.expose().as_bytes()),
            hint: hint(prefix, secret.expose()),
            permissions: Vec::new(),
            environment: None,
            subscriptions: Vec::new(),
            plan: None,
            created_at: now_unix,
            expires_at: None,
            allowed_sources: Vec::new(),
            owner: None,
        };
        (key, secret)
    }
}

/// `key_` and 26 characters in the form of a ULID: ids sort by the second in which they were made, and are random
/// within it.
#[must_use]
pub fn id(now_unix: i64) -> String {
    let millis = u64::try_from(now_unix).unwrap_or(0).saturating_mul(1_000);
    let mut id = String::with_capacity(30);
    id.push_str("key_");
    for place in (0..ID_TIME_CHARACTERS).rev() {
        let digit = (millis >> (5 * place)) & 31;
        id.push(char::from(ID_ALPHABET[digit as usize]));
    }
    push_random(&mut id, ID_ALPHABET, ID_RANDOM_CHARACTERS);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::generated::checksum_ok;

    #[test]
    fn ids_sort_by_time_and_differ_within_it() {
        let (early, late) = (id(1_768_471_200), id(1_768_471_201));
        assert!(early < late);
        assert_eq!(early.len(), 30);
        // The first ten characters of a ULID of that moment.
        assert!(early.starts_with("key_01kf0hj080"), "{early}");
        assert_ne!(id(0), id(0));
    }

    #[test]
    fn a_minted_record_belongs_to_its_secret_and_does_not_hold_it() {
        let (key, secret) = NewKey::mint("kg_live_", "n", "42", 1_768_471_200);
        assert!(checksum_ok(secret.expose().as_bytes()));
        assert_eq!(key.digest, Digest::of(secret.expose().as_bytes()));
        assert_eq!(key.hint, format!("kg_live_…{}", &secret.expose()[42..]));
        assert!(!format!("{key:?}").contains(&secret.expose()[8..40]));
    }
}
