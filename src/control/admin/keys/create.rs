//! `POST /admin/v1/keys`: makes a key, and tells its secret this once.

use http::header::LOCATION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::trouble::{invalid, refused};
use super::{trail, view};
use crate::clock;
use crate::config::environments::Environment;
use crate::config::key_settings::KeySettings;
use crate::config::records::View;
use crate::control::admin::answers::{self, Answer};
use crate::control::admin::fields::{self, Expiry, Label, Name, Network, Prefix, Word};
use crate::control::admin::guard::Identity;
use crate::control::admin::problem::Problem;
use crate::control::admin::query::Query;
use crate::control::admin::{Desk, body};
use crate::control::keyfile::{self, Place};
use crate::control::mint::NewKey;
use crate::ledger::audit::Action;
use crate::secret::Secret;

/// What does not stand for itself in a path (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(deserialize_with = "fields::one")]
    name: Label,
    #[serde(deserialize_with = "fields::one")]
    organization: Word,
    #[serde(default, deserialize_with = "fields::maybe")]
    organization_name: Option<Label>,
    #[serde(default, deserialize_with = "fields::list")]
    permissions: Vec<Word>,
    #[serde(default, deserialize_with = "fields::maybe")]
    environment: Option<Name>,
    #[serde(default, deserialize_with = "fields::maybe")]
    plan: Option<Name>,
    #[serde(default, deserialize_with = "fields::maybe")]
    expires: Option<Expiry>,
    #[serde(default, deserialize_with = "fields::list")]
    allowed_sources: Vec<Network>,
    #[serde(default, deserialize_with = "fields::maybe")]
    owner: Option<Label>,
    #[serde(default, deserialize_with = "fields::list")]
    subscriptions: Vec<Word>,
    #[serde(default, deserialize_with = "fields::maybe")]
    prefix: Option<Prefix>,
}

/// What was made.
#[derive(Serialize)]
struct Made<'a> {
    key: View,
    /// In nothing but this answer.
    secret: &'a str,
    /// `applied` when the key is accepted from now on.
    reload: &'static str,
    generation: u64,
}

pub(in crate::control::admin) async fn create(
    desk: &Desk,
    identity: &Identity,
    request: Request<Incoming>,
) -> Result<Answer, Problem> {
    Query::read(request.uri(), &[])?;
    let wish: Wish = body::required(request).await?;
    let config = desk.control.current.load().config.file.clone();
    let made = spawn_blocking(move || {
        let settings = KeySettings::load(&config).map_err(|problems| invalid(&problems))?;
        make(wish, &settings)
    });
    let (key, secret) = made.await.map_err(|_| Problem::bug())??;
    let id = key.id.clone();
    trail::record(desk, identity, Action::KeyCreate, &id, json!({ "after": key }));
    let reload = desk.reload(identity).await;
    let made = Made {
        key: view(desk, &id).await.unwrap_or(key),
        secret: secret.expose(),
        reload,
        generation: desk.control.current.version(),
    };
    let mut answer = answers::json_as(StatusCode::CREATED, &made);
    let location = format!("/admin/v1/keys/{}", utf8_percent_encode(&id, RESERVED));
    if let Ok(location) = HeaderValue::try_from(location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}

/// Writes the record; gives what it says, and the secret.
fn make(wish: Wish, settings: &KeySettings) -> Result<(View, Secret), Problem> {
    let now = clock::unix();
    let expires_at =
        match wish.expires {
            None | Some(Expiry::Never) => None,
            Some(Expiry::After(seconds)) => Some(now.saturating_add(seconds)),
            Some(Expiry::At(at)) => Some(at.filter(|at| *at > now).ok_or_else(|| {
                Problem::conflict("expiry_unreachable", "expires is in the past, or beyond all clocks.")
            })?),
        };
    let prefix = choose_prefix(&wish, settings)?;
    let (key, secret) = NewKey::mint(&prefix, &wish.name.0, &wish.organization.0, now);
    let words = |words: Vec<Word>| words.into_iter().map(|word| word.0).collect();
    let key = NewKey {
        permissions: words(wish.permissions),
        environment: wish.environment.map(|name| name.0),
        subscriptions: words(wish.subscriptions),
        plan: wish.plan.map(|name| name.0),
        expires_at,
        allowed_sources: wish.allowed_sources.into_iter().map(|network| network.0).collect(),
        owner: wish.owner.map(|owner| owner.0),
        ..key
    };
    let organization_name = wish.organization_name.as_ref().map(|name| name.0.as_str());
    let place = place(settings);
    let added = keyfile::add(&place, &key, organization_name, &mut settings.scope(now));
    let found = added.and_then(|_| keyfile::find(&place, &key.id, &mut settings.scope(now), now));
    let found = found.map_err(|error| refused(&error))?;
    Ok((found.view, secret))
}

/// Where new records go: into the key file, or into `keys.toml` where there is a directory.
fn place(settings: &KeySettings) -> Place {
    let root = settings.keys.file.clone();
    let file = match root.is_dir() {
        true => root.join("keys.toml"),
        false => root.clone(),
    };
    Place { root, file }
}

/// What the key begins with. Also refuses names that the configuration does not have.
fn choose_prefix(wish: &Wish, settings: &KeySettings) -> Result<String, Problem> {
    if let Some(plan) = &wish.plan
        && !settings.plans.iter().any(|known| known.name == plan.0)
    {
        return Err(Problem::conflict(
            "plan_unknown",
            "The configuration has no plan of this name.",
        ));
    }
    let environments = &settings.environments;
    let environment = match &wish.environment {
        Some(name) => Some(environments.iter().find(|known| known.name == name.0).ok_or_else(|| {
            Problem::conflict(
                "environment_unknown",
                "The configuration has no environment of this name.",
            )
        })?),
        None => None,
    };
    let of_environment = environment.and_then(|environment| environment.prefixes.first());
    let own = wish.prefix.as_ref().map(|prefix| &prefix.0);
    let prefix = own.or(of_environment).unwrap_or(&settings.keys.prefix).clone();
    if let (Some(environment), Some(named)) = (environment, Environment::of_key(&prefix, environments))
        && environment.name != named.name
    {
        return Err(Problem::conflict(
            "prefix_of_other_environment",
            format!(
                "A key that begins with {prefix} belongs to the environment {}, not {}.",
                named.name, environment.name
            ),
        ));
    }
    Ok(prefix)
}
