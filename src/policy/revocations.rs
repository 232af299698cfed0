//! What is revoked for good: keys by their id, secrets by their fingerprint, each since a point in time.
//!
//! A room of its own because it is the one thing in a generation that is not what the files say, but all that they, and
//! whoever revoked a key through the admin listener, have ever said: it is taken over by the next generation and only
//! grows. Where a key is revoked, a new generation is made of the old one's parts and another of these, in no time,
//! however many keys there are.
//!
//! Security: a key that is in here is dead, whatever record of it is put back. A secret is dead under any key and in any
//! form of hash that can be told from what a caller presents.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use crate::config::records::{Records, Tombstone};
use crate::secret::Digest;

/// What is revoked for good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Since when, in Unix seconds, by id.
    keys: HashMap<Arc<str>, i64>,
    /// Since when, in Unix seconds, by fingerprint.
    secrets: HashMap<Digest, i64>,
}

impl Revocations {
    /// What a set of key files says: its tombstones, and the records that have an end for good.
    #[must_use]
    pub fn of(records: &Records) -> Self {
        let mut revocations = Self::default();
        records
            .tombstones
            .iter()
            .for_each(|tombstone| revocations.add(tombstone));
        records
            .keys
            .iter()
            .filter_map(|key| key.revocation())
            .for_each(|tombstone| revocations.add(&tombstone));
        revocations
    }

    /// These, and what was in force at `now` (Unix seconds) of `earlier`: what had not begun may still be taken back.
    #[must_use]
    pub fn after(mut self, earlier: &Arc<Self>, now: i64) -> Arc<Self> {
        let is_in_force = |since: &i64| *since <= now;
        for (key, since) in earlier.keys.iter().filter(|(_, since)| is_in_force(since)) {
            put(&mut self.keys, Arc::clone(key), *since);
        }
        for (secret, since) in earlier.secrets.iter().filter(|(_, since)| is_in_force(since)) {
            put(&mut self.secrets, *secret, *since);
        }
        if self == **earlier {
            Arc::clone(earlier)
        } else {
            Arc::new(self)
        }
    }

    /// One more.
    pub fn add(&mut self, tombstone: &Tombstone) {
        if let Some(key) = &tombstone.key {
            put(&mut self.keys, Arc::from(key.as_str()), tombstone.revoked_at);
        }
        for secret in &tombstone.hashes {
            put(&mut self.secrets, *secret, tombstone.revoked_at);
        }
    }

    /// What is in force at `now` (Unix seconds), and was not at `then` in `earlier`: it is new, or its time has come.
    #[must_use]
    pub fn news_since(&self, (earlier, then): (&Self, i64), now: i64) -> Vec<Tombstone> {
        let is_known = |since: i64, before: i64| before <= since && before <= then;
        let is_news =
            |since: i64, before: Option<i64>| since <= now && before.is_none_or(|before| !is_known(since, before));
        let keys = self
            .keys
            .iter()
            .filter(|(key, since)| is_news(**since, earlier.key_since(key)));
        let secrets = self
            .secrets
            .iter()
            .filter(|(secret, since)| is_news(**since, earlier.secret_since(secret)));
        let of_keys = keys.map(|(key, since)| Tombstone {
            key: Some(key.to_string()),
            hashes: Vec::new(),
            revoked_at: *since,
            reason: None,
        });
        let of_secrets = secrets.map(|(secret, since)| Tombstone {
            key: None,
            hashes: vec![*secret],
            revoked_at: *since,
            reason: None,
        });
        of_keys.chain(of_secrets).collect()
    }

    /// When the first comes into force of what is not in force at `now`; Unix seconds.
    #[must_use]
    pub fn next_after(&self, now: i64) -> Option<i64> {
        let all = self.keys.values().chain(self.secrets.values());
        all.copied().filter(|since| *since > now).min()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.secrets.is_empty()
    }

    /// Whether all of this is known already.
    #[must_use]
    pub fn covers(&self, tombstone: &Tombstone) -> bool {
        let since = |known: Option<&i64>| known.is_some_and(|known| *known <= tombstone.revoked_at);
        let knows_key = |key: &String| since(self.keys.get(key.as_str()));
        tombstone.key.as_ref().is_none_or(knows_key)
            && tombstone.hashes.iter().all(|secret| since(self.secrets.get(secret)))
    }

    /// Since when the key with this id is dead; Unix seconds.
    #[must_use]
    pub fn key_since(&self, id: &str) -> Option<i64> {
        self.keys.get(id).copied()
    }

    /// Since when the secret with this fingerprint is dead; Unix seconds.
    #[must_use]
    pub fn secret_since(&self, fingerprint: &Digest) -> Option<i64> {
        self.secrets.get(fingerprint).copied()
    }
}

/// The earliest counts.
fn put<K: Eq + Hash>(known: &mut HashMap<K, i64>, what: K, since: i64) {
    match known.entry(what) {
        Entry::Vacant(free) => {
            free.insert(since);
        }
        Entry::Occupied(mut known) => {
            let earliest = since.min(*known.get());
            known.insert(earliest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(key: Option<&str>, secrets: &[u8], revoked_at: i64) -> Tombstone {
        Tombstone {
            key: key.map(str::to_owned),
            hashes: secrets.iter().map(|secret| Digest::of(&[*secret])).collect(),
            revoked_at,
            reason: None,
        }
    }

    fn of(tombstones: &[Tombstone]) -> Revocations {
        let mut revocations = Revocations::default();
        tombstones.iter().for_each(|tombstone| revocations.add(tombstone));
        revocations
    }

    #[test]
    fn what_was_in_force_stays_and_what_had_not_begun_may_be_taken_back() {
        let earlier = Arc::new(of(&[tombstone(Some("a"), &[1], 10), tombstone(Some("b"), &[2], 30)]));
        let next = of(&[tombstone(Some("c"), &[3], 5)]).after(&earlier, 20);
        assert_eq!(next.key_since("a"), Some(10));
        assert_eq!(next.secret_since(&Digest::of(&[1])), Some(10));
        assert_eq!(next.key_since("b"), None);
        assert_eq!(next.secret_since(&Digest::of(&[2])), None);
        assert_eq!(next.key_since("c"), Some(5));
        assert!(
            Arc::ptr_eq(&Revocations::default().after(&next, 20), &next),
            "nothing new"
        );
    }

    #[test]
    fn news_are_what_came_and_what_has_come_into_force() {
        let earlier = of(&[
            tombstone(Some("a"), &[], 10),
            tombstone(Some("b"), &[2], 30),
            tombstone(Some("c"), &[], 50),
        ]);
        let ids = |news: Vec<Tombstone>| {
            let mut ids: Vec<String> = news.into_iter().filter_map(|news| news.key).collect();
            ids.sort();
            ids
        };
        let known = (&earlier, 20);
        assert!(earlier.news_since(known, 20).is_empty());
        assert_eq!(ids(earlier.news_since(known, 30)), ["b"], "its time has come");
        assert_eq!(earlier.news_since(known, 30).len(), 2, "and its secret's");
        assert!(earlier.news_since((&earlier, 30), 30).is_empty(), "told once");
        let later = of(&[
            tombstone(Some("a"), &[], 5),
            tombstone(Some("c"), &[], 7),
            tombstone(Some("d"), &[], 8),
        ]);
        assert_eq!(ids(later.news_since(known, 20)), ["a", "c", "d"]);
        assert_eq!(earlier.next_after(20), Some(30));
        assert_eq!(earlier.next_after(50), None);
    }

    #[test]
    fn the_earliest_time_counts() {
        let twice = of(&[tombstone(Some("a"), &[1], 10), tombstone(Some("a"), &[1], 7)]);
        assert_eq!(twice.key_since("a"), Some(7));
        assert!(twice.covers(&tombstone(Some("a"), &[1], 8)));
        assert!(!twice.covers(&tombstone(Some("a"), &[1], 6)), "it would begin earlier");
        assert!(!twice.covers(&tombstone(Some("a"), &[2], 8)), "another secret");
        assert!(!twice.covers(&tombstone(Some("b"), &[], 8)), "another key");
    }
}
