//! Revocation through a running sidecar, at once, whatever becomes of the key file.
//!
//! A sidecar that cannot be asked keeps nothing from being done: the key file says it too, and what was in the way is told.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Where;
use super::store::DEFAULT_CONFIG;
use crate::cli::admin::client::Sidecar;

/// What came of it.
pub(super) enum Push {
    /// It is in force.
    Done(Answer),
    /// There is no sidecar to ask, as far as this command knows.
    NoSidecar,
    /// It could not be asked, or does not do it.
    Failed(String),
}

/// What the sidecar says.
#[derive(Deserialize)]
pub(super) struct Answer {
    /// Whether it was not revoked before.
    changed: bool,
    push: Option<Channel>,
}

/// Of the push.
#[derive(Deserialize)]
struct Channel {
    ms: Option<f64>,
    durable: bool,
    durable_problem: Option<String>,
}

/// Revokes the key with this id in the sidecar, and leaves the file alone.
pub(super) fn revoke(sidecar: &Sidecar, place: &Where, id: &str, reason: Option<&str>) -> anyhow::Result<Push> {
    let Some(client) = sidecar.find(config(place))? else {
        return Ok(Push::NoSidecar);
    };
    let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
    let mut body = json!({ "file": false });
    if let Some(reason) = reason {
        body["reason"] = Value::from(reason);
    }
    let answered = client.post(&format!("/admin/v1/keys/{id}/revoke"), &body);
    let answered = answered.and_then(|text| Ok(serde_json::from_str(&text)?));
    Ok(match answered {
        Ok(answer) => Push::Done(answer),
        Err(error) => Push::Failed(format!("{error:#}")),
    })
}

/// The configuration that says where the sidecar is; with --file alone, none.
fn config(place: &Where) -> Option<&Path> {
    let config = match (&place.config, &place.file) {
        (Some(config), _) => config.as_path(),
        (None, Some(_)) => return None,
        (None, None) => Path::new(DEFAULT_CONFIG),
    };
    config.exists().then_some(config)
}

impl Push {
    /// Whether nothing goes on under the key any more.
    pub(super) fn is_in_force(&self) -> bool {
        match self {
            Self::Done(answer) => answer.push.is_some(),
            Self::NoSidecar | Self::Failed(_) => false,
        }
    }

    /// Whether it is in force, and was not before.
    pub(super) fn changed(&self) -> bool {
        match self {
            Self::Done(answer) => answer.push.is_some() && answer.changed,
            Self::NoSidecar | Self::Failed(_) => false,
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Done(Answer {
                push: Some(channel), ..
            }) => json!({
                "in_force": true,
                "ms": channel.ms,
                "durable": channel.durable,
                "problem": channel.durable_problem,
            }),
            Self::Done(Answer { push: None, .. }) => {
                json!({ "in_force": false, "problem": "the sidecar has no such key" })
            }
            Self::Failed(problem) => json!({ "in_force": false, "problem": problem }),
            Self::NoSidecar => Value::Null,
        }
    }

    /// For people; nothing where there was nobody to ask.
    pub(super) fn told(&self) -> Option<String> {
        match self {
            Self::Done(Answer {
                push: Some(channel), ..
            }) => {
                let after = match channel.ms {
                    Some(ms) => format!("in force after {ms} ms"),
                    None => "in force; a worker has not said yet that nothing goes on".to_owned(),
                };
                let remembered = match &channel.durable_problem {
                    None if channel.durable => ", and remembered".to_owned(),
                    None => ", until the sidecar ends".to_owned(),
                    Some(problem) => format!(", until the sidecar ends: {problem}"),
                };
                Some(after + &remembered)
            }
            Self::Done(Answer { push: None, .. }) => Some("the sidecar has no such key".to_owned()),
            Self::Failed(problem) => Some(format!("not done: {problem}")),
            Self::NoSidecar => None,
        }
    }
}
