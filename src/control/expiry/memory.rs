//! What earlier processes have told: it stands in the audit trail.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::tell::{ENDED, SOON};
use super::watch::Told;
use crate::config::units;
use crate::ledger::Unavailable;
use crate::ledger::audit::Action;
use crate::ledger::audit::chain::Row;
use crate::ledger::read::{self, AuditQuery};

/// How many entries are read at once.
const PAGE: u32 = 10_000;

/// What matters of an entry's detail.
#[derive(Deserialize)]
struct Detail {
    event: String,
    expires_at: Timestamp,
    within: Option<String>,
}

/// What was told last of each key since then (Unix seconds), and is not over. Takes a while where much was.
///
/// # Errors
/// When the state cannot be read.
pub(super) fn recall(state: &Path, since: i64) -> Result<HashMap<Box<str>, Told>, Unavailable> {
    let mut query = AuditQuery {
        since: Some(since),
        action: Some(Action::KeyExpire.word().to_owned()),
        limit: PAGE,
        ..AuditQuery::default()
    };
    let mut last: HashMap<Box<str>, Option<Told>> = HashMap::new();
    loop {
        let page = read::audit(state, &query)?;
        for row in &page.entries {
            if let (Some(key), Some(told)) = (&row.target, told(row)) {
                // The newest come first.
                last.entry(key.as_str().into()).or_insert(told);
            }
        }
        match page.next {
            Some(next) => query.before = Some(next),
            None => break,
        }
    }
    Ok(last.into_iter().filter_map(|(key, told)| Some((key, told?))).collect())
}

/// What an entry says: `Some(None)` is that the key has ended.
fn told(row: &Row) -> Option<Option<Told>> {
    let detail: Detail = serde_json::from_str(&row.detail).ok()?;
    match (detail.event.as_str(), detail.within) {
        (ENDED, _) => Some(None),
        (SOON, Some(within)) => Some(Some(Told {
            ends_at: detail.expires_at.as_second(),
            within: i64::try_from(units::parse_duration(&within)?.as_secs()).ok()?,
        })),
        (_, _) => None,
    }
}
