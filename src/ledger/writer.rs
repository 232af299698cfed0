//! The thread that writes: twice in every `flush`, so that a flush that takes a while keeps the promise too.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::backlog::Backlog;
use super::health::Health;
use super::store::{Store, Trouble};
use super::tally::Tallies;
use crate::clock;
use crate::config::state::State;
use crate::policy::limits::Balances;
use crate::telemetry::metrics::Metrics;

/// Asks for the last flush.
pub(super) struct Stop;

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
    health: Health,
    metrics: Arc<Metrics>,
}

/// Tells that nobody writes any more, where a bug ends the thread.
struct Watched(Arc<Metrics>);

impl Writer {
    pub(super) fn new(state: &State, balances: Arc<Balances>, tallies: Arc<Tallies>, metrics: Arc<Metrics>) -> Self {
        Self {
            state: state.clone(),
            balances,
            tallies,
            store: None,
            is_restored: false,
            backlog: Backlog::default(),
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
    pub(super) fn run(mut self, stopped: &Receiver<Stop>) {
        let watched = Watched(Arc::clone(&self.metrics));
        let flush = u64::try_from(self.state.flush.as_nanos()).unwrap_or(u64::MAX);
        let mut next = clock::monotonic();
        loop {
            next = next.saturating_add(flush / 2).max(clock::monotonic());
            let pause = Duration::from_nanos(next.saturating_sub(clock::monotonic()));
            match stopped.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => {
                    self.flush();
                }
                Ok(Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.end();
        std::mem::forget(watched);
    }

    /// One flush; whether everything is written.
    fn flush(&mut self) -> bool {
        let Err(trouble) = self.write() else { return true };
        self.health.failed(&trouble);
        match &mut self.store {
            Some(store) if trouble.is_full() => store.make_room(),
            Some(_) if trouble.is_busy() => {}
            Some(_) | None => self.store = None,
        }
        false
    }

    fn write(&mut self) -> Result<(), Trouble> {
        let opened = self.open();
        // Also where there is no file: what workers hold is bounded by how often it is taken.
        self.collect();
        opened?;
        let Some(store) = &mut self.store else { return Ok(()) };
        if self.backlog.is_empty() {
            self.health.works();
            return Ok(());
        }
        match store.write(&self.backlog, clock::unix()) {
            Ok(()) => {}
            Err(Trouble::Damaged(reason)) => {
                self.store = None;
                self.begin_anew(&reason)?;
                self.collect();
                let Some(store) = &mut self.store else { return Ok(()) };
                store.write(&self.backlog, clock::unix())?;
            }
            Err(trouble) => return Err(trouble),
        }
        self.backlog = Backlog::default();
        self.health.wrote();
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
        let store = Store::open(&self.state.path)?;
        self.take(store)
    }

    fn take(&mut self, store: Store) -> Result<(), Trouble> {
        if self.is_restored {
            // Memory knows better than whatever stands in this file.
            self.balances.note_all();
        } else {
            self.balances.restore(store.balances()?);
            self.is_restored = true;
        }
        self.store = Some(store);
        Ok(())
    }

    /// The last flush: of everything, since nobody counts any more.
    fn end(mut self) {
        if !(0..LAST_TRIES).any(|_| self.flush()) {
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
