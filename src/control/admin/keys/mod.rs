//! `/admin/v1/keys`: the keys of the key files, looked at and changed.
//!
//! A room of its own because every change goes the same way: the key files are changed as `keygate keys` changes them, the
//! gate reads them again, and only then is the call answered, so that what the answer says is in force. A revocation does
//! not wait for that: it is pushed first.

mod change;
mod create;
mod list;
mod record;
mod revoke;
mod rotate;
mod shelf;
mod trail;
mod trouble;

use std::sync::Arc;

use http::Request;
use tokio::task::spawn_blocking;

pub(super) use change::{disable, enable};
pub(super) use create::create;
pub(super) use list::list;
pub(super) use revoke::revoke;
pub(super) use rotate::rotate;
pub(super) use shelf::Shelf;

use self::record::Lens;
use self::shelf::Listing;
use super::Desk;
use super::answers::{self, Answer};
use super::problem::Problem;
use super::query::Query;
use crate::clock;
use crate::config::records::View;
use crate::policy::revocations::Revocations;

/// `GET /admin/v1/keys/{id}`
pub(super) async fn show<B>(desk: &Desk, id: &str, request: &Request<B>) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    Ok(answers::json(&view(desk, id).await?))
}

/// The key with this id, as it is now.
async fn view(desk: &Desk, id: &str) -> Result<View, Problem> {
    let id = id.to_owned();
    look(desk, move |_, lens| lens.find(&id)).await?.ok_or_else(unknown)
}

/// The key with this id, as it is when so much is revoked.
async fn view_under(desk: &Desk, id: &str, revocations: Arc<Revocations>) -> Option<View> {
    let id = id.to_owned();
    let seen = look_under(desk, revocations, move |_, lens| lens.find(&id)).await;
    seen.ok().flatten()
}

/// Looks at all records as they are now, where nobody waits: there may be a million.
async fn look<T: Send + 'static>(
    desk: &Desk,
    at: impl FnOnce(&Listing, &Lens<'_>) -> T + Send + 'static,
) -> Result<T, Problem> {
    let revocations = Arc::clone(desk.control.current.load().revocations());
    look_under(desk, revocations, at).await
}

async fn look_under<T: Send + 'static>(
    desk: &Desk,
    revocations: Arc<Revocations>,
    at: impl FnOnce(&Listing, &Lens<'_>) -> T + Send + 'static,
) -> Result<T, Problem> {
    let listing = desk.shelf.listing(&desk.control).await?;
    let looked = spawn_blocking(move || {
        let lens = Lens::new(&listing, &revocations, clock::unix());
        at(&listing, &lens)
    });
    looked.await.map_err(|_| Problem::bug())
}

fn unknown() -> Problem {
    Problem::not_found("No key has this id. GET /admin/v1/keys lists them.")
}
