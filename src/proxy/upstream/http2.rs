//! HTTP/2 with prior knowledge to an upstream: all of a worker's requests on one connection.
//!
//! A second connection is opened only while the peer's limit of concurrent streams is reached. A connection that the
//! peer is closing (GOAWAY), or that has not said a word while a request timed out on it, gets no new requests.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use http::header::{EXPECT, HOST, TE};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version, uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;

use super::connect::Dial;
use super::retry::Replay;
use super::{Answer, Hold, Lost};
use crate::config::upstreams::{Upstream, UpstreamTimeouts};
use crate::policy::refusal::Failure;
use crate::proxy::executor::LocalExecutor;
use crate::proxy::relay::{Cut, Exchange, RequestBody, UpstreamBody};
use crate::proxy::sweep::Phase;

/// The most connections that one worker opens to one upstream; beyond their streams, requests queue.
const CONNECTIONS: usize = 4;

/// The longest response head, as HTTP/2 counts it (RFC 9113 §6.5.2).
const HEAD_BYTES: u32 = 64 * 1024;

/// One upstream over HTTP/2.
pub(super) struct Http2 {
    dial: Dial,
    /// For a request that brings no authority of its own.
    authority: Option<Authority>,
    lines: RefCell<Vec<Rc<Line>>>,
    /// One connects, the others wait for its connection.
    dialing: Mutex<()>,
}

/// One connection.
struct Line {
    sender: RefCell<SendRequest<RequestBody>>,
    streams: Cell<usize>,
    /// How many streams the peer allows.
    capacity: Rc<Cell<usize>>,
    /// Response heads that have come on it.
    heard: Cell<u64>,
    retired: Cell<bool>,
}

/// One stream's place on a connection.
pub(in crate::proxy) struct Slot(Rc<Line>);

impl Http2 {
    /// No connection yet.
    pub(super) fn new(upstream: &Upstream) -> Self {
        Self {
            dial: Dial::new(upstream),
            authority: upstream.authority.parse().ok(),
            lines: RefCell::new(Vec::new()),
            dialing: Mutex::new(()),
        }
    }

    /// Whether its connections serve `upstream` as well.
    pub(super) fn is_same(&self, upstream: &Upstream) -> bool {
        self.dial.is_same(upstream) && self.authority == upstream.authority.parse().ok()
    }

    #[cfg(test)]
    pub(super) fn connections(&self) -> usize {
        self.prune();
        self.lines.borrow().len()
    }

    /// One exchange: on the connection that is there, on a fresh one where that had just been closed.
    pub(super) async fn send(
        &self,
        mut request: Request<RequestBody>,
        exchange: &Rc<Exchange>,
        timeouts: &UpstreamTimeouts,
    ) -> Result<Answer, Cut> {
        self.frame(&mut request);
        let mut pooled = self.free();
        loop {
            let (slot, replay) = match pooled.take() {
                Some(slot) => (slot, Some(Replay::of(&request, &mut Vec::new()))),
                None => (self.connect(exchange, timeouts.connect).await?, None),
            };
            exchange.start(timeouts.head);
            match slot.exchange(request, exchange).await {
                Ok(response) => {
                    exchange.answer();
                    let (head, incoming) = response.into_parts();
                    let body = UpstreamBody::new(incoming, Rc::clone(exchange), Hold::Http2(slot), timeouts.idle);
                    return Ok(Answer::Response(Response::from_parts(head, body)));
                }
                Err(lost) => {
                    request = lost.again(replay, exchange, self.dial.name())?;
                    slot.0.retired.set(true);
                }
            }
        }
    }

    /// Puts the request's target together from its parts (RFC 9113 §8.3.1) and drops what HTTP/2 has no place for.
    fn frame(&self, request: &mut Request<RequestBody>) {
        *request.version_mut() = Version::HTTP_2;
        let host = request.headers_mut().remove(HOST);
        let authority = match request.uri().authority() {
            Some(authority) => Some(authority.clone()),
            None => host
                .and_then(|host| Authority::try_from(host.as_bytes()).ok())
                .or_else(|| self.authority.clone()),
        };
        let mut parts = uri::Parts::default();
        parts.path_and_query = request.uri().path_and_query().cloned();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = authority;
        if let Ok(target) = Uri::from_parts(parts) {
            *request.uri_mut() = target;
        }
        let headers = request.headers_mut();
        // Trailers are passed on, and gRPC insists on being told.
        headers.insert(TE, HeaderValue::from_static("trailers"));
        // The body is asked for as soon as there is a stream to send it on.
        headers.remove(EXPECT);
    }

    /// Forgets connections that take no new requests; their streams keep them until they end.
    fn prune(&self) {
        let mut lines = self.lines.borrow_mut();
        lines.retain(|line| !line.retired.get() && !line.sender.borrow().is_closed());
    }

    /// A place on a connection that is there, if one has room or no more may be opened.
    fn free(&self) -> Option<Slot> {
        self.prune();
        let lines = self.lines.borrow();
        let roomy = lines.iter().find(|line| line.streams.get() < line.capacity.get());
        let line = match roomy {
            Some(line) => line,
            None if lines.len() < CONNECTIONS => return None,
            None => lines.iter().min_by_key(|line| line.streams.get())?,
        };
        Some(Slot::new(line))
    }

    async fn connect(&self, exchange: &Exchange, patience: Duration) -> Result<Slot, Cut> {
        exchange.watch().arm(Phase::Connect, patience);
        let dialing = exchange.watch().guard(pin!(self.dialing.lock())).await;
        let _dialing = dialing.map_err(|phase| exchange.cut_by_phase(phase))?;
        if let Some(slot) = self.free() {
            return Ok(slot);
        }
        let stream = self.dial.connect(exchange, patience).await?;
        let mut handshake = Box::pin(
            Builder::new(LocalExecutor)
                .max_header_list_size(HEAD_BYTES)
                .handshake::<_, RequestBody>(TokioIo::new(stream)),
        );
        let shaken = exchange.watch().guard(handshake.as_mut()).await;
        let (sender, mut connection) = shaken.map_err(|phase| exchange.cut_by_phase(phase))?.map_err(|error| {
            tracing::debug!(upstream = self.dial.name(), %error, "cannot speak HTTP/2");
            exchange.cut_by(Cut::Failed(Failure::UpstreamUnreachable))
        })?;
        let capacity = Rc::new(Cell::new(connection.current_max_send_streams()));
        let line = Rc::new(Line {
            sender: RefCell::new(sender),
            streams: Cell::new(0),
            capacity: Rc::clone(&capacity),
            heard: Cell::new(0),
            retired: Cell::new(false),
        });
        tokio::task::spawn_local(async move {
            let ended = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                if polled.is_pending() {
                    capacity.set(connection.current_max_send_streams());
                }
                polled
            })
            .await;
            if let Err(error) = ended {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        self.lines.borrow_mut().push(Rc::clone(&line));
        Ok(Slot::new(&line))
    }
}

impl Slot {
    fn new(line: &Rc<Line>) -> Self {
        line.streams.set(line.streams.get() + 1);
        Self(Rc::clone(line))
    }

    /// Hands the request over at once, so that the future that waits does not carry it.
    fn exchange(
        &self,
        request: Request<RequestBody>,
        exchange: &Exchange,
    ) -> impl Future<Output = Result<Response<Incoming>, Lost>> {
        let line = &self.0;
        let heard = line.heard.get();
        let response = line.sender.borrow_mut().try_send_request(request);
        async move {
            match exchange.watch().guard(pin!(response)).await {
                Ok(Ok(response)) => {
                    line.heard.set(line.heard.get().wrapping_add(1));
                    Ok(response)
                }
                Ok(Err(error)) => Err(Lost::stream(error)),
                Err(phase) => {
                    if phase == Phase::ResponseHead && line.heard.get() == heard {
                        line.retired.set(true);
                    }
                    Err(Lost::Cut(exchange.cut_by_phase(phase)))
                }
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
    }
}
