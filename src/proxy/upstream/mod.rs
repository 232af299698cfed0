//! The seam to the upstreams: a head and a body go in, a head and a body come out.
//!
//! A room of its own so that the rest of the proxy knows neither connections nor codecs: which of them is pooled, fresh,
//! multiplexed or closed, and who speaks the protocol, is decided behind [`Upstreams::send`] and can be decided
//! differently without anybody noticing.
//!
//! Invariants: everything belongs to one worker; a connection is in the pool, or owned by one exchange, never both; an
//! exchange that is dropped, cut or broken never gives its connection back; every wait has a deadline, and every deadline
//! its own failure.

mod connect;
mod http1;
mod http2;
mod patient;
mod pool;
mod retry;
#[cfg(test)]
mod tests;

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response, request, response};
use hyper::client::conn::TrySendError;

use self::http1::Http1;
use self::http2::{Http2, Slot};
use self::pool::Lease;
use self::retry::Replay;
use crate::config::routes::RouteTimeouts;
use crate::config::upstreams::{Protocol, Upstream, UpstreamId, UpstreamTimeouts};
use crate::policy::refusal::Failure;
use crate::proxy::relay::{Cut, Exchange, RequestBody, UpstreamBody};
use crate::proxy::stream::Stream;
use crate::proxy::sweep::{Phase, Sweep};

/// The upstreams of one generation, as one worker reaches them. A request keeps the one that it began with.
pub struct Upstreams {
    sweep: Rc<Sweep>,
    targets: Vec<Target>,
}

struct Target {
    timeouts: UpstreamTimeouts,
    transport: Transport,
}

#[derive(Clone)]
enum Transport {
    Http1(Rc<Http1>),
    Http2(Rc<Http2>),
}

/// What an upstream says.
pub enum Answer {
    /// A response. Its body holds the connection until the last byte.
    Response(Response<UpstreamBody>),
    /// 101: from here on the bytes are somebody else's (RFC 9110 §7.8).
    Switched(Switched),
}

/// An upstream connection that has changed its protocol. Nothing is timed any more.
pub struct Switched {
    /// The 101 with its headers.
    pub head: response::Parts,
    /// The connection.
    pub stream: Stream,
    /// What was read of the new protocol already; goes before anything that is read from `stream`.
    pub first_bytes: Bytes,
}

/// The connection behind a response's body.
pub(in crate::proxy) enum Hold {
    Http1(Lease),
    Http2(Slot),
}

/// Why there is no answer.
enum Lost {
    /// The exchange was cut.
    Cut(Cut),
    /// The request came back as it was; nothing of it was sent.
    Unsent(Box<Request<RequestBody>>, hyper::Error),
    /// The connection was closed before an answer came.
    Closed(hyper::Error),
    /// What came is not an answer.
    Invalid(hyper::Error),
}

impl Upstreams {
    /// No connection yet. `upstreams` is what an [`UpstreamId`] is an index into.
    #[must_use]
    pub fn new(upstreams: &[Upstream], sweep: &Rc<Sweep>) -> Self {
        Self::with(upstreams, sweep, |_| None)
    }

    /// The next generation: an upstream that is reached as before keeps its connections. Those that nobody shares any more
    /// are closed when the last request of this generation has ended.
    #[must_use]
    pub fn renew(&self, upstreams: &[Upstream]) -> Self {
        Self::with(upstreams, &self.sweep, |upstream| {
            self.targets
                .iter()
                .map(|target| &target.transport)
                .find(|transport| transport.is_same(upstream))
                .cloned()
        })
    }

    fn with(upstreams: &[Upstream], sweep: &Rc<Sweep>, kept: impl Fn(&Upstream) -> Option<Transport>) -> Self {
        let targets = upstreams
            .iter()
            .map(|upstream| Target {
                timeouts: upstream.timeouts,
                transport: kept(upstream).unwrap_or_else(|| Transport::new(upstream, sweep)),
            })
            .collect();
        Self {
            sweep: Rc::clone(sweep),
            targets,
        }
    }

    /// Sends a request and waits for its answer's head. `timeouts` go before the upstream's own. `head` has an origin-form target and a `Host`; what it says about
    /// the body's length is made to agree with `body`. Dropping the future, or the answer's body, closes what it used.
    ///
    /// # Errors
    /// What cut the exchange, which is then over; it is recorded there, too.
    ///
    /// # Panics
    /// When `id` is from another generation's configuration and out of range.
    pub async fn send(
        &self,
        id: UpstreamId,
        timeouts: Option<RouteTimeouts>,
        head: request::Parts,
        body: RequestBody,
    ) -> Result<Answer, Cut> {
        let target = &self.targets[usize::from(id.0)];
        let exchange = Rc::clone(body.exchange());
        if body.is_declared_too_large() {
            exchange.end();
            return Err(exchange.cut_by(Cut::BodyTooLarge));
        }
        let timeouts = timeouts.map_or(target.timeouts, |own| own.over(target.timeouts));
        if let Some(total) = timeouts.total {
            exchange.watch().limit(Phase::Total, total);
        }
        let request = Request::from_parts(head, body);
        let answer = match &target.transport {
            Transport::Http1(upstream) => upstream.send(request, &exchange, &timeouts).await,
            Transport::Http2(upstream) => upstream.send(request, &exchange, &timeouts).await,
        };
        if answer.is_err() {
            exchange.end();
        }
        answer
    }
}

impl Transport {
    fn new(upstream: &Upstream, sweep: &Rc<Sweep>) -> Self {
        match upstream.protocol {
            Protocol::Http1 => Self::Http1(Rc::new(Http1::new(upstream, sweep))),
            Protocol::H2c => Self::Http2(Rc::new(Http2::new(upstream))),
        }
    }

    fn is_same(&self, upstream: &Upstream) -> bool {
        match (self, upstream.protocol) {
            (Self::Http1(ours), Protocol::Http1) => ours.is_same(upstream),
            (Self::Http2(ours), Protocol::H2c) => ours.is_same(upstream),
            (Self::Http1(_), Protocol::H2c) | (Self::Http2(_), Protocol::Http1) => false,
        }
    }
}

impl Hold {
    /// The answer's last byte is read: the connection is free for the next, if it can be.
    pub(in crate::proxy) fn finish(self, exchange: &Exchange) {
        match self {
            Self::Http1(lease) => lease.finish(exchange),
            Self::Http2(slot) => drop(slot),
        }
    }
}

impl Lost {
    /// On a connection that carries one exchange, every error but one of form means that it was closed.
    fn connection(mut error: TrySendError<Request<RequestBody>>) -> Self {
        let message = error.take_message();
        let error = error.into_error();
        match message {
            Some(request) => Self::Unsent(Box::new(request), error),
            None if error.is_parse() => Self::Invalid(error),
            None => Self::Closed(error),
        }
    }

    /// On a shared connection, only what says so means that it was closed, or that the stream was never looked at
    /// (RFC 9113 §8.7).
    fn stream(mut error: TrySendError<Request<RequestBody>>) -> Self {
        let message = error.take_message();
        let error = error.into_error();
        if let Some(request) = message {
            return Self::Unsent(Box::new(request), error);
        }
        let closed = match source::<h2::Error>(&error) {
            Some(error) => error.is_go_away() || error.is_io() || error.reason() == Some(h2::Reason::REFUSED_STREAM),
            None => error.is_canceled() || error.is_closed() || source::<io::Error>(&error).is_some(),
        };
        if closed {
            Self::Closed(error)
        } else {
            Self::Invalid(error)
        }
    }

    /// The request once more, if it may be sent again. `replay` is there when the connection was not fresh.
    fn again(
        self,
        replay: Option<Option<Replay>>,
        exchange: &Rc<Exchange>,
        upstream: &str,
    ) -> Result<Request<RequestBody>, Cut> {
        let error = match (self, replay) {
            (Self::Cut(cut), _) => return Err(cut),
            (Self::Unsent(request, _), Some(_)) if exchange.cut().is_none() => return Ok(*request),
            (Self::Closed(_), Some(Some(replay))) if exchange.cut().is_none() => {
                return Ok(replay.into_request(exchange));
            }
            (Self::Unsent(_, error) | Self::Closed(error) | Self::Invalid(error), _) => error,
        };
        tracing::debug!(upstream, %error, "no answer");
        Err(exchange.cut_by(Cut::Failed(Failure::UpstreamInvalid)))
    }
}

fn source<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}
