//! Calls that were refused to somebody: each is told, in one place.
//!
//! Whoever may only connect must not be able to fill the audit trail: of the refusals to one source in a minute, so many go
//! on record, and the next that does says how many did not. The log has them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, Request};
use serde_json::json;
use tracing::warn;

use super::guard::{Caller, Denied, Identity};
use crate::clock;
use crate::config::limits::CredentialFailures;
use crate::ledger::audit::{Action, Audit, Entry};
use crate::policy::limits::Failures;

/// How many refusals to one source go on record.
const RECORDED: CredentialFailures = CredentialFailures {
    requests: 30,
    per: Duration::from_secs(60),
};
/// How much of a path is told.
const PATH_BYTES_MAX: usize = 256;

/// What was called.
pub(super) struct Call {
    method: Method,
    path: String,
}

/// Tells them.
pub(super) struct Refusals {
    recorded: Arc<Failures>,
    left_out: AtomicU64,
}

impl Call {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path();
        Self {
            method: request.method().clone(),
            path: path[..path.floor_char_boundary(PATH_BYTES_MAX)].to_owned(),
        }
    }
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self {
            recorded: Failures::new(Some(&RECORDED)),
            left_out: AtomicU64::new(0),
        }
    }

    /// Tells one: why, and never what was presented.
    pub(super) fn tell(&self, audit: &Audit, identity: Option<&Identity>, source: Caller, call: &Call, denied: Denied) {
        let Call { method, path } = call;
        let actor = identity.map_or_else(|| source.actor(), |identity| identity.actor.clone());
        let reason = denied.code();
        warn!(message = "admin call refused", %source, by = %actor, %method, path, reason);
        if self.recorded.spend(source.address(), clock::monotonic()).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut detail = json!({ "method": method.as_str(), "path": path, "reason": reason });
        if let Denied::Role { needed, has } = denied {
            detail["needed"] = needed.word().into();
            detail["has"] = has.word().into();
        }
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            detail["not_recorded_before"] = left_out.into();
        }
        audit.record(Entry {
            at: clock::unix(),
            actor,
            source: source.source(),
            action: Action::AdminRefused,
            target: None,
            detail,
        });
    }
}
