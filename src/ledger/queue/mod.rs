//! Queued webhook events: accepted once they are on disk, and due until they are delivered, or dead.
//!
//! A room of its own because an event that was accepted is a promise: it outlives `kill -9`, is sent at least once, and is
//! never given up in silence. Whoever sends ([`Queue::claim`]) asks memory ([`lanes`](self)), which knows of every event that
//! waits when it is due; the file knows the rest, and what memory knows, too. The thread that writes to the state file takes
//! all that has come since it last looked into one transaction.
//!
//! Invariants:
//! - An event is accepted when it is on disk, fsynced. The same id of the same webhook is accepted again, as long as the file
//!   knows it, and is not sent again for that.
//! - An event is in one hand at a time. Hands are not on disk: after a restart, what was in one is due again.
//! - What became of an attempt is kept in memory until it can be written, and the event stays in its hand for so long: while
//!   the file cannot be had, nothing is sent twice for that, and a webhook has at most as many such events as it may have
//!   at once.
//! - No webhook waits for another: each has a lane, and lanes take turns. None may take more room than is left besides.
//! - Events that wait or are dead are never dropped to make room; delivered ones, which are kept to be sent again and to
//!   know their ids, are, the oldest first.
//!
//! # Security
//! Bodies and headers are what the service sent, and so its customers' data. They are in one table of the state file
//! (`webhook_event_contents`), and in no log. Signatures and secrets are made when an event is sent, and are not here.

mod books;
mod claim;
mod desk;
mod event;
mod handle;
mod job;
mod lane;
mod lanes;
mod room;
#[cfg(test)]
mod tests;

pub use claim::Claim;
pub(super) use desk::Desk;
pub(super) use event::headers_of;
pub use event::{Content, Event};
pub use handle::{Load, Queue};
pub(super) use job::Settlement;
pub use lane::{Failing, Terms};
pub(super) use lane::{Stand, Waiting};
pub(super) use room::{Held, Kept, ROW_BYTES};

use std::time::Duration;

/// What became of an event that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is on disk.
    New,
    /// It already was, under this id: whatever has become of it.
    Known,
    /// There is no room; it was not taken.
    Full,
}

/// The state file cannot be had now; nothing was done, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// How one attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began; Unix milliseconds.
    pub at: i64,
    /// Whether the receiver took it.
    pub is_delivered: bool,
    /// What the receiver answered, if it did.
    pub status: Option<u16>,
    /// Why there was no answer, or why it was no good one: a code, never text of the receiver's.
    pub error: Option<&'static str>,
    /// How long it took.
    pub duration: Duration,
}

/// What is to become of an event after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It has arrived.
    Delivered,
    /// It is due again then; Unix milliseconds.
    Again(i64),
    /// It is not tried any more, unless somebody asks for it.
    Dead,
}

/// Why nothing is sent to a webhook for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when; Unix milliseconds.
    pub since: i64,
    /// Why.
    pub reason: Reason,
    /// Who asked for it: an actor of the audit trail.
    pub by: String,
    /// Why, as they say, where they do.
    pub note: Option<String>,
}

/// Why a webhook was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// `operator`: somebody wanted it.
    Operator,
    /// `gone`: the receiver answered 410.
    Gone,
    /// `failing`: it has failed for too long.
    Failing,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Gone, Self::Failing];

    /// Stable, for people and machines alike.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// What came of the wish to send an event again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// It is due, with the same id, behind all that waits for its webhook.
    Due,
    /// It waits anyway.
    Waits,
    /// What was in it is not kept any more.
    Emptied,
    /// There is no room for it.
    Full,
    /// There is no such event (any more).
    Unknown,
}
