//! Every timeout of a worker, on one coarse timer.
//!
//! A timer per request costs a heap entry, two clock reads and a wake-up that nearly never matters. Here a deadline is
//! a number in a cell; one task looks at all of them ten times a second, and only while at least one is armed: an idle
//! worker does not wake up.
//!
//! Invariants: a watch never fires early and at most two ticks late; once fired it stays fired (arming it again does
//! nothing) until [`Watch::reset`]; time is counted in ticks of tokio's clock, so a paused runtime drives it, and a
//! worker that was stalled counts the stall as one tick instead of timing everybody out.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

/// How often deadlines are looked at.
pub const TICK: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;

/// What is being waited for; what fires says which of them took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The client: its next request, the rest of a head, or to take what is ready for it.
    Client,
    /// More of a request's body.
    ClientBody,
    /// A connection to the upstream, TLS included.
    Connect,
    /// The upstream to take the request and to answer it.
    ResponseHead,
    /// More of the response's body.
    ResponseIdle,
    /// The exchange as a whole.
    Total,
    /// The next use of a pooled upstream connection.
    PoolIdle,
    /// Nothing: what it was for was withdrawn.
    Withdrawn,
}

/// The deadlines of one worker.
pub struct Sweep {
    /// Ticks that have passed while something was armed.
    now: Cell<u64>,
    armed: Cell<usize>,
    ticking: Cell<bool>,
    entries: RefCell<Slab<Entry>>,
}

/// Kept apart from its watch so that a tick reads one dense array.
struct Entry {
    /// When the watch must be looked at; at or before its real deadline.
    due: Cell<u64>,
    watch: Weak<Watch>,
}

/// One guarded thing: a deadline that moves with progress ([`arm`](Self::arm), [`touch`](Self::touch)) and one that
/// does not ([`limit`](Self::limit)). One task waits for it.
pub struct Watch {
    sweep: Rc<Sweep>,
    slot: usize,
    phase: Cell<Phase>,
    /// How many ticks `deadline` is away after each touch.
    span: Cell<u64>,
    deadline: Cell<u64>,
    limit_phase: Cell<Phase>,
    limit: Cell<u64>,
    fired: Cell<Option<Phase>>,
    waker: RefCell<Option<Waker>>,
}

impl Sweep {
    /// No deadlines, no timer.
    #[must_use]
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(0),
            armed: Cell::new(0),
            ticking: Cell::new(false),
            entries: RefCell::new(Slab::new()),
        })
    }

    /// A watch with nothing armed.
    #[must_use]
    pub fn watch(self: &Rc<Self>) -> Rc<Watch> {
        let mut entries = self.entries.borrow_mut();
        let vacant = entries.vacant_entry();
        let watch = Rc::new(Watch {
            sweep: Rc::clone(self),
            slot: vacant.key(),
            phase: Cell::new(Phase::Total),
            span: Cell::new(0),
            deadline: Cell::new(NEVER),
            limit_phase: Cell::new(Phase::Total),
            limit: Cell::new(NEVER),
            fired: Cell::new(None),
            waker: RefCell::new(None),
        });
        vacant.insert(Entry {
            due: Cell::new(NEVER),
            watch: Rc::downgrade(&watch),
        });
        watch
    }

    /// Ticks so far. They stand still while nothing is armed, so two readings tell a time only while something is.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.now.get()
    }

    /// Whether the timer runs.
    #[cfg(test)]
    pub fn is_ticking(&self) -> bool {
        self.ticking.get()
    }

    fn one_more(self: &Rc<Self>) {
        self.armed.set(self.armed.get() + 1);
        if self.ticking.replace(true) {
            return;
        }
        let sweep = Rc::clone(self);
        tokio::task::spawn_local(async move {
            while sweep.armed.get() > 0 {
                tokio::time::sleep(TICK).await;
                sweep.tick();
            }
            sweep.ticking.set(false);
        });
    }

    fn one_less(&self) {
        self.armed.set(self.armed.get() - 1);
    }

    fn tick(&self) {
        let now = self.now.get() + 1;
        self.now.set(now);
        // Collected first: a watch that fires may be dropped, and takes its entry with it.
        let due: Vec<Rc<Watch>> = self
            .entries
            .borrow()
            .iter()
            .filter(|(_, entry)| entry.due.get() <= now)
            .filter_map(|(_, entry)| entry.watch.upgrade())
            .collect();
        for watch in due {
            watch.look(now);
        }
    }

    fn look_at(&self, slot: usize, at: u64) {
        self.entries.borrow()[slot].due.set(at);
    }

    fn look_no_later_than(&self, slot: usize, at: u64) {
        let entries = self.entries.borrow();
        let due = &entries[slot].due;
        if at < due.get() {
            due.set(at);
        }
    }
}

impl Watch {
    /// Waits for `phase` from now on, for `patience`; takes the place of what was armed before, not of the limit.
    ///
    /// Must be called inside the worker's runtime.
    pub fn arm(&self, phase: Phase, patience: Duration) {
        if self.fired.get().is_some() {
            return;
        }
        let was_armed = self.is_armed();
        self.phase.set(phase);
        self.span.set(ticks_in(patience) + 1);
        self.deadline.set(self.sweep.now.get() + self.span.get());
        self.armed(was_armed, self.deadline.get());
    }

    /// Progress: the armed phase has its whole patience again. Without one, nothing happens.
    pub fn touch(&self) {
        if self.deadline.get() != NEVER {
            self.deadline.set(self.sweep.now.get() + self.span.get());
        }
    }

    /// Nothing is waited for, except the limit.
    pub fn disarm(&self) {
        if self.deadline.replace(NEVER) != NEVER && self.limit.get() == NEVER {
            self.sweep.one_less();
        }
    }

    /// Fires `phase` after `patience`, whatever is armed, touched or disarmed in the meantime.
    pub fn limit(&self, phase: Phase, patience: Duration) {
        if self.fired.get().is_some() {
            return;
        }
        let was_armed = self.is_armed();
        self.limit_phase.set(phase);
        self.limit.set(self.sweep.now.get() + ticks_in(patience) + 1);
        self.armed(was_armed, self.limit.get());
    }

    /// Fires `phase` now, whatever is armed.
    pub fn fire(&self, phase: Phase) {
        self.reset();
        self.fired.set(Some(phase));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Neither deadline is there, and whatever fired is forgotten.
    pub fn reset(&self) {
        if self.is_armed() {
            self.sweep.one_less();
        }
        self.deadline.set(NEVER);
        self.limit.set(NEVER);
        self.fired.set(None);
    }

    /// What is armed, the limit aside.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        (self.deadline.get() != NEVER).then(|| self.phase.get())
    }

    /// What has fired, without waiting for it.
    #[must_use]
    pub fn has_fired(&self) -> Option<Phase> {
        self.fired.get()
    }

    /// What fires. Only the task that polled last is woken.
    pub fn poll_fired(&self, cx: &mut Context<'_>) -> Poll<Phase> {
        if let Some(phase) = self.fired.get() {
            return Poll::Ready(phase);
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits until something fires.
    pub async fn fired(&self) -> Phase {
        poll_fn(|cx| self.poll_fired(cx)).await
    }

    /// Runs `future` until it ends or something fires. It is the caller's, so that a large one is not stored twice.
    ///
    /// # Errors
    /// The phase that fired.
    pub async fn guard<F: Future>(&self, mut future: Pin<&mut F>) -> Result<F::Output, Phase> {
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => self.poll_fired(cx).map(Err),
        })
        .await
    }

    fn is_armed(&self) -> bool {
        self.deadline.get() != NEVER || self.limit.get() != NEVER
    }

    fn armed(&self, was_armed: bool, at: u64) {
        self.sweep.look_no_later_than(self.slot, at);
        if !was_armed {
            self.sweep.one_more();
        }
    }

    fn look(&self, now: u64) {
        let next = self.deadline.get().min(self.limit.get());
        self.sweep.look_at(self.slot, next);
        if next > now {
            return;
        }
        let phase = if self.deadline.get() <= self.limit.get() {
            self.phase.get()
        } else {
            self.limit_phase.get()
        };
        self.fire(phase);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.is_armed() {
            self.sweep.one_less();
        }
        self.sweep.entries.borrow_mut().remove(self.slot);
    }
}

/// Whole ticks that are at least as long as `patience`.
#[must_use]
pub fn ticks_in(patience: Duration) -> u64 {
    const PER_SECOND: u64 = 10;
    const TICK_NANOS: u32 = 100_000_000;
    patience
        .as_secs()
        .saturating_mul(PER_SECOND)
        .saturating_add(u64::from(patience.subsec_nanos().div_ceil(TICK_NANOS)))
        .min(NEVER / 4)
}
