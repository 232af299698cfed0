//! `keygate keys revoke`, `disable` and `enable`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::push::{self, Push};
use super::store::Store;
use super::{Target, arguments, date_time, trail};
use crate::cli::admin::client::Sidecar;
use crate::cli::output::{print, tell};
use crate::cli::progress::{EDITING, READING, patiently};
use crate::clock;
use crate::control::keyfile::{self, Changed, EditError};
use crate::ledger::audit::Action;
use crate::secret::generated::checksum_ok;

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
    #[command(flatten)]
    sidecar: Sidecar,
}

/// What became of the key file, and how long it took.
type InFile = (anyhow::Result<(Store, Changed)>, Duration);

impl Revoke {
    /// First the push, which is in force at once, and then the file, which may be read-only, or somewhere else.
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        // The sidecar knows ids; where the file says nothing about a name, it is taken for one.
        let found = self.find(now)?;
        let id = found.as_deref().unwrap_or(&self.target.key);
        let push = push::revoke(&self.sidecar, &self.target.place, id, self.reason.as_deref())?;
        let begun = clock::monotonic();
        let in_file = self.in_file(now);
        let took = Duration::from_nanos(clock::monotonic().saturating_sub(begun));
        self.report(id, &push, (in_file, took), now)
    }

    /// The key's id, as the file has it. What is no id but a secret, or the name of several keys, goes nowhere.
    fn find(&self, now: i64) -> anyhow::Result<Option<String>> {
        let found = Store::open(&self.target.place, now).map(|store| {
            patiently(READING, || {
                keyfile::find(&store.place(), &self.target.key, &mut store.scope.clone(), now)
            })
        });
        match found {
            Ok(Ok(found)) => Ok(Some(found.key.id.clone())),
            Ok(Err(error @ (EditError::Secret | EditError::Ambiguous { .. }))) => Err(error.into()),
            Ok(Err(_)) | Err(_) if checksum_ok(self.target.key.as_bytes()) => Err(EditError::Secret.into()),
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    fn in_file(&self, now: i64) -> anyhow::Result<(Store, Changed)> {
        let mut store = Store::open(&self.target.place, now)?;
        // Whatever a sidecar remembers, the file is to say it.
        store.scope.remembered.clear();
        let reason = self.reason.as_deref();
        let done = patiently(EDITING, || {
            keyfile::revoke(&store.place(), &self.target.key, reason, &mut store.scope.clone(), now)
        })?;
        Ok((store, done))
    }

    fn report(&self, id: &str, push: &Push, (in_file, took): InFile, now: i64) -> anyhow::Result<ExitCode> {
        let took_ms = took.as_secs_f64() * 1e3;
        match in_file {
            Ok((store, done)) => {
                let channels = Channels { push, file_ms: took_ms };
                self.target
                    .report(&store, Action::KeyRevoke, "revoked", &done, Some(&channels), now)
            }
            // The key is dead in the sidecar; what remains to be done is somebody else's, or somewhere else.
            Err(error) if push.is_in_force() => {
                let problem = format!("{error:#}");
                if self.target.json {
                    let object = json!({
                        "id": id,
                        "done": "revoked",
                        "changed": push.changed(),
                        "push": push.json(),
                        "file": null,
                        "file_problem": problem,
                    });
                    print(&format!("{object:#}\n"))?;
                } else {
                    let already = if push.changed() { "" } else { "already " };
                    print(&format!("{id}  {already}revoked\n"))?;
                    tell_push(push);
                    tell(format_args!("file   not changed: {problem}"));
                    tell("note: revoke it there too, where the file comes from; until then only this sidecar knows");
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                tell_push(push);
                Err(error)
            }
        }
    }
}

/// How a revocation went.
struct Channels<'a> {
    push: &'a Push,
    file_ms: f64,
}

fn tell_push(push: &Push) {
    if let Some(told) = push.told() {
        tell(format_args!("push   {told}"));
    }
}

impl Target {
    pub(super) fn disable(&self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let store = Store::open(&self.place, now)?;
        let done = patiently(EDITING, || {
            keyfile::disable(&store.place(), &self.key, &mut store.scope.clone(), now)
        })?;
        self.report(&store, Action::KeyDisable, "disabled", &done, None, now)
    }

    pub(super) fn enable(&self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let store = Store::open(&self.place, now)?;
        let done = patiently(EDITING, || {
            keyfile::enable(&store.place(), &self.key, &mut store.scope.clone(), now)
        })?;
        self.report(&store, Action::KeyEnable, "enabled", &done, None, now)
    }

    /// Says what was done, and puts it on record.
    fn report(
        &self,
        store: &Store,
        action: Action,
        word: &str,
        done: &Changed,
        channels: Option<&Channels<'_>>,
        now_unix: i64,
    ) -> anyhow::Result<ExitCode> {
        if done.written {
            trail::record(store, action, done, now_unix);
        }
        let view = &done.after;
        let changed = done.written || channels.is_some_and(|channels| channels.push.changed());
        let text = if self.json {
            let mut object = json!({
                "id": view.id,
                "done": word,
                "changed": changed,
                "state": view.state.word(),
                "file": done.file.display().to_string(),
                "before": done.before,
                "after": view,
            });
            if let Some(channels) = channels {
                object["push"] = channels.push.json();
                object["file_ms"] = json!(channels.file_ms);
            }
            format!("{object:#}\n")
        } else {
            let already = if changed { "" } else { "already " };
            format!("{}  {}  {already}{word}\n", view.id, view.name)
        };
        print(&text)?;
        if !self.json {
            if let Some(channels) = channels {
                tell_push(channels.push);
            }
            let took = channels.map_or_else(String::new, |channels| format!(" ({:.1} ms)", channels.file_ms));
            tell(format_args!("file   {}{took}", done.file.display()));
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
