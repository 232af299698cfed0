//! What runs on one worker under a key or a user's token, so that it ends with it.
//!
//! A room of its own because a generation that revokes something must find what is open, at once and without asking a
//! connection that waits for something else. Every request that rests on a [`Bond`] stands here from its decision to its
//! last byte, tunnels included. Each new generation, and each end in time, is put to all of them; what does not hold is
//! withdrawn: its exchange is cut, and says so wherever it waits.
//!
//! Invariants: a request is here before its first byte goes to an upstream; whoever was decided by a generation that is no
//! longer in force is decided on again as it comes; an end in time is met by a timer, not by the next byte.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::connection::Client;
use super::relay::Exchange;
use super::worker::Worker;
use crate::clock;
use crate::policy::Policy;
use crate::policy::bond::Bond;
use crate::policy::refusal::Refusal;

/// How many are looked at before other tasks have their turn.
const BATCH: usize = 256;
/// The wall clock may be set: how long it is trusted to go on as it does.
const TRUSTED: Duration = Duration::from_secs(10);

const NEVER: i64 = i64::MAX;

/// What runs on one worker.
#[derive(Default)]
pub(super) struct Register {
    entries: RefCell<Slab<Entry>>,
    /// When the first of them ends, or before; Unix seconds.
    earliest: Cell<Option<i64>>,
    /// An earlier end than all before has come.
    bell: Notify,
}

struct Entry {
    bond: Bond,
    until: i64,
    exchange: Rc<Exchange>,
    client: Rc<Client>,
}

/// A place in the register; given back on drop.
pub(super) struct Registered {
    worker: Rc<Worker>,
    seat: usize,
}

impl Registered {
    /// Registers what was decided by `policy`.
    pub(super) fn enter(client: &Rc<Client>, exchange: &Rc<Exchange>, bond: Bond, policy: &Policy) -> Self {
        let worker = &client.worker;
        let until = bond.until().unwrap_or(NEVER);
        let entry = Entry {
            bond,
            until,
            exchange: Rc::clone(exchange),
            client: Rc::clone(client),
        };
        let seat = worker.register.entries.borrow_mut().insert(entry);
        worker.register.expect(until);
        // A slow hash or an issuer's keys were waited for: what was revoked meanwhile has been put to everybody else.
        if worker.shared.current.version() != policy.generation {
            let policy = &worker.generation().policy;
            worker.register.put_to(seat, policy, clock::unix());
        }
        Self {
            worker: Rc::clone(worker),
            seat,
        }
    }

    /// What was registered goes on for long: it holds on to no buffer.
    pub(super) fn settle(&self) {
        let mut entries = self.worker.register.entries.borrow_mut();
        let entry = &mut entries[self.seat];
        entry.bond.compact();
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let gone = self.worker.register.entries.borrow_mut().remove(self.seat);
        // Only now: what goes with it may want to look in here.
        drop(gone);
    }
}

impl Register {
    /// Puts `policy` to everything that is here, and gives others their turn meanwhile: what comes in that time was decided
    /// by it already.
    pub(super) async fn review(&self, policy: &Policy) {
        let now = clock::unix();
        self.earliest.set(None);
        let mut seat = 0;
        while seat < self.entries.borrow().capacity() {
            self.put_to(seat, policy, now);
            seat += 1;
            if seat % BATCH == 0 {
                yield_now().await;
            }
        }
    }

    /// Returns when something that is here should have ended.
    pub(super) async fn ended(&self) {
        loop {
            let bell = self.bell.notified();
            let Some(earliest) = self.earliest.get() else {
                bell.await;
                continue;
            };
            let left = clock::until(earliest);
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = bell => {}
                () = sleep(left.min(TRUSTED)) => {}
            }
        }
    }

    /// Puts `policy` to what stands in one seat, if anything does.
    fn put_to(&self, seat: usize, policy: &Policy, now: i64) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(seat) else { return };
        match policy.holds(&entry.bond, now) {
            Ok(until) => {
                entry.until = until.unwrap_or(NEVER);
                let until = entry.until;
                drop(entries);
                self.expect(until);
            }
            Err(refusal) => {
                let (exchange, client) = (Rc::clone(&entry.exchange), Rc::clone(&entry.client));
                drop(entries);
                withdraw(&exchange, &client, refusal);
            }
        }
    }

    fn expect(&self, until: i64) {
        if until < self.earliest.get().unwrap_or(NEVER) {
            self.earliest.set(Some(until));
            self.bell.notify_one();
        }
    }
}

fn withdraw(exchange: &Exchange, client: &Client, refusal: Refusal) {
    let metrics = &client.worker.shared.metrics;
    if exchange.withdraw(refusal) {
        metrics.withdrawn.inc();
        client.end_midway(exchange);
    }
}
