//! `POST /admin/v1/keys/{id}/rotate`: a new secret, told this once, for a key that stays what it is.

use http::Request;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::change::{edit, living};
use super::{trail, view};
use crate::clock;
use crate::config::records::View;
use crate::config::records::write::date_time;
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::fields::{self, Overlap};
use crate::control::admin::guard::Identity;
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;
use crate::control::admin::{Desk, body};
use crate::control::keyfile::{self, Rotation};
use crate::control::mint::Prefixes;
use crate::ledger::audit::Action;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default, deserialize_with = "fields::maybe")]
    overlap: Option<Overlap>,
}

#[derive(Serialize)]
struct Rotated<'a> {
    key: View,
    secret: &'a str,
    /// When the old secret ends; null where it has ended.
    overlap_ends: Option<String>,
    reload: &'static str,
    generation: u64,
}

pub(in crate::control::admin) async fn rotate(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let wish: Wish = body::optional(request).await?;
    // As the command line does where nobody says: the old secret ends at once.
    let overlap = wish.overlap.map_or(0, |overlap| overlap.0);
    living(&view(desk, id).await?)?;
    let key = id.to_owned();
    let rotated = edit(desk, move |settings, place| {
        let now = clock::unix();
        let rotation = Rotation {
            overlap,
            prefixes: Prefixes {
                environments: &settings.environments,
                default: &settings.keys.prefix,
            },
            peppers: &settings.keys.peppers,
        };
        keyfile::rotate(place, &key, &rotation, &mut settings.scope(now), now)
    });
    let rotated = rotated.await?;
    let overlap_ends = rotated.overlap_ends.map(date_time);
    let changed = &rotated.changed;
    let detail = json!({ "before": changed.before, "after": changed.after, "overlap_ends": overlap_ends });
    trail::record(desk, identity, Action::KeyRotate, id, detail);
    let reload = desk.reload(identity).await;
    Ok(answers::json(&Rotated {
        key: view(desk, id).await.unwrap_or(rotated.changed.after),
        secret: rotated.secret.expose(),
        overlap_ends,
        reload,
        generation: desk.control.current.version(),
    }))
}
