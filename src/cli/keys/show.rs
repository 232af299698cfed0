//! `keygate keys show`, and keys as lines for people.

use std::process::ExitCode;

use super::store::Store;
use super::{Target, date_time};
use crate::cli::output::print;
use crate::cli::progress::{READING, patiently};
use crate::clock;
use crate::config::records::View;
use crate::control::keyfile;

pub(super) const EXAMPLES: &str = "\
Examples:
  By name or by id:                  keygate keys show backend-prod
  When its secret was made:          keygate keys show key_01k9v3 --json | jq -r '.rotated_at // .created_at'";

impl Target {
    pub(super) fn show(&self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let store = Store::open(&self.place, now)?;
        let found = patiently(READING, || {
            keyfile::find(&store.place(), &self.key, &mut store.scope.clone(), now)
        })?;
        let text = if self.json {
            format!("{:#}\n", serde_json::to_value(&found.view)?)
        } else {
            everything(&found.view) + &line("file", &found.file.display().to_string())
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is told about a key in a few lines.
pub(super) fn summary(view: &View) -> String {
    let organization = view.organization_name.as_deref().unwrap_or_default();
    [
        line("key", &format!("{}  {}", view.id, view.name)),
        line("organization", &format!("{}  {organization}", view.organization)),
        line("environment", view.environment.as_deref().unwrap_or("-")),
        line("permissions", &permissions(view)),
        line("state", view.state.word()),
        line("expires", &expires(view)),
    ]
    .concat()
}

/// When it ends, or `never`.
pub(super) fn expires(view: &View) -> String {
    view.expires_at.map_or_else(|| "never".to_owned(), date_time)
}

/// What it may do, or `-`.
pub(super) fn permissions(view: &View) -> String {
    if view.permissions.is_empty() {
        "-".to_owned()
    } else {
        view.permissions.join(",")
    }
}

fn everything(view: &View) -> String {
    let mut text = summary(view);
    let mut add = |label: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text.push_str(&line(label, &value));
        }
    };
    add("not before", view.not_before.map(date_time));
    add("revoked", view.revoked_at.map(date_time));
    add("reason", view.revoked_reason.clone());
    add("created", view.created_at.map(date_time));
    add("rotated", view.rotated_at.map(date_time));
    add("hint", view.hint.clone());
    add("plan", view.plan.clone());
    add("subscriptions", Some(view.subscriptions.join(",")));
    add("sources", Some(view.allowed_sources.join(",")));
    add("owner", view.owner.clone());
    for secret in &view.secrets {
        let end = secret
            .expires_at
            .map_or_else(String::new, |end| format!("  until {}", date_time(end)));
        add("secret", Some(format!("{}{end}", secret.kind)));
    }
    text
}

fn line(label: &str, value: &str) -> String {
    format!("{label:<13} {value}\n")
}
