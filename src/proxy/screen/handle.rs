//! What the screen and the rest of the worker tell each other about one connection.
//!
//! The screen disappears into hyper; this handle stays outside. The service learns through it which of its calls stands for
//! a refused head, and says when an answer is done and what became of an upgrade. The worker's sweep reads from it who is
//! slow, and acts on it. Everything stays on one thread: cells, no locks.
//!
//! Invariant: the n-th head that the screen lets pass is the n-th call of the service, counted from 0, because hyper
//! accepts every head that passes.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::Waker;

use crate::config::names::is_token_byte;
use crate::policy::refusal::Hygiene;

/// The outside of one connection's screen.
#[derive(Clone)]
pub struct ScreenHandle(pub(super) Rc<Shared>);

/// A head that was refused, and stands in the stream as a sentinel request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which call of the service stands for it, from 0.
    pub index: u64,
    /// Why.
    pub hygiene: Hygiene,
    /// Its method, where there is one.
    pub method: Option<String>,
    /// Its target in printable characters without its query, shortened; where there is one.
    pub target: Option<String>,
}

/// Where the reading side stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between two messages; an answer may still be on its way.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// A body is arriving.
    Body,
    /// After a message that asks for an upgrade, until it is decided.
    Paused,
    /// Everything passes: a tunnel, or HTTP/2.
    Tunnel,
    /// Nothing more is read: a head was refused, or a body is broken.
    Ended,
    /// Nothing more comes: the client has closed its side between two messages, or was told to leave there.
    Closed,
}

/// Why the body of the last request cannot be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFailure {
    /// Its chunked framing is broken: `Hygiene::Chunked`.
    Broken,
    /// The client closed its side too early.
    CutShort,
}

/// One look at a connection, for a sweep that visits all of them now and then without reading clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Where the reading side stands.
    pub phase: Phase,
    /// Heads that have passed, the sentinel included. With `phase`, this names the head or body that is arriving.
    pub heads: u64,
    /// The last read found nothing: the client has to send. Otherwise it is on us to read.
    pub awaits_client: bool,
    /// The last write or flush found no room: the client does not take what is ready.
    pub write_blocked: bool,
    /// The client has closed its sending side.
    pub client_closed: bool,
    /// Bytes that went to the client.
    pub bytes_written: u64,
}

/// What the sweep asks of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    ExpireHead,
    CloseIdle,
}

/// What became of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    Undecided,
    Declined,
    Accepted,
}

pub(super) struct Shared {
    pub(super) phase: Cell<Phase>,
    pub(super) heads: Cell<u64>,
    pub(super) answered: Cell<u64>,
    pub(super) awaits_client: Cell<bool>,
    pub(super) write_blocked: Cell<bool>,
    /// Bytes were written since the last flush.
    pub(super) unflushed: Cell<bool>,
    pub(super) client_closed: Cell<bool>,
    pub(super) bytes_written: Cell<u64>,
    pub(super) refused: RefCell<Option<Refused>>,
    pub(super) refusal_index: Cell<Option<u64>>,
    pub(super) body_failure: Cell<Option<(u64, BodyFailure)>>,
    /// The call that asked for an upgrade, and what became of it.
    pub(super) upgrade: Cell<Option<(u64, Upgrade)>>,
    pub(super) order: Cell<Option<Order>>,
    pub(super) reader: RefCell<Option<Waker>>,
}

impl ScreenHandle {
    /// The refusal that call `call` of the service (from 0) stands for. The sentinel is then to be answered with it, and
    /// nothing about the sentinel request itself means anything.
    #[must_use]
    pub fn take_refusal(&self, call: u64) -> Option<Refused> {
        if self.0.refusal_index.get() == Some(call) {
            self.0.refused.take()
        } else {
            None
        }
    }

    /// Why the body of call `call` failed, once reading it has.
    #[must_use]
    pub fn body_failure(&self, call: u64) -> Option<BodyFailure> {
        match self.0.body_failure.get() {
            Some((index, failure)) if index == call => Some(failure),
            Some(_) | None => None,
        }
    }

    /// Call `call` is done: hyper has taken the last of its answer's body, or has dropped it.
    ///
    /// To be called once for every call, best from a guard inside the answer's body. It lets the end of a client's stream
    /// through to hyper, which would otherwise give up the answers that a half-closed client still waits for; and it takes
    /// an upgrade that nobody accepted as declined.
    pub fn answered(&self, call: u64) {
        self.0.answered.set(self.0.answered.get().max(call + 1));
        self.resume(call);
        self.0.wake_if_closing();
    }

    /// The upgrade that call `call` asked for does not happen: the next head may pass. Otherwise without effect.
    pub fn resume(&self, call: u64) {
        self.decide(call, Upgrade::Declined);
    }

    /// The upgrade that call `call` asked for happens: from the end of its message on, everything passes unseen.
    pub fn release(&self, call: u64) {
        self.decide(call, Upgrade::Accepted);
    }

    /// How the connection stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shared = &self.0;
        Snapshot {
            phase: shared.phase.get(),
            heads: shared.heads.get(),
            awaits_client: shared.awaits_client.get(),
            write_blocked: shared.write_blocked.get(),
            client_closed: shared.client_closed.get(),
            bytes_written: shared.bytes_written.get(),
        }
    }

    /// Whether the client may be in the middle of sending something that nobody will read. Such a connection is to be
    /// closed through [`linger`](super::linger()), or its last answer may be lost.
    #[must_use]
    pub fn leaves_unread(&self) -> bool {
        match self.0.phase.get() {
            Phase::Head | Phase::Body | Phase::Paused => true,
            Phase::Ended => !self.0.client_closed.get(),
            Phase::Idle | Phase::Tunnel | Phase::Closed => false,
        }
    }

    /// The head that is arriving took too long: it is refused with `Hygiene::HeadTimeout`. Without effect when none is.
    pub fn expire_head(&self) {
        self.order_in(Phase::Head, Order::ExpireHead);
    }

    /// Lets hyper see an end of stream if the connection is idle and no byte is there, so that it closes. Without effect
    /// while a request is arriving or unanswered.
    pub fn close_idle(&self) {
        if self.0.settled() {
            self.order_in(Phase::Idle, Order::CloseIdle);
        }
    }

    fn order_in(&self, phase: Phase, order: Order) {
        if self.0.phase.get() == phase && self.0.order.replace(Some(order)) != Some(order) {
            self.0.wake_reader();
        }
    }

    fn decide(&self, call: u64, decision: Upgrade) {
        if self.0.upgrade.get() == Some((call, Upgrade::Undecided)) {
            self.0.upgrade.set(Some((call, decision)));
            self.0.wake_reader();
        }
    }
}

impl Shared {
    pub(super) fn new(phase: Phase) -> Self {
        Self {
            phase: Cell::new(phase),
            heads: Cell::new(0),
            answered: Cell::new(0),
            awaits_client: Cell::new(false),
            write_blocked: Cell::new(false),
            unflushed: Cell::new(false),
            client_closed: Cell::new(false),
            bytes_written: Cell::new(0),
            refused: RefCell::new(None),
            refusal_index: Cell::new(None),
            body_failure: Cell::new(None),
            upgrade: Cell::new(None),
            order: Cell::new(None),
            reader: RefCell::new(None),
        }
    }

    pub(super) fn unanswered(&self) -> u64 {
        self.heads.get().saturating_sub(self.answered.get())
    }

    /// Every answer is done and on its way: an end of stream cannot cost anybody anything.
    pub(super) fn settled(&self) -> bool {
        self.unanswered() == 0 && !self.unflushed.get()
    }

    pub(super) fn wake_reader(&self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// An end of stream that was held back may have become due.
    pub(super) fn wake_if_closing(&self) {
        if self.client_closed.get() && self.settled() {
            self.wake_reader();
        }
    }
}

impl fmt::Debug for ScreenHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// Characters of a refused method and target that are kept.
const METHOD_BYTES: usize = 32;
const TARGET_BYTES: usize = 256;

impl Refused {
    /// Takes from a refused head what may be logged: never its query or its user information, which may hold credentials.
    pub(super) fn new(index: u64, hygiene: Hygiene, head: &[u8]) -> Self {
        let line = head
            .split(|&byte| byte == b'\n')
            .find(|line| !matches!(line, [] | [b'\r']))
            .unwrap_or_default();
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\r'));
        let method = words.next().filter(|method| {
            (1..=METHOD_BYTES).contains(&method.len()) && method.iter().all(|&byte| is_token_byte(byte))
        });
        let target = words
            .next()
            .filter(|target| method.is_some() && !target.is_empty())
            .map(|target| {
                target
                    .split(|byte| matches!(byte, b'?' | b'#'))
                    .next()
                    .unwrap_or_default()
            })
            .filter(|target| target.starts_with(b"/") || !target.contains(&b'@'));
        let printable = |bytes: &[u8], most: usize| {
            let printable = |&byte: &u8| if byte.is_ascii_graphic() { char::from(byte) } else { '?' };
            bytes.iter().take(most).map(printable).collect::<String>()
        };
        Self {
            index,
            hygiene,
            method: method.map(|method| printable(method, METHOD_BYTES)),
            target: target.map(|target| printable(target, TARGET_BYTES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_may_be_logged_and_no_more() {
        for (head, method, target) in [
            ("GET /a/b?key=secret HTTP/1.1\r\n", Some("GET"), Some("/a/b")),
            ("\r\nPOST /a\x01b#c HTTP/1.1\r\n", Some("POST"), Some("/a?b")),
            ("GET http://user:secret@host/ HTTP/1.1\r\n", Some("GET"), None),
            ("GET http://host/a HTTP/1.1\r\n", Some("GET"), Some("http://host/a")),
            ("\x16\x03\x01 /x", None, None),
            ("GET", Some("GET"), None),
            ("", None, None),
            ("(GET) /secret HTTP/1.1", None, None),
        ] {
            let refused = Refused::new(0, Hygiene::Syntax, head.as_bytes());
            assert_eq!(refused.method.as_deref(), method, "{head:?}");
            assert_eq!(refused.target.as_deref(), target, "{head:?}");
        }
    }
}
