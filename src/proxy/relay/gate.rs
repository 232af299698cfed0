//! `Expect: 100-continue`: the client's body is held back until somebody wants it.
//!
//! Reading the body is what makes Keygate's own server tell the client to go on, so not reading it is all there is to
//! do. The gate opens when the upstream says 100, or after a second without a word (RFC 9110 §10.1.1: a client must not
//! wait for ever, and neither must a proxy). A final response keeps it shut.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Sleep;

use super::Exchange;

/// How long an upstream may keep silent about an expectation before the body is sent anyway.
const PATIENCE: Duration = Duration::from_secs(1);

/// Holds a body back.
pub struct Gate {
    latch: Arc<Latch>,
    patience: Pin<Box<Sleep>>,
}

/// What opens a gate. Thread-safe only because hyper's callback for informational responses has to be.
#[derive(Default)]
pub(in crate::proxy) struct Latch {
    open: AtomicBool,
    reader: AtomicWaker,
}

impl Gate {
    /// A shut gate, and what opens it.
    pub(in crate::proxy) fn new() -> (Self, Arc<Latch>) {
        let latch = Arc::new(Latch::default());
        let gate = Self {
            latch: Arc::clone(&latch),
            patience: Box::pin(tokio::time::sleep(PATIENCE)),
        };
        (gate, latch)
    }

    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>, exchange: &Exchange) -> Poll<()> {
        if exchange.is_answered() {
            return Poll::Pending;
        }
        self.latch.reader.register(cx.waker());
        if self.latch.open.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.patience.as_mut().poll(cx)
    }
}

impl Latch {
    /// The upstream wants the body.
    pub(in crate::proxy) fn open(&self) {
        self.open.store(true, Ordering::Release);
        self.reader.wake();
    }
}
