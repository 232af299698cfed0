//! What operators ask of the return path: a sample event, sent as real ones are; and which receivers take their new secret.
//!
//! A sample goes the way of every event (searched, checked, signed, to a checked address), in one attempt, whether its webhook is
//! paused or not, so that an operator sees whether it works again. It says that it is a test, in a header and in its body.
//!
//! # Security
//! What is told of headers is masked here, where it is known which of them hold a secret: see [`mask`].

mod mask;
mod words;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use tokio::task::spawn_local;

use super::attempt::{self, Attempt};
use super::body;
use super::deadline::Deadline;
use super::deliver::{self, Told};
use super::office::Office;
use super::stop::Stop;
use crate::clock;
use crate::config::records::write::date_time;
use crate::config::webhooks::{Locator, Settings, Webhook};
use crate::errand::{Errand, Inbox, Sample, Sent};
use crate::lifecycle::{self, Stage};
use crate::policy::Policy;
use crate::policy::egress::{Dispatch, Event, Judged, Path, Refusal};

/// Says that an event is a test.
const TEST: HeaderName = HeaderName::from_static("x-webhook-test");
/// The type of a sample, where its webhook takes it.
const KIND: &str = "keygate.test";

/// How long a sample may take, whatever its webhook may: whoever asked waits for the answer.
const LONGEST: Duration = Duration::from_secs(45);

/// Does what is asked for, until the process is to end.
pub(super) async fn run(office: Rc<Office>, mut inbox: Inbox) {
    let mut stages = office.stages.clone();
    loop {
        let errand = tokio::select! {
            () = lifecycle::reached(&mut stages, Stage::Closing) => return,
            errand = inbox.next() => errand,
        };
        match errand {
            None => return,
            // Whoever asked may have gone.
            Some(Errand::Moved(reply)) => drop(reply.send(moved(&office))),
            Some(Errand::Sample(sample, reply)) => {
                let hand = office.take(sample.body.as_ref().map_or(0, String::len));
                let office = Rc::clone(&office);
                spawn_local(async move {
                    drop(reply.send(send(&office, sample).await));
                    drop(hand);
                });
            }
        }
    }
}

fn moved(office: &Office) -> HashMap<String, bool> {
    let policy = office.current.load();
    let Some(egress) = &policy.egress else {
        return HashMap::new();
    };
    let (rotations, now) = (office.rotations.borrow(), clock::unix());
    let seen = egress.webhooks().iter().filter_map(|webhook| {
        let moved = rotations.has_moved(&webhook.id, &webhook.signing, now)?;
        Some((webhook.id.clone(), moved))
    });
    seen.collect()
}

async fn send(office: &Rc<Office>, sample: Sample) -> Sent {
    let policy = office.current.load();
    let mut sent = Sent {
        webhook: sample.webhook,
        method: Method::POST.to_string(),
        url: String::new(),
        event: String::new(),
        event_id: office
            .ids
            .request()
            .to_str()
            .map_or_else(|_| String::new(), |id| format!("test_{id}")),
        headers: Vec::new(),
        outcome: String::new(),
        status: None,
        duration_ms: 0,
        detail: None,
    };
    let told = go(office, &policy, (sample.event, sample.body), &mut sent).await;
    match told {
        Ok(told) => {
            sent.outcome = deliver::outcome_of(told.status).to_owned();
            sent.status = Some(told.status.as_u16());
            sent.detail = words::of(told.status);
        }
        Err(stop) => {
            sent.outcome = stop.code().to_owned();
            sent.detail = Some(stop.detail());
        }
    }
    sent
}

async fn go(
    office: &Rc<Office>,
    policy: &Policy,
    (kind, body): (Option<String>, Option<String>),
    sent: &mut Sent,
) -> Result<Told, Stop> {
    let egress = policy.egress.as_ref().ok_or(Refusal::WebhookUnknown)?;
    let index = egress.index_of(&sent.webhook).ok_or(Refusal::WebhookUnknown)?;
    let webhook = egress.webhook(index);
    sent.url = webhook.url.masked();
    sent.event = kind.unwrap_or_else(|| kind_for(webhook));
    let (headers, body) = message(&egress.settings, webhook, sent, body);
    let cleared = body::cleared(policy, body).await?;
    let event = Event {
        id: sent.event_id.clone(),
        kind: Some(sent.event.clone()),
    };
    let place = (index, &Path::Registered);
    match policy.dispatch(place, event, &headers, Some(&cleared), clock::unix())? {
        Judged::NotSubscribed(_) => Err(Refusal::EventUnsubscribed.into()),
        Judged::Deliver(dispatch) => try_once(office, policy, &dispatch, sent).await,
    }
}

async fn try_once(office: &Rc<Office>, policy: &Policy, dispatch: &Dispatch, sent: &mut Sent) -> Result<Told, Stop> {
    let egress = policy.egress.as_ref().ok_or(Refusal::WebhookUnknown)?;
    let webhook = dispatch.webhook();
    let began = (clock::unix_millis(), clock::monotonic());
    let seen = RefCell::default();
    let attempt = Attempt {
        office,
        egress,
        dispatch,
        method: &Method::POST,
        end: Deadline::after(webhook.timeouts.total.min(LONGEST)),
        seen: Some(&seen),
    };
    let told = attempt.run(None).await;
    let took = attempt::record(office, dispatch, 1, began, &told);
    sent.duration_ms = took / 1_000_000;
    sent.headers = mask::headers(&seen.take(), webhook, dispatch.event());
    told
}

/// The type of a sample that this webhook takes.
fn kind_for(webhook: &Webhook) -> String {
    if webhook.events.take(Some(KIND)) {
        return KIND.to_owned();
    }
    let first = webhook.events.texts().next().unwrap_or_default();
    match first.strip_suffix('*') {
        Some(prefix) => format!("{prefix}test"),
        None => first,
    }
}

/// What the service would send: its headers and body, with the event's type and id where they are looked for.
fn message(settings: &Settings, webhook: &Webhook, sent: &Sent, body: Option<String>) -> (HeaderMap, Bytes) {
    let mut headers = HeaderMap::new();
    let mut document = json!({
        "type": sent.event,
        "timestamp": date_time(clock::unix()),
        "data": {
            "test": true,
            "message": "This is a test of this webhook, sent by an operator. Nothing has happened.",
            "webhook": webhook.id,
            "organization": webhook.organization,
        },
    });
    let places = std::iter::once((&settings.event, &sent.event));
    for (locator, text) in places.chain(settings.event_id.iter().map(|locator| (locator, &sent.event_id))) {
        match locator {
            Locator::Header(name) => {
                if let Ok(value) = HeaderValue::from_str(text) {
                    headers.insert(name.clone(), value);
                }
            }
            Locator::Pointer(pointer) => put(&mut document, pointer, text),
        }
    }
    headers.insert(TEST, HeaderValue::from_static("true"));
    let body = body.unwrap_or_else(|| document.to_string());
    let kind = match serde_json::from_str::<serde::de::IgnoredAny>(&body) {
        Ok(_) => "application/json",
        Err(_) => "text/plain; charset=utf-8",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    (headers, body.into())
}

/// Writes a text to where a JSON pointer leads (RFC 6901); nothing where something else stands in its way.
fn put(document: &mut Value, pointer: &str, text: &str) {
    let names = pointer.split('/').skip(1);
    let mut names = names.map(|name| name.replace("~1", "/").replace("~0", "~")).peekable();
    let mut place = document;
    while let Some(name) = names.next() {
        let Value::Object(members) = place else { return };
        let filler = match names.peek() {
            Some(_) => json!({}),
            None => text.into(),
        };
        place = members.entry(name).or_insert_with(|| filler.clone());
        if names.peek().is_none() {
            *place = filler;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_put_where_a_pointer_leads_unless_something_stands_in_its_way() {
        let mut document = json!({ "type": "old", "data": { "test": true } });
        for (pointer, text) in [
            ("/type", "new"),
            ("/data/id", "1"),
            ("/meta/a~1b/~0c", "2"),
            ("/data/test/deep", "lost"),
        ] {
            put(&mut document, pointer, text);
        }
        let expected = json!({
            "type": "new", "data": { "test": true, "id": "1" }, "meta": { "a/b": { "~c": "2" } },
        });
        assert_eq!(document, expected);
    }
}
