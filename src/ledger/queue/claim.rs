//! An event in somebody's hand.

use std::fmt;
use std::sync::Arc;

use super::handle::Shared;
use super::lane::Failing;
use super::lanes::Claimed;
use crate::clock;

/// How long an event waits that somebody has let go of without a word.
const AGAIN_MILLIS: i64 = 1_000;

/// An event in a hand, until [`Queue::settle`](super::Queue::settle) takes it. Where it is dropped instead, the event is due
/// again in a second, as if there had been no attempt.
pub struct Claim {
    claimed: Claimed,
    queue: Arc<Shared>,
    is_settled: bool,
}

impl Claim {
    pub(super) fn new(claimed: Claimed, queue: Arc<Shared>) -> Self {
        Self {
            claimed,
            queue,
            is_settled: false,
        }
    }

    /// The webhook's id.
    #[must_use]
    pub fn webhook(&self) -> &Arc<str> {
        &self.claimed.webhook
    }

    /// The event's id, the same in every attempt.
    #[must_use]
    pub fn event_id(&self) -> &Arc<str> {
        &self.claimed.event.event_id
    }

    /// Which attempt this one is, ever; from 1 on.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.claimed.event.attempts.saturating_add(1)
    }

    /// Which attempt this one is since the event was accepted, or somebody asked for it again; from 1 on: its place in the
    /// schedule.
    #[must_use]
    pub fn turn(&self) -> u32 {
        self.claimed.event.turns.saturating_add(1)
    }

    /// Since when it waits: since it was accepted, or somebody asked for it again; Unix milliseconds.
    #[must_use]
    pub fn since(&self) -> i64 {
        self.claimed.event.since
    }

    /// About how much memory its content takes, when it is loaded.
    #[must_use]
    pub fn bytes(&self) -> usize {
        usize::try_from(self.claimed.event.bytes).unwrap_or_default()
    }

    /// For how long its webhook has done nothing but fail, when it was claimed.
    #[must_use]
    pub fn failing(&self) -> Option<Failing> {
        self.claimed.failing
    }

    pub(in crate::ledger) fn seq(&self) -> i64 {
        self.claimed.event.seq
    }

    /// Its place and number.
    pub(super) fn place(&self) -> (i64, i64) {
        (self.claimed.place, self.claimed.event.seq)
    }

    /// Its hand is dealt with.
    pub(super) fn settled(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_settled {
            let due_at = clock::unix_millis().saturating_add(AGAIN_MILLIS);
            self.queue
                .change(|lanes| lanes.release(&self.claimed.webhook, self.place(), due_at, 0));
        }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claimed.fmt(f)
    }
}
