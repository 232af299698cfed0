//! HTTP/1.1 to an upstream: one exchange at a time on a connection, the framing, and the change to another protocol.
//!
//! hyper's client is the codec. One task per connection runs it; nothing is spawned per request. What hyper accepts and
//! a gateway may not pass on (a response whose length two parties could read differently) is refused here.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::connect::Dial;
use super::patient::Patient;
use super::pool::{Lease, Pool};
use super::retry::Replay;
use super::{Answer, Hold, Lost, Switched};
use crate::config::upstreams::{Upstream, UpstreamTimeouts};
use crate::policy::refusal::Failure;
use crate::proxy::relay::{Cut, Exchange, Gate, RequestBody, UpstreamBody};
use crate::proxy::stream::Stream;
use crate::proxy::sweep::Sweep;

/// The longest response head, and the largest read: bodies that outgrow the first 8 KiB are read in up to this much.
const BUFFER_BYTES: usize = 64 * 1024;

/// How long a TLS connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// One upstream over HTTP/1.1.
pub(super) struct Http1 {
    dial: Dial,
    pool: Rc<Pool>,
}

/// One connection. Dropping it in the middle of an exchange closes it at once.
pub(super) struct Wire {
    sender: SendRequest<RequestBody>,
    link: Rc<Link>,
    switched: oneshot::Receiver<(Stream, Bytes)>,
    task: AbortHandle,
    /// For [`Replay`].
    spare: Vec<(HeaderName, HeaderValue)>,
}

/// What a connection's task and its user tell each other.
#[derive(Default)]
struct Link {
    /// The request asks for another protocol.
    may_switch: Cell<bool>,
    write_failed: Rc<Cell<bool>>,
}

impl Http1 {
    /// No connection yet.
    pub(super) fn new(upstream: &Upstream, sweep: &Rc<Sweep>) -> Self {
        Self {
            dial: Dial::new(upstream),
            pool: Pool::new(sweep, upstream.pool),
        }
    }

    /// Whether its connections serve `upstream` as well.
    pub(super) fn is_same(&self, upstream: &Upstream) -> bool {
        self.dial.is_same(upstream) && self.pool.has_limits(upstream.pool)
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.pool.len()
    }

    /// One exchange: on a pooled connection, on a fresh one where that was stale.
    pub(super) async fn send(
        &self,
        mut request: Request<RequestBody>,
        exchange: &Rc<Exchange>,
        timeouts: &UpstreamTimeouts,
    ) -> Result<Answer, Cut> {
        frame(&mut request);
        hold_back_if_expected(&mut request);
        let may_switch = request.headers().contains_key(UPGRADE);
        let mut pooled = self.pool.take();
        loop {
            let (mut wire, replay) = match pooled.take() {
                Some(mut wire) => {
                    let replay = Replay::of(&request, &mut wire.spare);
                    (wire, Some(replay))
                }
                None => (self.connect(exchange, timeouts.connect).await?, None),
            };
            wire.link.may_switch.set(may_switch);
            exchange.start(timeouts.head);
            match wire.exchange(request, exchange).await {
                Ok(response) => {
                    if let Some(replay) = replay.flatten() {
                        wire.spare = replay.into_spare();
                    }
                    return self.answer(wire, response, exchange, timeouts.idle).await;
                }
                Err(lost) => request = lost.again(replay, exchange, self.dial.name())?,
            }
        }
    }

    async fn connect(&self, exchange: &Exchange, patience: Duration) -> Result<Wire, Cut> {
        let stream = self.dial.connect(exchange, patience).await?;
        Wire::new(stream).await.map_err(|error| {
            tracing::debug!(upstream = self.dial.name(), %error, "cannot speak HTTP/1.1");
            exchange.cut_by(Cut::Failed(Failure::UpstreamUnreachable))
        })
    }

    async fn answer(
        &self,
        wire: Wire,
        response: Response<Incoming>,
        exchange: &Rc<Exchange>,
        idle_timeout: Duration,
    ) -> Result<Answer, Cut> {
        let (mut head, incoming) = response.into_parts();
        head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        if let Err(reason) = check(&head, wire.link.may_switch.get()) {
            tracing::debug!(upstream = self.dial.name(), reason, "invalid response");
            return Err(exchange.cut_by(Cut::Failed(Failure::UpstreamInvalid)));
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let (stream, first_bytes) = wire.into_switched(exchange).await?;
            exchange.answer();
            exchange.end();
            return Ok(Answer::Switched(Switched {
                head,
                stream,
                first_bytes,
            }));
        }
        exchange.answer();
        let reusable = is_reusable(&head);
        let hold = Hold::Http1(Lease::new(wire, Rc::clone(&self.pool), reusable));
        let body = UpstreamBody::new(incoming, Rc::clone(exchange), hold, idle_timeout);
        Ok(Answer::Response(Response::from_parts(head, body)))
    }
}

impl Wire {
    async fn new(stream: Stream) -> hyper::Result<Self> {
        let link = Rc::new(Link::default());
        let io = TokioIo::new(Patient::new(stream, Rc::clone(&link.write_failed)));
        let (sender, connection) = Builder::new()
            .max_header_size(BUFFER_BYTES)
            .max_buf_size(BUFFER_BYTES)
            .handshake(io)
            .await?;
        let (switch, switched) = oneshot::channel();
        let task = tokio::task::spawn_local(drive(connection, Rc::clone(&link), switch));
        Ok(Self {
            sender,
            link,
            switched,
            task: task.abort_handle(),
            spare: Vec::new(),
        })
    }

    /// Whether it is open and has nothing to do.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether it may serve another request: hyper is idle again, which it is not after either side has asked to close.
    pub(super) fn is_reusable(&self) -> bool {
        self.sender.is_ready() && !self.link.write_failed.get()
    }

    /// Hands the request over at once, so that the future that waits does not carry it.
    fn exchange(
        &mut self,
        request: Request<RequestBody>,
        exchange: &Exchange,
    ) -> impl Future<Output = Result<Response<Incoming>, Lost>> {
        let response = self.sender.try_send_request(request);
        async {
            match exchange.watch().guard(pin!(response)).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(error)) => Err(Lost::connection(error)),
                Err(phase) => Err(Lost::Cut(exchange.cut_by_phase(phase))),
            }
        }
    }

    /// The stream and what was read of the new protocol, once the connection's task lets go of it.
    async fn into_switched(mut self, exchange: &Exchange) -> Result<(Stream, Bytes), Cut> {
        match exchange.watch().guard(pin!(&mut self.switched)).await {
            Ok(Ok(switched)) => Ok(switched),
            Ok(Err(_)) => Err(exchange.cut_by(Cut::Failed(Failure::UpstreamInvalid))),
            Err(phase) => Err(exchange.cut_by_phase(phase)),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // An idle connection ends by itself when its sender is gone.
        if !self.sender.is_ready() {
            self.task.abort();
        }
    }
}

/// Runs a connection to its end.
async fn drive(
    mut connection: Connection<TokioIo<Patient>, RequestBody>,
    link: Rc<Link>,
    switch: oneshot::Sender<(Stream, Bytes)>,
) {
    let ended = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().into_inner();
    match (ended, &stream) {
        (Ok(()), _) if link.may_switch.get() => {
            // Nobody takes it when the answer was not a switch, or nobody waits any more: then it closes.
            let _ = switch.send((stream, parts.read_buf));
        }
        (Ok(()), Stream::Tls(_)) => {
            // A peer that does not listen any more is not worth more than this.
            let _ = timeout(GOODBYE, stream.shutdown()).await;
        }
        (Ok(()), Stream::Clear(_)) => {}
        (Err(error), _) => tracing::debug!(%error, "upstream connection ended"),
    }
}

/// Makes the head say about the body what is true, in the form that the codec keeps.
fn frame(request: &mut Request<RequestBody>) {
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() {
        *request.uri_mut() = origin_form(request.uri());
    }
    let body = request.body();
    let length = if body.is_end_stream() {
        Some(0)
    } else {
        body.size_hint().exact()
    };
    let headers = request.headers_mut();
    match length {
        Some(length) => {
            let said = headers
                .get(CONTENT_LENGTH)
                .map(|value| parse_length(value) == Some(length));
            // No body and no length stay as they are (RFC 9110 §8.6).
            if said == Some(false) || (said.is_none() && length > 0) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            headers.remove(TRANSFER_ENCODING);
        }
        None => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .map_or_else(Uri::default, |target| Uri::from(target.clone()))
}

fn parse_length(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    // The standard library would take a sign, too.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// Keeps the body back when the client expects to be asked for it, and lets the upstream's 100 release it.
fn hold_back_if_expected(request: &mut Request<RequestBody>) {
    let expected = request
        .headers()
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !expected || request.body().is_end_stream() {
        return;
    }
    let (gate, latch) = Gate::new();
    request.body_mut().hold_back(gate);
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            latch.open();
        }
    });
}

/// Refuses a response whose end two parties could see in different places (RFC 9112 §6.3), and a change of protocol that
/// nobody asked for.
fn check(head: &response::Parts, may_switch: bool) -> Result<(), &'static str> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS && !may_switch {
        return Err("101 without having been asked");
    }
    let coding = sole(&head.headers, &TRANSFER_ENCODING).map_err(|()| "Transfer-Encoding is repeated")?;
    let length = sole(&head.headers, &CONTENT_LENGTH).map_err(|()| "Content-Length is repeated")?;
    if coding.is_some() && length.is_some() {
        return Err("Transfer-Encoding and Content-Length");
    }
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err("a transfer coding other than chunked");
    }
    if length.is_some_and(|length| parse_length(length).is_none()) {
        return Err("Content-Length is not a number");
    }
    Ok(())
}

/// The only value of a header, if it is there.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(()) } else { Ok(first) }
}

/// Whether the connection may live on after this answer. An HTTP/1.0 peer would be sent HTTP/1.0 requests from then on;
/// and behind an answer that has no body by definition, but says that it has one, the rest of the stream is not to be
/// trusted.
fn is_reusable(head: &response::Parts) -> bool {
    let announces_body = head.headers.contains_key(TRANSFER_ENCODING)
        || head.headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    head.version == Version::HTTP_11 && !(head.status == StatusCode::NO_CONTENT && announces_body)
}
