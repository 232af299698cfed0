//! `POST /admin/v1/explain`: what would become of a request. It only looks, and spends nothing.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use tokio::task::spawn_blocking;

use super::answers::{self, Answer};
use super::problem::Problem;
use super::query::Query;
use super::{Desk, body};
use crate::clock;
use crate::control::explain::{Question, explain};

const QUESTION: &str = "JSON with request, headers, host, from, tls, http, in and key";

/// With the generation in force when the question is whole.
pub(super) async fn answer(desk: &Desk, request: Request<Incoming>) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let question: Question = body::secret(request, QUESTION).await?;
    let place = Arc::clone(&desk.thinking).acquire_owned().await;
    let place = place.map_err(|_| Problem::draining())?;
    let policy = desk.control.current.load();
    // It is thought to its end, and keeps its place, even where nobody waits for the answer any more.
    let thought = spawn_blocking(move || {
        let _place = place;
        explain(&policy, &question, clock::now())
    });
    match thought.await.map_err(|_| Problem::bug())? {
        Ok(explanation) => Ok(answers::json(&explanation)),
        Err(unanswerable) => Err(Problem::conflict(
            "question_unanswerable",
            format!("{}: {}", unanswerable.what, unanswerable.help),
        )),
    }
}
