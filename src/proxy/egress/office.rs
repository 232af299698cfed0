//! What all events share: the generation, the connections to receivers, and which of two secrets each receiver takes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;
use tokio::sync::Notify;
use tracing::{debug, info};

use super::Return;
use super::receivers::Receivers;
use super::resolve::Resolvers;
use crate::clock;
use crate::config::webhooks::Webhook;
use crate::current::Current;
use crate::ledger::activity::Activity;
use crate::ledger::queue::Queue;
use crate::lifecycle::{Stages, Vital};
use crate::policy::egress::sign::{Learned, Rotations, Turn};
use crate::proxy::ids::Ids;
use crate::telemetry::metrics::Metrics;

/// The thread's own things.
pub(super) struct Office {
    /// The generation in force.
    pub(super) current: Arc<Current>,
    /// When to stop.
    pub(super) stages: Stages,
    /// For what cannot be lost.
    pub(super) vital: Vital,
    /// What is told.
    pub(super) metrics: Arc<Metrics>,
    /// Connections.
    pub(super) receivers: Receivers,
    /// Name servers.
    pub(super) resolvers: Resolvers,
    /// Names of events that come without one.
    pub(super) ids: Ids,
    /// Which secret each receiver takes.
    pub(super) rotations: RefCell<Rotations>,
    /// What waits on disk.
    pub(super) queue: Queue,
    /// What was tried.
    pub(super) activity: Activity,
    /// Queued events that are on their way.
    in_hand: Cell<usize>,
    /// And what they take in memory.
    pub(super) bytes_in_hand: Cell<usize>,
    /// Rings when one of them is not any more.
    pub(super) hand_free: Notify,
    open: Cell<usize>,
    emptied: Notify,
}

impl Office {
    pub(super) fn new(parts: Return) -> Self {
        Self {
            current: parts.current,
            stages: parts.stages,
            vital: parts.vital,
            metrics: parts.metrics,
            receivers: Receivers::default(),
            resolvers: Resolvers::default(),
            ids: Ids::new(),
            rotations: RefCell::default(),
            queue: parts.queue,
            activity: parts.activity,
            in_hand: Cell::new(0),
            bytes_in_hand: Cell::new(0),
            hand_free: Notify::new(),
            open: Cell::new(0),
            emptied: Notify::new(),
        }
    }

    /// An id for an event that has none.
    pub(super) fn make_id(&self) -> String {
        let id = self.ids.request();
        format!("msg_{}", id.to_str().unwrap_or_default())
    }

    /// Which secret a receiver is sent now, where a header can carry only one.
    pub(super) fn turn(&self, webhook: &Webhook, can_repeat: bool) -> Turn {
        let rotations = self.rotations.borrow();
        rotations.turn(&webhook.id, &webhook.signing, can_repeat, clock::unix())
    }

    /// What an answer says about the secret; the other one, where that is to be sent next.
    pub(super) fn learn(&self, webhook: &Webhook, turn: Turn, status: StatusCode) -> Option<Turn> {
        let now = clock::unix();
        let (learned, is_news) = {
            let mut rotations = self.rotations.borrow_mut();
            let before = rotations.has_moved(&webhook.id, &webhook.signing, now);
            let learned = rotations.learn(&webhook.id, &webhook.signing, turn, status, now);
            (
                learned,
                rotations.has_moved(&webhook.id, &webhook.signing, now) != before,
            )
        };
        match learned {
            Learned::Moved => info!(message = "a receiver takes the new secret", webhook = webhook.id),
            Learned::Holds => debug!(
                message = "a receiver takes the previous secret only",
                webhook = webhook.id
            ),
            Learned::Nothing | Learned::TryOther(_) => {}
        }
        // It looks at every webhook.
        if is_news {
            self.tell_rotations(now);
        }
        learned.other()
    }

    /// Tells how far the rotations have come.
    fn tell_rotations(&self, now: i64) {
        let policy = self.current.load();
        let Some(egress) = &policy.egress else { return };
        let mut rotations = self.rotations.borrow_mut();
        rotations.retain(|id| egress.index_of(id).is_some());
        let webhooks = egress.webhooks().iter();
        let progress = rotations.progress(webhooks.map(|webhook| (webhook.id.as_str(), &*webhook.signing)), now);
        let Some(progress) = progress else { return };
        let gauge = &self.metrics.webhooks.on_previous_secret;
        gauge.set(i64::try_from(progress.holding + progress.unknown).unwrap_or(i64::MAX));
        if progress.is_done() {
            info!(
                message = "every receiver takes its new secret: the previous ones can be removed",
                moved = progress.moved
            );
        }
    }

    /// A place for one more connection of the service.
    pub(super) fn enter(self: &Rc<Self>) -> Option<Place> {
        let open = self.open.get();
        if open >= self.current.load().config.limits.connections {
            return None;
        }
        self.open.set(open + 1);
        Some(Place(Rc::clone(self)))
    }

    /// A hand for a queued event.
    pub(super) fn take(self: &Rc<Self>, bytes: usize) -> Hand {
        self.in_hand.set(self.in_hand.get() + 1);
        self.bytes_in_hand.set(self.bytes_in_hand.get() + bytes);
        Hand(Rc::clone(self), bytes)
    }

    /// Returns when no connection of the service is open, and no queued event is on its way.
    pub(super) async fn empty(&self) {
        while self.open.get() + self.in_hand.get() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// A queued event on its way; given back on drop.
pub(super) struct Hand(Rc<Office>, usize);

impl Drop for Hand {
    fn drop(&mut self) {
        self.0.in_hand.set(self.0.in_hand.get() - 1);
        self.0.bytes_in_hand.set(self.0.bytes_in_hand.get() - self.1);
        self.0.hand_free.notify_one();
        self.0.emptied.notify_one();
    }
}

/// An open connection of the service; given back on drop.
pub(super) struct Place(Rc<Office>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.emptied.notify_one();
    }
}
