//! The generation in force, shared by all rooms: who changes it, who sees it, and who has acted on it.
//!
//! A leaf of its own because `control` makes generations and `proxy` lives by them, and neither may name the other. A worker
//! compares [`Current::version`] with the one that it saw last, a plain load of a number that rarely changes, before each
//! request; and it is woken by each new one, so that it decides again on what is open. When all workers have, a generation
//! is *enforced*: nothing that it forbids goes on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tokio::sync::watch;

use crate::policy::Policy;

/// The generation in force.
#[derive(Debug)]
pub struct Current {
    version: AtomicU64,
    policy: watch::Sender<Arc<Policy>>,
    /// What each worker has decided again by.
    reviewed: Mutex<Slab<u64>>,
    enforced: watch::Sender<u64>,
}

/// One worker's view; given back on drop.
#[derive(Debug)]
pub struct Follower {
    current: Arc<Current>,
    policy: watch::Receiver<Arc<Policy>>,
    seat: usize,
}

impl Current {
    /// The first generation.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            version: AtomicU64::new(policy.generation),
            policy: watch::Sender::new(policy),
            reviewed: Mutex::default(),
            enforced: watch::Sender::new(0),
        }
    }

    /// The number of the generation in force.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The generation in force.
    #[must_use]
    pub fn load(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// Puts a generation in force that `next` makes of the one before it; requests that begin from now on use it, and what is
    /// open is decided on again. Nothing happens where `next` gives nothing. One at a time: `next` is to be quick.
    ///
    /// What was in force before comes back, since whoever drops the last reference to a large one waits for it.
    pub fn update(&self, next: impl FnOnce(&Arc<Policy>) -> Option<Policy>) -> Option<(Arc<Policy>, Arc<Policy>)> {
        let mut changed = None;
        self.policy.send_if_modified(|policy| {
            let Some(next) = next(policy) else { return false };
            let next = Arc::new(next);
            let before = std::mem::replace(policy, Arc::clone(&next));
            self.version.store(next.generation, Ordering::Release);
            changed = Some((before, next));
            true
        });
        changed
    }

    /// Returns when another generation than the one of this number is in force.
    pub async fn changed(&self, seen: u64) {
        let mut policy = self.policy.subscribe();
        // An error is impossible: this holds the sender.
        let _ = policy.wait_for(|policy| policy.generation != seen).await;
    }

    /// Returns when no worker lets anything go on that the generation of this number, or an earlier one, forbids.
    pub async fn enforced(&self, generation: u64) {
        let mut enforced = self.enforced.subscribe();
        // An error is impossible: this holds the sender.
        let _ = enforced.wait_for(|enforced| *enforced >= generation).await;
    }

    /// Follows the generations from now on.
    #[must_use]
    pub fn follow(self: &Arc<Self>) -> Follower {
        let policy = self.policy.subscribe();
        let generation = policy.borrow().generation;
        let seat = self.seats().insert(generation);
        Follower {
            current: Arc::clone(self),
            policy,
            seat,
        }
    }

    fn seats(&self) -> MutexGuard<'_, Slab<u64>> {
        self.reviewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how far the last worker is; where there is none, nothing goes on.
    fn tell(&self, seats: &Slab<u64>) {
        let slowest = seats.iter().map(|(_, generation)| *generation).min();
        let slowest = slowest.unwrap_or(u64::MAX);
        self.enforced.send_if_modified(|enforced| {
            let moved = *enforced != slowest;
            *enforced = slowest;
            moved
        });
    }
}

impl Follower {
    /// Returns when there is another generation than the one that was seen last.
    pub async fn changed(&mut self) {
        // An error is impossible: this holds what holds the sender.
        let _ = self.policy.changed().await;
    }

    /// What is open has been decided on again by the generation of this number.
    pub fn reviewed(&self, generation: u64) {
        let mut seats = self.current.seats();
        seats[self.seat] = generation;
        self.current.tell(&seats);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut seats = self.current.seats();
        seats.remove(self.seat);
        self.current.tell(&seats);
    }
}
