//! A record as one line of JSON, which the reader of records reads back to the same.
//!
//! A room of its own because it is the reader's mirror: a field that a record gets has to be added in both. Only what is set
//! is written, in the order of the documentation.

use std::io;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Hash, Hashed, Key, Names, Organization, Records, Scope, Tombstone};
use crate::config::plans::Limit;
use crate::config::quotas::{Per, Quota};
use crate::config::units;

/// Writes all records, a line each: organizations, keys, tombstones. Names come from the scope that they were read in.
///
/// # Errors
/// When `out` cannot take it.
pub fn all(records: &Records, scope: &Scope, out: &mut impl io::Write) -> io::Result<()> {
    for organization in &records.organizations {
        writeln!(out, "{}", self::organization(organization, scope))?;
    }
    for key in &records.keys {
        writeln!(out, "{}", self::key(key, records, scope))?;
    }
    for tombstone in &records.tombstones {
        writeln!(out, "{}", self::tombstone(tombstone))?;
    }
    Ok(())
}

/// A key's line, without its line end.
#[must_use]
pub fn key(key: &Key, records: &Records, scope: &Scope) -> String {
    let peppers = &scope.peppers;
    // One that has no end of its own stands in the record itself.
    let alone = match key.secrets.as_slice() {
        [one] if one.expires_at.is_none() => Some(&one.hash),
        _ => None,
    };
    let organization = records.organizations.get(key.organization as usize);
    line(&KeyLine {
        id: &key.id,
        name: &key.name,
        organization: organization.map_or("", |organization| &organization.id),
        hash: alone.map(|hash| hash.text(peppers)),
        lead: alone.and_then(Hash::lead),
        secrets: if alone.is_some() {
            Vec::new()
        } else {
            key.secrets
                .iter()
                .map(|secret| SecretLine::of(secret, peppers))
                .collect()
        },
        hint: key.hint.as_deref(),
        permissions: &key.permissions,
        environment: key.environment.map(|id| scope.environments.name(id.0)),
        subscriptions: &key.subscriptions,
        plan: key.plan.map(|id| scope.plans.name(id.0)),
        limits: key
            .limits
            .as_ref()
            .map(|limits| limits.iter().map(LimitLine::of).collect()),
        created_at: key.created_at.map(date_time),
        rotated_at: key.rotated_at.map(date_time),
        not_before: key.not_before.map(date_time),
        expires_at: key.expires_at.map(date_time),
        active: (!key.active).then_some(false),
        revoked_at: key.revoked_at.map(date_time),
        revoked_reason: key.revoked_reason.as_deref(),
        allowed_sources: key.allowed_sources.iter().map(ToString::to_string).collect(),
        owner: key.owner.as_deref(),
        metadata: &key.metadata,
    })
}

/// An organization's line, without its line end.
#[must_use]
pub fn organization(organization: &Organization, scope: &Scope) -> String {
    line(&OrganizationLine {
        id: &organization.id,
        name: organization.name.as_deref(),
        plan: organization.plan.map(|id| scope.plans.name(id.0)),
        quota: organization
            .quota
            .as_ref()
            .map(|quotas| quotas.iter().map(QuotaLine::of).collect()),
        created_at: organization.created_at.map(date_time),
        metadata: &organization.metadata,
    })
}

/// A tombstone's line, without its line end. Hashes are written by what they are known by, whatever kind they are of.
#[must_use]
pub fn tombstone(tombstone: &Tombstone) -> String {
    line(&TombstoneLine {
        key: tombstone.key.as_deref(),
        hashes: tombstone
            .hashes
            .iter()
            .map(|hash| format!("fingerprint:{}", hex::encode(hash.0)))
            .collect(),
        revoked_at: date_time(tombstone.revoked_at),
        reason: tombstone.reason.as_deref(),
    })
}

impl Hash {
    /// As records write it. `peppers` are those of the scope that it was read in.
    #[must_use]
    pub fn text(&self, peppers: &Names) -> String {
        match self {
            Self::Sha256(digest) => format!("sha256:{}", hex::encode(digest.0)),
            Self::HmacSha256 { pepper, digest } => {
                format!("hmac-sha256:{}:{}", peppers.name(*pepper), hex::encode(digest.0))
            }
            Self::Slow { phc, .. } => phc.clone(),
        }
    }

    /// As tombstones write it.
    #[must_use]
    pub fn dead_text(&self, peppers: &Names) -> String {
        match self {
            Self::Sha256(_) | Self::HmacSha256 { .. } => self.text(peppers),
            Self::Slow { .. } => format!("fingerprint:{}", hex::encode(self.fingerprint().0)),
        }
    }

    /// What it is found by, where that is not itself.
    #[must_use]
    pub fn lead(&self) -> Option<&str> {
        match self {
            Self::Sha256(_) | Self::HmacSha256 { .. } => None,
            Self::Slow { lead, .. } => Some(lead),
        }
    }
}

/// RFC 3339 in UTC, which is also how TOML writes it without quotes.
#[must_use]
pub fn date_time(unix: i64) -> String {
    Timestamp::from_second(unix).unwrap_or(Timestamp::MAX).to_string()
}

fn line(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("records hold texts, numbers, lists and maps by text only")
}

#[derive(Serialize)]
struct KeyLine<'a> {
    id: &'a str,
    name: &'a str,
    organization: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lead: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<SecretLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    permissions: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    subscriptions: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Vec<LimitLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct SecretLine<'a> {
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lead: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl<'a> SecretLine<'a> {
    fn of(secret: &'a Hashed, peppers: &Names) -> Self {
        Self {
            hash: secret.hash.text(peppers),
            lead: secret.hash.lead(),
            expires_at: secret.expires_at.map(date_time),
        }
    }
}

#[derive(Serialize)]
struct LimitLine<'a> {
    name: &'a str,
    requests: u32,
    per: String,
    burst: u32,
    strict: bool,
}

impl<'a> LimitLine<'a> {
    fn of(limit: &'a Limit) -> Self {
        Self {
            name: &limit.name,
            requests: limit.requests,
            per: units::format_duration(limit.per),
            burst: limit.burst,
            strict: limit.strict,
        }
    }
}

#[derive(Serialize)]
struct OrganizationLine<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<Vec<QuotaLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct QuotaLine<'a> {
    name: &'a str,
    requests: u64,
    per: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'a str>,
}

impl<'a> QuotaLine<'a> {
    fn of(quota: &'a Quota) -> Self {
        Self {
            name: &quota.name,
            requests: quota.requests,
            per: match quota.per {
                Per::Day => "day",
                Per::Month => "month",
            },
            time_zone: quota.time_zone.iana_name(),
        }
    }
}

#[derive(Serialize)]
struct TombstoneLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<String>,
    revoked_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}
