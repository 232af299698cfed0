//! Idle HTTP/1.1 connections of one worker to one upstream.
//!
//! Last in, first out: the warmest connection is used, the rest age out. A connection is owned by its request and comes
//! back only in perfect order ([`Lease::finish`]); everything else, a dropped request above all, closes it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::task::AbortHandle;

use super::http1::Wire;
use crate::config;
use crate::proxy::relay::Exchange;
use crate::proxy::sweep::{Phase, Sweep, TICK, ticks_in};

/// The idle connections.
pub(super) struct Pool {
    sweep: Rc<Sweep>,
    limits: config::upstreams::Pool,
    /// The oldest in front.
    idle: RefCell<VecDeque<Idle>>,
    reaper: RefCell<Option<AbortHandle>>,
}

struct Idle {
    wire: Wire,
    /// In ticks of the sweep, which runs while there is a reaper.
    since: u64,
}

/// A connection in use.
pub(in crate::proxy) struct Lease {
    wire: Wire,
    pool: Rc<Pool>,
    /// Whether the answer's head lets the connection live on.
    reusable: bool,
}

impl Pool {
    /// Empty.
    pub(super) fn new(sweep: &Rc<Sweep>, limits: config::upstreams::Pool) -> Rc<Self> {
        Rc::new(Self {
            sweep: Rc::clone(sweep),
            limits,
            idle: RefCell::new(VecDeque::new()),
            reaper: RefCell::new(None),
        })
    }

    /// Whether it was made with these limits.
    pub(super) fn has_limits(&self, limits: config::upstreams::Pool) -> bool {
        self.limits == limits
    }

    /// The connection that was used last and is still open.
    pub(super) fn take(&self) -> Option<Wire> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { wire, .. }) = idle.pop_back() {
            if wire.is_ready() {
                return Some(wire);
            }
        }
        None
    }

    /// How many are idle.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    fn put(self: &Rc<Self>, wire: Wire) {
        if self.limits.max_idle == 0 || self.limits.idle.is_zero() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|oldest| !oldest.wire.is_ready()) {
            idle.pop_front();
        }
        if idle.len() >= self.limits.max_idle {
            idle.pop_front();
        }
        idle.push_back(Idle {
            wire,
            since: self.sweep.ticks(),
        });
        drop(idle);
        self.reap();
    }

    /// Closes connections that have been idle for too long, with one watch for all of them, while there are any.
    fn reap(self: &Rc<Self>) {
        let mut reaper = self.reaper.borrow_mut();
        if reaper.as_ref().is_some_and(|reaper| !reaper.is_finished()) {
            return;
        }
        let watch = self.sweep.watch();
        watch.arm(Phase::PoolIdle, self.limits.idle);
        let pool = Rc::downgrade(self);
        let task = tokio::task::spawn_local(async move {
            loop {
                watch.fired().await;
                watch.reset();
                let Some(left) = pool.upgrade().and_then(|pool| pool.expire()) else {
                    return;
                };
                watch.arm(Phase::PoolIdle, TICK * left);
            }
        });
        *reaper = Some(task.abort_handle());
    }

    /// Closes what is too old; ticks until the next one is, `None` when none is left.
    fn expire(&self) -> Option<u32> {
        let patience = ticks_in(self.limits.idle);
        let now = self.sweep.ticks();
        let mut idle = self.idle.borrow_mut();
        while let Some(oldest) = idle.front() {
            let age = now - oldest.since;
            if age < patience {
                return Some(u32::try_from(patience - age).unwrap_or(u32::MAX));
            }
            idle.pop_front();
        }
        // The task ends now; the next connection that comes back starts a new one.
        *self.reaper.borrow_mut() = None;
        None
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(reaper) = self.reaper.take() {
            reaper.abort();
        }
    }
}

impl Lease {
    /// `wire` is in use.
    pub(super) fn new(wire: Wire, pool: Rc<Pool>, reusable: bool) -> Self {
        Self { wire, pool, reusable }
    }

    /// The answer's last byte is read. The connection goes back if the request is fully sent, too, and nobody asked to
    /// close.
    pub(super) fn finish(self, exchange: &Exchange) {
        if self.reusable && exchange.is_request_complete() && self.wire.is_reusable() {
            self.pool.put(self.wire);
        }
    }
}
