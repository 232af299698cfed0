//! What the state file tells, for the command line and the admin listener: usage, last use, the audit trail, and
//! [`webhooks`].
//!
//! A room of its own because reading needs neither the lock nor the thread that writes: each call opens the file to read, as
//! it stands at one moment, and closes it again, whatever process writes to it meanwhile. A call may take a while, and is not
//! for a thread that must not block.

pub mod webhooks;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::audit::Link;
use super::audit::chain::Row;
use super::audit::verify::Verdict;
use super::store::{Reader, Unavailable};

/// Which usage is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// Only of this key, or of this organization's keys.
    pub of: Option<String>,
    /// From the hour on in which this is; Unix seconds.
    pub since: i64,
    /// Before this; Unix seconds.
    pub until: Option<i64>,
    /// Whether it is told piece by piece, too.
    pub by: Option<By>,
    /// How many keys are told at most; those with the most requests first.
    pub limit: u32,
    /// How many keys are passed over.
    pub offset: u32,
}

/// A piece of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// An hour.
    Hour,
    /// A day, in UTC.
    Day,
}

/// How keys were used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The first hour that was looked at.
    pub since: String,
    /// Of all keys that were asked for.
    pub total: Counts,
    /// Key by key.
    pub keys: Vec<KeyUsage>,
    /// Whether there are more keys.
    pub more: bool,
}

/// How one key was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyUsage {
    /// Its id.
    pub key: String,
    /// Its organization's, as it was last.
    pub organization: String,
    /// When it was last let through, at any time.
    pub last_use: Option<LastUse>,
    /// In the time that was asked for.
    #[serde(flatten)]
    pub total: Counts,
    /// The same, piece by piece, where that was asked for; without those in which nothing was counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<Period>,
}

/// One piece of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// `2026-01-31T23:00:00Z` for an hour, `2026-01-31` for a day.
    pub begins: String,
    /// What was counted in it.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What is counted when a request or tunnel has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub requests: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those that were let through, and could not be carried to their end.
    pub failed: u64,
    /// Bytes of bodies, and into tunnels.
    pub bytes_in: u64,
    /// Bytes of answers' bodies, and out of tunnels.
    pub bytes_out: u64,
    /// The refused ones by code.
    pub refusals: BTreeMap<String, u64>,
}

/// When, from where and for what a key was last let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUse {
    /// RFC 3339, in UTC, without fractions: texts are in the order of times.
    pub used_at: String,
    /// The client's network: /24, or /48.
    pub network: Option<String>,
    /// The route's pattern.
    pub route: Option<String>,
}

/// What each key used last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// By key.
    pub keys: HashMap<String, LastUse>,
    /// By key and permission: when it was last needed, and had.
    pub permissions: HashMap<String, BTreeMap<String, String>>,
    /// When counting began, as far as it is known.
    pub counted_since: Option<String>,
    /// When permissions began to be counted.
    pub permissions_counted_since: Option<String>,
}

/// Which entries of the audit trail are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// From then on; Unix seconds.
    pub since: Option<i64>,
    /// Before then; Unix seconds.
    pub until: Option<i64>,
    /// Only what is about this key, or names it in its detail.
    pub key: Option<String>,
    /// Only this action, or all of its kind: `key` is every `key.…`.
    pub action: Option<String>,
    /// Only what came before this row.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// Entries of the audit trail, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditPage {
    /// As they stand in the file.
    pub entries: Vec<Row>,
    /// What [`AuditQuery::before`] has to be for the next page, if there is one.
    pub next: Option<i64>,
}

/// How keys were used.
///
/// # Errors
/// When the file cannot be read, here and in every other function.
pub fn usage(path: &Path, query: &UsageQuery) -> Result<Usage, Unavailable> {
    read(path, |reader| reader.usage(query))
}

/// When each key was last let through, by id.
///
/// # Errors
/// As [`usage`].
pub fn last_use(path: &Path) -> Result<HashMap<String, LastUse>, Unavailable> {
    read(path, Reader::last_use)
}

/// What each key used last.
///
/// # Errors
/// As [`usage`].
pub fn uses(path: &Path) -> Result<Uses, Unavailable> {
    read(path, Reader::uses)
}

/// Entries of the audit trail.
///
/// # Errors
/// As [`usage`].
pub fn audit(path: &Path, query: &AuditQuery) -> Result<AuditPage, Unavailable> {
    read(path, |reader| reader.audit(query))
}

/// Whether the audit trail is whole, and holds the places that somebody has seen in it.
///
/// # Errors
/// As [`usage`].
pub fn verify(path: &Path, witnesses: &[Link]) -> Result<Verdict, Unavailable> {
    read(path, |reader| reader.verify(witnesses))
}

/// The audit trail, row by row, in order, from the first that is kept, behind `after`, until `each` says no. A row that cannot
/// be read is passed over; [`verify`] tells of it.
///
/// # Errors
/// As [`usage`].
pub fn export(path: &Path, after: i64, mut each: impl FnMut(&Row) -> bool) -> Result<(), Unavailable> {
    read(path, |reader| reader.export(after, &mut each))
}

fn read<T>(path: &Path, ask: impl FnOnce(&Reader) -> Result<T, super::store::Trouble>) -> Result<T, Unavailable> {
    Reader::open(path)
        .and_then(|reader| ask(&reader))
        .map_err(|trouble| Unavailable::new(path, &trouble))
}
