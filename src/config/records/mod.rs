//! What a key file holds: organizations and keys.
//!
//! A room of its own because records come from other hands than the configuration does: people, `keygate keys`, and
//! other systems write them, in TOML or as JSON Lines, and they change while Keygate runs. There is one reader of a
//! record (`record`), whatever notation it stands in (`load`, `jsonl`); what only shows when all files are
//! together (duplicates, references to organizations) is found in `gather`. What records may refer to is a [`Scope`]. What
//! is different in one set than in another is told by `diff`.

mod diff;
mod fields;
mod gather;
mod graves;
mod hash;
mod jsonl;
mod load;
mod locate;
mod one;
mod record;
mod scope;
#[cfg(test)]
mod tests;
mod view;
pub mod write;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

pub use diff::{Changed, Changes, Kind, LISTED_MAX};
pub(super) use fields::networks as read_networks;
pub(super) use hash::read_sha256;
pub use load::{File, Known, Notation, files, load, load_again, parse, read, read_file};
pub use locate::{Field, Located, Shape, locate};
pub use one::read_line;
pub use scope::{Catalogue, Names, Scope};
pub use view::{Dead, SecretView, View};

use ipnet::IpNet;

use super::environments::EnvironmentId;
use super::plans::{Limit, PlanId};
use super::quotas::Quota;
use crate::secret::{Digest, slow};

/// How many slow hashes one presented key may have to be compared with: those whose leads begin it.
pub const SHARED_LEAD_MAX: usize = 8;

/// The contents of one or several key files.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// All organizations; ids are unique.
    pub organizations: Vec<Arc<Organization>>,
    /// All keys; ids and hashes are unique. Shared with the sets before and after that read the same of them.
    pub keys: Vec<Arc<Key>>,
    /// What can never be accepted again.
    pub tombstones: Vec<Tombstone>,
    /// The files that these were read from, in order.
    pub files: Vec<Origin>,
    /// What they could refer to when they were read.
    pub scope: Option<Arc<Scope>>,
}

/// A file, and which records were read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Which file.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Whether it has no byte.
    pub empty: bool,
    organizations: Range<usize>,
    keys: Range<usize>,
    tombstones: Range<usize>,
}

/// Whom a key belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Stable id.
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
    /// `plan`
    pub plan: Option<PlanId>,
    /// `quota`: in place of the plan's quotas of scope `organization`.
    pub quota: Option<Vec<Quota>>,
    /// Unix seconds.
    pub created_at: Option<i64>,
    /// `metadata`, free-form, as JSON.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// What can never be accepted again, whatever else a key file says: it outlives the record that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// `key`: the id of a key that is dead as a whole, whatever hash it is given.
    pub key: Option<String>,
    /// `hashes`: secrets that are dead ([`Hash::fingerprint`]).
    pub hashes: Vec<Digest>,
    /// `revoked_at`: since when; Unix seconds.
    pub revoked_at: i64,
    /// `reason`, for people.
    pub reason: Option<String>,
}

/// One key record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Public and stable; what logs and metrics show. Visible ASCII, at most 128 bytes.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Index into [`Records::organizations`].
    pub organization: u32,
    /// The hashes that authenticate: one, or several while a rotation overlaps. Never empty.
    pub secrets: Vec<Hashed>,
    /// For people: `"kg_live_…x7Qd"`.
    pub hint: Option<String>,
    /// What it may do.
    pub permissions: Vec<String>,
    /// `environment`
    pub environment: Option<EnvironmentId>,
    /// `plan`: goes before every other.
    pub plan: Option<PlanId>,
    /// `limits`: replace those of the plan that are each key's own.
    pub limits: Option<Vec<Limit>>,
    /// Unix seconds.
    pub created_at: Option<i64>,
    /// Not valid before; Unix seconds.
    pub not_before: Option<i64>,
    /// Not valid from then on; Unix seconds.
    pub expires_at: Option<i64>,
    /// Not valid from then on, for ever; Unix seconds.
    pub revoked_at: Option<i64>,
    /// `revoked_reason`, for people.
    pub revoked_reason: Option<String>,
    /// When it got the secret that it has now, where that was not when it was made; Unix seconds.
    pub rotated_at: Option<i64>,
    /// `active = false` turns it off.
    pub active: bool,
    /// `allowed_sources`: empty means from everywhere.
    pub allowed_sources: Vec<IpNet>,
    /// `owner`, for people.
    pub owner: Option<String>,
    /// `subscriptions`, told to the upstream.
    pub subscriptions: Vec<String>,
    /// `metadata`, free-form, as JSON.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// Whether a key is good, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// It is accepted.
    Active,
    /// `not_before` has not come.
    NotYetValid,
    /// `expires_at` has passed, or that of all its secrets.
    Expired,
    /// `active = false`.
    Disabled,
    /// `revoked_at` has passed.
    Revoked,
}

impl KeyState {
    /// All of them, in the order in which people are told.
    pub const ALL: [Self; 5] = [
        Self::Active,
        Self::NotYetValid,
        Self::Expired,
        Self::Disabled,
        Self::Revoked,
    ];

    /// Stable, for people and machines alike.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl Key {
    /// Its state at a time. Where several apply, the one that is hardest to undo: revoked, disabled, expired, not yet
    /// valid.
    #[must_use]
    pub fn state(&self, now_unix: i64) -> KeyState {
        let past = |time: Option<i64>| time.is_some_and(|time| time <= now_unix);
        if past(self.revoked_at) {
            KeyState::Revoked
        } else if !self.active {
            KeyState::Disabled
        } else if past(self.expires_at) || self.secrets.iter().all(|secret| past(secret.expires_at)) {
            KeyState::Expired
        } else if self.not_before.is_some_and(|time| now_unix < time) {
            KeyState::NotYetValid
        } else {
            KeyState::Active
        }
    }

    /// What it leaves behind when it is revoked as a whole.
    #[must_use]
    pub fn tombstone(&self, revoked_at: i64, reason: Option<&str>) -> Tombstone {
        Tombstone {
            key: Some(self.id.clone()),
            hashes: self.secrets.iter().map(|secret| secret.hash.fingerprint()).collect(),
            revoked_at,
            reason: reason.map(str::to_owned),
        }
    }

    /// What its record says, where that revokes it, now or later.
    #[must_use]
    pub fn revocation(&self) -> Option<Tombstone> {
        self.revoked_at
            .map(|revoked_at| self.tombstone(revoked_at, self.revoked_reason.as_deref()))
    }

    /// The moment from which on it is not accepted any more: its own end, or that of its last secret, whichever comes
    /// first. Unix seconds.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        let last_secret = self
            .secrets
            .iter()
            .map(|secret| secret.expires_at.unwrap_or(i64::MAX))
            .max()
            .filter(|end| *end != i64::MAX);
        match (self.expires_at, last_secret) {
            (Some(own), Some(last)) => Some(own.min(last)),
            (own, last) => own.or(last),
        }
    }
}

impl Records {
    /// Without the records themselves.
    #[must_use]
    pub fn only_files(&self) -> Self {
        Self {
            files: self.files.clone(),
            ..Self::default()
        }
    }

    /// How many keys are in each state, in the order of [`KeyState::ALL`].
    #[must_use]
    pub fn count_by_state(&self, now_unix: i64) -> [(KeyState, usize); 5] {
        let mut counts = KeyState::ALL.map(|state| (state, 0));
        for key in &self.keys {
            let state = key.state(now_unix);
            for (of, count) in &mut counts {
                *count += usize::from(*of == state);
            }
        }
        counts
    }
}

/// One hash with its own end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// The hash.
    pub hash: Hash,
    /// Not accepted from then on; Unix seconds.
    pub expires_at: Option<i64>,
}

/// A key at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hash {
    /// `sha256:<64 hex>` (or a plaintext `key`, where allowed, hashed while reading).
    Sha256(Digest),
    /// `hmac-sha256:<pepper id>:<64 hex>`; the pepper is an index into [`super::keys::Keys::peppers`].
    HmacSha256 {
        /// Which pepper.
        pepper: u16,
        /// The digest.
        digest: Digest,
    },
    /// `$argon2id$…` (a PHC string) or `$2b$…` (bcrypt), found by `lead`: the key's public first characters.
    Slow {
        /// The key's first characters, 4 to 32 of them; public.
        lead: String,
        /// The hash, as [`crate::secret::slow`] reads it.
        phc: String,
    },
}

impl Hash {
    /// Which kind of hash it is, for people and programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::HmacSha256 { .. } => "hmac-sha256",
            Self::Slow { phc, .. } if slow::is_bcrypt(phc) => "bcrypt",
            Self::Slow { .. } => "argon2id",
        }
    }

    /// What names it over generations without revealing it: the digest itself, or the digest of a slow hash's text.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        match self {
            Self::Sha256(digest) | Self::HmacSha256 { digest, .. } => *digest,
            Self::Slow { phc, .. } => Digest::of(phc.as_bytes()),
        }
    }
}
