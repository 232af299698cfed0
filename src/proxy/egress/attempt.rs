//! One try: signed now, over a connection to a checked address.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::USER_AGENT;
use http::{HeaderMap, Method, Request, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;
use tracing::debug;

use super::body::Outgoing;
use super::connect;
use super::deadline::Deadline;
use super::deliver::{self, Told};
use super::office::Office;
use super::receivers::Lease;
use super::stop::Stop;
use crate::clock;
use crate::ledger::activity::Line;
use crate::ledger::queue::Attempt as Noted;
use crate::policy::egress::sign::Turn;
use crate::policy::egress::{Dispatch, Egress, Failure};
use crate::telemetry::metrics::Outcome;

/// The time for all of it is over.
const TOTAL: Failure = Failure::Timeout("total");

/// One try of a delivery.
pub(super) struct Attempt<'a> {
    /// What all events share.
    pub(super) office: &'a Rc<Office>,
    /// The generation's.
    pub(super) egress: &'a Egress,
    /// What is delivered.
    pub(super) dispatch: &'a Dispatch,
    /// How.
    pub(super) method: &'a Method,
    /// By when.
    pub(super) end: Deadline,
    /// Where the headers of the last request are kept, where somebody wants to see them.
    pub(super) seen: Option<&'a RefCell<HeaderMap>>,
}

impl Attempt<'_> {
    /// Connects, sends and reads the answer. Where a receiver does not take the secret that it is sent, and there is another, it is
    /// sent that one; and the first one again where it takes neither, since it may have changed in between.
    pub(super) async fn run(&self, passing: Option<Outgoing>) -> Result<Told, Stop> {
        let webhook = self.dispatch.webhook();
        let can_repeat = passing.is_none();
        let mut turn = self.office.turn(webhook, can_repeat);
        let mut told = self.send(turn, passing).await?;
        for _ in 0..2 {
            match self.office.learn(webhook, turn, told.status) {
                Some(other) if can_repeat => turn = other,
                Some(_) | None => return Ok(told),
            }
            told = self.send(turn, None).await?;
        }
        self.office.learn(webhook, turn, told.status);
        Ok(told)
    }

    async fn send(&self, turn: Turn, passing: Option<Outgoing>) -> Result<Told, Stop> {
        let webhook = self.dispatch.webhook();
        let mut passing = passing;
        let mut is_fresh = false;
        loop {
            let receivers = &self.office.receivers;
            let leased = receivers.lease(&self.office.resolvers, self.egress, webhook, is_fresh);
            let mut lease = self.end.keep(leased).await.map_err(|_| TOTAL)??;
            let body = match passing.take() {
                Some(body) => body,
                None => Outgoing::whole(self.dispatch.body().cloned().unwrap_or_default()),
            };
            let can_repeat = body.is_whole();
            let request = self.request(turn, body);
            let sent = timeout(webhook.timeouts.head, lease.sender.try_send_request(request));
            let sent = self.end.keep(sent).await.map_err(|_| TOTAL)?;
            match sent.map_err(|_| Failure::Timeout("head"))? {
                Ok(response) => return self.read(lease, response).await,
                Err(mut failed) => {
                    let unsent = failed.take_message();
                    let error = failed.into_error();
                    // A connection that was closed while it lay in the pool: the receiver has not begun to answer. Where it may
                    // have read the event all the same, it has to be able to tell that it has.
                    let is_unread = unsent.is_some() || self.dispatch.tells_id() && is_closed(&error);
                    let is_stale = !lease.is_fresh && is_unread;
                    if lease.is_fresh
                        && let Some(declined) = connect::declined(&error)
                    {
                        return Err(Failure::Untrusted(declined.to_string()).into());
                    }
                    if !is_stale || !can_repeat {
                        return Err(Failure::Invalid(plain(&error)).into());
                    }
                    debug!(message = "a connection to a receiver was stale", webhook = webhook.id, %error);
                    is_fresh = true;
                }
            }
        }
    }

    fn request(&self, turn: Turn, body: Outgoing) -> Request<Outgoing> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.dispatch.target().clone());
        *request.headers_mut() = self.dispatch.headers(clock::unix_millis(), turn);
        debug_assert!(request.headers().contains_key(USER_AGENT));
        if let Some(seen) = self.seen {
            seen.replace(request.headers().clone());
        }
        request
    }

    /// Reads as much of the answer as the service gets. The connection is kept where that is all of it.
    async fn read(&self, lease: Lease, response: http::Response<Incoming>) -> Result<Told, Stop> {
        let most = self.egress.settings.response_bytes;
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let mut is_cut = false;
        loop {
            let frame = match self.end.keep(incoming.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => frame,
                // The status is here: it was taken, or not, whatever becomes of the rest.
                Ok(Some(Err(_))) | Err(_) => {
                    is_cut = true;
                    break;
                }
            };
            if let Ok(data) = frame.into_data() {
                let room = most - body.len();
                body.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    is_cut = true;
                    break;
                }
            }
        }
        if !is_cut && incoming.is_end_stream() {
            lease.give_back();
        }
        Ok(Told {
            status: head.status,
            headers: head.headers,
            body: Bytes::from(body),
            is_cut,
        })
    }
}

/// Whether the receiver closed the connection, in whatever way.
fn is_closed(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            return matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
            );
        }
        source = cause.source();
    }
    error.is_incomplete_message() || error.is_closed()
}

/// What went wrong, without what was sent or came.
fn plain(error: &hyper::Error) -> String {
    if error.is_parse() {
        "what it sent is not HTTP/1.1"
    } else if error.is_incomplete_message() {
        "it closed the connection before it had answered"
    } else {
        "the connection broke before it had answered"
    }
    .to_owned()
}

/// Counts a try, and tells of it.
pub(super) fn count(office: &Office, dispatch: &Dispatch, number: u32, told: &Result<Told, Stop>, took_nanos: u64) {
    let result = match told {
        Ok(told) => deliver::outcome_of(told.status),
        Err(stop) => stop.code(),
    };
    let metrics = &office.metrics.webhooks;
    metrics.attempts.get_or_create(&Outcome { result }).inc();
    metrics
        .attempt_duration
        .observe(Duration::from_nanos(took_nanos).as_secs_f64());
    debug!(
        message = "webhook attempt",
        webhook = dispatch.webhook().id,
        event_id = dispatch.event().id,
        attempt = number,
        result,
        status = told.as_ref().ok().map(|told| told.status.as_u16()),
        duration_ms = took_nanos / 1_000_000
    );
}

/// Counts a try of a request's event, and has it among the activity. It began at this time (Unix milliseconds), and of the
/// monotonic clock; how many nanoseconds it took comes back.
pub(super) fn record(
    office: &Office,
    dispatch: &Dispatch,
    number: u32,
    (at, began): (i64, u64),
    told: &Result<Told, Stop>,
) -> u64 {
    let took = clock::monotonic().saturating_sub(began);
    count(office, dispatch, number, told, took);
    let (webhook, event) = (dispatch.webhook(), dispatch.event());
    office.activity.record(Line {
        webhook: webhook.id.as_str().into(),
        organization: webhook.organization.as_str().into(),
        event_id: event.id.as_str().into(),
        event_type: event.kind.as_deref().unwrap_or_default().into(),
        number,
        attempt: note(at, told, took),
    });
    took
}

/// What is kept of a try that began at this time (Unix milliseconds).
pub(super) fn note(at: i64, told: &Result<Told, Stop>, took_nanos: u64) -> Noted {
    let (status, error) = match told {
        Ok(told) if told.status.is_success() => (Some(told.status.as_u16()), None),
        Ok(told) => (Some(told.status.as_u16()), Some(deliver::REJECTED)),
        Err(stop) => (None, Some(stop.code())),
    };
    Noted {
        at,
        is_delivered: told.as_ref().is_ok_and(|told| told.status.is_success()),
        status,
        error,
        duration: Duration::from_nanos(took_nanos),
    }
}
