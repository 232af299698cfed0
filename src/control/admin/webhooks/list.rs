//! `GET /admin/v1/webhooks`, in pages in the order of ids, and `GET /admin/v1/webhooks/{id}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Request;

use crate::clock;
use crate::config::webhooks::Webhook;
use crate::control::admin::Desk;
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::fields::{Limit, Word};
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;
use crate::control::admin::usage::ask;
use crate::control::webhooks::{Page, View};
use crate::ledger::read::webhooks::{self as read, Paused, Standing};

pub(in crate::control::admin) async fn list<B>(desk: &Desk, request: &Request<B>) -> Result<Answer, Problem> {
    let query = Query::read(request.uri(), &["organization", "limit", "after"])?;
    let organization = query.get::<Word>("organization")?;
    let limit = query.get::<Limit>("limit")?.unwrap_or_default().0;
    let after = query.get::<Word>("after")?;
    let policy = desk.control.current.load();
    let all = policy.egress.as_ref().map_or(&[][..], |egress| egress.webhooks());
    let mut wanted: Vec<&Arc<Webhook>> = all
        .iter()
        .filter(|webhook| {
            organization
                .as_ref()
                .is_none_or(|wanted| wanted.0 == webhook.organization)
        })
        .filter(|webhook| after.as_ref().is_none_or(|after| webhook.id > after.0))
        .collect();
    wanted.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    let more = wanted.len() > limit;
    wanted.truncate(limit);
    let views = views(desk, wanted).await?;
    let next = views.last().filter(|_| more).map(|last| last.id.clone());
    Ok(answers::json(&Page { webhooks: views, next }))
}

pub(in crate::control::admin) async fn show<B>(desk: &Desk, id: &str, request: &Request<B>) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let policy = desk.control.current.load();
    let webhook = super::find(&policy, id)?;
    let views = views(desk, vec![&webhook]).await?;
    Ok(answers::json(&views.first()))
}

/// What is configured, how it was, and what is so now.
async fn views(desk: &Desk, webhooks: Vec<&Arc<Webhook>>) -> Result<Vec<View>, Problem> {
    let mut standings: BTreeMap<String, Standing> = match desk.state {
        Some(_) => ask(desk, |path| read::standings(&path)).await?,
        None => BTreeMap::new(),
    };
    let now = clock::unix();
    let moved = match webhooks.iter().any(|webhook| webhook.signing.is_rotating(now)) {
        true => desk.control.errands.moved().await,
        false => std::collections::HashMap::new(),
    };
    let queue = &desk.control.queue;
    let views = webhooks.into_iter().map(|webhook| {
        let mut standing = standings.remove(&webhook.id).unwrap_or_default();
        standing.paused = queue.pause_of(&webhook.id).as_ref().map(Paused::from);
        standing.waiting = queue.waiting(&webhook.id) as u64;
        View::of(webhook, standing, moved.get(&webhook.id).copied(), now)
    });
    Ok(views.collect())
}
