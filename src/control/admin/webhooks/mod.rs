//! `/admin/v1/webhooks`: the return path, looked at and steered.
//!
//! A room of its own because what is told of it comes from three places: the configuration in force, the queue in memory, which
//! knows what is so now, and the state file, which knows what was.
//!
//! # Security
//! No answer holds a secret, a header's value, the path of a URL, or anything of an event's content.

mod change;
mod events;
mod list;
mod sample;

pub(super) use change::{pause, replay, resume};
pub(super) use events::{activity, events};
pub(super) use list::{list, show};
pub(super) use sample::test;

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::Desk;
use super::guard::Identity;
use super::problem::Problem;
use crate::clock;
use crate::config::webhooks::Webhook;
use crate::ledger::audit::{Action, Entry};
use crate::ledger::queue::Queue;
use crate::policy::Policy;

/// The webhook with this id.
fn find(policy: &Policy, id: &str) -> Result<Arc<Webhook>, Problem> {
    let egress = policy.egress.as_ref();
    let found = egress.and_then(|egress| egress.by_id(id)).cloned();
    found.ok_or_else(|| Problem::not_found("No webhook has this id. GET /admin/v1/webhooks lists them."))
}

/// The queue, where there is one.
fn queue(desk: &Desk) -> Result<&Queue, Problem> {
    let queue = &desk.control.queue;
    queue.is_on().then_some(queue).ok_or_else(|| {
        Problem::conflict(
            "no_state",
            "Nothing is queued or paused: the configuration has no [state], or had none when the process began.",
        )
    })
}

/// 503: what was asked for is not on disk.
fn unavailable() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "state_unavailable",
        "The state file cannot be written to now; nothing was changed. The log says why.",
    )
}

/// Puts on record what was done to a webhook.
fn record(desk: &Desk, identity: &Identity, action: Action, webhook: &str, detail: Value) {
    desk.control.audit.record(Entry {
        at: clock::unix(),
        actor: identity.actor.clone(),
        source: identity.source.source(),
        action,
        target: Some(webhook.to_owned()),
        detail,
    });
}
