//! What the log and the metrics say about a reload.

use std::path::Path;

use tracing::{error, info, warn};

use super::requests::Held;
use crate::config::last_good::StandIn;
use crate::config::problem::Problems;
use crate::config::records::{Changed, Changes, Kind, LISTED_MAX, Records};
use crate::policy::Policy;
use crate::secret::Digest;
use crate::telemetry::log;
use crate::telemetry::metrics::{Metrics, Outcome, State};

/// A generation is put in force at `now` (Unix seconds).
pub(super) fn in_force(metrics: &Metrics, generation: u64, now: i64) {
    metrics.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
    metrics.reload_failed.set(0);
    metrics.last_reload.set(now);
}

/// How many of its keys are in each state.
pub(super) fn count(metrics: &Metrics, policy: &Policy, now: i64) {
    for (state, count) in policy.keyring().count_by_state(policy.revocations(), now) {
        metrics
            .keys
            .get_or_create(&State { state: state.word() })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// How it differs from the one before.
pub(super) fn applied(metrics: &Metrics, policy: &Policy, changes: &Changes, content: Digest) {
    metrics.reloads.get_or_create(&Outcome { result: "applied" }).inc();
    let (keys, organizations) = (&changes.keys, &changes.organizations);
    info!(
        message = "reloaded",
        generation = policy.generation,
        keys = policy.keyring().len(),
        organizations = policy.keyring().organizations().len(),
        keys_added = keys.added,
        keys_removed = keys.removed,
        keys_changed = keys.changed,
        organizations_added = organizations.added,
        organizations_removed = organizations.removed,
        organizations_changed = organizations.changed,
        tombstones_added = changes.tombstones_added,
        tombstones_removed = changes.tombstones_removed,
        digest = hex::encode(content.0)
    );
    which("key", keys);
    which("organization", organizations);
}

/// Which records: a line for each kind of change, of bounded length.
fn which(record: &'static str, kind: &Kind) {
    let more = |count: usize| count.saturating_sub(LISTED_MAX);
    if kind.added > 0 {
        let ids = kind.added_ids.join(" ");
        info!(message = "added", record, ids, more = more(kind.added));
    }
    if kind.removed > 0 {
        let ids = kind.removed_ids.join(" ");
        info!(message = "removed", record, ids, more = more(kind.removed));
    }
    if kind.changed > 0 {
        let fields = |changed: &Changed| format!("{}: {}", changed.id, changed.fields.join(", "));
        let ids: Vec<String> = kind.changed_ids.iter().map(fields).collect();
        info!(
            message = "changed",
            record,
            ids = ids.join("; "),
            more = more(kind.changed)
        );
    }
}

/// The key files that are not what they were, each with its digest.
pub(super) fn files(before: Option<&Records>, after: &Records) {
    let known = |path: &Path| before?.files.iter().find(|file| file.path == path);
    let news = after
        .files
        .iter()
        .filter(|file| known(&file.path).is_none_or(|known| known.digest != file.digest));
    let mut more = 0;
    for (index, file) in news.enumerate() {
        if index < LISTED_MAX {
            let sha256 = hex::encode(file.digest.0);
            info!(message = "key file read", file = %file.path.display(), sha256);
        } else {
            more += 1;
        }
    }
    if more > 0 {
        info!(message = "more key files read", more);
    }
    let before = before.map_or(&[][..], |before| &before.files);
    let gone = before
        .iter()
        .filter(|file| !after.files.iter().any(|left| left.path == file.path));
    for file in gone.take(LISTED_MAX) {
        info!(message = "key file gone", file = %file.path.display());
    }
}

/// Revocations in what is held.
pub(super) fn revoked(metrics: &Metrics, policy: &Policy, revocations: usize) {
    metrics
        .generation
        .set(i64::try_from(policy.generation).unwrap_or(i64::MAX));
    warn!(
        message = "the revocations in what is held are in force",
        generation = policy.generation,
        revocations
    );
}

/// The keys are not those of the key file, which cannot be used.
pub(super) fn stand_in(metrics: &Metrics, stand_in: &StandIn, now: i64) {
    metrics.reload_failed.set(i64::from(!stand_in.held));
    metrics.keys_last_good.set(1);
    stand_in.refused.0.iter().for_each(log::problem);
    let age_seconds = now.saturating_sub(stand_in.seen).max(0);
    if stand_in.held {
        error!(
            message =
                "started on the last good keys, because the key file would drop too many of them (keys.shrink_guard)",
            age_seconds
        );
    } else {
        error!(
            message = "started on the last good keys, because the key file cannot be used; it is watched, and taken up when it \
                       is mended",
            age_seconds
        );
    }
}

/// What cannot take effect now.
pub(super) fn at_the_next_start(options: impl Iterator<Item = &'static str>) {
    for option in options {
        warn!(
            message = "this option takes effect at the next start; the rest of the file is in force",
            option
        );
    }
}

/// The files are not valid.
pub(super) fn refused(metrics: &Metrics, policy: &Policy, problems: &Problems) {
    metrics.reloads.get_or_create(&Outcome { result: "refused" }).inc();
    metrics.reload_failed.set(1);
    problems.0.iter().for_each(log::problem);
    error!(
        message = "reload refused, the last good generation stays in force",
        generation = policy.generation,
        problems = problems.errors().count()
    );
}

/// The files are valid, and would drop many keys.
pub(super) fn held(metrics: &Metrics, policy: &Policy, held: &Held) {
    metrics.reloads.get_or_create(&Outcome { result: "held" }).inc();
    metrics.reload_held.set(1);
    error!(
        message = "reload held: it would drop a large share of the keys, which all stay in force until `keygate reload \
                   --accept`, or until the files are mended",
        generation = policy.generation,
        dropped = held.dropped,
        of = held.of,
        digest = held.digest
    );
}
