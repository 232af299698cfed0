//! `GET /admin/v1/keys`: filtered, in pages, in the order of ids.
//!
//! A page begins behind an id, so that keys which come and go between two pages are neither skipped nor told twice.

use std::str::FromStr;

use http::Request;
use serde::Serialize;

use super::look;
use super::record::Lens;
use super::shelf::Listing;
use crate::config::records::{Key, KeyState, View};
use crate::control::admin::Desk;
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::fields::{Label, Limit, Seconds, Word};
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;

const PARAMETERS: [&str; 10] = [
    "organization",
    "state",
    "permission",
    "name",
    "id",
    "q",
    "expiring",
    "older_than",
    "limit",
    "after",
];

/// What is wanted.
struct Filter {
    organization: Option<Word>,
    state: Option<State>,
    permission: Option<Word>,
    name: Option<Label>,
    id: Option<Word>,
    part: Option<String>,
    expiring: Option<Seconds>,
    older_than: Option<Seconds>,
}

struct State(KeyState);

impl FromStr for State {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = KeyState::ALL.into_iter().find(|state| state.word() == text);
        known
            .map(Self)
            .ok_or("it is one of active, not_yet_valid, expired, disabled, revoked")
    }
}

#[derive(Serialize)]
struct Page {
    keys: Vec<View>,
    /// What `after` is for the next page; null on the last.
    next: Option<String>,
}

pub(in crate::control::admin) async fn list<B>(desk: &Desk, request: &Request<B>) -> Result<Answer, Problem> {
    let query = Query::read(request.uri(), &PARAMETERS)?;
    let filter = Filter::read(&query)?;
    let limit = query.get::<Limit>("limit")?.unwrap_or_default();
    let after = query.get::<Word>("after")?;
    let page = look(desk, move |listing, lens| {
        page(listing, lens, &filter, limit.0, after.as_ref())
    });
    Ok(answers::json(&page.await?))
}

fn page(listing: &Listing, lens: &Lens<'_>, filter: &Filter, limit: usize, after: Option<&Word>) -> Page {
    let after = after.map(|id| id.0.as_str());
    let mut wanted = listing.after(after).filter(|key| filter.wants(key, listing, lens));
    let found: Vec<&Key> = wanted.by_ref().take(limit).collect();
    let next = wanted.next().and(found.last()).map(|last| last.id.clone());
    Page {
        keys: found.iter().map(|key| lens.view(key)).collect(),
        next,
    }
}

impl Filter {
    fn read(query: &Query) -> Result<Self, Problem> {
        Ok(Self {
            organization: query.get("organization")?,
            state: query.get("state")?,
            permission: query.get("permission")?,
            name: query.get("name")?,
            id: query.get("id")?,
            part: query.get::<Label>("q")?.map(|part| part.0.to_lowercase()),
            expiring: query.get("expiring")?,
            older_than: query.get("older_than")?,
        })
    }

    fn wants(&self, key: &Key, listing: &Listing, lens: &Lens<'_>) -> bool {
        let now = lens.now;
        let organization = &listing.records().organizations[key.organization as usize].id;
        let within = |end: i64, time: Seconds| now < end && end - now <= time.0;
        let older = |since: i64, time: Seconds| now.saturating_sub(since) >= time.0;
        let holds = |part: &str| {
            let texts = [Some(&key.id), Some(&key.name), key.owner.as_ref(), key.hint.as_ref()];
            texts
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(part))
        };
        self.organization
            .as_ref()
            .is_none_or(|wanted| wanted.0 == *organization)
            && self.state.as_ref().is_none_or(|wanted| wanted.0 == lens.state(key))
            && self
                .permission
                .as_ref()
                .is_none_or(|wanted| key.permissions.contains(&wanted.0))
            && self.name.as_ref().is_none_or(|wanted| key.name.starts_with(&wanted.0))
            && self.id.as_ref().is_none_or(|wanted| key.id.starts_with(&wanted.0))
            && self.part.as_deref().is_none_or(holds)
            && self
                .expiring
                .is_none_or(|time| key.end().is_some_and(|end| within(end, time)))
            && self.older_than.is_none_or(|time| {
                let since = key.rotated_at.or(key.created_at);
                since.is_some_and(|since| older(since, time))
            })
    }
}
