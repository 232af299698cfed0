//! `GET /admin/v1/audit`: who did what, from the state file; a page of it, or with `Accept: application/jsonl` all of it, line
//! by line as it is chained, for `keygate audit verify` elsewhere.

use std::io;

use http::header::ACCEPT;
use http::{HeaderMap, Request};

use super::Desk;
use super::answers::{self, Answer};
use super::fields::{Limit, Moment, Name, Place, Word};
use super::guard::Identity;
use super::problem::Problem;
use super::query::Query;
use super::refusals::Call;
use super::usage::{ask, state};
use crate::clock;
use crate::config::admin::Role;
use crate::ledger::read::{self, AuditQuery};

const PARAMETERS: [&str; 7] = ["since", "until", "key", "action", "limit", "before", "after"];

pub(super) async fn show<B>(desk: &Desk, identity: &Identity, request: &Request<B>) -> Result<Answer, Problem> {
    if wants_lines(request.headers()) {
        let may = identity.may(Role::Admin);
        may.map_err(|denied| desk.refused(Some(identity), identity.source, &Call::of(request), denied))?;
        return export(desk, request);
    }
    let query = Query::read(request.uri(), &PARAMETERS)?;
    let now = clock::unix();
    let limit = query.get::<Limit>("limit")?.unwrap_or_default().0;
    let after = query.get::<Place>("after")?.map_or(0, |place| place.0);
    let wanted = AuditQuery {
        since: query.get::<Moment>("since")?.map(|since| since.at(now)),
        until: query.get::<Moment>("until")?.map(|until| until.at(now)),
        key: query.get::<Word>("key")?.map(|key| key.0),
        action: query.get::<Name>("action")?.map(|action| action.0),
        before: query.get::<Place>("before")?.map(|place| place.0),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let mut page = ask(desk, move |path| read::audit(&path, &wanted)).await?;
    let told = page.entries.len();
    page.entries.retain(|entry| entry.seq > after);
    if page.entries.len() < told || page.next.is_some_and(|next| next <= after.saturating_add(1)) {
        page.next = None;
    }
    Ok(answers::json(&page))
}

/// All rows behind `after`, the oldest first.
fn export<B>(desk: &Desk, request: &Request<B>) -> Result<Answer, Problem> {
    let query = Query::read(request.uri(), &["after"])?;
    let after = query.get::<Place>("after")?.map_or(0, |place| place.0);
    let path = state(desk)?;
    Ok(answers::lines(move |lines| {
        let mut failed = None;
        let read = read::export(&path, after, |row| match serde_json::to_string(row) {
            Ok(line) => lines.line(&line),
            Err(error) => {
                failed = Some(error);
                false
            }
        });
        match (read, failed) {
            (Err(unavailable), _) => Err(io::Error::other(unavailable)),
            (Ok(()), Some(error)) => Err(error.into()),
            (Ok(()), None) => Ok(()),
        }
    }))
}

/// Whether lines are asked for by name, before anything else.
fn wants_lines(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let first = accept
        .unwrap_or_default()
        .split([',', ';'])
        .next()
        .unwrap_or_default()
        .trim();
    first.eq_ignore_ascii_case("application/jsonl")
}
