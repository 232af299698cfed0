//! Sending and listing messages.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::{Reply, Wrong, reply};

/// A body is at most this long, in bytes.
const BODY: usize = 16 * 1024;

/// A text is at most this long, in characters: ten concatenated short messages.
const TEXT: usize = 1600;

/// This many messages are remembered, and wait for a slow subscriber.
pub(super) const REMEMBERED: usize = 100;

/// An accepted message.
#[derive(Clone, Serialize)]
pub(super) struct Message {
    id: String,
    to: String,
    text: String,
}

/// The latest messages, and who wants to hear of the next one.
pub(super) struct Messages {
    log: Mutex<Log>,
    sent: broadcast::Sender<Message>,
}

#[derive(Default)]
struct Log {
    accepted: u64,
    latest: VecDeque<Message>,
}

impl Default for Messages {
    fn default() -> Self {
        let (sent, _) = broadcast::channel(REMEMBERED);
        Self {
            log: Mutex::default(),
            sent,
        }
    }
}

impl Messages {
    /// The last `replay` messages, oldest first, and the ones to come, with none between them lost or repeated.
    pub(super) fn subscribe(&self, replay: usize) -> (Vec<Message>, broadcast::Receiver<Message>) {
        let log = self.log();
        let skipped = log.latest.len().saturating_sub(replay);
        (
            log.latest.iter().skip(skipped).cloned().collect(),
            self.sent.subscribe(),
        )
    }

    fn accept(&self, draft: Draft) -> Message {
        let mut log = self.log();
        log.accepted += 1;
        let message = Message {
            id: format!("msg_{}", log.accepted),
            to: draft.to,
            text: draft.text,
        };
        if log.latest.len() == REMEMBERED {
            log.latest.pop_front();
        }
        log.latest.push_back(message.clone());
        // An error only says that nobody listens.
        let _ = self.sent.send(message.clone());
        message
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize)]
struct Listing<'a> {
    messages: &'a VecDeque<Message>,
}

/// A message as the caller wrote it.
#[derive(Deserialize)]
struct Draft {
    to: String,
    text: String,
}

/// `POST /v1/messages`
pub(super) async fn send(request: Request<Incoming>, messages: &Messages) -> Result<Response<Reply>, Wrong> {
    let draft: Draft = serde_json::from_slice(&read(request.into_body()).await?).map_err(|_| {
        let what = r#"the body is not of the form {"to": "+15550100", "text": "Hello"}"#;
        (StatusCode::BAD_REQUEST, what)
    })?;
    if draft.to.is_empty() || draft.text.is_empty() {
        return Err((StatusCode::UNPROCESSABLE_ENTITY, "`to` and `text` may not be empty"));
    }
    if draft.text.chars().count() > TEXT {
        return Err((
            StatusCode::UNPROCESSABLE_ENTITY,
            "`text` is longer than 1600 characters",
        ));
    }
    Ok(reply(StatusCode::ACCEPTED, &messages.accept(draft)))
}

/// `GET /v1/messages`
pub(super) fn list(messages: &Messages) -> Response<Reply> {
    let log = messages.log();
    reply(StatusCode::OK, &Listing { messages: &log.latest })
}

async fn read(body: Incoming) -> Result<Bytes, Wrong> {
    match Limited::new(body, BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is longer than 16 KiB"))
        }
        Err(_) => Err((StatusCode::BAD_REQUEST, "the body is cut short")),
    }
}
