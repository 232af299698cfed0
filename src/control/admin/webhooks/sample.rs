//! `POST /admin/v1/webhooks/{id}/test`: a sample event, sent as real ones are, and what came of it.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::{find, record};
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::fields::{self, EventId};
use crate::control::admin::guard::Identity;
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;
use crate::control::admin::{Desk, body};
use crate::errand::{Sample, Unsent};
use crate::ledger::audit::Action;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// The event's type.
    #[serde(default, deserialize_with = "fields::maybe")]
    event: Option<EventId>,
    /// What is sent.
    #[serde(default, deserialize_with = "fields::maybe")]
    body: Option<String>,
}

pub(in crate::control::admin) async fn test(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let wish: Wish = body::optional(request).await?;
    find(&desk.control.current.load(), id)?;
    let sample = Sample {
        webhook: id.to_owned(),
        event: wish.event.map(|event| event.0),
        body: wish.body,
    };
    let sent = desk.control.errands.send(sample).await.map_err(|unsent| match unsent {
        Unsent::Busy => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "tests_busy",
            "As many tests as may be are on their way: try again when one of them has ended.",
        ),
        Unsent::Ended => Problem::draining(),
    })?;
    let detail =
        json!({ "event": sent.event, "event_id": sent.event_id, "outcome": sent.outcome, "status": sent.status });
    record(desk, identity, Action::WebhookTest, id, detail);
    Ok(answers::json(&sent))
}
