//! What the audit trail says about a change to a key: the fields that differ, before and after, masked as a [`View`] is.

use serde_json::{Map, Value, json};

use crate::clock;
use crate::config::records::View;
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

/// What a change changed; of a new key, everything.
pub(super) fn difference(before: Option<&View>, after: &View) -> Value {
    let fields = |view: &View| match serde_json::to_value(view) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    };
    let Some(before) = before else {
        return json!({ "after": fields(after) });
    };
    let (mut before, mut after) = (fields(before), fields(after));
    let same: Vec<String> = before
        .iter()
        .filter(|(name, value)| after.get(*name) == Some(value))
        .map(|(name, _)| name.clone())
        .collect();
    for name in same {
        before.remove(&name);
        after.remove(&name);
    }
    json!({ "before": before, "after": after })
}
