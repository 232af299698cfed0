//! `POST /admin/v1/reload`: the files are read again, now, and the answer says what became of it.

use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::answers::{self, Answer};
use super::fields::{self, Digest};
use super::guard::Identity;
use super::problem::Problem;
use super::query::Query;
use super::refusals::Call;
use super::{Desk, body};
use crate::config::admin::Role;
use crate::control::reload::{By, Outcome};

/// How long a reload is waited for; it goes on all the same. A connection lives a little longer.
const PATIENCE: Duration = Duration::from_secs(50);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Whether a reload that is held is let through.
    #[serde(default)]
    accept: bool,
    /// Which content that is: only this.
    #[serde(default, deserialize_with = "fields::maybe")]
    digest: Option<Digest>,
}

/// What became of a reload.
#[derive(Serialize)]
#[serde(untagged)]
enum Reloaded {
    Done(Outcome),
    /// It takes longer than anybody waits.
    Pending {
        result: &'static str,
        generation: u64,
    },
}

pub(super) async fn answer(desk: &Desk, identity: &Identity, request: Request<Incoming>) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let call = Call::of(&request);
    let wish: Wish = body::optional(request).await?;
    if wish.accept {
        let may = identity.may(Role::Admin);
        may.map_err(|denied| desk.refused(Some(identity), identity.source, &call, denied))?;
    }
    let accept = wish.accept.then(|| wish.digest.map(|digest| digest.0));
    let done = desk.try_reload(identity, accept).await?;
    Ok(answers::json(&match done {
        Some(outcome) => Reloaded::Done(outcome),
        None => Reloaded::Pending {
            result: "pending",
            generation: desk.control.current.version(),
        },
    }))
}

impl Desk {
    /// Has a change taken up that was made to the files; says whether it was.
    pub(super) async fn reload(&self, identity: &Identity) -> &'static str {
        match self.try_reload(identity, None).await {
            // Who watches the files may have been faster.
            Ok(Some(Outcome::Applied { .. } | Outcome::Unchanged { .. })) => "applied",
            Ok(Some(Outcome::Refused { .. })) => "refused",
            Ok(Some(Outcome::Held(_))) => "held",
            Ok(None) | Err(_) => "pending",
        }
    }

    /// Asks for a reload and waits until nothing goes on that what came of it forbids. `accept` is there where a change that
    /// is held is meant, with its digest where one was named. `None` where it takes too long.
    async fn try_reload(
        &self,
        identity: &Identity,
        accept: Option<Option<String>>,
    ) -> Result<Option<Outcome>, Problem> {
        let by = By {
            actor: identity.actor.clone(),
            source: identity.source.source(),
        };
        let Self { control, .. } = self;
        let asked = async {
            let outcome = match accept {
                Some(digest) => control.reloads.accept(by, digest).await,
                None => control.reloads.reload(by).await,
            };
            control.current.enforced(control.current.version()).await;
            outcome
        };
        match timeout(PATIENCE, asked).await {
            Ok(Some(outcome)) => Ok(Some(outcome)),
            Ok(None) => Err(Problem::draining()),
            Err(_) => Ok(None),
        }
    }
}
