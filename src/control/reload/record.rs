//! What the audit trail says about reloads. Ids and names of fields, never what stands in them.

use serde_json::{Value, json};

use super::requests::{By, Held};
use crate::clock;
use crate::config::last_good::StandIn;
use crate::config::problem::{Problem, Problems};
use crate::config::records::{Changes, Kind};
use crate::ledger::audit::{Action, Entry};
use crate::secret::Digest;

/// How many problems of a file go on record.
const PROBLEMS_MAX: usize = 10;

/// A generation was put in force.
pub(super) fn applied(by: &By, generation: u64, changes: &Changes, content: Digest) -> Entry {
    let detail = json!({
        "generation": generation,
        "digest": hex::encode(content.0),
        "keys": kind(&changes.keys),
        "organizations": kind(&changes.organizations),
        "tombstones": { "added": changes.tombstones_added, "removed": changes.tombstones_removed },
    });
    entry(by, Action::ReloadApplied, detail)
}

/// The files were not valid.
pub(super) fn refused(by: &By, refused: &Problems) -> Entry {
    let detail = json!({ "problems": problems(refused), "count": refused.errors().count() });
    entry(by, Action::ReloadRefused, detail)
}

fn problems(problems: &Problems) -> Vec<Value> {
    let said = |problem: &Problem| {
        let (line, column) = problem.position.unzip();
        json!({ "file": problem.file, "line": line, "column": column, "path": problem.path, "what": problem.what })
    };
    problems.errors().take(PROBLEMS_MAX).map(said).collect()
}

/// The files would drop many keys.
pub(super) fn held(by: &By, held: &Held) -> Entry {
    let detail = json!({ "dropped": held.dropped, "of": held.of, "digest": held.digest });
    entry(by, Action::ReloadHeld, detail)
}

/// That is meant.
pub(super) fn accepted(by: &By, digest: &str) -> Entry {
    entry(by, Action::ReloadAccepted, json!({ "digest": digest }))
}

/// The start was on the last good keys.
pub(super) fn last_good(stand_in: &StandIn) -> Entry {
    let detail = json!({ "seen": stand_in.seen, "problems": problems(&stand_in.refused) });
    entry(&By::KEYGATE, Action::KeysLastGood, detail)
}

/// Permissions are closed for want of news, or open again.
pub(super) fn stale(closed: bool, age: u64) -> Entry {
    entry(
        &By::KEYGATE,
        Action::KeysStale,
        json!({ "closed": closed, "age_seconds": age }),
    )
}

fn entry(by: &By, action: Action, detail: Value) -> Entry {
    Entry {
        at: clock::unix(),
        actor: by.actor.clone(),
        source: by.source,
        action,
        target: None,
        detail,
    }
}

fn kind(kind: &Kind) -> Value {
    let changed: Vec<Value> = kind
        .changed_ids
        .iter()
        .map(|changed| json!({ "id": changed.id, "fields": changed.fields }))
        .collect();
    json!({
        "added": kind.added, "added_ids": kind.added_ids,
        "removed": kind.removed, "removed_ids": kind.removed_ids,
        "changed": kind.changed, "changed_ids": changed,
    })
}
