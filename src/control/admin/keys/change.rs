//! What the changes of a key have in common, and the two that are nothing more: `POST …/disable` and `POST …/enable`.

use http::Request;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::trouble::{invalid, refused};
use super::{trail, view};
use crate::clock;
use crate::config::key_settings::KeySettings;
use crate::config::records::{KeyState, Scope, View};
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::guard::Identity;
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;
use crate::control::admin::{Desk, body};
use crate::control::keyfile::{self, Changed, EditError, Place};
use crate::ledger::audit::Action;

/// Nothing but which key it is.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// What became of a key.
#[derive(Serialize)]
struct Done {
    key: View,
    /// False where it was so before, and nothing was written.
    changed: bool,
    reload: &'static str,
    generation: u64,
}

pub(in crate::control::admin) async fn disable(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    let anything = |_: &View| Ok(());
    switch(
        desk,
        identity,
        id,
        request,
        Action::KeyDisable,
        (anything, keyfile::disable),
    )
    .await
}

pub(in crate::control::admin) async fn enable(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    switch(
        desk,
        identity,
        id,
        request,
        Action::KeyEnable,
        (living, keyfile::enable),
    )
    .await
}

/// What has been revoked by a push is dead, whatever the file knows of it.
pub(super) fn living(key: &View) -> Result<(), Problem> {
    match key.state {
        KeyState::Revoked => Err(refused(&EditError::Revoked { id: key.id.clone() })),
        KeyState::Active | KeyState::NotYetValid | KeyState::Expired | KeyState::Disabled => Ok(()),
    }
}

/// Whether the key, as it is now, may be changed so.
type May = fn(&View) -> Result<(), Problem>;

/// How the file of a key is changed.
type Change = fn(&Place, &str, &mut Scope, i64) -> Result<Changed, EditError>;

async fn switch(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    request: Request<Incoming>,
    action: Action,
    (may, change): (May, Change),
) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let Nothing {} = body::optional(request).await?;
    // An id, and never a name.
    may(&view(desk, id).await?)?;
    let key = id.to_owned();
    let changed = edit(desk, move |settings, place| {
        let now = clock::unix();
        change(place, &key, &mut settings.scope(now), now)
    });
    let changed = changed.await?;
    let reload = if changed.written {
        let detail = json!({ "before": changed.before, "after": changed.after });
        trail::record(desk, identity, action, id, detail);
        desk.reload(identity).await
    } else {
        "unchanged"
    };
    Ok(answers::json(&Done {
        key: view(desk, id).await.unwrap_or(changed.after),
        changed: changed.written,
        reload,
        generation: desk.control.current.version(),
    }))
}

/// Changes the key files, on a thread that may wait for them. The place is where any record may be.
pub(super) async fn edit<T: Send + 'static>(
    desk: &Desk,
    change: impl FnOnce(&KeySettings, &Place) -> Result<T, EditError> + Send + 'static,
) -> Result<T, Problem> {
    let config = desk.control.current.load().config.file.clone();
    let edited = spawn_blocking(move || {
        let settings = KeySettings::load(&config).map_err(|problems| invalid(&problems))?;
        let root = settings.keys.file.clone();
        let place = Place {
            file: root.clone(),
            root,
        };
        change(&settings, &place).map_err(|error| refused(&error))
    });
    edited.await.map_err(|_| Problem::bug())?
}
