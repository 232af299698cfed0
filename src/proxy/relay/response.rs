//! An answer's body on its way to the client.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Cut, Exchange};
use crate::policy::answer;
use crate::policy::refusal::Failure;
use crate::proxy::sweep::Phase;
use crate::proxy::upstream::Hold;

/// Any answer's body, with a guard that is dropped when the client's connection lets go of it: after its last frame, or
/// when the client is gone.
pub struct ResponseBody<G> {
    content: Content,
    pace: Option<Pace>,
    _guard: G,
}

/// How long the client may leave a frame of an answer untaken, where only asking for the next one shows that it was taken:
/// HTTP/2's streams have windows of their own.
pub struct Pace {
    exchange: Rc<Exchange>,
    patience: Duration,
}

enum Content {
    Upstream(UpstreamBody),
    Full(Option<Bytes>),
}

/// An upstream's body: counted and timed. It holds the upstream's connection, and gives it back the moment that the last
/// byte is read.
pub struct UpstreamBody {
    incoming: Incoming,
    exchange: Rc<Exchange>,
    /// Gone when the body has ended, well or not.
    hold: Option<Hold>,
    /// Why the rest never comes.
    cut: Option<Cut>,
    idle_timeout: Duration,
}

impl<G> ResponseBody<G> {
    /// What an upstream answers.
    #[must_use]
    pub fn upstream(body: UpstreamBody, guard: G) -> Self {
        Self {
            content: Content::Upstream(body),
            pace: None,
            _guard: guard,
        }
    }

    /// What Keygate itself answers.
    #[must_use]
    pub fn full(bytes: Bytes, guard: G) -> Self {
        Self {
            content: Content::Full((!bytes.is_empty()).then_some(bytes)),
            pace: None,
            _guard: guard,
        }
    }

    /// No body.
    #[must_use]
    pub fn empty(guard: G) -> Self {
        Self {
            content: Content::Full(None),
            pace: None,
            _guard: guard,
        }
    }

    /// The same, kept to a pace.
    #[must_use]
    pub fn paced(mut self, pace: Option<Pace>) -> Self {
        self.pace = pace;
        self
    }
}

impl Pace {
    /// `exchange`'s watch fires where a frame is left for longer than `patience`.
    pub(in crate::proxy) fn new(exchange: Rc<Exchange>, patience: Duration) -> Self {
        Self { exchange, patience }
    }

    fn given(&self, frame: &Frame<Bytes>) {
        if frame.data_ref().is_some_and(|data| !data.is_empty()) {
            self.exchange.watch().arm(Phase::Client, self.patience);
        }
    }

    fn taken(&self) {
        let watch = self.exchange.watch();
        if watch.phase() == Some(Phase::Client) {
            watch.disarm();
        }
    }
}

impl<G: Unpin> Body for ResponseBody<G> {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Self { content, pace, .. } = self.get_mut();
        if let Some(pace) = pace {
            pace.taken();
        }
        let polled = match content {
            Content::Upstream(body) => body.poll_frame(cx),
            Content::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        };
        if let (Some(pace), Poll::Ready(Some(Ok(frame)))) = (pace, &polled) {
            pace.given(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Upstream(body) => body.is_end_stream(),
            Content::Full(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Upstream(body) => body.incoming.size_hint(),
            Content::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}

impl UpstreamBody {
    /// The body of an answer whose head is here. Without a byte to come, the connection is free at once.
    pub(in crate::proxy) fn new(
        incoming: Incoming,
        exchange: Rc<Exchange>,
        hold: Hold,
        idle_timeout: Duration,
    ) -> Self {
        let mut body = Self {
            incoming,
            exchange,
            hold: Some(hold),
            cut: None,
            idle_timeout,
        };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(cut) = self.cut {
            return Poll::Ready(Some(Err(cut)));
        }
        if self.hold.is_none() {
            return Poll::Ready(None);
        }
        if let Some(phase) = self.exchange.watch().has_fired() {
            return self.end_early(phase, cx);
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.exchange.watch().disarm();
                match frame.data_ref() {
                    Some(data) => {
                        self.exchange.add_response_bytes(data.len());
                        if self.incoming.is_end_stream() {
                            self.finish();
                        }
                    }
                    // Nothing comes after trailers.
                    None => self.finish(),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                let cut = self.exchange.cut_by(Cut::Failed(Failure::UpstreamInvalid));
                self.fail(cut, cx)
            }
            Poll::Pending => {
                let watch = self.exchange.watch();
                if watch.phase().is_none() {
                    watch.arm(Phase::ResponseIdle, self.idle_timeout);
                }
                match watch.poll_fired(cx) {
                    Poll::Ready(phase) => self.end_early(phase, cx),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.hold.is_none() && self.cut.is_none()
    }

    /// The last byte is read.
    fn finish(&mut self) {
        self.exchange.end();
        if let Some(hold) = self.hold.take() {
            hold.finish(&self.exchange);
        }
    }

    /// A deadline has passed, or what the exchange rested on has ended: a gRPC client is told so in the place where it looks
    /// for it.
    fn end_early(&mut self, phase: Phase, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let cut = self.exchange.cut_by_phase(phase);
        if cut == Cut::Withdrawn && self.exchange.is_grpc() {
            self.exchange.end();
            self.hold = None;
            return Poll::Ready(Some(Ok(Frame::trailers(answer::withdrawn_trailers()))));
        }
        self.fail(cut, cx)
    }

    /// The rest will never come: the connection goes with it. The client's is told only when it asks again, after it has sent
    /// what came before: a client that saw no answer at all could take it for one that was never begun, and try again.
    fn fail(&mut self, cut: Cut, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.exchange.end();
        self.hold = None;
        self.cut = Some(cut);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if self.hold.is_some() {
            self.exchange.cut_by(Cut::Failed(Failure::ClientGone));
            self.exchange.end();
        }
    }
}
