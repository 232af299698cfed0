//! What the audit trail says about a change to a key: as it was and as it is, masked as a [`View`](crate::config::records::View) is.

use serde_json::Value;

use crate::clock;
use crate::control::admin::Desk;
use crate::control::admin::guard::Identity;
use crate::ledger::audit::{Action, Entry};

/// Puts a change on record.
pub(super) fn record(desk: &Desk, identity: &Identity, action: Action, key: &str, detail: Value) {
    desk.control.audit.record(Entry {
        at: clock::unix(),
        actor: identity.actor.clone(),
        source: identity.source.source(),
        action,
        target: Some(key.to_owned()),
        detail,
    });
}
