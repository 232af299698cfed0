//! What a key file holds: organizations and keys.

use std::path::PathBuf;

use ipnet::IpNet;

use super::environments::EnvironmentId;
use super::plans::{Limit, PlanId};
use crate::secret::Digest;

/// The contents of one or several key files.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// All organizations; ids are unique.
    pub organizations: Vec<Organization>,
    /// All keys; ids and hashes are unique.
    pub keys: Vec<Key>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

/// Whom a key belongs to.
#[derive(Debug, Clone)]
pub struct Organization {
    /// Stable id.
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
    /// `plan`
    pub plan: Option<PlanId>,
    /// `metadata`, free-form, as JSON.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// One key record.
#[derive(Debug, Clone)]
pub struct Key {
    /// Public and stable; what logs and metrics show. Visible ASCII, at most 128 bytes.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Index into [`Records::organizations`].
    pub organization: u32,
    /// The hashes that authenticate: one, or several while a rotation overlaps. Never empty.
    pub secrets: Vec<Hashed>,
    /// For people: `"gsk_live_…x7Qd"`.
    pub hint: Option<String>,
    /// What it may do.
    pub permissions: Vec<String>,
    /// `environment`
    pub environment: Option<EnvironmentId>,
    /// `plan`: goes before every other.
    pub plan: Option<PlanId>,
    /// `limits`: replace the plan's.
    pub limits: Option<Vec<Limit>>,
    /// Unix seconds.
    pub created_at: Option<i64>,
    /// Not valid before; Unix seconds.
    pub not_before: Option<i64>,
    /// Not valid from then on; Unix seconds.
    pub expires_at: Option<i64>,
    /// Not valid from then on, for ever; Unix seconds.
    pub revoked_at: Option<i64>,
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

/// One hash with its own end.
#[derive(Debug, Clone)]
pub struct Hashed {
    /// The hash.
    pub hash: Hash,
    /// Not accepted from then on; Unix seconds.
    pub expires_at: Option<i64>,
}

/// A key at rest.
#[derive(Debug, Clone)]
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
    /// `$argon2id$…` (PHC string), found by `lead`: the key's public first characters.
    Argon2id {
        /// The key's first characters, 4 to 32 of them; public.
        lead: String,
        /// The PHC string.
        phc: String,
    },
}
