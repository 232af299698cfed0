//! An event of the service, from its request to its answer: everything that happens to it, in order.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::answer::{self, Answer};
use super::body::{self, Arrived, Outgoing};
use super::deadline::Deadline;
use super::deliver::{self, Delivered, Told};
use super::line::Line;
use super::office::Office;
use super::queue;
use crate::clock;
use crate::config::webhooks::Delivery;
use crate::policy::Policy;
use crate::policy::egress::{
    Addressed, Cleared, Dispatch, Egress, Event, Failure, Head, Judged, Path, Refusal, Searched, WebhookIndex,
};
use crate::secret::slow;

/// The caller's own deadline (RFC 7240 §4.3): `Prefer: wait=10`.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Why an event is not delivered.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// We said no.
    Refused(Refusal),
    /// We could not.
    Failed(Failure),
}

/// One request of the service: who asks, which webhooks, what event; and then each webhook's delivery.
pub(super) async fn serve(office: &Rc<Office>, is_local: bool, request: Request<Incoming>) -> Answer {
    let policy = office.current.load();
    let mut line = Line::open(office, &policy);
    let answer = carry(office, &policy, is_local, request, &mut line).await;
    let answer = answer.unwrap_or_else(|stop| {
        line.stopped(&stop);
        answer::problem(&stop, line.webhook.as_deref(), line.attempts)
    });
    line.answered(answer.status());
    answer
}

async fn carry(
    office: &Rc<Office>,
    policy: &Arc<Policy>,
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
        Addressed::One { webhook, path } => sent.to_one(webhook, &path, body, line).await,
        Addressed::Organization { organization, webhooks } => {
            line.organization = Some(organization.clone());
            sent.to_all(organization, webhooks, body.whole()?, line).await
        }
    }
}

/// What the service has sent.
struct Sent<'s> {
    office: &'s Rc<Office>,
    policy: &'s Policy,
    egress: &'s Egress,
    method: Method,
    headers: HeaderMap,
}

/// What became of an event at one of several webhooks.
#[derive(Serialize)]
struct Outcome {
    webhook: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// What became of it at all of them.
#[derive(Serialize)]
struct Outcomes {
    organization: String,
    event: Option<String>,
    event_id: String,
    results: Vec<Outcome>,
}

impl Sent<'_> {
    async fn to_one(&self, index: WebhookIndex, path: &Path, body: Arrived, line: &mut Line) -> Result<Answer, Stop> {
        line.at(self.egress.webhook(index));
        let (held, passing) = match body {
            Arrived::Held(bytes) => (Some(self.cleared(bytes).await?), None),
            Arrived::Longer(first, rest) => (None, Some(Outgoing::passing(first, rest))),
        };
        let event = self
            .egress
            .event(&self.headers, held.as_ref(), || self.office.make_id())?;
        let judged = self
            .policy
            .dispatch((index, path), event, &self.headers, held.as_ref(), clock::unix())?;
        let dispatch = match judged {
            Judged::Deliver(dispatch) => dispatch,
            Judged::NotSubscribed(event) => {
                line.tells(&event);
                line.outcome = deliver::NOT_SUBSCRIBED;
                return Ok(answer::not_subscribed());
            }
        };
        line.tells(dispatch.event());
        line.removed = dispatch.removed().len();
        if let Some(answer) = self.queued(&dispatch).await {
            let answer = answer?;
            line.outcome = deliver::QUEUED;
            return Ok(answer);
        }
        if self.office.queue.pause_of(&dispatch.webhook().id).is_some() {
            return Err(Refusal::WebhookPaused.into());
        }
        let delivered = self.deliver(&dispatch, passing).await;
        line.delivered(&delivered);
        let Delivered { told, attempts } = delivered;
        let told = told.map_err(|stop| *stop)?;
        Ok(answer::receivers(
            told.status,
            &told.headers,
            told.body,
            told.is_cut,
            attempts,
        ))
    }

    /// The body, once it is known to hold no key that is in force.
    async fn cleared(&self, body: Bytes) -> Result<Cleared, Stop> {
        match self.policy.search(body, clock::unix())? {
            Searched::Cleared(cleared) => Ok(cleared),
            Searched::Suspected(suspected) => {
                let confirmed = spawn_blocking(|| suspected.confirm(slow::matches)).await;
                // It ends by a bug only, which says nothing about the body.
                Ok(confirmed.map_err(|_| Failure::BodyBroken)??)
            }
        }
    }

    /// The answer, where the event is for the queue.
    async fn queued(&self, dispatch: &Dispatch) -> Option<Result<Answer, Stop>> {
        match dispatch.webhook().delivery {
            Delivery::Request => None,
            Delivery::Queued { .. } if self.method != Method::POST => Some(Err(Refusal::MethodUnsupported.into())),
            Delivery::Queued { .. } => Some(queue::accept(self.office, dispatch).await),
        }
    }

    async fn deliver(&self, dispatch: &Dispatch, passing: Option<Outgoing>) -> Delivered {
        let total = dispatch.webhook().timeouts.total;
        let total = wanted(&self.headers).map_or(total, |wanted| wanted.min(total));
        let end = Deadline::after(total);
        deliver::deliver(self.office, self.egress, dispatch, &self.method, passing, end).await
    }

    /// All at the same time, so that a slow one keeps no other waiting.
    async fn to_all(
        &self,
        organization: String,
        webhooks: Vec<WebhookIndex>,
        body: Bytes,
        line: &mut Line,
    ) -> Result<Answer, Stop> {
        let body = self.cleared(body).await?;
        let event = self
            .egress
            .event(&self.headers, Some(&body), || self.office.make_id())?;
        line.tells(&event);
        let results = webhooks.iter().map(|index| self.to_each(*index, &event, &body));
        let results = futures_util::future::join_all(results).await;
        line.attempts = results.iter().map(|outcome| outcome.attempts).sum();
        let is_well = |outcome: &Outcome| deliver::is_well(outcome.outcome);
        let status = if results.iter().all(is_well) {
            StatusCode::OK
        } else {
            StatusCode::MULTI_STATUS
        };
        line.outcome = if status == StatusCode::OK {
            deliver::DELIVERED
        } else {
            deliver::FAILED
        };
        let Event { id, kind } = event;
        let outcomes = Outcomes {
            organization,
            event: kind,
            event_id: id,
            results,
        };
        Ok(answer::json(status, &outcomes))
    }

    async fn to_each(&self, index: WebhookIndex, event: &Event, body: &Cleared) -> Outcome {
        let webhook = self.egress.webhook(index).id.clone();
        let judged = self.policy.dispatch(
            (index, &Path::Registered),
            event.clone(),
            &self.headers,
            Some(body),
            clock::unix(),
        );
        let (told, attempts) = match judged {
            Err(refusal) => (Err(Box::new(Stop::Refused(refusal))), 0),
            Ok(Judged::NotSubscribed(_)) => {
                return Outcome::of(webhook, deliver::NOT_SUBSCRIBED);
            }
            Ok(Judged::Deliver(dispatch)) => match self.queued(&dispatch).await {
                Some(Ok(_)) => return Outcome::of(webhook, deliver::QUEUED),
                Some(Err(stop)) => (Err(Box::new(stop)), 0),
                None if self.office.queue.pause_of(&webhook).is_some() => {
                    (Err(Box::new(Stop::Refused(Refusal::WebhookPaused))), 0)
                }
                None => {
                    let Delivered { told, attempts } = self.deliver(&dispatch, None).await;
                    (told, attempts)
                }
            },
        };
        match told {
            Ok(Told { status, .. }) => Outcome {
                webhook,
                outcome: deliver::outcome_of(status),
                status: Some(status.as_u16()),
                attempts,
                detail: None,
            },
            Err(stop) => Outcome {
                webhook,
                outcome: stop.code(),
                status: None,
                attempts,
                detail: Some(stop.detail()),
            },
        }
    }
}

impl Outcome {
    /// One without a try.
    fn of(webhook: String, outcome: &'static str) -> Self {
        Self {
            webhook,
            outcome,
            status: None,
            attempts: 0,
            detail: None,
        }
    }
}

/// How long the service waits, where it says so.
fn wanted(headers: &HeaderMap) -> Option<std::time::Duration> {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut waits = preferences
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            let seconds = value.trim().trim_matches('"').parse().ok()?;
            (name.trim().eq_ignore_ascii_case("wait") && seconds > 0).then_some(seconds)
        });
    waits.next().map(std::time::Duration::from_secs)
}

impl Stop {
    /// The status of its answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::Failed(failure) => failure.status(),
        }
    }

    /// Stable and of few values.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Failed(failure) => failure.code(),
        }
    }

    /// What is wrong.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.detail(),
            Self::Failed(failure) => failure.detail(),
        }
    }

    /// Seconds for `Retry-After`.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Refused(refusal) => refusal.retry_after(),
            Self::Failed(Failure::Busy) => Some(1),
            Self::Failed(_) => None,
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
