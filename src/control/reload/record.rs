//! What the audit trail says about reloads. Ids and names of fields, never what stands in them.

use serde_json::{Value, json};

use super::requests::{By, Held};
use crate::clock;
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
pub(super) fn refused(by: &By, problems: &Problems) -> Entry {
    let said = |problem: &Problem| {
        let (line, column) = problem.position.unzip();
        json!({ "file": problem.file, "line": line, "column": column, "path": problem.path, "what": problem.what })
    };
    let first: Vec<Value> = problems.0.iter().take(PROBLEMS_MAX).map(said).collect();
    let detail = json!({ "problems": first, "count": problems.0.len() });
    entry(by, Action::ReloadRefused, detail)
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
