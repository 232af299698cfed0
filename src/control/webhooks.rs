//! Webhooks as operators see them: what the admin listener answers, and `keygate webhooks` reads.
//!
//! A room of its own because both join what is configured with how it stands, and neither may tell more than the other.
//!
//! # Security
//! No secret, and no header's value. A URL's path and query may be secrets: its origin alone is told.

use serde::{Deserialize, Serialize};

use crate::config::records::write::date_time;
use crate::config::webhooks::sign::Scheme;
use crate::config::webhooks::{Delivery, Webhook};
use crate::ledger::read::webhooks::{AttemptRow, Paused, Standing};

/// A webhook, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub organization: String,
    /// Where events go: `https://hooks.example/…`, without what could be a secret.
    pub url: String,
    /// Which events it gets.
    pub events: Vec<String>,
    /// Whether it gets any.
    pub active: bool,
    /// `request` or `queued`.
    pub delivery: String,
    /// Whether queued events are sent in their order.
    pub ordered: bool,
    /// By which schemes its events are signed.
    pub sign: Vec<String>,
    /// Where there are two secrets: how far its receiver has come.
    pub rotation: Option<Rotation>,
    /// Why nothing is sent to it, where that is so.
    pub paused: Option<Paused>,
    /// Queued events that wait.
    pub waiting: u64,
    /// Queued events that are not tried any more.
    pub dead: u64,
    /// Since when it has done nothing but fail, where that is so: of queued events.
    pub failing_since: Option<String>,
    /// In how many attempts.
    pub failures: u32,
    /// The last attempt.
    pub last: Option<AttemptRow>,
}

/// A change from one secret to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Until when the previous secret is used; `None` until it is removed.
    pub until: Option<String>,
    /// `both` where every header that signs carries what both secrets make, so that nothing is to be learnt; else `one`.
    pub sends: String,
    /// Whether its receiver was seen to take the new one; `None` where that is not known.
    pub moved: Option<bool>,
}

/// A page of webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// In the order of their ids.
    pub webhooks: Vec<View>,
    /// What `after` is for the next page; `None` on the last.
    pub next: Option<String>,
}

/// What came of a pause, or of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// The webhook's id.
    pub webhook: String,
    /// False where it was so before.
    pub changed: bool,
    /// Why nothing is sent to it now, where that is so.
    pub paused: Option<Paused>,
    /// Queued events that wait.
    pub waiting: u64,
}

/// What came of the wish to send an event again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The webhook's id.
    pub webhook: String,
    /// The event's id.
    pub event_id: String,
    /// False where it waited anyway.
    pub changed: bool,
    /// Why it is not sent now, where its webhook is paused.
    pub paused: Option<Paused>,
}

impl View {
    /// One, at this time (Unix seconds), as it stands.
    #[must_use]
    pub fn of(webhook: &Webhook, standing: Standing, moved: Option<bool>, now_unix: i64) -> Self {
        let (delivery, ordered) = match &webhook.delivery {
            Delivery::Request => ("request", false),
            Delivery::Queued { ordered, .. } => ("queued", *ordered),
        };
        let schemes = &webhook.signing.schemes;
        Self {
            id: webhook.id.clone(),
            organization: webhook.organization.clone(),
            url: webhook.url.masked(),
            events: webhook.events.texts().collect(),
            active: webhook.active,
            delivery: delivery.to_owned(),
            ordered,
            sign: schemes.iter().map(|scheme| scheme.name().to_owned()).collect(),
            rotation: webhook.signing.is_rotating(now_unix).then(|| Rotation {
                until: schemes
                    .iter()
                    .find_map(|scheme: &Scheme| scheme.overlap_end(now_unix))
                    .map(date_time),
                sends: if webhook.signing.has_single() { "one" } else { "both" }.to_owned(),
                moved,
            }),
            paused: standing.paused,
            waiting: standing.waiting,
            dead: standing.dead,
            failing_since: standing.failing_since,
            failures: standing.failures,
            last: standing.last,
        }
    }
}
