//! The thread that writes: counts twice in every `flush`, so that a flush that takes a while keeps the promise too, and audit
//! entries and what is queued as they come.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::{Value, json};

use super::audit::{self, Action, Actor, Entry, Link, Pending, Source};
use super::backlog::Backlog;
use super::health::Health;
use super::queue::Desk;
use super::store::{Pruned, Store, Trouble};
use super::tally::Tallies;
use super::waiting::Waiting;
use crate::clock;
use crate::config::state::State;
use crate::policy::limits::Balances;
use crate::telemetry::metrics::Metrics;

/// What the thread is told.
pub(super) enum Message {
    /// To append this.
    Entry(Box<Pending>),
    /// To look at what the queue wants.
    Queue,
    /// To write everything, and end.
    Stop,
}

/// How often the last flush is tried, where the file is busy.
const LAST_TRIES: usize = 3;

/// What the thread works with.
pub(super) struct Writer {
    state: State,
    balances: Arc<Balances>,
    tallies: Arc<Tallies>,
    store: Option<Store>,
    /// Whether what the file remembered is among the balances.
    is_restored: bool,
    backlog: Backlog,
    waiting: Waiting,
    desk: Option<Desk>,
    /// The last place in the audit trail that is known to be on disk.
    last: Option<Link>,
    health: Health,
    metrics: Arc<Metrics>,
}

/// Tells that nobody writes any more, where a bug ends the thread.
struct Watched(Arc<Metrics>);

impl Writer {
    pub(super) fn new(
        state: &State,
        balances: Arc<Balances>,
        tallies: Arc<Tallies>,
        desk: Option<Desk>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            state: state.clone(),
            balances,
            tallies,
            store: None,
            is_restored: false,
            backlog: Backlog::default(),
            waiting: Waiting::default(),
            desk,
            last: None,
            health: Health::new(Arc::clone(&metrics)),
            metrics,
        }
    }

    /// Opens the file and reads what it remembers, before anything is counted.
    pub(super) fn begin(&mut self) {
        match self.open() {
            Ok(()) => self.health.works(),
            Err(trouble) => self.health.failed(&trouble),
        }
    }

    /// Writes until it is told to stop.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        let watched = Watched(Arc::clone(&self.metrics));
        let pause = u64::try_from(self.state.flush.as_nanos()).unwrap_or(u64::MAX) / 2;
        let mut next = clock::monotonic().saturating_add(pause);
        loop {
            if clock::monotonic() >= next {
                self.attempt(Self::write);
                next = next.saturating_add(pause).max(clock::monotonic());
            }
            match inbox.recv_timeout(Duration::from_nanos(next.saturating_sub(clock::monotonic()))) {
                Err(RecvTimeoutError::Timeout) | Ok(Message::Queue) => {}
                Ok(Message::Entry(pending)) => {
                    self.waiting.add(*pending);
                    let goes_on = self.take_entries(inbox);
                    self.attempt(Self::append);
                    if !goes_on {
                        break;
                    }
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.desk.as_ref().is_some_and(Desk::has_work) {
                self.attempt(Self::work);
            }
        }
        self.take_entries(inbox);
        self.end();
        std::mem::forget(watched);
    }

    /// Takes the entries that have come; whether the thread is to go on.
    fn take_entries(&mut self, inbox: &Receiver<Message>) -> bool {
        for _ in 0..audit::QUEUED {
            match inbox.try_recv() {
                Ok(Message::Entry(pending)) => self.waiting.add(*pending),
                // It is looked at after each message.
                Ok(Message::Queue) => {}
                Ok(Message::Stop) => return false,
                Err(_) => break,
            }
        }
        true
    }

    /// Tries to write; whether that was done.
    fn attempt(&mut self, write: fn(&mut Self) -> Result<(), Trouble>) -> bool {
        let Err(trouble) = write(self) else { return true };
        self.health.failed(&trouble);
        self.waiting.wait(&self.metrics);
        if let Some(desk) = &mut self.desk {
            desk.give_up();
        }
        match &mut self.store {
            Some(store) if trouble.is_full() => store.make_room(),
            Some(_) if trouble.is_busy() => {}
            Some(_) | None => self.store = None,
        }
        false
    }

    /// Everything.
    fn write(&mut self) -> Result<(), Trouble> {
        let opened = self.open();
        // Also where there is no file: what workers hold is bounded by how often it is taken.
        self.collect();
        opened?;
        self.or_anew(Self::put_all)
    }

    /// The audit entries, which do not wait for the next flush.
    fn append(&mut self) -> Result<(), Trouble> {
        self.open()?;
        self.or_anew(Self::put_entries)
    }

    /// What the queue wants, which does not wait either.
    fn work(&mut self) -> Result<(), Trouble> {
        self.open()?;
        self.or_anew(Self::put_queue)
    }

    /// Writes, into a new file where the old one is damaged.
    fn or_anew(&mut self, put: fn(&mut Self) -> Result<(), Trouble>) -> Result<(), Trouble> {
        match put(self) {
            Err(Trouble::Damaged(reason)) => {
                self.store = None;
                self.begin_anew(&reason)?;
                self.collect();
                put(self)
            }
            outcome => outcome,
        }
    }

    fn put_all(&mut self) -> Result<(), Trouble> {
        let Some(store) = &mut self.store else { return Ok(()) };
        if self.backlog.is_empty() {
            self.health.works();
        } else {
            store.write(&self.backlog, clock::unix())?;
            self.backlog = Backlog::default();
            self.health.wrote();
        }
        self.put_entries()?;
        self.put_queue()?;
        if let (Some(store), Some(desk)) = (&mut self.store, &mut self.desk) {
            desk.flush(store, clock::unix())?;
        }
        if let Some(store) = &mut self.store
            && store.prune(&self.state, clock::unix()) == Pruned::Broken
        {
            self.health.trail_broken();
        }
        Ok(())
    }

    fn put_entries(&mut self) -> Result<(), Trouble> {
        self.look_for_last()?;
        let Some(store) = &mut self.store else { return Ok(()) };
        let links = if self.waiting.is_empty() {
            Vec::new()
        } else {
            store.append(&self.waiting.entries())?
        };
        for row in store.heard(&links) {
            audit::log(&row, Some(&row.link()));
            self.last = Some(row.link());
        }
        if let Some(last) = links.last() {
            self.last = Some(last.clone());
            self.waiting.chained(links, &self.metrics);
            self.health.works();
        }
        Ok(())
    }

    fn put_queue(&mut self) -> Result<(), Trouble> {
        if let (Some(store), Some(desk)) = (&mut self.store, &mut self.desk) {
            desk.work(store)?;
            self.health.works();
        }
        Ok(())
    }

    fn collect(&mut self) {
        self.backlog.add_balances(self.balances.changed());
        let dropped: u64 = self
            .tallies
            .take()
            .into_iter()
            .map(|page| self.backlog.add_page(page))
            .sum();
        if dropped > 0 {
            self.health.dropped(dropped);
        }
    }

    /// Sees to it that the store is the file at the path. What it remembers is taken the first time.
    fn open(&mut self) -> Result<(), Trouble> {
        if self.store.as_mut().is_some_and(Store::is_in_place) {
            return Ok(());
        }
        // First the old one, which holds the lock.
        if let Some(store) = self.store.take() {
            self.health.displaced(&self.state.path);
            store.close();
        }
        match Store::open(&self.state.path).and_then(|store| self.take(store)) {
            Err(Trouble::Damaged(reason)) => self.begin_anew(&reason),
            outcome => outcome,
        }
    }

    fn begin_anew(&mut self, reason: &str) -> Result<(), Trouble> {
        let moved = Store::move_aside(&self.state.path, clock::unix())?;
        self.health.moved_aside(&moved.display().to_string(), reason);
        self.trail_begins(&json!({ "reason": "the state file was damaged", "moved_to": moved.display().to_string() }));
        // It is told already.
        self.last = None;
        let store = Store::open(&self.state.path)?;
        self.take(store)
    }

    /// Whoever has put another trail in the place of the one that was written to is told of.
    fn look_for_last(&mut self) -> Result<(), Trouble> {
        let (Some(store), Some(last)) = (&self.store, &self.last) else {
            return Ok(());
        };
        if !store.knows(last)? {
            self.health.trail_lost(last);
            self.trail_begins(&json!({ "reason": "the state file was removed or replaced, or its audit trail cut" }));
            self.last = None;
        }
        Ok(())
    }

    /// Puts on record that there is an older trail, elsewhere or nowhere.
    fn trail_begins(&mut self, detail: &Value) {
        let mut detail = detail.clone();
        detail["last"] = json!(self.last);
        let entry = Entry {
            at: clock::unix(),
            actor: Actor::Keygate,
            source: Source::Keygate,
            action: Action::AuditBegun,
            target: None,
            detail,
        };
        self.waiting.add(Pending::own(entry, &self.metrics));
    }

    fn take(&mut self, store: Store) -> Result<(), Trouble> {
        if self.is_restored {
            // Memory knows better than whatever stands in this file.
            self.balances.note_all();
        } else {
            self.balances.restore(store.balances()?);
            self.is_restored = true;
        }
        if let Some(desk) = &mut self.desk {
            desk.restore(&store)?;
        }
        if self.last.is_none() {
            self.last = store.last()?;
        }
        self.store = Some(store);
        Ok(())
    }

    /// The last flush: of everything, since nobody counts any more.
    fn end(mut self) {
        if !(0..LAST_TRIES).any(|_| self.attempt(Self::write)) {
            self.health.lost();
        }
        if let Some(store) = self.store {
            store.close();
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.state_degraded.set(1);
    }
}
