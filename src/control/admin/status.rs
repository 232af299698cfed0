//! `GET /admin/v1/status`

use http::Request;

use super::Desk;
use super::answers::{self, Answer};
use super::problem::Problem;
use super::query::Query;
use crate::clock;
use crate::control::status;

pub(super) fn show<B>(desk: &Desk, request: &Request<B>) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let policy = desk.control.current.load();
    Ok(answers::json(&status::of(&desk.control, &policy, clock::unix())))
}
