//! What commands change, put on record: in the audit trail of the state file that the configuration names.
//!
//! A file that is not there is not made: it would belong to whoever ran the command, and not to the sidecar. What cannot
//! be put on record is said, and is done all the same: a key that has leaked must be revoked before a disk is mended.

use serde_json::{Value, json};

use super::store::Store;
use crate::cli::output::tell;
use crate::control::keyfile::Changed;
use crate::ledger::audit::{self, Action, Actor, Entry, Source};

/// Records what became of a key.
pub(super) fn record(store: &Store, action: Action, done: &Changed, now_unix: i64) {
    let detail = json!({ "before": done.before, "after": done.after });
    append(store, action, Some(done.after.id.clone()), detail, now_unix);
}

/// Records anything else. `detail` holds no secret and no hash.
pub(super) fn append(store: &Store, action: Action, target: Option<String>, detail: Value, now_unix: i64) {
    let Some(path) = store.state().filter(|path| path.exists()) else {
        return;
    };
    let entry = Entry {
        at: now_unix,
        actor: Actor::own_user(),
        source: Source::Cli,
        action,
        target,
        detail,
    };
    if let Err(error) = audit::append(path, &entry) {
        tell(format_args!("note: this could not be put on record: {error}"));
    }
}
