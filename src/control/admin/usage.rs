//! `GET /admin/v1/usage`: how keys were used, from the state file.

use std::path::PathBuf;

use http::{Request, StatusCode};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::Desk;
use super::answers::{self, Answer};
use super::fields::{Limit, Moment, Offset, Piece, Word};
use super::problem::Problem;
use super::query::Query;
use crate::clock;
use crate::ledger::Unavailable;
use crate::ledger::read::{self, Counts, KeyUsage, Usage, UsageQuery};

/// How far back is told where nobody says.
const SINCE: i64 = 7 * 86_400;

#[derive(Serialize)]
struct Page {
    since: String,
    total: Counts,
    keys: Vec<KeyUsage>,
    next: Option<u32>,
}

pub(super) async fn show<B>(desk: &Desk, request: &Request<B>) -> Result<Answer, Problem> {
    let query = Query::read(request.uri(), &["of", "since", "until", "by", "limit", "after"])?;
    let now = clock::unix();
    let offset = query.get::<Offset>("after")?.map_or(0, |offset| offset.0);
    let limit = query.get::<Limit>("limit")?.unwrap_or_default().0;
    let wanted = UsageQuery {
        of: query.get::<Word>("of")?.map(|of| of.0),
        since: query.get::<Moment>("since")?.map_or(now - SINCE, |since| since.at(now)),
        until: query.get::<Moment>("until")?.map(|until| until.at(now)),
        by: query.get::<Piece>("by")?.map(|piece| piece.0),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        offset,
    };
    let Usage {
        since,
        total,
        keys,
        more,
    } = ask(desk, move |path| read::usage(&path, &wanted)).await?;
    let told = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    Ok(answers::json(&Page {
        since,
        total,
        keys,
        next: more.then_some(offset.saturating_add(told)),
    }))
}

/// Asks the state file, on a thread that may wait for it.
pub(super) async fn ask<T: Send + 'static>(
    desk: &Desk,
    question: impl FnOnce(PathBuf) -> Result<T, Unavailable> + Send + 'static,
) -> Result<T, Problem> {
    let path = state(desk)?;
    let asked = spawn_blocking(move || question(path));
    asked.await.map_err(|_| Problem::bug())?.map_err(|error| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "state_unavailable",
            format!("{}: {}.", error.what, error.help),
        )
    })
}

/// Where the state file is.
pub(super) fn state(desk: &Desk) -> Result<PathBuf, Problem> {
    desk.state.clone().ok_or_else(|| {
        Problem::conflict(
            "no_state",
            "Nothing is remembered: the configuration has no [state], or had none when the process began.",
        )
    })
}
