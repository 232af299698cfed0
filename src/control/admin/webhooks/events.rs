//! `GET /admin/v1/webhooks/activity`: every attempt; and `GET /admin/v1/webhooks/events`: what is queued, and the dead letters.

use http::Request;

use crate::clock;
use crate::control::admin::Desk;
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::fields::{EventId, Limit, Moment, Place, Stage, Switch, Word};
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;
use crate::control::admin::usage::ask;
use crate::ledger::read::webhooks::{self as read, ActivityQuery, EventsQuery};

const PARAMETERS: [&str; 7] = ["webhook", "event", "failed", "since", "until", "limit", "before"];

pub(in crate::control::admin) async fn activity<B>(desk: &Desk, request: &Request<B>) -> Result<Answer, Problem> {
    let query = Query::read(request.uri(), &PARAMETERS)?;
    let now = clock::unix();
    let wanted = ActivityQuery {
        webhook: query.get::<Word>("webhook")?.map(|id| id.0),
        event: query.get::<EventId>("event")?.map(|id| id.0),
        failed: query.get::<Switch>("failed")?.is_some_and(|failed| failed.0),
        since: query.get::<Moment>("since")?.map(|since| since.at(now)),
        until: query.get::<Moment>("until")?.map(|until| until.at(now)),
        before: query.get::<Place>("before")?.map(|place| place.0),
        limit: limit(&query)?,
    };
    let page = ask(desk, move |path| read::activity(&path, &wanted)).await?;
    Ok(answers::json(&page))
}

pub(in crate::control::admin) async fn events<B>(desk: &Desk, request: &Request<B>) -> Result<Answer, Problem> {
    let query = Query::read(request.uri(), &["webhook", "event", "state", "limit", "before"])?;
    let wanted = EventsQuery {
        webhook: query.get::<Word>("webhook")?.map(|id| id.0),
        event: query.get::<EventId>("event")?.map(|id| id.0),
        state: query.get::<Stage>("state")?.map(|stage| stage.0),
        before: query.get::<Place>("before")?.map(|place| place.0),
        limit: limit(&query)?,
    };
    let page = ask(desk, move |path| read::events(&path, &wanted)).await?;
    Ok(answers::json(&page))
}

fn limit(query: &Query) -> Result<u32, Problem> {
    let limit = query.get::<Limit>("limit")?.unwrap_or_default().0;
    Ok(u32::try_from(limit).unwrap_or(u32::MAX))
}
