//! `keygate keys rotate`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::store::Store;
use super::{Target, arguments, date_time, show, trail};
use crate::cli::output::{deliver, tell};
use crate::cli::progress::{EDITING, patiently};
use crate::clock;
use crate::control::keyfile::{self, Rotated, Rotation};
use crate::ledger::audit::Action;

pub(super) const EXAMPLES: &str = "\
Examples:
  A secret that may have leaked; the old one stops now:
    KEY=$(keygate keys rotate backend-prod)
  By plan, with a day to hand the new one over:
    KEY=$(keygate keys rotate backend-prod --overlap 24h)";

/// Arguments of `keygate keys rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    #[command(flatten)]
    target: Target,
    /// For how long the old secret stays good beside the new one: 24h, 7d, or 0. The default is 0, as whoever rotates in
    /// haste has a leak: the old secret stops at once, open connections included. An overlap never outlives the key.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = arguments::duration)]
    overlap: Duration,
}

impl Rotate {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let store = Store::open(&self.target.place, now)?;
        let mut scope = store.scope.clone();
        let rotation = Rotation {
            overlap: i64::try_from(self.overlap.as_secs()).unwrap_or(i64::MAX),
            prefixes: store.prefixes(),
            peppers: store.peppers(),
        };
        let done = patiently(EDITING, || {
            keyfile::rotate(&store.place(), &self.target.key, &rotation, &mut scope, now)
        })?;
        trail::record(&store, Action::KeyRotate, &done.changed, now);
        if !self.target.json {
            describe(&done);
        }
        let text = Zeroizing::new(self.text(&done));
        deliver(&text).with_context(|| {
            format!(
                "the key {} was rotated, but its new secret could not be printed and is lost: rotate it again",
                done.changed.after.id
            )
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn text(&self, done: &Rotated) -> String {
        let secret = done.secret.expose();
        if !self.target.json {
            return format!("{secret}\n");
        }
        let view = &done.changed.after;
        let object = json!({
            "id": view.id,
            "secret": secret,
            "hint": view.hint,
            "organization": view.organization,
            "file": done.changed.file.display().to_string(),
            "expires_at": view.expires_at.map(date_time),
            "rotated_at": view.rotated_at.map(date_time),
            "overlap_ends": done.overlap_ends.map(date_time),
        });
        format!("{object}\n")
    }
}

/// Everything but the secret, on standard error.
fn describe(done: &Rotated) {
    let view = &done.changed.after;
    tell(format_args!("key           {}  {}", view.id, view.name));
    tell(format_args!("file          {}", done.changed.file.display()));
    tell(format_args!("hint          {}", view.hint.as_deref().unwrap_or("-")));
    tell(format_args!("expires       {}", show::expires(view)));
    match done.overlap_ends {
        Some(end) => tell(format_args!("old secret    good until {}", date_time(end))),
        None => tell("old secret    ended"),
    }
    tell("The new secret is on standard output, this once. It is stored nowhere.");
}
