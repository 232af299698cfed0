//! One request and its answer: what both bodies count, and why one of them was cut.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::policy::refusal::{Failure, Refusal};
use crate::proxy::sweep::{Phase, Watch};

/// Why an exchange did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The request's body is longer than allowed: [`crate::policy::refusal::Refusal::BodyTooLarge`].
    BodyTooLarge,
    /// What it rested on has ended: [`Exchange::withdrawn`].
    Withdrawn,
    /// We could not.
    Failed(Failure),
}

/// What the parts of one exchange share. Lives until the last of them is gone.
pub struct Exchange {
    watch: Rc<Watch>,
    request_bytes: Cell<u64>,
    response_bytes: Cell<u64>,
    sending: Cell<Sending>,
    /// The response's head is here.
    answered: Cell<bool>,
    /// The response is complete, or never will be.
    over: Cell<bool>,
    cut: Cell<Option<Cut>>,
    /// Why what it rested on has ended.
    withdrawn: OnceCell<Refusal>,
    /// The client reads its status from trailers.
    is_grpc: Cell<bool>,
    /// How long the upstream may take to move on with the request or to answer it.
    head_timeout: Cell<Duration>,
    /// Who reads the request's body, while it waits for the client.
    reader: RefCell<Option<Waker>>,
}

/// How far the request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Untouched,
    Flowing,
    Complete,
}

impl Exchange {
    /// A new exchange, timed by `watch`. One watch may serve the exchanges of an HTTP/1.1 client connection one after the
    /// other; every HTTP/2 stream needs its own.
    #[must_use]
    pub fn new(watch: Rc<Watch>) -> Rc<Self> {
        watch.reset();
        Rc::new(Self {
            watch,
            request_bytes: Cell::new(0),
            response_bytes: Cell::new(0),
            sending: Cell::new(Sending::Untouched),
            answered: Cell::new(false),
            over: Cell::new(false),
            cut: Cell::new(None),
            withdrawn: OnceCell::new(),
            is_grpc: Cell::new(false),
            head_timeout: Cell::new(Duration::ZERO),
            reader: RefCell::new(None),
        })
    }

    /// Bytes of the client's body that were read, framing not counted.
    #[must_use]
    pub fn request_bytes(&self) -> u64 {
        self.request_bytes.get()
    }

    /// Bytes of the upstream's body that were handed to the client's connection, framing not counted.
    #[must_use]
    pub fn response_bytes(&self) -> u64 {
        self.response_bytes.get()
    }

    /// Why it was cut, if it was.
    #[must_use]
    pub fn cut(&self) -> Option<Cut> {
        self.cut.get()
    }

    /// Records why it is cut, unless something else was the reason already; what counts comes back.
    pub fn cut_by(&self, cut: Cut) -> Cut {
        let first = self.cut.get().unwrap_or(cut);
        self.cut.set(Some(first));
        first
    }

    /// What it rests on has ended: it is cut, wherever it waits. Whether that is news.
    pub(in crate::proxy) fn withdraw(&self, refusal: Refusal) -> bool {
        let is_news = self.withdrawn.set(refusal).is_ok();
        if is_news {
            self.watch.fire(Phase::Withdrawn);
        }
        is_news
    }

    /// Why what it rested on has ended, if it has.
    pub(in crate::proxy) fn withdrawn(&self) -> Option<&Refusal> {
        self.withdrawn.get()
    }

    /// Returns when what it rests on has ended.
    pub(in crate::proxy) async fn until_withdrawn(&self) -> &Refusal {
        poll_fn(|cx| match self.withdrawn() {
            Some(refusal) => Poll::Ready(refusal),
            None => {
                // What else fires there is of no concern, but wakes this all the same.
                let _ = self.watch.poll_fired(cx);
                Poll::Pending
            }
        })
        .await
    }

    /// The client reads its status from trailers.
    pub(in crate::proxy) fn speaks_grpc(&self) {
        self.is_grpc.set(true);
    }

    /// Whether it does.
    pub(in crate::proxy) fn is_grpc(&self) -> bool {
        self.is_grpc.get()
    }

    /// Whether nothing of the client's body has been read.
    #[cfg(test)]
    pub fn is_body_untouched(&self) -> bool {
        self.sending.get() == Sending::Untouched
    }

    /// Whether the whole request has been handed to the upstream's connection.
    #[must_use]
    pub fn is_request_complete(&self) -> bool {
        self.sending.get() == Sending::Complete
    }

    /// Whether the response's head is here.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answered.get()
    }

    /// Its deadlines.
    pub(in crate::proxy) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The request goes to a connection: from now on the upstream has `head_timeout` to answer.
    pub(in crate::proxy) fn start(&self, head_timeout: Duration) {
        self.head_timeout.set(head_timeout);
        self.watch.arm(Phase::ResponseHead, head_timeout);
    }

    /// The response's head is here.
    pub(in crate::proxy) fn answer(&self) {
        self.answered.set(true);
        self.watch.disarm();
    }

    /// The response is complete, or never will be: nothing is timed any more, and no more of the request is wanted.
    pub(in crate::proxy) fn end(&self) {
        self.over.set(true);
        self.watch.reset();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// A deadline has passed.
    pub(in crate::proxy) fn cut_by_phase(&self, phase: Phase) -> Cut {
        self.cut_by(cut_of(phase))
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// More of the answer goes to the client.
    pub(in crate::proxy) fn add_response_bytes(&self, count: usize) {
        self.response_bytes.set(self.response_bytes.get() + count as u64);
    }

    /// More of the request is here; its length so far comes back. Until the answer is here, the upstream's time to move on
    /// starts again; after it, bytes in either direction keep the exchange alive.
    pub(super) fn request_moves(&self, count: usize) -> u64 {
        let total = self.request_bytes.get() + count as u64;
        self.request_bytes.set(total);
        self.sending.set(Sending::Flowing);
        self.give_the_upstream_time();
        total
    }

    /// The request has been read to its end.
    pub(super) fn request_ends(&self) {
        if self.sending.replace(Sending::Complete) != Sending::Complete {
            self.give_the_upstream_time();
        }
    }

    /// The client owes more of its body, and nobody else is to blame for the time until it comes. Once the upstream has
    /// begun to answer, a quiet request is the two ends' own business.
    pub(super) fn waits_for_client(&self, cx: &Context<'_>, patience: Duration) {
        if !self.answered.get() && self.watch.phase() != Some(Phase::ClientBody) {
            self.watch.arm(Phase::ClientBody, patience);
        }
        let mut reader = self.reader.borrow_mut();
        match &mut *reader {
            Some(known) => known.clone_from(cx.waker()),
            None => *reader = Some(cx.waker().clone()),
        }
    }

    fn give_the_upstream_time(&self) {
        if self.over.get() {
            return;
        }
        if self.answered.get() {
            self.watch.touch();
        } else {
            self.watch.arm(Phase::ResponseHead, self.head_timeout.get());
        }
    }
}

/// What a phase's end means for an exchange. Those that guard the client's connection end the exchange with it.
fn cut_of(phase: Phase) -> Cut {
    match phase {
        Phase::Connect => Cut::Failed(Failure::UpstreamConnectTimeout),
        Phase::ResponseHead => Cut::Failed(Failure::UpstreamTimeout),
        Phase::ResponseIdle => Cut::Failed(Failure::UpstreamIdleTimeout),
        Phase::Total => Cut::Failed(Failure::TotalTimeout),
        Phase::ClientBody => Cut::Failed(Failure::ClientBodyTimeout),
        Phase::Client | Phase::PoolIdle => Cut::Failed(Failure::ClientGone),
        Phase::Withdrawn => Cut::Withdrawn,
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BodyTooLarge => "body_too_large",
            Self::Withdrawn => "withdrawn",
            Self::Failed(failure) => failure.code(),
        })
    }
}

impl std::error::Error for Cut {}
