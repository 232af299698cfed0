//! What the thread that writes is asked to do for the queue, and how it answers.

use std::sync::Arc;

use super::{Accepted, After, Attempt, Claim, Content, Event, Pause, Replayed, Unavailable};

/// Whoever waits for an answer.
type Told<T> = Box<dyn FnOnce(Result<T, Unavailable>) + Send>;

/// What is told once: what was noted, once that is on disk, or, where it is dropped, that nothing was done.
pub(super) struct Reply<T> {
    told: Option<Told<T>>,
    noted: Option<T>,
}

/// One wish.
pub(super) enum Job {
    /// To put this on disk.
    Accept { event: Event, reply: Reply<Accepted> },
    /// To write down how an attempt went.
    Settle(Box<Settlement>),
    /// To read what is to be sent.
    Load {
        webhook: Arc<str>,
        event_id: Arc<str>,
        seq: i64,
        reply: Reply<Option<Content>>,
    },
    /// To stop sending to a webhook, or to go on: `None`.
    Pause {
        webhook: Arc<str>,
        pause: Option<Pause>,
        reply: Reply<bool>,
    },
    /// To send an event again.
    Replay {
        webhook: Arc<str>,
        event_id: Arc<str>,
        at: i64,
        reply: Reply<Replayed>,
    },
    /// To give up what waits for a webhook.
    Bury {
        webhook: Arc<str>,
        reason: &'static str,
        at: i64,
        reply: Reply<u64>,
    },
}

/// How an attempt went, and what follows.
pub(in crate::ledger) struct Settlement {
    pub(in crate::ledger) claim: Claim,
    pub(in crate::ledger) attempt: Attempt,
    pub(in crate::ledger) after: After,
    pub(in crate::ledger) pause: Option<Pause>,
}

impl<T> Reply<T> {
    pub(super) fn new(told: impl FnOnce(Result<T, Unavailable>) + Send + 'static) -> Self {
        Self {
            told: Some(Box::new(told)),
            noted: None,
        }
    }

    /// What is to be told.
    pub(super) fn note(&mut self, what: T) {
        self.noted = Some(what);
    }

    pub(super) fn tell(mut self) {
        if let Some(told) = self.told.take() {
            told(self.noted.take().ok_or(Unavailable));
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            told(Err(Unavailable));
        }
    }
}

impl Job {
    /// About how much memory an event takes that is to be accepted.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Accept { event, .. } => event.bytes(),
            Self::Settle(_) | Self::Load { .. } | Self::Pause { .. } | Self::Replay { .. } | Self::Bury { .. } => 0,
        }
    }

    /// It was done.
    pub(super) fn tell(self) {
        match self {
            Self::Accept { reply, .. } => reply.tell(),
            Self::Settle(settlement) => settlement.claim.settled(),
            Self::Load { reply, .. } => reply.tell(),
            Self::Pause { reply, .. } => reply.tell(),
            Self::Replay { reply, .. } => reply.tell(),
            Self::Bury { reply, .. } => reply.tell(),
        }
    }

    /// Whether it is kept until it can be done.
    pub(super) fn is_patient(&self) -> bool {
        matches!(self, Self::Settle(_))
    }
}
