//! How the rest of Keygate has the queue: a handle that never waits for a disk.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::job::{Job, Reply, Settlement};
use super::lanes::Lanes;
use super::{Accepted, After, Attempt, Claim, Content, Event, Pause, Replayed, Terms, Unavailable};
use crate::ledger::writer::Message;

/// How many bytes of events may be on their way to the disk.
const ON_THEIR_WAY: usize = 64 << 20;

/// The queue; cheap to clone. Without `[state]`, nothing can be queued.
///
/// What is answered is answered by a call of `reply`: by the thread that writes, which must not be blocked, or, where it has
/// ended, before the call returns.
#[derive(Debug, Clone)]
pub struct Queue(Option<Door>);

#[derive(Debug, Clone)]
struct Door {
    shared: Arc<Shared>,
    writer: SyncSender<Message>,
}

/// What a claimed event consists of; `None` where the file does not have it any more, by somebody else's doing.
pub type Load = Result<Option<Content>, Unavailable>;

/// What handles and the thread that writes share.
pub(super) struct Shared {
    lanes: Mutex<Lanes>,
    /// `None` where nobody does them any more.
    jobs: Mutex<Option<Vec<Job>>>,
    /// Bytes of events among the jobs.
    bytes: AtomicUsize,
    bell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Queue {
    /// A queue that takes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    pub(in crate::ledger) fn on(writer: SyncSender<Message>) -> Self {
        let shared = Arc::new(Shared {
            lanes: Mutex::default(),
            jobs: Mutex::new(Some(Vec::new())),
            bytes: AtomicUsize::new(0),
            bell: OnceLock::new(),
        });
        Self(Some(Door { shared, writer }))
    }

    /// Whether anything can be queued at all.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Offers an event; `reply` is called once it is on disk, fsynced, or not taken.
    pub fn accept_then(&self, event: Event, reply: impl FnOnce(Result<Accepted, Unavailable>) + Send + 'static) {
        let bytes = event.bytes();
        let mut reply = Reply::new(reply);
        let Some(shared) = self.shared() else { return };
        if shared.bytes.load(Ordering::Relaxed).saturating_add(bytes) > ON_THEIR_WAY {
            reply.note(Accepted::Full);
            return reply.tell();
        }
        shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.ask(Job::Accept { event, reply });
    }

    /// Takes the terms of all webhooks that there are: at the start and after every reload. Nothing is due before the first
    /// time; what waits for a webhook that is not among them, waits until it is.
    pub fn arrange(&self, terms: impl IntoIterator<Item = (Arc<str>, Terms)>) {
        if let Some(shared) = self.shared() {
            shared.change(|lanes| lanes.arrange(terms));
        }
    }

    /// Has `bell` called whenever something may have become due, or later than it was. Only the first one is taken. It is called
    /// from any thread, and must not block.
    pub fn on_change(&self, bell: impl Fn() + Send + Sync + 'static) {
        if let Some(shared) = self.shared() {
            let _ = shared.bell.set(Box::new(bell));
            shared.ring();
        }
    }

    /// When there is something to claim, if the bell does not ring before; Unix milliseconds. What is due already may be due
    /// since any time.
    #[must_use]
    pub fn next_due_at(&self) -> Option<i64> {
        self.shared()?.lanes().next_due_at()
    }

    /// Takes up to `limit` events that are due into the caller's hand: of each webhook at most as many as its terms allow at
    /// once, and webhooks in turns, those with the fewest in hands first. Whoever keeps `limit` small, as a bound on all hands
    /// at once, lets slow receivers stand in the way of others.
    #[must_use]
    pub fn claim(&self, now_unix_millis: i64, limit: usize) -> Vec<Claim> {
        let Some(shared) = self.shared() else { return Vec::new() };
        let claimed = shared.lanes().claim(now_unix_millis, limit);
        claimed
            .into_iter()
            .map(|claimed| Claim::new(claimed, Arc::clone(shared)))
            .collect()
    }

    /// Reads what a claimed event consists of.
    pub fn load_then(&self, claim: &Claim, reply: impl FnOnce(Load) + Send + 'static) {
        self.ask(Job::Load {
            webhook: Arc::clone(claim.webhook()),
            event_id: Arc::clone(claim.event_id()),
            seq: claim.seq(),
            reply: Reply::new(reply),
        });
    }

    /// Tells how an attempt went, what follows for the event, and whether the webhook is to be paused with it. It is written in
    /// one transaction, with the attempt's line among the activity; until it is, the event is in no other hand.
    pub fn settle(&self, claim: Claim, attempt: Attempt, after: After, pause: Option<Pause>) {
        self.ask(Job::Settle(Box::new(Settlement {
            claim,
            attempt,
            after,
            pause,
        })));
    }

    /// Sends nothing more to a webhook, for now; tells whether it was not paused before. What it has in hands goes on.
    pub fn pause_then(
        &self,
        webhook: &Arc<str>,
        pause: Pause,
        reply: impl FnOnce(Result<bool, Unavailable>) + Send + 'static,
    ) {
        self.ask(Job::Pause {
            webhook: Arc::clone(webhook),
            pause: Some(pause),
            reply: Reply::new(reply),
        });
    }

    /// Goes on with a webhook; tells whether it was paused.
    pub fn resume_then(&self, webhook: &Arc<str>, reply: impl FnOnce(Result<bool, Unavailable>) + Send + 'static) {
        self.ask(Job::Pause {
            webhook: Arc::clone(webhook),
            pause: None,
            reply: Reply::new(reply),
        });
    }

    /// Sends an event again, whether it was delivered or is dead. The schedule begins anew with it, at this time (Unix
    /// milliseconds).
    pub fn replay_then(
        &self,
        webhook: &Arc<str>,
        event_id: &Arc<str>,
        at: i64,
        reply: impl FnOnce(Result<Replayed, Unavailable>) + Send + 'static,
    ) {
        self.ask(Job::Replay {
            webhook: Arc::clone(webhook),
            event_id: Arc::clone(event_id),
            at,
            reply: Reply::new(reply),
        });
    }

    /// Gives up all that waits for a webhook and is in no hand: it is dead then, for this reason; tells how many these are.
    pub fn bury_then(
        &self,
        webhook: &Arc<str>,
        reason: &'static str,
        at: i64,
        reply: impl FnOnce(Result<u64, Unavailable>) + Send + 'static,
    ) {
        self.ask(Job::Bury {
            webhook: Arc::clone(webhook),
            reason,
            at,
            reply: Reply::new(reply),
        });
    }

    /// Why nothing is sent to a webhook, where that is so.
    #[must_use]
    pub fn pause_of(&self, webhook: &str) -> Option<Pause> {
        self.shared()?.lanes().get(webhook)?.stand.pause.clone()
    }

    /// All webhooks that are paused.
    #[must_use]
    pub fn pauses(&self) -> Vec<(Arc<str>, Pause)> {
        let Some(shared) = self.shared() else { return Vec::new() };
        let lanes = shared.lanes();
        let pauses = lanes.pauses();
        pauses
            .map(|(webhook, pause)| (Arc::clone(webhook), pause.clone()))
            .collect()
    }

    /// How many events wait for a webhook, those in hands among them.
    #[must_use]
    pub fn waiting(&self, webhook: &str) -> usize {
        let Some(shared) = self.shared() else { return 0 };
        shared.lanes().get(webhook).map_or(0, super::lane::Lane::len)
    }

    pub(super) fn shared(&self) -> Option<&Arc<Shared>> {
        self.0.as_ref().map(|door| &door.shared)
    }

    fn ask(&self, job: Job) {
        // Where there is nobody to ask, the job is dropped, and that answers it.
        let Some(door) = &self.0 else { return };
        if door.shared.add(job) {
            // One knock is enough for all that come before the thread looks. Where there is no room for it, there are other
            // messages, and it looks after those, too; where it has ended, it has said that nobody does anything any more.
            let _ = door.writer.try_send(Message::Queue);
        }
    }
}

impl Shared {
    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes lanes, and tells of it.
    pub(super) fn change(&self, change: impl FnOnce(&mut Lanes)) {
        change(&mut self.lanes());
        self.ring();
    }

    /// What there is to do since this was last asked.
    pub(super) fn take_jobs(&self) -> Vec<Job> {
        let jobs = self.jobs().as_mut().map(std::mem::take).unwrap_or_default();
        let bytes = jobs.iter().map(Job::bytes).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        jobs
    }

    pub(super) fn has_jobs(&self) -> bool {
        self.jobs().as_ref().is_some_and(|jobs| !jobs.is_empty())
    }

    /// Nobody does anything any more: nothing is due, since what came of it could not be told.
    pub(super) fn close(&self) {
        self.change(|lanes| *lanes = Lanes::default());
        let left = self.jobs().take();
        // What is dropped is answered so; not while the lock is held.
        drop(left);
    }

    /// One more; whether it is the only one.
    fn add(&self, job: Job) -> bool {
        let mut jobs = self.jobs();
        let Some(jobs) = jobs.as_mut() else {
            // The lock goes first: what is dropped is answered.
            drop(jobs);
            drop(job);
            return false;
        };
        jobs.push(job);
        jobs.len() == 1
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Option<Vec<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
