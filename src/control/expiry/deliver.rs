//! Delivering webhooks: one at a time, signed as Standard Webhooks 1.0.0 has it.
//!
//! # Security
//! Neither the secret nor the URL, which may be one, is ever logged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use tokio::sync::mpsc::Receiver;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::clock;
use crate::config::expiry::Webhook;
use crate::control::Control;
use crate::control::outbound::{self, CallError};
use crate::telemetry::metrics::Outcome;

/// How many messages may wait.
pub(super) const QUEUED: usize = 256;
/// How long it is until another try.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One message, the same at each try.
#[derive(Debug)]
pub(super) struct Message {
    /// `webhook-id`: what a receiver tells repetitions by.
    pub(super) id: String,
    /// Its type.
    pub(super) event: &'static str,
    /// How many keys it tells of.
    pub(super) keys: usize,
    /// JSON.
    pub(super) body: Bytes,
}

/// How a try went.
#[derive(Debug)]
enum Try {
    /// Taken.
    Delivered,
    /// Another one may go better.
    Again(Reason),
    /// Another one would go the same way.
    Refused(Reason),
}

/// Why a message is not delivered.
#[derive(Debug)]
enum Reason {
    Call(CallError),
    Status(StatusCode),
}

/// Messages on their way; says so where the process ends before they are delivered.
struct Outbox {
    control: Arc<Control>,
    waiting: Receiver<Message>,
    in_hand: usize,
}

/// Delivers everything that comes.
pub(super) async fn follow(control: Arc<Control>, waiting: Receiver<Message>) {
    let mut outbox = Outbox {
        control,
        waiting,
        in_hand: 0,
    };
    while let Some(message) = outbox.waiting.recv().await {
        outbox.in_hand = 1;
        let is_delivered = outbox.control.deliver(&message).await;
        outbox.in_hand = 0;
        outbox.control.count(if is_delivered { "delivered" } else { "failed" });
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let messages = self.in_hand + self.waiting.len();
        if messages > 0 {
            warn!(
                message = "webhooks are not sent any more, since the process ends; the log and the audit trail have what they say",
                messages
            );
        }
    }
}

impl Control {
    /// Counts what became of a message.
    pub(super) fn count(&self, result: &'static str) {
        self.metrics.alert_deliveries.get_or_create(&Outcome { result }).inc();
    }

    /// Whether a message was delivered, in the end.
    async fn deliver(&self, message: &Message) -> bool {
        let Message { id, event, keys, .. } = message;
        let mut pauses = PAUSES.into_iter();
        loop {
            // Where the configuration says now: whoever mends it need not wait.
            let Some(webhook) = self.current.load().config.expiry.webhook.clone() else {
                warn!(
                    message = "a webhook has nowhere to go any more",
                    webhook_id = id,
                    event,
                    keys
                );
                return false;
            };
            let host = &webhook.endpoint.authority;
            let (reason, pause) = match attempt(&webhook, message).await {
                Try::Delivered => {
                    debug!(message = "webhook delivered", host, webhook_id = id, event, keys);
                    return true;
                }
                Try::Again(reason) => (reason, pauses.next()),
                Try::Refused(reason) => (reason, None),
            };
            let Some(pause) = pause else {
                warn!(message = "a webhook cannot be delivered", host, webhook_id = id, event, keys, %reason);
                return false;
            };
            debug!(message = "a webhook is tried again", host, webhook_id = id, %reason);
            sleep(pause).await;
        }
    }
}

/// One try: with a time, and so a signature, of its own.
async fn attempt(webhook: &Webhook, message: &Message) -> Try {
    let now = clock::unix();
    let signature = webhook.key.standard(&message.id, now, &message.body);
    let mut request = Request::post("/")
        .body(Full::new(message.body.clone()))
        .unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(TIMESTAMP, HeaderValue::from(now));
    let own = [
        (ID, HeaderValue::try_from(&message.id)),
        (SIGNATURE, HeaderValue::try_from(signature)),
    ];
    headers.extend(own.into_iter().filter_map(|(name, value)| Some((name, value.ok()?))));
    match outbound::call(&webhook.endpoint, request).await {
        Ok(answer) => judge(answer.status()),
        // It was taken, or not: nobody knows, and it may have been.
        Err(error @ CallError::Body) => Try::Refused(Reason::Call(error)),
        Err(error) => Try::Again(Reason::Call(error)),
    }
}

/// Any 2xx is a yes. A redirect is none: a message goes where the operator said.
fn judge(status: StatusCode) -> Try {
    if status.is_success() {
        return Try::Delivered;
    }
    let reason = Reason::Status(status);
    let passes = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if status.is_server_error() || passes {
        Try::Again(reason)
    } else {
        Try::Refused(reason)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Status(status) => write!(f, "the answer is {status}"),
        }
    }
}
