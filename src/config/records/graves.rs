//! Where tombstones stand, by what they name: for the warning about records that somebody has put back.
//!
//! A room of its own because a tombstone may stand before its record or behind it, in the same file or in another.

use std::collections::HashMap;

use super::{Hash, Tombstone};
use crate::secret::Digest;

/// The first place of each.
#[derive(Debug)]
pub(super) struct Graves<Place> {
    keys: HashMap<String, Place>,
    secrets: HashMap<Digest, Place>,
}

impl<Place> Default for Graves<Place> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            secrets: HashMap::new(),
        }
    }
}

impl<Place: Copy> Graves<Place> {
    /// One more: the places of its `key`, and of each of its `hashes`.
    pub(super) fn add(&mut self, tombstone: &Tombstone, key: Option<Place>, hashes: &[Place]) {
        if let (Some(id), Some(place)) = (&tombstone.key, key) {
            self.keys.entry(id.clone()).or_insert(place);
        }
        for (secret, place) in tombstone.hashes.iter().zip(hashes) {
            self.secrets.entry(*secret).or_insert(*place);
        }
    }

    /// Whether nothing is dead.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.secrets.is_empty()
    }

    /// Where a key is dead as a whole.
    pub(super) fn of_key(&self, id: &str) -> Option<Place> {
        self.keys.get(id).copied()
    }

    /// Where a secret is.
    pub(super) fn of_secret(&self, hash: &Hash) -> Option<Place> {
        self.secrets.get(&hash.fingerprint()).copied()
    }
}
