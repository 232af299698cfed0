//! What the state file tells of webhooks: what was sent to them, what waits, and what is dead. No contents.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::read;
use crate::ledger::queue::Pause;
use crate::ledger::store::{Reader, Unavailable, moment_millis};

/// Which attempts are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Only of this webhook.
    pub webhook: Option<String>,
    /// Only of this event.
    pub event: Option<String>,
    /// Only those that did not deliver.
    pub failed: bool,
    /// From then on; Unix seconds.
    pub since: Option<i64>,
    /// Before then; Unix seconds.
    pub until: Option<i64>,
    /// Only what came before this row.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// Attempts, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityPage {
    /// As they stand in the file.
    pub attempts: Vec<AttemptRow>,
    /// What [`ActivityQuery::before`] has to be for the next page, if there is one.
    pub next: Option<i64>,
}

/// One attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// Its number in the file.
    pub seq: i64,
    /// When it began; RFC 3339, in UTC, with milliseconds.
    pub at: String,
    /// The webhook's id.
    pub webhook: String,
    /// Whose webhook it was.
    pub organization: String,
    /// The event's id.
    pub event_id: String,
    /// The event's type; may be empty.
    pub event_type: String,
    /// `request` or `queued`.
    pub delivery: String,
    /// Which attempt of the event it was, from 1 on.
    pub attempt: u32,
    /// Whether the receiver took it.
    pub delivered: bool,
    /// What the receiver answered, if it did.
    pub status: Option<u16>,
    /// Why it failed, as a code, where the status does not say so.
    pub error: Option<String>,
    /// How long it took.
    pub duration_ms: u64,
}

/// Which queued events are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Only of this webhook.
    pub webhook: Option<String>,
    /// Only with this id; several webhooks may have one event.
    pub event: Option<String>,
    /// Only in this state: `dead` is the list of dead letters.
    pub state: Option<EventState>,
    /// Only what was accepted before this row.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// What has become of a queued event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// It waits for its next attempt.
    Waiting,
    /// It has arrived.
    Delivered,
    /// It is not tried any more.
    Dead,
}

/// Queued events, those that were accepted last first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsPage {
    /// As they stand in the file.
    pub events: Vec<EventRow>,
    /// What [`EventsQuery::before`] has to be for the next page, if there is one.
    pub next: Option<i64>,
}

/// One queued event, without what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// Its number in the file.
    pub seq: i64,
    /// The webhook's id.
    pub webhook: String,
    /// The event's id.
    pub event_id: String,
    /// Whose webhook it was.
    pub organization: String,
    /// The event's type; may be empty.
    pub event_type: String,
    /// What has become of it.
    pub state: EventState,
    /// When it was accepted; RFC 3339, in UTC, with milliseconds, like all times here.
    pub accepted_at: String,
    /// When its next attempt is due, where it waits.
    pub due_at: Option<String>,
    /// When it was delivered, or given up.
    pub ended_at: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt came to, a status or a code; or why it was given up.
    pub outcome: Option<String>,
    /// Whether it can be sent again: its content is kept.
    pub replayable: bool,
}

/// How a webhook stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Queued events that wait.
    pub waiting: u64,
    /// Queued events that are not tried any more.
    pub dead: u64,
    /// Queued events that were delivered and are kept.
    pub delivered: u64,
    /// Why nothing is sent to it, where that is so.
    pub paused: Option<Paused>,
    /// Since when it has done nothing but fail, where that is so: of queued events.
    pub failing_since: Option<String>,
    /// In how many attempts.
    pub failures: u32,
    /// The last attempt.
    pub last: Option<AttemptRow>,
}

/// Why nothing is sent to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Since when.
    pub since: String,
    /// `operator`, `gone` or `failing`.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// Why, as they say, where they do.
    pub note: Option<String>,
}

impl From<&Pause> for Paused {
    fn from(pause: &Pause) -> Self {
        Self {
            since: moment_millis(pause.since),
            reason: pause.reason.word().to_owned(),
            by: pause.by.clone(),
            note: pause.note.clone(),
        }
    }
}

/// What was sent to webhooks.
///
/// # Errors
/// When the file cannot be read, here and in every other function.
pub fn activity(path: &Path, query: &ActivityQuery) -> Result<ActivityPage, Unavailable> {
    read(path, |reader| reader.activity(query))
}

/// Queued events.
///
/// # Errors
/// As [`activity`].
pub fn events(path: &Path, query: &EventsQuery) -> Result<EventsPage, Unavailable> {
    read(path, |reader| reader.events(query))
}

/// How webhooks stand, by id: those of which the file knows anything.
///
/// # Errors
/// As [`activity`].
pub fn standings(path: &Path) -> Result<BTreeMap<String, Standing>, Unavailable> {
    read(path, Reader::standings)
}
