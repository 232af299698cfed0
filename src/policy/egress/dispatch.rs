//! An event that may leave: the only thing that is delivered.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST, TRAILER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};

use super::address::Path;
use super::content::Cleared;
use super::event::{self, Event};
use super::leak::Removed;
use super::sign::{Message, Turn};
use super::{Egress, Refusal, WebhookIndex};
use crate::config::template::Value;
use crate::config::webhooks::{Delivery, Field, Webhook};
use crate::policy::Policy;

const OUR_NAME: HeaderValue = HeaderValue::from_static("keygate");

/// An event on its way to one webhook. Its fields are private: what it holds has passed every check.
#[derive(Debug)]
pub struct Dispatch {
    webhook: Arc<Webhook>,
    event: Event,
    target: PathAndQuery,
    /// What the service sends, without what must not leave.
    headers: HeaderMap,
    /// `None` where it passes by without being held.
    body: Option<Bytes>,
    removed: Removed,
}

/// What becomes of an event at one webhook.
#[derive(Debug)]
pub enum Judged {
    /// It is to be delivered.
    Deliver(Box<Dispatch>),
    /// The webhook did not ask for it.
    NotSubscribed(Event),
}

impl Egress {
    /// Whether all of the body has to be there before an event can leave for this webhook.
    #[must_use]
    pub fn needs_body(&self, index: WebhookIndex) -> bool {
        let webhook = self.webhook(index);
        let is_queued = match webhook.delivery {
            Delivery::Queued { .. } => true,
            Delivery::Request => false,
        };
        is_queued
            || self.settings.scan_bodies
            || webhook.signing.needs_body()
            || event::is_in_body(&self.settings, !webhook.events.take_all())
    }
}

impl Policy {
    /// The type and the id of an event, at this time (Unix seconds). `make_id` is asked where it says none.
    ///
    /// # Errors
    /// Where either cannot be told to anybody.
    pub fn event(
        &self,
        headers: &HeaderMap,
        body: Option<&Cleared>,
        now: i64,
        make_id: impl FnOnce() -> String,
    ) -> Result<Event, Refusal> {
        let egress = self.egress.as_ref().ok_or(Refusal::WebhookUnknown)?;
        let body = body.map(|body| &body.bytes()[..]);
        let event = event::read(&egress.settings, headers, body, make_id)?;
        let search = self.leaks_at(&egress.leaks, now);
        let mut told = std::iter::once(&event.id).chain(&event.kind);
        if told.any(|text| search.holds_key(text.as_bytes())) {
            return Err(Refusal::KeyInEvent);
        }
        Ok(event)
    }

    /// What becomes of an event at this webhook, at this time (Unix seconds). `body` is `None` where it is not held, which is for
    /// those webhooks only that [need none](Egress::needs_body).
    ///
    /// # Errors
    /// Why it may not leave.
    pub fn dispatch(
        &self,
        (index, path): (WebhookIndex, &Path),
        event: Event,
        headers: &HeaderMap,
        body: Option<&Cleared>,
        now: i64,
    ) -> Result<Judged, Refusal> {
        let egress = self.egress.as_ref().ok_or(Refusal::WebhookUnknown)?;
        let webhook = egress.webhook(index);
        if !webhook.active {
            return Err(Refusal::WebhookInactive);
        }
        if !webhook.events.take(event.kind.as_deref()) {
            return match event.kind {
                Some(_) => Ok(Judged::NotSubscribed(event)),
                None => Err(Refusal::EventMissing),
            };
        }
        if body.is_none() && egress.needs_body(index) {
            return Err(Refusal::BodyTooLarge);
        }
        if egress.settings.scan_bodies && headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Refusal::BodyEncoded);
        }
        let search = self.leaks_at(&egress.leaks, now);
        let mut headers = headers.clone();
        let removed = egress.leaks.scrub(&mut headers, &search);
        clean(&mut headers, webhook);
        let target = match path {
            Path::Registered => webhook.url.path_and_query(),
            Path::Given(target) if search.holds_key(target.as_bytes()) => return Err(Refusal::KeyInTarget),
            Path::Given(target) => target.clone(),
        };
        let target = target.parse();
        Ok(Judged::Deliver(Box::new(Dispatch {
            webhook: Arc::clone(webhook),
            event,
            target: target.map_err(|_| Refusal::DestinationInvalid("has a path that no request can have"))?,
            headers,
            body: body.map(|body| body.bytes().clone()),
            removed,
        })))
    }
}

/// What Keygate writes itself, the service does not: the frame of the message, and what the webhook's own options say.
fn clean(headers: &mut HeaderMap, webhook: &Webhook) {
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRAILER);
    let own = webhook.headers.iter().map(|(name, _)| name);
    for name in webhook.signing.names().chain(own) {
        headers.remove(name);
    }
    if !headers.contains_key(USER_AGENT) {
        headers.insert(USER_AGENT, OUR_NAME);
    }
}

impl Dispatch {
    /// Where it goes.
    #[must_use]
    pub fn webhook(&self) -> &Arc<Webhook> {
        &self.webhook
    }

    /// What it is.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &PathAndQuery {
        &self.target
    }

    /// The whole body, where it is held.
    #[must_use]
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// The service's own headers, without what must not leave.
    #[must_use]
    pub fn own_headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether the receiver is told the event's id, and so can tell when it gets the same one again.
    #[must_use]
    pub fn tells_id(&self) -> bool {
        let headers = &self.webhook.headers;
        let mut fields = headers.iter().flat_map(|(_, template)| template.fields());
        self.webhook.signing.tells_id() || fields.any(|field| *field == Field::EventId)
    }

    /// Which of the service's headers must not leave, by name.
    #[must_use]
    pub fn removed(&self) -> &Removed {
        &self.removed
    }

    /// The headers of one try: the service's, the signatures of this moment (Unix milliseconds), and, last, the webhook's, each in
    /// the place of any other of its name. What holds a secret is marked sensitive.
    #[must_use]
    pub fn headers(&self, unix_millis: i64, turn: Turn) -> HeaderMap {
        let webhook = &self.webhook;
        let mut headers = self.headers.clone();
        if let Ok(host) = HeaderValue::try_from(webhook.url.authority()) {
            headers.insert(HOST, host);
        }
        let message = Message {
            id: &self.event.id,
            event: self.event.kind.as_deref().unwrap_or_default(),
            organization: &webhook.organization,
            unix_millis,
            body: self.body.as_deref().unwrap_or_default(),
        };
        for (name, value) in webhook.signing.headers(&message, turn) {
            headers.append(name, value);
        }
        for (name, template) in &webhook.headers {
            if let Some(value) = template.header(|field| self.value(*field)) {
                // In the place of what is there: `extend` would put it beside that.
                headers.insert(name, value);
            }
        }
        headers
    }

    fn value(&self, field: Field) -> Value<'_> {
        match field {
            Field::Webhook => Value::text(Some(&self.webhook.id)),
            Field::Organization => Value::text(Some(&self.webhook.organization)),
            Field::Event => Value::text(self.event.kind.as_deref()),
            Field::EventId => Value::text(Some(&self.event.id)),
        }
    }
}
