//! The client's body on its way to an upstream.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{Cut, Exchange, Gate};
use crate::policy::refusal::Failure;

/// What every request's body has to keep to; one per generation and route, shared.
pub struct BodyRules {
    /// The longest body, `None` is unlimited.
    pub max_bytes: Option<u64>,
    /// The longest pause between two reads, until the upstream has begun to answer.
    pub pause: Duration,
    /// Takes what may not pass out of a request's trailers.
    pub trailers: Box<dyn Fn(&mut HeaderMap)>,
}

/// The client's body: counted, limited, timed, and held back while the upstream has not asked for it.
///
/// Its length is the client's, exactly: a known one stays known, none stays none.
pub struct RequestBody {
    exchange: Rc<Exchange>,
    source: Source,
}

enum Source {
    Empty,
    Client {
        incoming: Incoming,
        rules: Rc<BodyRules>,
        gate: Option<Gate>,
    },
}

impl RequestBody {
    /// The body that `incoming` brings.
    #[must_use]
    pub fn new(incoming: Incoming, exchange: &Rc<Exchange>, rules: &Rc<BodyRules>) -> Self {
        if incoming.is_end_stream() {
            return Self::empty(exchange);
        }
        Self {
            exchange: Rc::clone(exchange),
            source: Source::Client {
                incoming,
                rules: Rc::clone(rules),
                gate: None,
            },
        }
    }

    /// No body.
    #[must_use]
    pub fn empty(exchange: &Rc<Exchange>) -> Self {
        exchange.request_ends();
        Self {
            exchange: Rc::clone(exchange),
            source: Source::Empty,
        }
    }

    /// The exchange that it belongs to.
    #[must_use]
    pub fn exchange(&self) -> &Rc<Exchange> {
        &self.exchange
    }

    /// Whether its declared length alone is too much.
    #[must_use]
    pub fn is_declared_too_large(&self) -> bool {
        match &self.source {
            Source::Empty => false,
            Source::Client { incoming, rules, .. } => {
                matches!((incoming.size_hint().exact(), rules.max_bytes), (Some(length), Some(max)) if length > max)
            }
        }
    }

    /// Holds it back until `gate` opens.
    pub(in crate::proxy) fn hold_back(&mut self, shut: Gate) {
        match &mut self.source {
            Source::Empty => {}
            Source::Client { gate, .. } => *gate = Some(shut),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Self { exchange, source } = self.get_mut();
        let Source::Client { incoming, rules, gate } = source else {
            return Poll::Ready(None);
        };
        if exchange.is_over() {
            // Nobody wants the rest: an error makes the connection reset the stream. It cuts nothing any more.
            return Poll::Ready(Some(Err(Cut::Failed(Failure::ClientBodyInvalid))));
        }
        if let Some(shut) = gate {
            ready!(shut.poll_open(cx, exchange));
            *gate = None;
        }
        let frame = match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Pending => {
                exchange.waits_for_client(cx, rules.pause);
                return Poll::Pending;
            }
            Poll::Ready(None) => {
                exchange.request_ends();
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(_))) => {
                let cut = exchange.cut_by(Cut::Failed(Failure::ClientBodyInvalid));
                return Poll::Ready(Some(Err(cut)));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                exchange.request_ends();
                let Ok(mut trailers) = frame.into_trailers() else {
                    return Poll::Ready(None);
                };
                (rules.trailers)(&mut trailers);
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        };
        let length = exchange.request_moves(data.len());
        if rules.max_bytes.is_some_and(|max| length > max) {
            return Poll::Ready(Some(Err(exchange.cut_by(Cut::BodyTooLarge))));
        }
        if incoming.is_end_stream() {
            exchange.request_ends();
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty => true,
            Source::Client { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Client { incoming, .. } => incoming.size_hint(),
        }
    }
}
