//! The screen: a byte-exact gate between a client's socket and hyper's HTTP/1 server.
//!
//! hyper repairs some requests silently (it drops a `Content-Length` beside a `Transfer-Encoding`, takes bare LF, loses
//! fragments) and answers what it cannot parse with an empty 400 of its own. Keygate refuses such requests itself, in its own
//! error format, in order with pipelined answers, and logs them. So the screen follows the messages on the way in and lets
//! only heads through that everybody reads alike. A refused head is replaced by a sentinel request; the service knows from
//! the [`ScreenHandle`] which of its calls that is, and answers it with the refusal. Nothing after a refused head is parsed.
//!
//! Invariants:
//! - hyper sees a head whole or not at all, and accepts every head that it sees.
//! - Good bytes stay where the socket's read put them; only a head that arrives in parts is copied.
//! - After a message that asks for an upgrade nothing passes until the service has said whose the next bytes are. A little
//!   is read ahead all the same, or nobody would notice that the client is gone.
//! - The end of a client's stream between two messages reaches hyper only when every answer is written and flushed, so a
//!   client may close its sending side and still gets what it waits for.
//!
//! Set up hyper so that its own limits never speak first: `max_buf_size` at least `head_bytes`, `max_headers` only when
//! `header_count` is above its default of 100, no `max_header_size`, and `half_close(false)`. Poll its connection as the
//! future that it is, and take it apart with `into_parts` afterwards: `poll_without_shutdown` is done before an answer is
//! flushed when the request's body was not read to its end. A switch of protocols shuts nothing down either way.

mod chunked;
mod follow;
mod handle;
mod held;
mod host;
mod judge;
mod linger;
mod search;
mod sniff;
#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use follow::{Follower, Stop};
use handle::{Order, Shared, Upgrade};
use held::Held;

pub use handle::{BodyFailure, Phase, Refused, ScreenHandle, Snapshot};
pub use judge::HeadLimits;
pub use linger::linger;
pub use sniff::{Prefixed, Protocol, sniff};

use crate::policy::refusal::Hygiene;

/// What hyper gets to see in place of a refused head.
const SENTINEL: &[u8] = b"GET / HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n";
/// The same when the refused method was `HEAD`, whose answer has no body.
const SENTINEL_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n";

/// What is read at least, if it comes, while an upgrade is not decided.
const READ_AHEAD: usize = 4096;

/// A client's connection behind the screen.
pub struct Screen<IO> {
    io: IO,
    follower: Follower,
    held: Held,
    mode: Mode,
    shared: Rc<Shared>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The messages are followed.
    Follow,
    /// A message that asks for an upgrade has passed.
    Paused,
    /// Everything passes.
    Open,
    /// A head was refused: nothing more passes after the sentinel.
    Refused,
    /// The body cannot be read on.
    Failed(io::ErrorKind),
    /// The stream has ended between two messages, or was not read any further there.
    Closed,
}

impl<IO> Screen<IO> {
    /// A screen for a client that speaks HTTP/1.
    pub fn new(io: IO, limits: HeadLimits) -> Self {
        Self::in_mode(io, limits.within_hyper(), Mode::Follow, Phase::Idle)
    }

    /// A screen that lets everything pass and only counts, for HTTP/2.
    pub fn off(io: IO) -> Self {
        let limits = HeadLimits {
            head_bytes: 0,
            header_count: 0,
            target_bytes: 0,
        };
        Self::in_mode(io, limits, Mode::Open, Phase::Tunnel)
    }

    fn in_mode(io: IO, limits: HeadLimits, mode: Mode, phase: Phase) -> Self {
        Self {
            io,
            follower: Follower::new(limits),
            held: Held::default(),
            mode,
            shared: Rc::new(Shared::new(phase)),
        }
    }

    /// The outside of this screen.
    #[must_use]
    pub fn handle(&self) -> ScreenHandle {
        ScreenHandle(Rc::clone(&self.shared))
    }

    /// Takes the screen away: the connection, and what was read from it and has not passed.
    #[must_use]
    pub fn into_inner(self) -> (IO, Bytes) {
        (self.io, self.held.into_bytes())
    }

    /// The phase, for the handle.
    fn phase(&self) -> Phase {
        match self.mode {
            Mode::Follow if self.follower.in_body() => Phase::Body,
            Mode::Follow if self.follower.in_head() => Phase::Head,
            Mode::Follow => Phase::Idle,
            Mode::Paused => Phase::Paused,
            Mode::Open => Phase::Tunnel,
            Mode::Refused | Mode::Failed(_) => Phase::Ended,
            Mode::Closed => Phase::Closed,
        }
    }

    /// Takes note of how far the follower came, and of why it stopped there.
    fn settle(&mut self, stop: Stop) {
        let heads = self.follower.heads();
        if heads != self.shared.heads.get() {
            self.shared.heads.set(heads);
            let upgrade = self.follower.upgrade().then_some((heads - 1, Upgrade::Undecided));
            self.shared.upgrade.set(upgrade);
        }
        match stop {
            Stop::Nothing | Stop::Incomplete => {}
            Stop::Upgrade => self.mode = Mode::Paused,
            Stop::Refused(hygiene) => self.refuse(hygiene),
            Stop::Broken => self.fail(BodyFailure::Broken, io::ErrorKind::InvalidData),
        }
    }

    /// Puts the sentinel in the place of the head that is held.
    fn refuse(&mut self, hygiene: Hygiene) {
        let index = self.shared.heads.get();
        let refused = Refused::new(index, hygiene, self.held.unjudged());
        let sentinel = if refused.method.as_deref() == Some("HEAD") {
            SENTINEL_HEAD
        } else {
            SENTINEL
        };
        self.held.replace_unjudged(sentinel);
        self.shared.heads.set(index + 1);
        self.shared.refusal_index.set(Some(index));
        self.shared.refused.replace(Some(refused));
        self.mode = Mode::Refused;
    }

    fn fail(&mut self, failure: BodyFailure, kind: io::ErrorKind) {
        let index = self.shared.heads.get().saturating_sub(1);
        self.shared.body_failure.set(Some((index, failure)));
        self.held.replace_unjudged(&[]);
        self.mode = Mode::Failed(kind);
    }

    /// The client has closed its side.
    fn client_closed(&mut self) {
        self.shared.client_closed.set(true);
        if self.follower.in_body() {
            self.fail(BodyFailure::CutShort, io::ErrorKind::UnexpectedEof);
        } else {
            // A head that has begun will not be completed; there is nothing that it could be answered.
            self.held.replace_unjudged(&[]);
            self.mode = Mode::Closed;
        }
    }

    /// Judges what is held and not yet judged.
    fn judge_held(&mut self) {
        if !self.held.unjudged().is_empty() {
            let step = self.follower.advance(self.held.unjudged());
            self.held.judge(step.passed);
            self.settle(step.stop);
        }
    }
}

impl<IO: AsyncRead + Unpin> Screen<IO> {
    fn poll_good(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.held.deliver(buf) {
                return Poll::Ready(Ok(()));
            }
            match self.mode {
                Mode::Follow => match self.shared.order.take() {
                    Some(Order::ExpireHead) if self.follower.in_head() => {
                        self.refuse(Hygiene::HeadTimeout);
                        continue;
                    }
                    order => {
                        if ready!(self.poll_follow(cx, buf, order == Some(Order::CloseIdle)))? > 0 {
                            return Poll::Ready(Ok(()));
                        }
                    }
                },
                Mode::Paused => match self.shared.upgrade.get() {
                    Some((_, Upgrade::Undecided)) => ready!(self.poll_paused(cx, buf))?,
                    Some((_, Upgrade::Accepted)) => {
                        self.mode = Mode::Open;
                        self.held.judge_all();
                        continue;
                    }
                    Some((_, Upgrade::Declined)) | None => {
                        self.follower.go_on();
                        self.mode = Mode::Follow;
                        self.judge_held();
                        continue;
                    }
                },
                Mode::Open => {
                    if ready!(self.poll_io(cx, buf))? == 0 {
                        self.shared.client_closed.set(true);
                    }
                    return Poll::Ready(Ok(()));
                }
                // An end of stream here would make hyper give up the answers that are on their way.
                Mode::Refused => return Poll::Pending,
                Mode::Failed(kind) => return Poll::Ready(Err(kind.into())),
                Mode::Closed if self.shared.settled() => return Poll::Ready(Ok(())),
                Mode::Closed => return Poll::Pending,
            }
        }
    }

    /// Reads once, straight into the caller's buffer, and leaves there what is good; says how much that is.
    fn poll_follow(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        close_idle: bool,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        match self.poll_io(cx, buf) {
            Poll::Ready(Ok(0)) => self.client_closed(),
            // TLS without its own end. Whether the message was complete is known without it.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => self.client_closed(),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending if close_idle && self.phase() == Phase::Idle && self.shared.settled() => {
                self.mode = Mode::Closed
            }
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(_)) if self.held.is_empty() => {
                let new = &buf.filled()[before..];
                let step = self.follower.advance(new);
                self.held.hold(&new[step.passed..]);
                buf.set_filled(before + step.passed);
                self.settle(step.stop);
                return Poll::Ready(Ok(step.passed));
            }
            Poll::Ready(Ok(_)) => {
                // The caller's buffer is only borrowed for reading the rest of a head.
                self.held.hold(&buf.filled()[before..]);
                buf.set_filled(before);
                self.judge_held();
            }
        }
        Poll::Ready(Ok(0))
    }

    /// Reads ahead, for the only news that counts before the upgrade is decided: that the client is gone.
    fn poll_paused(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.shared.client_closed.get() || self.held.unjudged().len() >= READ_AHEAD {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        match ready!(self.poll_io(cx, buf)) {
            Ok(0) => self.shared.client_closed.set(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.shared.client_closed.set(true),
            read => drop(read?),
        }
        self.held.hold(&buf.filled()[before..]);
        buf.set_filled(before);
        Poll::Ready(Ok(()))
    }

    fn poll_io(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        self.shared.awaits_client.set(result.is_pending());
        ready!(result)?;
        Poll::Ready(Ok(buf.filled().len() - before))
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Screen<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let screen = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let result = screen.poll_good(cx, buf);
        screen.shared.phase.set(screen.phase());
        if result.is_pending() {
            park(&mut screen.shared.reader.borrow_mut(), cx);
        }
        result
    }
}

impl<IO: AsyncWrite + Unpin> Screen<IO> {
    fn poll_out<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut IO>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let result = poll(Pin::new(&mut self.io), cx);
        self.shared.write_blocked.set(result.is_pending());
        result
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.shared
                .bytes_written
                .set(self.shared.bytes_written.get() + bytes as u64);
        }
        written
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Screen<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let screen = self.get_mut();
        screen.shared.unflushed.set(true);
        let written = screen.poll_out(cx, |io, cx| io.poll_write(cx, bytes));
        screen.count(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let screen = self.get_mut();
        screen.shared.unflushed.set(true);
        let written = screen.poll_out(cx, |io, cx| io.poll_write_vectored(cx, slices));
        screen.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let screen = self.get_mut();
        ready!(screen.poll_out(cx, |io, cx| io.poll_flush(cx)))?;
        screen.shared.unflushed.set(false);
        screen.shared.wake_if_closing();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let screen = self.get_mut();
        screen.poll_out(cx, |io, cx| io.poll_shutdown(cx))
    }
}

fn park(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}
