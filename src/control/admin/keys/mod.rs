//! `/admin/v1/keys`: the keys of the key files, looked at and changed.
//!
//! A room of its own because every change goes the same way: the key files are changed as `keygate keys` changes them, the
//! gate reads them again, and only then is the call answered, so that what the answer says is in force.

mod create;
mod list;
mod record;
mod shelf;
mod trouble;

use http::Request;

pub(super) use create::create;
pub(super) use list::list;
pub(super) use shelf::Shelf;

use super::Desk;
use super::answers::{self, Answer};
use super::problem::Problem;
use super::query::Query;
use crate::clock;

/// `GET /admin/v1/keys/{id}`
pub(super) async fn show<B>(desk: &Desk, id: &str, request: &Request<B>) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let listing = desk.shelf.listing(&desk.control).await?;
    let shown = listing.find(id, clock::unix()).ok_or_else(unknown)?;
    Ok(answers::json(&shown))
}

fn unknown() -> Problem {
    Problem::not_found("No key has this id. GET /admin/v1/keys lists them.")
}
