//! An event for all of an organization's webhooks, and what became of it at each.

use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use serde::Serialize;

use super::answer::{self, Answer};
use super::body;
use super::bring::{Brought, Fate, Sent};
use super::deliver;
use super::line::Line;
use super::stop::Stop;
use crate::policy::egress::{Cleared, Event, Path, WebhookIndex};

/// What became of it at one of them.
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

/// To all of them at the same time, so that a slow one keeps no other waiting. 200 where nobody has to look after it, else 207.
pub(super) async fn all(
    sent: &Sent<'_>,
    organization: String,
    webhooks: Vec<WebhookIndex>,
    body: Bytes,
    line: &mut Line,
) -> Result<Answer, Stop> {
    line.organization = Some(organization.clone());
    let body = body::cleared(sent.policy, body).await?;
    let event = sent.event(Some(&body))?;
    line.tells(&event);
    let results = join_all(webhooks.iter().map(|index| each(sent, *index, &event, &body))).await;
    line.attempts = results.iter().map(|outcome| outcome.attempts).sum();
    let is_well = results.iter().all(|outcome| deliver::is_well(outcome.outcome));
    line.outcome = if is_well { deliver::DELIVERED } else { deliver::FAILED };
    let Event { id, kind } = event;
    let status = if is_well {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    };
    Ok(answer::json(
        status,
        &Outcomes {
            organization,
            event: kind,
            event_id: id,
            results,
        },
        line.attempts,
    ))
}

async fn each(sent: &Sent<'_>, index: WebhookIndex, event: &Event, body: &Cleared) -> Outcome {
    let place = (index, &Path::Registered);
    let Brought { fate, attempts, .. } = sent.bring(place, event.clone(), Some(body), None).await;
    let (outcome, status, detail) = match fate {
        Ok(Fate::NotSubscribed) => (deliver::NOT_SUBSCRIBED, None, None),
        Ok(Fate::Queued(_)) => (deliver::QUEUED, None, None),
        Ok(Fate::Told(told)) => (deliver::outcome_of(told.status), Some(told.status.as_u16()), None),
        Err(stop) => (stop.code(), None, Some(stop.detail())),
    };
    Outcome {
        webhook: sent.egress.webhook(index).id.clone(),
        outcome,
        status,
        attempts,
        detail,
    }
}
