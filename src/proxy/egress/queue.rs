//! Events that nobody waits for: taken once they are on disk, sent when they are due.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;
use tokio::time::sleep;
use tracing::warn;

use super::answer::{self, Answer};
use super::attempt::{self, Attempt};
use super::body;
use super::deadline::Deadline;
use super::deliver::{self, Told};
use super::office::Office;
use super::stop::Stop;
use crate::clock;
use crate::config::webhooks::{Delivery, SCHEDULE, Webhook};
use crate::ledger::queue::{Accepted, After, Attempt as Noted, Claim, Content, Event, Failing, Pause, Reason, Terms};
use crate::lifecycle::{self, Stage};
use crate::policy::Policy;
use crate::policy::egress::schedule::{self, Next};
use crate::policy::egress::{self, Dispatch, Failure, Judged, Path, Refusal};

/// How much memory events on their way may take, over all webhooks. Their number is bounded for each webhook only: many slow
/// ones are to keep no other waiting.
const IN_HAND_BYTES: usize = 128 << 20;
/// How many are looked for in one go.
const AT_ONCE: usize = 256;
/// How long a look at what is due is put off at most, where the clock is set.
const LOOK: Duration = Duration::from_secs(30);
/// Among an event's headers in the file, as in HTTP/2: path and query, where they are not the registered ones.
const TARGET: &[u8] = b":path";
/// Why an event is given up that is not in the file any more.
const EMPTIED: &str = "event_emptied";
/// Who paused a webhook, where that was Keygate itself.
const OURSELVES: &str = "keygate";

/// What the service gets for an event that is on disk.
#[derive(Serialize)]
struct Queued<'a> {
    webhook: &'a str,
    event_id: &'a str,
    status: &'static str,
}

/// Puts an event on disk; the answer comes once it is there.
pub(super) async fn accept(office: &Office, dispatch: &Dispatch) -> Result<Answer, Stop> {
    let (webhook, event) = (dispatch.webhook(), dispatch.event());
    let own = dispatch.own_headers().iter();
    let own = own.map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()));
    let target = dispatch.target().as_str();
    let below = (target != webhook.url.path_and_query()).then(|| (TARGET.to_vec(), target.into()));
    let offered = Event {
        webhook: webhook.id.as_str().into(),
        event_id: event.id.as_str().into(),
        organization: webhook.organization.as_str().into(),
        event_type: event.kind.clone().unwrap_or_default(),
        accepted_at: clock::unix_millis(),
        headers: own.chain(below).collect(),
        body: dispatch.body().cloned().unwrap_or_default(),
    };
    let (reply, answer) = oneshot::channel();
    // Whoever asked may have gone: the event stays all the same.
    office.queue.accept_then(offered, |accepted| {
        let _ = reply.send(accepted);
    });
    match answer.await {
        Ok(Ok(Accepted::New | Accepted::Known)) => Ok(answer::json(
            StatusCode::ACCEPTED,
            &Queued {
                webhook: &webhook.id,
                event_id: &event.id,
                status: "queued",
            },
            0,
        )),
        Ok(Ok(Accepted::Full)) => Err(Refusal::QueueFull.into()),
        Ok(Err(_)) | Err(_) => Err(Refusal::QueueUnavailable.into()),
    }
}

/// Sends what is due, until the process is to end.
pub(super) async fn run(office: Rc<Office>) {
    let bell = Arc::new(Notify::new());
    let ring = Arc::clone(&bell);
    office.queue.on_change(move || ring.notify_one());
    let mut stages = office.stages.clone();
    let mut arranged = None;
    loop {
        let policy = office.current.load();
        if arranged != Some(policy.generation) {
            office.queue.arrange(terms(&policy));
            arranged = Some(policy.generation);
        }
        while office.bytes_in_hand.get() < IN_HAND_BYTES {
            let claims = office.queue.claim(clock::unix_millis(), AT_ONCE);
            let is_last = claims.len() < AT_ONCE;
            for claim in claims {
                let hand = office.take(claim.bytes());
                let office = Rc::clone(&office);
                spawn_local(async move {
                    send(&office, claim).await;
                    drop(hand);
                });
            }
            if is_last {
                break;
            }
        }
        tokio::select! {
            biased;
            () = lifecycle::reached(&mut stages, Stage::Closing) => return,
            () = office.current.changed(policy.generation) => {}
            () = bell.notified() => {}
            () = office.hand_free.notified() => {}
            () = sleep(until_due(&office)) => {}
        }
    }
}

/// How long it is until something is due.
fn until_due(office: &Office) -> Duration {
    if office.bytes_in_hand.get() >= IN_HAND_BYTES {
        return LOOK;
    }
    office.queue.next_due_at().map_or(LOOK, |due| {
        let wait = due.saturating_sub(clock::unix_millis()).max(1);
        Duration::from_millis(u64::try_from(wait).unwrap_or(1)).min(LOOK)
    })
}

/// How each webhook's events may be sent. What waits for one that is not there, or not active, waits until it is.
fn terms(policy: &Policy) -> Vec<(Arc<str>, Terms)> {
    let Some(egress) = &policy.egress else {
        return Vec::new();
    };
    let active = egress.webhooks().iter().filter(|webhook| webhook.active);
    active
        .map(|webhook| {
            let ordered = match &webhook.delivery {
                Delivery::Queued { ordered, .. } => *ordered,
                Delivery::Request => false,
            };
            let at_once = egress.settings.connections_per_receiver;
            (webhook.id.as_str().into(), Terms { ordered, at_once })
        })
        .collect()
}

/// One attempt of one event, by the generation of now.
async fn send(office: &Rc<Office>, claim: Claim) {
    let (reply, loaded) = oneshot::channel();
    office.queue.load_then(&claim, |content| drop(reply.send(content)));
    let content = match loaded.await {
        Ok(Ok(Some(content))) => content,
        // Somebody has removed it from the file: there is nothing to send, now or later.
        Ok(Ok(None)) => {
            let attempt = Noted {
                at: clock::unix_millis(),
                is_delivered: false,
                status: None,
                error: Some(EMPTIED),
                duration: Duration::ZERO,
            };
            return office.queue.settle(claim, attempt, After::Dead, None);
        }
        // It cannot be read now: out of this hand, it is due again.
        Ok(Err(_)) | Err(_) => return,
    };
    let policy = office.current.load();
    let began = (clock::unix_millis(), clock::monotonic());
    let (webhook, told) = match prepare(&policy, &claim, content).await {
        // It has gone since the last look.
        Err((None, _)) => return,
        Err((Some(webhook), stop)) => (webhook, Err(stop)),
        Ok(dispatch) => {
            let told = run_attempt(office, &policy, &dispatch).await;
            let took = clock::monotonic().saturating_sub(began.1);
            attempt::count(office, &dispatch, claim.attempt(), &told, took);
            if let Err(Stop::Failed(Failure::Busy)) = told {
                // Others keep the receiver busy: it has not been asked, and this was no attempt.
                return;
            }
            (Arc::clone(dispatch.webhook()), told)
        }
    };
    settle(office, &policy, &webhook, claim, began, &told);
}

/// What is to be sent, checked again by what holds now.
async fn prepare(
    policy: &Arc<Policy>,
    claim: &Claim,
    content: Content,
) -> Result<Box<Dispatch>, (Option<Arc<Webhook>>, Stop)> {
    let egress = policy.egress.as_ref().ok_or((None, Refusal::WebhookUnknown.into()))?;
    let index = egress
        .index_of(claim.webhook())
        .ok_or((None, Refusal::WebhookUnknown.into()))?;
    let refused = |refusal| (Some(Arc::clone(egress.webhook(index))), Stop::Refused(refusal));
    let cleared = body::cleared(policy, content.body);
    let cleared = cleared
        .await
        .map_err(|stop| (Some(Arc::clone(egress.webhook(index))), stop))?;
    let mut headers = HeaderMap::new();
    let mut path = Path::Registered;
    for (name, value) in content.headers {
        if name == TARGET {
            path = egress.path_later(index, &String::from_utf8_lossy(&value));
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    let event = egress::Event {
        id: claim.event_id().to_string(),
        kind: (!content.event_type.is_empty()).then_some(content.event_type),
    };
    let judged = policy.dispatch((index, &path), event, &headers, Some(&cleared), clock::unix());
    match judged.map_err(refused)? {
        Judged::Deliver(dispatch) => Ok(dispatch),
        Judged::NotSubscribed(_) => Err(refused(Refusal::EventUnsubscribed)),
    }
}

async fn run_attempt(office: &Rc<Office>, policy: &Policy, dispatch: &Dispatch) -> Result<Told, Stop> {
    let egress = policy.egress.as_ref().ok_or(Refusal::WebhookUnknown)?;
    let attempt = Attempt {
        office,
        egress,
        dispatch,
        method: &Method::POST,
        end: Deadline::after(dispatch.webhook().timeouts.total),
        seen: None,
    };
    attempt.run(None).await
}

/// Writes down how it went, and what follows.
fn settle(
    office: &Office,
    policy: &Policy,
    webhook: &Webhook,
    claim: Claim,
    (at, began): (i64, u64),
    told: &Result<Told, Stop>,
) {
    let now = clock::unix_millis();
    let outcome = deliver::outcome(told);
    let schedule = match &webhook.delivery {
        Delivery::Queued { schedule, .. } => schedule.as_slice(),
        // It was queued under another configuration.
        Delivery::Request => &SCHEDULE,
    };
    let next = match told {
        // It will not be better for waiting.
        Err(Stop::Refused(Refusal::KeyInBody(_) | Refusal::EventUnsubscribed)) => Next::Dead,
        Ok(_) | Err(_) => schedule::next(
            schedule,
            claim.turn(),
            outcome,
            deliver::asked(told),
            office.ids.share(),
        ),
    };
    let pause = pause(policy, &claim, next, now);
    let after = match next {
        Next::Delivered => After::Delivered,
        Next::After(delay) => {
            let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
            After::Again(now.saturating_add(delay))
        }
        Next::Dead | Next::Gone => After::Dead,
    };
    tell(office, webhook, &claim, told, after, pause.as_ref());
    let attempt = attempt::note(at, told, clock::monotonic().saturating_sub(began));
    office.queue.settle(claim, attempt, after, pause);
}

/// Whether the webhook is to be left alone.
fn pause(policy: &Policy, claim: &Claim, next: Next, now: i64) -> Option<Pause> {
    let reason = match next {
        Next::Gone => Reason::Gone,
        Next::Delivered => return None,
        Next::After(_) | Next::Dead => {
            let limit = policy.egress.as_ref()?.settings.pause_after?;
            let Failing { since, attempts } = claim.failing()?;
            let failing = u64::try_from(now.saturating_sub(since)).unwrap_or_default();
            let is_enough = schedule::has_failed_enough(Duration::from_millis(failing), attempts + 1, limit);
            is_enough.then_some(Reason::Failing)?
        }
    };
    Some(Pause {
        since: now,
        reason,
        by: OURSELVES.to_owned(),
        note: None,
    })
}

fn tell(
    office: &Office,
    webhook: &Webhook,
    claim: &Claim,
    told: &Result<Told, Stop>,
    after: After,
    pause: Option<&Pause>,
) {
    if let Some(pause) = pause {
        office.metrics.webhooks.paused.inc();
        warn!(
            message = "a webhook is paused: events for it wait until `keygate webhooks resume`",
            webhook = webhook.id,
            reason = pause.reason.word()
        );
    }
    if after == After::Dead {
        let (status, error) = match told {
            Ok(told) => (Some(told.status.as_u16()), None),
            Err(stop) => (None, Some(stop.code())),
        };
        warn!(
            message = "an event is given up: `keygate webhooks replay` sends it again",
            webhook = webhook.id,
            event_id = %claim.event_id(),
            attempt = claim.attempt(),
            status,
            error
        );
    }
}
