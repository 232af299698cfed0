//! Which event is next: the lanes of all webhooks, and whose turn it is.
//!
//! Pure, and in memory: asking costs no disk, and little however many wait. Those that have the fewest events in hands come
//! first, and among those, who has waited for its turn the longest.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::lane::{Lane, Stand, Terms, Waiting};
use super::{Failing, Pause};

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<Arc<str>, Lane>,
    /// Lanes that have something to claim: by events in hands, and turn.
    ready: BTreeSet<(usize, u64, Arc<str>)>,
    /// Lanes that will have, by when.
    later: BTreeSet<(i64, Arc<str>)>,
    /// Where each lane stands in one of these.
    spots: HashMap<Arc<str>, Spot>,
    /// Counts turns.
    turn: u64,
    /// Up to when what is due stands in line.
    woken: i64,
}

#[derive(Debug, Clone, Copy)]
enum Spot {
    Ready(usize, u64),
    Later(i64),
}

/// An event that was claimed, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) webhook: Arc<str>,
    pub(super) place: i64,
    pub(super) event: Waiting,
    pub(super) failing: Option<Failing>,
}

/// What happens to lanes once it is on disk.
#[derive(Debug)]
pub(super) enum Effect {
    /// An event waits.
    Put(Arc<str>, i64, Waiting),
    /// A claimed event (its place and number) goes back, to be due then.
    Release(Arc<str>, (i64, i64), i64),
    /// An event (its place and number) waits no more.
    Remove(Arc<str>, (i64, i64)),
    /// For how long a webhook has failed.
    Failing(Arc<str>, Option<Failing>),
    /// A webhook is paused, or not any more.
    Pause(Arc<str>, Option<Pause>),
}

impl Lanes {
    /// Claims up to `limit` events that are due.
    pub(super) fn claim(&mut self, now: i64, limit: usize) -> Vec<Claimed> {
        self.wake(now);
        let mut claimed = Vec::new();
        while claimed.len() < limit
            && let Some((_, _, webhook)) = self.ready.first().cloned()
        {
            let Some(lane) = self.lanes.get_mut(&webhook) else {
                break;
            };
            let failing = lane.stand.failing;
            if let Some((place, event)) = lane.claim() {
                claimed.push(Claimed {
                    webhook: Arc::clone(&webhook),
                    place,
                    event,
                    failing,
                });
            }
            self.file(&webhook);
            self.wake(now);
        }
        claimed
    }

    /// When there is something to claim, if nothing changes: then, or before now.
    pub(super) fn next_due_at(&self) -> Option<i64> {
        if self.ready.is_empty() {
            return self.later.first().map(|(due_at, _)| *due_at);
        }
        Some(i64::MIN)
    }

    /// Takes the terms of all webhooks that there are; the events of others wait until theirs is there again.
    pub(super) fn arrange(&mut self, terms: impl IntoIterator<Item = (Arc<str>, Terms)>) {
        let mut terms: HashMap<Arc<str>, Terms> = terms.into_iter().collect();
        let known: Vec<Arc<str>> = self.lanes.keys().cloned().collect();
        for webhook in known {
            let now = terms.remove(&webhook);
            self.change(&webhook, |lane| lane.terms = now);
        }
        for (webhook, terms) in terms {
            self.change(&webhook, |lane| lane.terms = Some(terms));
        }
    }

    pub(super) fn put(&mut self, webhook: &Arc<str>, place: i64, event: Waiting) {
        self.change(webhook, |lane| lane.put(place, event));
    }

    pub(super) fn follow(&mut self, effect: Effect) {
        match effect {
            Effect::Put(webhook, place, event) => self.put(&webhook, place, event),
            Effect::Release(webhook, place, due_at) => self.release(&webhook, place, due_at, 1),
            Effect::Remove(webhook, (place, seq)) => self.change(&webhook, |lane| lane.remove(place, seq)),
            Effect::Failing(webhook, failing) => self.change(&webhook, |lane| lane.stand.failing = failing),
            Effect::Pause(webhook, pause) => self.change(&webhook, |lane| lane.stand.pause_or_resume(pause)),
        }
    }

    /// A claimed event goes back, to be due then, after so many attempts more.
    pub(super) fn release(&mut self, webhook: &Arc<str>, (place, seq): (i64, i64), due_at: i64, attempts: u32) {
        self.change(webhook, |lane| lane.release((place, seq), due_at, attempts));
    }

    /// Begins anew with what a file remembers, which may be another than before. What was in hands and is there still, is.
    pub(super) fn restore(
        &mut self,
        stands: Vec<(Arc<str>, Stand)>,
        events: impl IntoIterator<Item = (Arc<str>, i64, Waiting)>,
    ) {
        let before = std::mem::take(self);
        self.turn = before.turn;
        for (webhook, stand) in stands {
            self.lanes.entry(webhook).or_default().stand = stand;
        }
        for (webhook, place, event) in events {
            self.lanes.entry(webhook).or_default().put(place, event);
        }
        for (webhook, old) in before.lanes {
            let lane = self.lanes.entry(webhook).or_default();
            lane.terms = old.terms;
            lane.take_hands(&old);
        }
        let all: Vec<Arc<str>> = self.lanes.keys().cloned().collect();
        all.iter().for_each(|webhook| self.file(webhook));
    }

    pub(super) fn get(&self, webhook: &str) -> Option<&Lane> {
        self.lanes.get(webhook)
    }

    pub(super) fn pauses(&self) -> impl Iterator<Item = (&Arc<str>, &Pause)> {
        self.lanes
            .iter()
            .filter_map(|(webhook, lane)| Some((webhook, lane.stand.pause.as_ref()?)))
    }

    /// How many wait, and since when the first of them does.
    pub(super) fn waiting(&self) -> (usize, Option<i64>) {
        let count = self.lanes.values().map(Lane::len).sum();
        (count, self.lanes.values().filter_map(Lane::oldest).min())
    }

    fn change(&mut self, webhook: &Arc<str>, change: impl FnOnce(&mut Lane)) {
        change(self.lanes.entry(Arc::clone(webhook)).or_default());
        self.file(webhook);
    }

    /// Puts a lane where it belongs now.
    fn file(&mut self, webhook: &Arc<str>) {
        if self.keeps_its_turn(webhook) {
            return;
        }
        match self.spots.remove(webhook) {
            Some(Spot::Ready(hands, turn)) => drop(self.ready.remove(&(hands, turn, Arc::clone(webhook)))),
            Some(Spot::Later(due_at)) => drop(self.later.remove(&(due_at, Arc::clone(webhook)))),
            None => {}
        }
        let Some(lane) = self.lanes.get(webhook) else { return };
        if lane.is_blank() {
            self.lanes.remove(webhook);
            return;
        }
        if let Some(due_at) = lane.due_at() {
            self.later.insert((due_at, Arc::clone(webhook)));
            self.spots.insert(Arc::clone(webhook), Spot::Later(due_at));
        }
    }

    /// Whether it stands in line, and rightly: events that come do not send their lane to the end of it.
    fn keeps_its_turn(&self, webhook: &Arc<str>) -> bool {
        let (Some(Spot::Ready(hands, _)), Some(lane)) = (self.spots.get(webhook), self.lanes.get(webhook)) else {
            return false;
        };
        *hands == lane.in_hands() && lane.due_at().is_some_and(|due_at| due_at <= self.woken)
    }

    /// Lanes that have something now stand in line.
    fn wake(&mut self, now: i64) {
        self.woken = now;
        while self.later.first().is_some_and(|(due_at, _)| *due_at <= now) {
            let Some((_, webhook)) = self.later.pop_first() else {
                return;
            };
            let hands = self.lanes.get(&webhook).map_or(0, Lane::in_hands);
            self.turn += 1;
            self.ready.insert((hands, self.turn, Arc::clone(&webhook)));
            self.spots.insert(webhook, Spot::Ready(hands, self.turn));
        }
    }
}
