//! `POST /admin/v1/reload`: the files are read again, now, and the answer says what became of it.

use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use super::answers::{self, Answer};
use super::guard::Identity;
use super::problem::Problem;
use super::query::Query;
use super::{Desk, body};
use crate::telemetry::metrics::Outcome;

/// How long a reload is waited for; it goes on all the same.
const PATIENCE: Duration = Duration::from_secs(50);
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Whether a reload that is held is let through.
    #[serde(default)]
    accept: bool,
}

/// What became of a reload.
#[derive(Serialize)]
struct Reloaded {
    /// `applied`, `refused`, or `pending` where it takes longer than anybody waits.
    outcome: &'static str,
    /// The generation in force.
    generation: u64,
}

pub(super) async fn answer(desk: &Desk, identity: &Identity, request: Request<Incoming>) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let wish: Wish = body::optional(request).await?;
    let _ = (wish.accept, identity);
    Ok(answers::json(&Reloaded {
        outcome: desk.reload().await,
        generation: desk.control.current.version(),
    }))
}

impl Desk {
    /// Asks for a reload and waits for its outcome.
    pub(super) async fn reload(&self) -> &'static str {
        let count = |result| self.control.metrics.reloads.get_or_create(&Outcome { result }).get();
        let before = (count("applied"), count("refused"));
        self.reload.notify_one();
        let outcome = async {
            loop {
                sleep(PAUSE).await;
                if count("applied") > before.0 {
                    return "applied";
                }
                if count("refused") > before.1 {
                    return "refused";
                }
            }
        };
        timeout(PATIENCE, outcome).await.unwrap_or("pending")
    }
}
