//! An event's body: held, or passing by.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::stop::Stop;
use crate::clock;
use crate::policy::Policy;
use crate::policy::egress::{Cleared, Failure, Refusal, Searched};
use crate::secret::slow;

/// What came of the service's body.
pub(super) enum Arrived {
    /// All of it.
    Held(Bytes),
    /// It is longer than is held: what came so far, and the rest.
    Longer(Bytes, Incoming),
}

/// Reads up to `most` bytes, waiting for each part no longer than `patience`. A body that says that it is longer is not read
/// at all.
pub(super) async fn read(mut body: Incoming, most: usize, patience: Duration) -> Result<Arrived, Stop> {
    if body.size_hint().lower() > most as u64 {
        return Ok(Arrived::Longer(Bytes::new(), body));
    }
    let mut held = BytesMut::new();
    loop {
        let frame = timeout(patience, body.frame()).await;
        match frame.map_err(|_| Failure::BodyBroken)? {
            None => return Ok(Arrived::Held(held.freeze())),
            Some(frame) => {
                // Trailers of an event mean nothing to anybody.
                if let Ok(data) = frame.map_err(|_| Failure::BodyBroken)?.into_data() {
                    held.extend_from_slice(&data);
                }
            }
        }
        if held.len() > most {
            return Ok(Arrived::Longer(held.freeze(), body));
        }
    }
}

impl Arrived {
    /// All of it.
    pub(super) fn whole(self) -> Result<Bytes, Refusal> {
        match self {
            Self::Held(bytes) => Ok(bytes),
            Self::Longer(..) => Err(Refusal::BodyTooLarge),
        }
    }
}

/// The body, once it is known to hold no key that is in force.
pub(super) async fn cleared(policy: &Policy, body: Bytes) -> Result<Cleared, Stop> {
    match policy.search(body, clock::unix())? {
        Searched::Cleared(cleared) => Ok(cleared),
        Searched::Suspected(suspected) => {
            let confirmed = spawn_blocking(|| suspected.confirm(slow::matches)).await;
            // It ends by a bug only, which says nothing about the body.
            Ok(confirmed.map_err(|_| Failure::BodyBroken)??)
        }
    }
}

/// What goes to a receiver.
pub(super) struct Outgoing {
    first: Option<Bytes>,
    rest: Option<Incoming>,
}

impl Outgoing {
    /// A whole body.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self {
            first: Some(bytes),
            rest: None,
        }
    }

    /// One that passes by.
    pub(super) fn passing(first: Bytes, rest: Incoming) -> Self {
        Self {
            first: Some(first),
            rest: Some(rest),
        }
    }
}

impl Outgoing {
    /// Whether all of it is here, so that it can be sent again.
    pub(super) fn is_whole(&self) -> bool {
        self.rest.is_none()
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.as_ref().is_none_or(Bytes::is_empty) && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let Some(rest) = &self.rest else {
            return SizeHint::with_exact(first);
        };
        let rest = rest.size_hint();
        match rest.exact() {
            Some(exact) => SizeHint::with_exact(first + exact),
            None => SizeHint::new(),
        }
    }
}
