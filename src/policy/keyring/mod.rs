//! Every key of one generation, found by the digest of what a caller presents.
//!
//! A room of its own because it is the one structure that grows with the number of keys: a table of 4-byte slots over
//! flat rows and one string, no allocation per key, at most 100 bytes a key beside its id and name.
//!
//! Security:
//! - Nothing in here can be presented: rows hold digests and slow hashes, and slow hashes are not in the table,
//!   so presenting a stolen hash finds nothing.
//! - Finding a record says nothing about whether it is valid: that is [`Keyring::state`], which knows the matched hash's
//!   own end too.
//! - Digests are compared with an ordinary comparison: whoever could steer one byte by byte would have broken SHA-256.

mod census;
mod compile;
mod endings;
mod grant;
#[cfg(test)]
mod tests;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::config::environments::EnvironmentId;
use crate::config::keys::Pepper;
use crate::config::plans::PlanId;
use crate::config::quotas::Quota;
use crate::config::records::{Records, SHARED_LEAD_MAX};
use crate::secret::{Digest, Presented, Secret};

use super::permissions::Sets;
use super::refusal::Invalid;
use super::revocations::Revocations;

pub use endings::Endings;
pub use grant::Grant;

/// The immutable index of one generation's keys.
pub struct Keyring {
    /// Indices into `hashes`, hashed by [`Digest::table_hash`].
    table: HashTable<u32>,
    hashes: Box<[HashRow]>,
    /// Sorted by `lead`.
    slow: Box<[SlowRow]>,
    /// The lengths of all leads, longest first.
    lead_lengths: Box<[usize]>,
    /// In the order of [`Records::keys`].
    rows: Box<[Row]>,
    /// Indices into `rows`, sorted by id.
    by_id: Box<[u32]>,
    /// The points in time that few keys have: `not_before`, `revoked_at`, and the ends of rotated hashes.
    times: Box<[i64]>,
    /// Every id and name, one after the other.
    text: Box<str>,
    grants: Box<[Grant]>,
    organizations: Box<[Organization]>,
    /// The peppers that some key uses.
    peppers: Box<[(u16, Secret)]>,
    /// The others: what is revoked for good may have been hashed under them.
    idle_peppers: Box<[Secret]>,
}

/// What a secret is called in every fast form of hash: its SHA-256, and its HMAC-SHA-256 under each pepper.
pub type Names = SmallVec<[Digest; 2]>;

/// Index of a key: its position in [`Records::keys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyIndex(pub u32);

/// A key, and which of its hashes matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The key.
    pub key: KeyIndex,
    hash: Slot,
}

/// A record that a slow hash must confirm.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// What is found when the verification succeeds.
    pub found: Found,
    /// The slow hash: `$argon2id$…` or bcrypt.
    pub phc: &'a str,
}

/// Whom keys belong to.
#[derive(Debug, Clone)]
pub struct Organization {
    /// Stable id.
    pub id: Box<str>,
    /// Name for people.
    pub name: Option<Box<str>>,
    /// `plan`
    pub plan: Option<PlanId>,
    /// `quota`: in place of the plan's quotas of scope `organization`.
    pub quota: Option<Box<[Quota]>>,
    /// Unix seconds.
    pub created_at: Option<i64>,
    /// Free-form, as JSON.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// One key's record, borrowed from its keyring.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    keyring: &'a Keyring,
    row: &'a Row,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Digest(u32),
    Slow(u32),
}

/// An index into `times`, or [`NEVER`].
type Moment = u32;
const NEVER: Moment = u32::MAX;

struct HashRow {
    digest: Digest,
    key: u32,
    /// Index into the configured peppers; `None` is plain SHA-256.
    pepper: Option<u16>,
    expires_at: Moment,
}

struct SlowRow {
    lead: Box<str>,
    phc: Box<str>,
    key: u32,
    expires_at: Moment,
}

struct Row {
    /// Where `id` begins in `text`; `name` follows it.
    text: u64,
    /// `i64::MAX` where there is no end.
    expires_at: i64,
    not_before: Moment,
    revoked_at: Moment,
    organization: u32,
    grant: u32,
    name_len: u32,
    id_len: u16,
    active: bool,
}

impl Keyring {
    /// Builds the index. Nothing is looked up under peppers that no key names.
    ///
    /// # Panics
    ///
    /// With 2³² − 1 keys or hashes, or more.
    #[must_use]
    pub fn compile(records: &Records, peppers: &[Pepper], sets: &Sets) -> Self {
        compile::keyring(records, peppers, sets)
    }

    /// How many keys there are, valid or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The record whose fast hash fits `presented`: SHA-256 first, then HMAC-SHA-256 under each pepper in use. Says
    /// nothing about its state.
    #[must_use]
    pub fn find(&self, presented: &Presented<'_>) -> Option<Found> {
        self.find_under(None, &presented.digest()).or_else(|| {
            self.peppers
                .iter()
                .find_map(|(pepper, secret)| self.find_under(Some(*pepper), &Digest::keyed(secret, presented.expose())))
        })
    }

    /// As [`Self::find_digest`], under the pepper that the record names.
    fn find_under(&self, pepper: Option<u16>, digest: &Digest) -> Option<Found> {
        let found = self.table.find(digest.table_hash(), |&slot| {
            let row = &self.hashes[slot as usize];
            row.digest == *digest && row.pepper == pepper
        });
        found.map(|&slot| self.found(slot))
    }

    /// The record that has this digest among its fast hashes.
    #[must_use]
    pub fn find_digest(&self, digest: &Digest) -> Option<Found> {
        let found = self.table.find(digest.table_hash(), |&slot| {
            self.hashes[slot as usize].digest == *digest
        });
        found.map(|&slot| self.found(slot))
    }

    fn found(&self, slot: u32) -> Found {
        Found {
            key: KeyIndex(self.hashes[slot as usize].key),
            hash: Slot::Digest(slot),
        }
    }

    /// The records with slow hashes whose public lead characters begin `presented`: the longest leads first, at most
    /// [`SHARED_LEAD_MAX`].
    #[must_use]
    pub fn slow_candidates(&self, presented: &Presented<'_>) -> SmallVec<[Candidate<'_>; SHARED_LEAD_MAX]> {
        let bytes = presented.expose();
        let mut candidates = SmallVec::new();
        for &length in &self.lead_lengths {
            let Some(lead) = bytes.get(..length) else { continue };
            let first = self.slow.partition_point(|row| row.lead.as_bytes() < lead);
            for (offset, row) in self.slow[first..].iter().enumerate() {
                if row.lead.as_bytes() != lead {
                    break;
                }
                if candidates.len() == SHARED_LEAD_MAX {
                    return candidates;
                }
                candidates.push(Candidate {
                    found: Found {
                        key: KeyIndex(row.key),
                        hash: Slot::Slow(compile::index(first + offset)),
                    },
                    phc: &row.phc,
                });
            }
        }
        candidates
    }

    /// Whether what was presented, and found, may be used at `now` (Unix seconds). `names` are its [`Keyring::names`]: a secret
    /// that is revoked stays so when it comes back in another form of hash.
    ///
    /// # Errors
    ///
    /// As [`Keyring::state`].
    pub fn admits(&self, found: Found, names: &[Digest], revocations: &Revocations, now: i64) -> Result<(), Invalid> {
        self.state(found, revocations, now)?;
        let is_dead = |name: &Digest| revocations.secret_since(name).is_some_and(|since| since <= now);
        if names.iter().any(is_dead) {
            return Err(Invalid::Revoked);
        }
        Ok(())
    }

    /// What the secret that was presented, and found, is called in every fast form of hash. The one that it was found by is
    /// not computed again.
    #[must_use]
    pub fn names(&self, found: Found, presented: &Presented<'_>) -> Names {
        let (by, pepper) = match found.hash {
            Slot::Digest(slot) => {
                let row = &self.hashes[slot as usize];
                (Some(row.digest), row.pepper)
            }
            Slot::Slow(_) => (None, None),
        };
        let keyed = |secret: &Secret| Digest::keyed(secret, presented.expose());
        let plain = by.filter(|_| pepper.is_none());
        let mut names = Names::from_iter([plain.unwrap_or_else(|| presented.digest())]);
        for (number, secret) in &self.peppers {
            let known = by.filter(|_| pepper == Some(*number));
            names.push(known.unwrap_or_else(|| keyed(secret)));
        }
        names.extend(self.idle_peppers.iter().map(keyed));
        names
    }

    /// Whether the found key may be used at `now` (Unix seconds), beside what is revoked for good. As
    /// [`crate::config::records::Key::state`] tells people, but for the hash that matched.
    ///
    /// # Errors
    ///
    /// The first that applies of: revoked, disabled, expired (the key's end, or the matched hash's own), not yet valid.
    pub fn state(&self, found: Found, revocations: &Revocations, now: i64) -> Result<(), Invalid> {
        let row = self.key(found.key).row;
        let reached = |moment| self.moment(moment).is_some_and(|at| at <= now);
        if reached(row.revoked_at) || self.revoked_since(found, revocations).is_some_and(|at| at <= now) {
            Err(Invalid::Revoked)
        } else if !row.active {
            Err(Invalid::Disabled)
        } else if row.expires_at <= now || reached(self.hash_expiry(found.hash)) {
            Err(Invalid::Expired)
        } else if row.not_before != NEVER && !reached(row.not_before) {
            Err(Invalid::NotYetValid)
        } else {
            Ok(())
        }
    }

    /// When the found key, and what was presented, of which these are the `names`, stop being admitted, in Unix seconds: what an
    /// open tunnel waits for. `None` is never.
    #[must_use]
    pub fn ends_at(&self, found: Found, names: &[Digest], revocations: &Revocations) -> Option<i64> {
        let key = self.key(found.key);
        let of_key = [
            key.expires_at(),
            self.revoked_since(found, revocations),
            self.moment(key.row.revoked_at),
            self.moment(self.hash_expiry(found.hash)),
        ];
        let of_names = names.iter().map(|name| revocations.secret_since(name));
        of_key.into_iter().chain(of_names).flatten().min()
    }

    /// Since when the found key, or the hash that matched, is revoked for good.
    fn revoked_since(&self, found: Found, revocations: &Revocations) -> Option<i64> {
        if revocations.is_empty() {
            return None;
        }
        let key = revocations.key_since(self.key(found.key).id());
        let secret = revocations.secret_since(&self.fingerprint(found));
        match (key, secret) {
            (Some(key), Some(secret)) => Some(key.min(secret)),
            (key, secret) => key.or(secret),
        }
    }

    /// What names all secrets of a key, good or not, over generations.
    #[must_use]
    pub fn fingerprints(&self, key: KeyIndex) -> Vec<Digest> {
        let fast = self.hashes.iter().filter(|row| row.key == key.0).map(|row| row.digest);
        let slow = self.slow.iter().filter(|row| row.key == key.0);
        fast.chain(slow.map(|row| Digest::of(row.phc.as_bytes()))).collect()
    }

    /// One key's record.
    ///
    /// # Panics
    ///
    /// With the index of another generation's key that this one does not have.
    #[must_use]
    pub fn key(&self, index: KeyIndex) -> Key<'_> {
        Key {
            keyring: self,
            row: &self.rows[index.0 as usize],
        }
    }

    /// The key with this id: how accounts and tunnels find their key again in the next generation.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<KeyIndex> {
        self.by_id
            .binary_search_by(|&index| self.key(KeyIndex(index)).id().cmp(id))
            .ok()
            .map(|position| KeyIndex(self.by_id[position]))
    }

    /// What names the matched hash over generations without revealing it: the digest itself, or the digest of the
    /// slow hash's text.
    #[must_use]
    pub fn fingerprint(&self, found: Found) -> Digest {
        match found.hash {
            Slot::Digest(slot) => self.hashes[slot as usize].digest,
            Slot::Slow(slot) => Digest::of(self.slow[slot as usize].phc.as_bytes()),
        }
    }

    /// Finds a key of an earlier generation again: the same id, and still the hash that once matched. `None` means that
    /// the credential is gone, even where the key itself remains (rotated).
    #[must_use]
    pub fn refind(&self, id: &str, fingerprint: &Digest) -> Option<Found> {
        let key = self.by_id(id)?;
        if let Some(found) = self.find_digest(fingerprint) {
            return (found.key == key).then_some(found);
        }
        let slot = self
            .slow
            .iter()
            .position(|row| row.key == key.0 && Digest::of(row.phc.as_bytes()) == *fingerprint)?;
        Some(Found {
            key,
            hash: Slot::Slow(compile::index(slot)),
        })
    }

    /// One organization, by its index in [`Records::organizations`].
    ///
    /// # Panics
    ///
    /// With an index that no record has.
    #[must_use]
    pub fn organization(&self, index: u32) -> &Organization {
        &self.organizations[index as usize]
    }

    /// Bytes held for keys beside the text of their ids and names, and beside what keys share (grants, organizations).
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.table.allocation_size()
            + size_of_val(&*self.hashes)
            + size_of_val(&*self.slow)
            + size_of_val(&*self.rows)
            + size_of_val(&*self.by_id)
            + size_of_val(&*self.times)
    }

    fn hash_expiry(&self, hash: Slot) -> Moment {
        match hash {
            Slot::Digest(slot) => self.hashes[slot as usize].expires_at,
            Slot::Slow(slot) => self.slow[slot as usize].expires_at,
        }
    }

    fn moment(&self, moment: Moment) -> Option<i64> {
        (moment != NEVER).then(|| self.times[moment as usize])
    }
}

impl<'a> Key<'a> {
    /// Public and stable.
    #[must_use]
    pub fn id(&self) -> &'a str {
        let start = self.text_start();
        &self.keyring.text[start..start + usize::from(self.row.id_len)]
    }

    /// Name for people.
    #[must_use]
    pub fn name(&self) -> &'a str {
        let start = self.text_start() + usize::from(self.row.id_len);
        &self.keyring.text[start..start + self.row.name_len as usize]
    }

    /// Whom it belongs to.
    #[must_use]
    pub fn organization(&self) -> &'a Organization {
        self.keyring.organization(self.row.organization)
    }

    /// What it may do, from where, and how much: shared by all keys that have the same.
    #[must_use]
    pub fn grant(&self) -> &'a Grant {
        &self.keyring.grants[self.row.grant as usize]
    }

    /// The environment that its record names.
    #[must_use]
    pub fn environment(&self) -> Option<EnvironmentId> {
        self.grant().environment
    }

    /// Not valid from then on; Unix seconds.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        (self.row.expires_at != i64::MAX).then_some(self.row.expires_at)
    }

    fn text_start(&self) -> usize {
        usize::try_from(self.row.text).expect("a position within a string in memory")
    }
}
