//! `keygate keys revoke`, `disable` and `enable`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::store::Store;
use super::{Target, arguments, date_time, trail};
use crate::cli::output::{print, tell};
use crate::cli::progress::{EDITING, patiently};
use crate::clock;
use crate::control::keyfile::{self, Changed};
use crate::ledger::audit::Action;

pub(super) const REVOKE_EXAMPLES: &str = "\
Examples:
  A key that has leaked:             keygate keys revoke backend-prod --reason \"in a public repository\"
  By the id that a log line shows:   keygate keys revoke key_01k9v3";
pub(super) const DISABLE_EXAMPLES: &str = "\
Examples:
  Until its owner answers:           keygate keys disable backend-prod
  And back:                          keygate keys enable backend-prod";

/// Arguments of `keygate keys revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    #[command(flatten)]
    target: Target,
    /// Why, for people: it is written into the record and the tombstone.
    #[arg(long, value_name = "TEXT", value_parser = arguments::label)]
    reason: Option<String>,
}

impl Revoke {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let store = Store::open(&self.target.place, now)?;
        let reason = self.reason.as_deref();
        let done = patiently(EDITING, || {
            keyfile::revoke(&store.place(), &self.target.key, reason, &mut store.scope.clone(), now)
        })?;
        self.target.report(&store, Action::KeyRevoke, "revoked", &done, now)
    }
}

impl Target {
    pub(super) fn disable(&self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let store = Store::open(&self.place, now)?;
        let done = patiently(EDITING, || {
            keyfile::disable(&store.place(), &self.key, &mut store.scope.clone(), now)
        })?;
        self.report(&store, Action::KeyDisable, "disabled", &done, now)
    }

    pub(super) fn enable(&self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let store = Store::open(&self.place, now)?;
        let done = patiently(EDITING, || {
            keyfile::enable(&store.place(), &self.key, &mut store.scope.clone(), now)
        })?;
        self.report(&store, Action::KeyEnable, "enabled", &done, now)
    }

    /// Says what was done, and puts it on record.
    fn report(
        &self,
        store: &Store,
        action: Action,
        word: &str,
        done: &Changed,
        now_unix: i64,
    ) -> anyhow::Result<ExitCode> {
        if done.written {
            trail::record(store, action, done, now_unix);
        }
        let view = &done.after;
        let text = if self.json {
            let object = json!({
                "id": view.id,
                "done": word,
                "changed": done.written,
                "state": view.state.word(),
                "file": done.file.display().to_string(),
                "before": done.before,
                "after": view,
            });
            format!("{object:#}\n")
        } else {
            let already = if done.written { "" } else { "already " };
            format!("{}  {}  {already}{word}\n", view.id, view.name)
        };
        print(&text)?;
        if !self.json {
            tell(format_args!("file   {}", done.file.display()));
            tell(format_args!("state  {}", view.state));
            if let Some(since) = view.revoked_at {
                let why = view
                    .revoked_reason
                    .as_ref()
                    .map_or_else(String::new, |reason| format!(": {reason}"));
                tell(format_args!("since  {}{why}", date_time(since)));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
