//! One webhook's events that wait, in the order in which they were queued.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Pause;

/// How a webhook's events may be sent; as the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Whether one is sent only when all that came before it are delivered or dead.
    pub ordered: bool,
    /// How many may be in hands at once.
    pub at_once: usize,
}

/// For how long a webhook has done nothing but fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failing {
    /// Since when; Unix milliseconds.
    pub since: i64,
    /// In how many attempts.
    pub attempts: u32,
}

/// How a webhook stands, besides its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Stand {
    pub(in crate::ledger) pause: Option<Pause>,
    pub(in crate::ledger) failing: Option<Failing>,
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct Waiting {
    /// Its row.
    pub(in crate::ledger) seq: i64,
    pub(in crate::ledger) event_id: Arc<str>,
    /// Since when it waits; Unix milliseconds.
    pub(in crate::ledger) since: i64,
    /// When it is due; Unix milliseconds.
    pub(in crate::ledger) due_at: i64,
    /// Attempts that there were, ever.
    pub(in crate::ledger) attempts: u32,
    /// Attempts that there were since it was accepted, or somebody asked for it again.
    pub(in crate::ledger) turns: u32,
    /// What it takes of the room; about as much memory, when it is loaded.
    pub(in crate::ledger) bytes: i64,
}

/// A webhook's lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) terms: Option<Terms>,
    pub(super) stand: Stand,
    /// All that wait, by place.
    events: BTreeMap<i64, Waiting>,
    /// Those that are in no hand: when they are due, and their places.
    due: BTreeSet<(i64, i64)>,
    /// Places of those that are in one.
    hands: BTreeSet<i64>,
}

impl Stand {
    /// Whoever paused it first did.
    pub(super) fn pause_or_resume(&mut self, pause: Option<Pause>) {
        self.pause = match (self.pause.take(), pause) {
            (Some(before), Some(_)) => Some(before),
            (Some(_) | None, now) => now,
        };
    }
}

impl Lane {
    /// When there will be something to claim, if nothing changes.
    pub(super) fn due_at(&self) -> Option<i64> {
        let terms = self.terms?;
        if self.stand.pause.is_some() || self.hands.len() >= terms.at_once {
            return None;
        }
        if terms.ordered {
            let (_, first) = self.events.first_key_value()?;
            return self.hands.is_empty().then_some(first.due_at);
        }
        self.due.first().map(|(due_at, _)| *due_at)
    }

    /// Takes what [`due_at`](Self::due_at) tells of.
    pub(super) fn claim(&mut self) -> Option<(i64, Waiting)> {
        self.due_at()?;
        let place = if self.terms?.ordered {
            *self.events.first_key_value()?.0
        } else {
            self.due.first()?.1
        };
        let event = self.events.get(&place)?.clone();
        self.due.remove(&(event.due_at, place));
        self.hands.insert(place);
        Some((place, event))
    }

    pub(super) fn put(&mut self, place: i64, event: Waiting) {
        self.due.insert((event.due_at, place));
        self.events.insert(place, event);
    }

    /// It goes back, to be due then, after so many attempts more.
    pub(super) fn release(&mut self, (place, seq): (i64, i64), due_at: i64, attempts: u32) {
        let Some(event) = self.events.get_mut(&place).filter(|event| event.seq == seq) else {
            return;
        };
        if !self.hands.remove(&place) {
            return;
        }
        event.due_at = due_at;
        event.attempts = event.attempts.saturating_add(attempts);
        event.turns = event.turns.saturating_add(attempts);
        self.due.insert((due_at, place));
    }

    /// It waits no more.
    pub(super) fn remove(&mut self, place: i64, seq: i64) {
        if let Some(event) = self.events.get(&place).filter(|event| event.seq == seq) {
            self.due.remove(&(event.due_at, place));
            self.hands.remove(&place);
            self.events.remove(&place);
        }
    }

    /// Takes the hands of another, as far as it has the same events.
    pub(super) fn take_hands(&mut self, other: &Self) {
        for place in &other.hands {
            let (Some(old), Some(new)) = (other.events.get(place), self.events.get(place)) else {
                continue;
            };
            if (old.seq, &old.event_id) == (new.seq, &new.event_id) {
                self.due.remove(&(new.due_at, *place));
                self.hands.insert(*place);
            }
        }
    }

    pub(super) fn in_hands(&self) -> usize {
        self.hands.len()
    }

    /// Those that are in no hand.
    pub(super) fn idle(&self) -> impl Iterator<Item = (i64, &Waiting)> {
        self.events
            .iter()
            .filter(|(place, _)| !self.hands.contains(place))
            .map(|(place, event)| (*place, event))
    }

    /// How many wait, those in hands among them.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Since when the first that waits does so.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.events.first_key_value().map(|(_, event)| event.since)
    }

    /// Whether there is nothing to know about it.
    pub(super) fn is_blank(&self) -> bool {
        self.terms.is_none() && self.events.is_empty() && self.stand == Stand::default()
    }
}
