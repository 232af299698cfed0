//! A key as people and programs are shown it: all that its record says, but its hashes, its limits and its metadata.
//!
//! A room of its own so that the command line, the admin API and the audit trail show the same and never more.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::{Hash, Key, KeyState, Records, Scope};
use crate::secret::Digest;

/// A key without what it is recognised by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// Public and stable.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The organization's id.
    pub organization: String,
    /// The organization's name for people.
    pub organization_name: Option<String>,
    /// The environment's name.
    pub environment: Option<String>,
    /// What it may do.
    pub permissions: Vec<String>,
    /// `subscriptions`
    pub subscriptions: Vec<String>,
    /// The name of its own plan.
    pub plan: Option<String>,
    /// Whether it is good, tombstones considered.
    #[serde(serialize_with = "word")]
    pub state: KeyState,
    /// Whether it has not been turned off.
    pub active: bool,
    /// Unix seconds, as all times here; written in RFC 3339.
    #[serde(serialize_with = "date_time")]
    pub created_at: Option<i64>,
    /// Not valid before.
    #[serde(serialize_with = "date_time")]
    pub not_before: Option<i64>,
    /// Not valid from then on: its own end, or that of its last secret.
    #[serde(serialize_with = "date_time")]
    pub expires_at: Option<i64>,
    /// When it got the secret that it has now, where that was not when it was made.
    #[serde(serialize_with = "date_time")]
    pub rotated_at: Option<i64>,
    /// Not valid from then on, for ever.
    #[serde(serialize_with = "date_time")]
    pub revoked_at: Option<i64>,
    /// Why.
    pub revoked_reason: Option<String>,
    /// Where it is good; empty is everywhere.
    pub allowed_sources: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What people recognise it by.
    pub hint: Option<String>,
    /// Its secrets: several while a rotation overlaps.
    pub secrets: Vec<SecretView>,
}

/// A secret of a key, without its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretView {
    /// `sha256`, `hmac-sha256`, `argon2id` or `bcrypt`.
    pub kind: &'static str,
    /// Not accepted from then on.
    #[serde(serialize_with = "date_time")]
    pub expires_at: Option<i64>,
}

/// What tombstones say, made once for many keys.
#[derive(Debug)]
pub struct Dead<'r> {
    keys: HashMap<&'r str, (i64, Option<&'r str>)>,
    hashes: HashMap<Digest, i64>,
}

impl<'r> Dead<'r> {
    /// What the tombstones of `records` say.
    #[must_use]
    pub fn of(records: &'r Records) -> Self {
        let mut dead = Self {
            keys: HashMap::new(),
            hashes: HashMap::new(),
        };
        for tombstone in &records.tombstones {
            let since = tombstone.revoked_at;
            if let Some(key) = &tombstone.key {
                let known = dead.keys.entry(key).or_insert((since, tombstone.reason.as_deref()));
                if since < known.0 {
                    *known = (since, tombstone.reason.as_deref());
                }
            }
            for hash in &tombstone.hashes {
                let known = dead.hashes.entry(*hash).or_insert(since);
                *known = since.min(*known);
            }
        }
        dead
    }

    /// The ids of all keys that are, or will be, dead as a whole.
    pub fn keys(&self) -> impl Iterator<Item = &'r str> {
        self.keys.keys().copied()
    }

    /// All hashes that are, or will be, dead.
    pub fn hashes(&self) -> impl Iterator<Item = Digest> {
        self.hashes.keys().copied()
    }

    /// Since when a hash is dead; Unix seconds.
    #[must_use]
    pub fn hash_since(&self, hash: &Hash) -> Option<i64> {
        self.hashes.get(&hash.fingerprint()).copied()
    }

    /// Since when the key with this id is dead as a whole; Unix seconds.
    #[must_use]
    pub fn key_since(&self, id: &str) -> Option<i64> {
        self.keys.get(id).map(|(since, _)| *since)
    }

    /// A key's state at a time, tombstones considered: as [`Key::state`], of those secrets that are not dead.
    #[must_use]
    pub fn state(&self, key: &Key, now_unix: i64) -> KeyState {
        let past = |since: Option<i64>| since.is_some_and(|since| since <= now_unix);
        if self.keys.is_empty() && self.hashes.is_empty() {
            return key.state(now_unix);
        }
        let is_dead = |hash: &Hash| past(self.hash_since(hash));
        let mut living = key.secrets.iter().filter(|secret| !is_dead(&secret.hash)).peekable();
        if past(self.key_since(&key.id)) || living.peek().is_none() {
            return KeyState::Revoked;
        }
        match key.state(now_unix) {
            KeyState::Active | KeyState::NotYetValid if living.all(|secret| past(secret.expires_at)) => {
                KeyState::Expired
            }
            state => state,
        }
    }
}

impl View {
    /// A key of `records` as it is at a time. Names come from the scope that the records were read in.
    #[must_use]
    pub fn of(key: &Key, records: &Records, scope: &Scope, dead: &Dead<'_>, now_unix: i64) -> Self {
        let organization = records.organizations.get(key.organization as usize);
        let buried = dead.keys.get(key.id.as_str());
        Self {
            id: key.id.clone(),
            name: key.name.clone(),
            organization: organization.map_or_else(String::new, |organization| organization.id.clone()),
            organization_name: organization.and_then(|organization| organization.name.clone()),
            environment: key.environment.map(|id| scope.environments.name(id.0).to_owned()),
            permissions: key.permissions.clone(),
            subscriptions: key.subscriptions.clone(),
            plan: key.plan.map(|id| scope.plans.name(id.0).to_owned()),
            state: dead.state(key, now_unix),
            active: key.active,
            created_at: key.created_at,
            not_before: key.not_before,
            expires_at: key.end(),
            rotated_at: key.rotated_at,
            revoked_at: key.revoked_at.or(buried.map(|(since, _)| *since)),
            revoked_reason: key
                .revoked_reason
                .clone()
                .or_else(|| buried.and_then(|(_, reason)| reason.map(str::to_owned))),
            allowed_sources: key.allowed_sources.iter().map(ToString::to_string).collect(),
            owner: key.owner.clone(),
            hint: key.hint.clone(),
            secrets: key
                .secrets
                .iter()
                .map(|secret| SecretView {
                    kind: secret.hash.kind(),
                    expires_at: secret.expires_at,
                })
                .collect(),
        }
    }

    /// How old its secret is at a time, in seconds: since the last rotation, or since it was made. `None` where the record
    /// says neither.
    #[must_use]
    pub fn secret_age(&self, now_unix: i64) -> Option<i64> {
        self.rotated_at
            .or(self.created_at)
            .map(|since| now_unix.saturating_sub(since))
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn word<S: Serializer>(state: &KeyState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.word())
}

#[allow(clippy::ref_option)] // as serde calls it
fn date_time<S: Serializer>(unix: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    unix.map(super::write::date_time).serialize(serializer)
}
