//! How much room events take, and who may take more.
//!
//! What waits and what is dead is *held*: it is never dropped to make room. What is delivered is only *kept*, and gives way.
//! One webhook may take at most as much of what may be held as is left besides: alone, half of it; beside another that takes
//! all it can, a third. So one that never answers does not fill the queue of the others, however many of its kind there are.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::state::State;

/// What an event takes besides its body and headers, about.
pub(in crate::ledger) const ROW_BYTES: i64 = 512;

/// Some events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Held {
    pub(in crate::ledger) events: i64,
    pub(in crate::ledger) bytes: i64,
}

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Kept {
    /// Waiting and dead ones, by webhook.
    pub(in crate::ledger) held: HashMap<Arc<str>, Held>,
    /// The dead ones among them.
    pub(in crate::ledger) dead: Held,
    /// Delivered ones.
    pub(in crate::ledger) delivered: Held,
}

/// A change of what the file holds.
#[derive(Debug, Clone)]
pub(in crate::ledger) enum Change {
    /// Of what waits or is dead.
    Held(Arc<str>, Held),
    /// Of the dead ones among those.
    Dead(Held),
    /// Of what was delivered.
    Delivered(Held),
}

/// What there is, and how much there may be. Changes may be taken back, until they are on disk.
#[derive(Debug)]
pub(in crate::ledger) struct Room {
    limit: Held,
    kept: Kept,
    total: Held,
    changes: Vec<Change>,
}

impl Room {
    pub(in crate::ledger) fn new(state: &State) -> Self {
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Self {
            limit: Held {
                events: signed(state.queue_events),
                bytes: signed(state.queue_bytes),
            },
            kept: Kept::default(),
            total: Held::default(),
            changes: Vec::new(),
        }
    }

    /// Begins anew with what is in a file.
    pub(in crate::ledger) fn restore(&mut self, kept: Kept) {
        self.total = Held::default();
        kept.held.values().for_each(|held| self.total.add(*held));
        self.kept = kept;
        self.changes.clear();
    }

    /// Whether a webhook may have one more, of so many bytes.
    pub(in crate::ledger) fn has_for(&self, webhook: &str, bytes: i64) -> bool {
        let own = self.kept.held.get(webhook).copied().unwrap_or_default();
        let left = |limit: i64, total: i64| limit.saturating_sub(total);
        own.events < left(self.limit.events, self.total.events)
            && own.bytes.saturating_add(bytes) <= left(self.limit.bytes, self.total.bytes)
    }

    /// How many bytes have to give way for so many more.
    pub(in crate::ledger) fn lacks(&self, bytes: i64) -> i64 {
        self.total.bytes + self.kept.delivered.bytes + bytes - self.limit.bytes
    }

    pub(in crate::ledger) fn change(&mut self, change: Change) {
        self.apply(&change, 1);
        self.changes.push(change);
    }

    /// It is on disk.
    pub(in crate::ledger) fn commit(&mut self) {
        self.changes.clear();
    }

    /// It is not.
    pub(in crate::ledger) fn take_back(&mut self) {
        for change in std::mem::take(&mut self.changes).iter().rev() {
            self.apply(change, -1);
        }
    }

    /// Dead ones, delivered ones, and all bytes.
    pub(in crate::ledger) fn told(&self) -> (i64, i64, i64) {
        let bytes = self.total.bytes + self.kept.delivered.bytes;
        (self.kept.dead.events, self.kept.delivered.events, bytes)
    }

    fn apply(&mut self, change: &Change, sign: i64) {
        match change {
            Change::Held(webhook, by) => {
                let by = by.times(sign);
                self.total.add(by);
                let own = self.kept.held.entry(Arc::clone(webhook)).or_default();
                own.add(by);
                if own.events == 0 {
                    self.kept.held.remove(webhook);
                }
            }
            Change::Dead(by) => self.kept.dead.add(by.times(sign)),
            Change::Delivered(by) => self.kept.delivered.add(by.times(sign)),
        }
    }
}

impl Held {
    pub(in crate::ledger) fn one(bytes: i64) -> Self {
        Self { events: 1, bytes }
    }

    pub(in crate::ledger) fn times(self, factor: i64) -> Self {
        Self {
            events: self.events * factor,
            bytes: self.bytes * factor,
        }
    }

    pub(in crate::ledger) fn add(&mut self, other: Self) {
        self.events += other.events;
        self.bytes += other.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(events: u64, bytes: u64) -> Room {
        Room::new(&State {
            queue_events: events,
            queue_bytes: bytes,
            ..State::default()
        })
    }

    fn fill(room: &mut Room, webhook: &str, bytes: i64) -> i64 {
        let mut taken = 0;
        while room.has_for(webhook, bytes) {
            room.change(Change::Held(webhook.into(), Held::one(bytes)));
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_webhook_takes_at_most_what_is_left_besides_and_there_is_always_some_for_another() {
        let mut room = room(1_000, 1_000_000);
        assert_eq!(fill(&mut room, "a", 10), 500);
        assert_eq!(fill(&mut room, "b", 10), 250);
        assert_eq!(fill(&mut room, "c", 10), 125);
        for dead in 0..6 {
            fill(&mut room, &dead.to_string(), 10);
        }
        assert!(room.has_for("new", 10));
        let mut room = self::room(1_000, 1_000);
        assert_eq!(fill(&mut room, "a", 100), 5);
        assert!(!room.has_for("b", 501) && room.has_for("b", 500));
    }

    #[test]
    fn one_may_be_taken_wherever_one_is_allowed() {
        let mut room = room(1, 1_000_000);
        assert_eq!(fill(&mut room, "a", 10), 1);
        assert!(!room.has_for("b", 10));
    }

    #[test]
    fn what_is_not_on_disk_is_taken_back() {
        let mut room = room(10, 10_000);
        room.change(Change::Held("a".into(), Held::one(7)));
        room.commit();
        let before = room.kept.clone();
        room.change(Change::Held("a".into(), Held::one(7).times(-1)));
        room.change(Change::Delivered(Held::one(7)));
        room.change(Change::Held("b".into(), Held::one(9)));
        room.change(Change::Dead(Held::one(9)));
        assert_eq!(room.told(), (1, 1, 16));
        room.take_back();
        assert_eq!((room.kept.clone(), room.total), (before, Held::one(7)));
    }
}
