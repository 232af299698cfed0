//! Promises of the queue: nothing that was accepted is lost, or sent out of turn, or by two at once.

mod crash;
mod deliver;
mod lanes;
mod model;
mod places;
mod replay;
mod seen;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::{
    Accepted, After, Attempt, Claim, Content, Desk, Event, Pause, Queue, Reason, Replayed, Terms, Unavailable,
};
use crate::config::state::State;
use crate::ledger::activity::Activity;
use crate::ledger::store::Store;
use crate::ledger::writer::Message;
use crate::telemetry::metrics::Metrics;

/// 2026-01-31T23:00:00Z, in milliseconds.
pub const TIME: i64 = 1_769_900_400_000;

/// The queue, with the thread's part done by hand.
pub struct Rig {
    pub home: Arc<TempDir>,
    pub state: State,
    pub queue: Queue,
    pub activity: Activity,
    pub desk: Desk,
    pub store: Option<Store>,
    pub metrics: Arc<Metrics>,
    _inbox: Receiver<Message>,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(State::default())
    }

    pub fn with(state: State) -> Self {
        Self::at(Arc::new(tempfile::tempdir().unwrap()), state)
    }

    fn at(home: Arc<TempDir>, state: State) -> Self {
        let state = State {
            path: home.path().join("keygate.db"),
            ..state
        };
        let metrics = Arc::<Metrics>::default();
        let (sender, inbox) = sync_channel(16);
        let queue = Queue::on(sender);
        let activity = Activity::on(Arc::clone(&metrics));
        let mut desk = Desk::new(&queue, &activity, &state, &metrics).unwrap();
        let store = Store::open(&state.path).unwrap();
        desk.restore(&store).unwrap();
        Self {
            home,
            state,
            queue,
            activity,
            desk,
            store: Some(store),
            metrics,
            _inbox: inbox,
        }
    }

    /// As after a crash: whatever was in hands is in none.
    pub fn again(self) -> Self {
        let (home, state) = (Arc::clone(&self.home), self.state.clone());
        drop(self);
        Self::at(home, state)
    }

    pub fn path(&self) -> PathBuf {
        self.state.path.clone()
    }

    pub fn work(&mut self) {
        self.desk.work(self.store.as_mut().unwrap()).unwrap();
    }

    pub fn flush(&mut self, at: i64) {
        self.desk.flush(self.store.as_mut().unwrap(), at / 1_000).unwrap();
    }

    fn ask<T: Send + 'static>(&mut self, ask: impl FnOnce(&Queue, Box<dyn FnOnce(T) + Send>)) -> T {
        let (sender, receiver) = channel();
        ask(&self.queue, Box::new(move |told| sender.send(told).unwrap()));
        self.work();
        receiver.try_recv().unwrap()
    }

    pub fn accept(&mut self, event: Event) -> Result<Accepted, Unavailable> {
        self.ask(|queue, reply| queue.accept_then(event, reply))
    }

    pub fn load(&mut self, claim: &Claim) -> Option<Content> {
        self.ask(|queue, reply| queue.load_then(claim, reply)).unwrap()
    }

    pub fn pause(&mut self, webhook: &str, since: i64) -> bool {
        let pause = pause(since);
        self.ask(|queue, reply| queue.pause_then(&webhook.into(), pause, reply))
            .unwrap()
    }

    pub fn resume(&mut self, webhook: &str) -> bool {
        self.ask(|queue, reply| queue.resume_then(&webhook.into(), reply))
            .unwrap()
    }

    pub fn replay(&mut self, webhook: &str, event_id: &str, at: i64) -> Replayed {
        self.ask(|queue, reply| queue.replay_then(&webhook.into(), &event_id.into(), at, reply))
            .unwrap()
    }

    pub fn bury(&mut self, webhook: &str, at: i64) -> u64 {
        self.ask(|queue, reply| queue.bury_then(&webhook.into(), "unregistered", at, reply))
            .unwrap()
    }

    pub fn settle(&mut self, claim: Claim, after: After, at: i64) {
        self.queue
            .settle(claim, attempt(at, after == After::Delivered), after, None);
        self.work();
    }

    pub fn arrange(&self, terms: &[(&str, bool, usize)]) {
        self.queue.arrange(terms.iter().map(|(webhook, ordered, at_once)| {
            let terms = Terms {
                ordered: *ordered,
                at_once: *at_once,
            };
            (Arc::from(*webhook), terms)
        }));
    }

    /// Ids of what is claimed; the claims are kept in `hands`.
    pub fn claim(&self, at: i64, limit: usize, hands: &mut Vec<Claim>) -> Vec<String> {
        let claims = self.queue.claim(at, limit);
        let ids = claims.iter().map(|claim| claim.event_id().to_string()).collect();
        hands.extend(claims);
        ids
    }
}

pub fn event(webhook: &str, event_id: &str, at: i64) -> Event {
    Event {
        webhook: webhook.into(),
        event_id: event_id.into(),
        organization: "acme".into(),
        event_type: "message.sent".to_owned(),
        accepted_at: at,
        headers: vec![(b"content-type".to_vec(), b"application/json".to_vec())],
        body: Bytes::from(format!("{{\"id\":\"{event_id}\"}}")),
    }
}

pub fn attempt(at: i64, is_delivered: bool) -> Attempt {
    Attempt {
        at,
        is_delivered,
        status: Some(if is_delivered { 204 } else { 503 }),
        error: None,
        duration: Duration::from_millis(12),
    }
}

pub fn pause(since: i64) -> Pause {
    Pause {
        since,
        reason: Reason::Operator,
        by: "token:ops".to_owned(),
        note: Some("moves house".to_owned()),
    }
}
