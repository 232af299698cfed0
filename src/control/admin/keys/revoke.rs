//! `POST /admin/v1/keys/{id}/revoke`: at once by a push, and then in the key file.
//!
//! The push does not need the file: where that is read-only, or broken, the key is dead all the same, and the answer says what
//! is left to do.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::change::edit;
use super::{trail, unknown, view, view_under};
use crate::clock;
use crate::config::records::View;
use crate::config::records::write::date_time;
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::fields::{self, Reason};
use crate::control::admin::guard::Identity;
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;
use crate::control::admin::{Desk, body};
use crate::control::keyfile::{self, Changed};
use crate::control::revoke::{Pushed, Remembered};
use crate::ledger::audit::Action;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default, deserialize_with = "fields::maybe")]
    reason: Option<Reason>,
    /// Whether the key file is to say so too; that is so where nobody says.
    #[serde(default, deserialize_with = "fields::boolean")]
    file: Option<bool>,
}

#[derive(Serialize)]
struct Revoked {
    /// Null where the files hold no record of it, or do not load.
    key: Option<View>,
    /// False where it was revoked before, in the gate and in the file.
    changed: bool,
    revoked_at: Option<String>,
    push: Option<Push>,
    file: File,
    generation: u64,
}

/// The first channel.
#[derive(Serialize)]
struct Push {
    /// From the call to the moment at which nothing went on under this key; null where that was not seen in time.
    ms: Option<f64>,
    /// Whether it outlives the process.
    durable: bool,
    /// Why not.
    durable_problem: Option<String>,
}

/// The second channel.
#[derive(Serialize)]
struct File {
    /// `written`, `unchanged`, `read_only`, `failed`, or `left_alone` where that was asked for.
    outcome: &'static str,
    /// How long it took until the gate had taken it up, where something was written.
    ms: Option<f64>,
    /// What keeps it from being written, and what helps.
    problem: Option<String>,
}

pub(in crate::control::admin) async fn revoke(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let wish: Wish = body::optional(request).await?;
    let reason = wish.reason.and_then(|reason| reason.0);
    let by = identity.actor.to_string();
    let earlier = Arc::clone(desk.control.current.load().revocations());
    let pushed = desk.control.revoke(id, reason.clone(), &by).await;
    let begun = clock::monotonic();
    let changed = match wish.file {
        Some(false) => None,
        Some(true) | None => Some(in_file(desk, id, reason.clone()).await),
    };
    let changed = match changed {
        // Only the file knew it, or nobody does.
        Some(Err(problem)) if pushed.is_none() => return Err(problem),
        None if pushed.is_none() => return Err(unknown()),
        changed => changed,
    };
    let is_news = pushed.as_ref().is_some_and(|pushed| !pushed.was_revoked);
    let written = matches!(&changed, Some(Ok(changed)) if changed.written);
    if is_news || written {
        let (before, after) = match &changed {
            Some(Ok(changed)) => (Some(changed.before.clone()), Some(changed.after.clone())),
            // The record is as it was; what the push has changed is told by what is revoked.
            Some(Err(_)) | None => (view_under(desk, id, earlier).await, view(desk, id).await.ok()),
        };
        let detail = json!({
            "before": before,
            "after": after,
            "reason": reason,
            "pushed": pushed.is_some(),
            "durable": pushed.as_ref().map(|pushed| pushed.remembered == Remembered::Yes),
            "file": outcome(&changed),
        });
        trail::record(desk, identity, Action::KeyRevoke, id, detail);
    }
    if written {
        desk.reload(identity).await;
    }
    let took = Duration::from_nanos(clock::monotonic().saturating_sub(begun));
    let key = view(desk, id).await.ok();
    let since = pushed.as_ref().map(|pushed| pushed.revoked_at);
    Ok(answers::json(&Revoked {
        changed: is_news || written,
        revoked_at: since.or(key.as_ref().and_then(|key| key.revoked_at)).map(date_time),
        key,
        push: pushed.map(Push::of),
        file: File {
            outcome: outcome(&changed),
            ms: written.then(|| milliseconds(took)),
            problem: changed.and_then(Result::err).map(|problem| problem.detail.into_owned()),
        },
        generation: desk.control.current.version(),
    }))
}

/// Writes it down in the key file.
async fn in_file(desk: &Desk, id: &str, reason: Option<String>) -> Result<Changed, Problem> {
    // An id, and never a name.
    view(desk, id).await?;
    let key = id.to_owned();
    edit(desk, move |settings, place| {
        let now = clock::unix();
        keyfile::revoke(place, &key, reason.as_deref(), &mut settings.scope(now), now)
    })
    .await
}

fn outcome(changed: &Option<Result<Changed, Problem>>) -> &'static str {
    match changed {
        None => "left_alone",
        Some(Ok(changed)) if changed.written => "written",
        Some(Ok(_)) => "unchanged",
        Some(Err(problem)) if problem.code == "key_file_read_only" => "read_only",
        Some(Err(_)) => "failed",
    }
}

impl Push {
    fn of(pushed: Pushed) -> Self {
        let durable_problem = match pushed.remembered {
            Remembered::Yes => None,
            Remembered::NoState => Some("There is no [state] to remember it in.".to_owned()),
            Remembered::Failed(reason) => Some(reason),
        };
        Self {
            ms: pushed.enforced_in.map(milliseconds),
            durable: durable_problem.is_none(),
            durable_problem,
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
