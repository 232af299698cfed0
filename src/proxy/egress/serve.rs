//! An event of the service, from its request to its answer: everything that happens to it, in order.

use std::rc::Rc;

use http::Request;
use hyper::body::Incoming;

use super::answer::{self, Answer};
use super::body::{self, Arrived, Outgoing};
use super::bring::{Fate, Sent};
use super::deliver;
use super::line::Line;
use super::office::Office;
use super::organization;
use super::stop::Stop;
use crate::policy::Policy;
use crate::policy::egress::{Addressed, Head, Path, Refusal, WebhookIndex};
use crate::policy::header_law::X_REQUEST_ID;

/// One request of the service: who asks, which webhooks, what event; and then what each webhook's receiver says.
pub(super) async fn serve(office: &Rc<Office>, is_local: bool, request: Request<Incoming>) -> Answer {
    let policy = office.current.load();
    let mut line = Line::open(office, &policy, request.headers());
    let answer = carry(office, &policy, is_local, request, &mut line).await;
    let mut answer = answer.unwrap_or_else(|stop| {
        line.stopped(&stop);
        answer::problem(&stop, &line)
    });
    answer.headers_mut().insert(X_REQUEST_ID, line.request_id.clone());
    line.answered(answer.status());
    answer
}

async fn carry(
    office: &Rc<Office>,
    policy: &Policy,
    is_local: bool,
    request: Request<Incoming>,
    line: &mut Line,
) -> Result<Answer, Stop> {
    let egress = policy.egress.as_ref().ok_or(Refusal::PathUnknown)?;
    let (parts, body) = request.into_parts();
    let head = Head {
        method: &parts.method,
        uri: &parts.uri,
        version: parts.version,
        headers: &parts.headers,
        is_local,
    };
    egress.admit(&head)?;
    let addressed = egress.address(&head)?;
    let patience = policy.config.timeouts.client_body;
    let body = body::read(body, egress.settings.body_bytes, patience).await?;
    let sent = Sent {
        office,
        policy,
        egress,
        method: parts.method,
        headers: parts.headers,
    };
    match addressed {
        Addressed::One { webhook, path } => one(&sent, webhook, &path, body, line).await,
        Addressed::Organization { organization, webhooks } => {
            organization::all(&sent, organization, webhooks, body.whole()?, line).await
        }
    }
}

/// To one webhook: the service gets what its receiver says.
async fn one(
    sent: &Sent<'_>,
    index: WebhookIndex,
    path: &Path,
    body: Arrived,
    line: &mut Line,
) -> Result<Answer, Stop> {
    line.at(sent.egress.webhook(index));
    let (held, passing) = match body {
        Arrived::Held(bytes) => (Some(body::cleared(sent.policy, bytes).await?), None),
        Arrived::Longer(first, rest) => (None, Some(Outgoing::passing(first, rest))),
    };
    let event = sent.event(held.as_ref())?;
    line.tells(&event);
    let brought = sent.bring((index, path), event, held.as_ref(), passing).await;
    line.attempts = brought.attempts;
    line.removed = brought.removed;
    Ok(match brought.fate? {
        Fate::NotSubscribed => {
            line.outcome = deliver::NOT_SUBSCRIBED;
            answer::not_subscribed()
        }
        Fate::Queued(answer) => {
            line.outcome = deliver::QUEUED;
            answer
        }
        Fate::Told(told) => {
            line.outcome = deliver::outcome_of(told.status);
            answer::receivers(told, brought.attempts)
        }
    })
}
