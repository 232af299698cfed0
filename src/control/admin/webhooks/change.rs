//! `POST /admin/v1/webhooks/{id}/pause`, `…/resume`, and `…/events/{event}/replay`: answered once it is on disk.

use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::{find, queue, record, unavailable};
use crate::clock;
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::fields::{self, EventId, Reason};
use crate::control::admin::guard::Identity;
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;
use crate::control::admin::{Desk, body};
use crate::control::webhooks::{Replay, Switched};
use crate::ledger::audit::Action;
use crate::ledger::queue::{Pause, Reason as Why, Replayed, Unavailable};
use crate::ledger::read::webhooks::Paused;

/// Takes what the queue answers.
type Reply<T> = Box<dyn FnOnce(Result<T, Unavailable>) + Send>;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default, deserialize_with = "fields::maybe")]
    reason: Option<Reason>,
}

/// Nothing but what it is about.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(in crate::control::admin) async fn pause(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let wish: Wish = body::optional(request).await?;
    let webhook: Arc<str> = find(&desk.control.current.load(), id)?.id.as_str().into();
    let reason = wish.reason.and_then(|reason| reason.0);
    let pause = Pause {
        since: clock::unix_millis(),
        reason: Why::Operator,
        by: identity.actor.to_string(),
        note: reason.clone(),
    };
    let queue = queue(desk)?;
    let changed = written(|reply| queue.pause_then(&webhook, pause, reply)).await?;
    if changed {
        record(desk, identity, Action::WebhookPause, id, json!({ "reason": reason }));
    }
    Ok(answers::json(&switched(desk, id, changed)))
}

pub(in crate::control::admin) async fn resume(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let Nothing {} = body::optional(request).await?;
    let webhook: Arc<str> = find(&desk.control.current.load(), id)?.id.as_str().into();
    let before = desk.control.queue.pause_of(id).as_ref().map(Paused::from);
    let queue = queue(desk)?;
    let changed = written(|reply| queue.resume_then(&webhook, reply)).await?;
    if changed {
        record(desk, identity, Action::WebhookResume, id, json!({ "before": before }));
    }
    Ok(answers::json(&switched(desk, id, changed)))
}

fn switched(desk: &Desk, id: &str, changed: bool) -> Switched {
    let queue = &desk.control.queue;
    Switched {
        webhook: id.to_owned(),
        changed,
        paused: queue.pause_of(id).as_ref().map(Paused::from),
        waiting: queue.waiting(id) as u64,
    }
}

pub(in crate::control::admin) async fn replay(
    desk: &Desk,
    identity: &Identity,
    (id, event): (&str, &str),
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let Nothing {} = body::optional(request).await?;
    let webhook: Arc<str> = find(&desk.control.current.load(), id)?.id.as_str().into();
    let event = event.parse::<EventId>().map_err(|_| unknown())?.0;
    let queue = queue(desk)?;
    let again = written(|reply| queue.replay_then(&webhook, &event.as_str().into(), clock::unix_millis(), reply));
    let changed = match again.await? {
        Replayed::Due => true,
        Replayed::Waits => false,
        Replayed::Emptied => {
            return Err(Problem::conflict(
                "event_emptied",
                "It was delivered, and what was in it is not kept any more (`state.delivered_contents`).",
            ));
        }
        Replayed::Full => return Err(full()),
        Replayed::Unknown => return Err(unknown()),
    };
    if changed {
        record(desk, identity, Action::WebhookReplay, id, json!({ "event_id": event }));
    }
    Ok(answers::json(&Replay {
        webhook: id.to_owned(),
        event_id: event,
        changed,
        paused: desk.control.queue.pause_of(id).as_ref().map(Paused::from),
    }))
}

/// What the queue answers, once it is on disk.
async fn written<T: Send + 'static>(ask: impl FnOnce(Reply<T>)) -> Result<T, Problem> {
    let (sender, answer) = oneshot::channel();
    ask(Box::new(|done| {
        // Whoever asked may have gone.
        let _ = sender.send(done);
    }));
    match answer.await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) | Err(_) => Err(unavailable()),
    }
}

fn unknown() -> Problem {
    Problem::not_found(
        "No such event is kept for this webhook: only those of webhooks with delivery = \"queued\" are, for `state.event_retention`. \
         GET /admin/v1/webhooks/events lists them.",
    )
}

fn full() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "queue_full",
        "As many events are queued as may be: try again when some of them have gone.",
    )
}
