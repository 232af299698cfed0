//! `keygate status`: what a running sidecar says of itself, and how far a migration has come.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;

use super::Configuration;
use super::admin::client::Sidecar;
use super::output::print;
use crate::control::status::{Legacy, Status, Webhooks};

pub(super) const EXAMPLES: &str = "\
Examples:
  On the machine of the sidecar:     keygate status --admin unix:/run/keygate/admin.sock
  Elsewhere, with a token:           KEYGATE_ADMIN_TOKEN=… keygate status --admin http://127.0.0.1:9901
  May everything be enforced now?    keygate status --json | jq .enforcing_would_refuse";

/// Arguments of `keygate status`.
#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    sidecar: Sidecar,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: Configuration,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.sidecar.client(&self.configuration.config)?;
        let text = client.get("/admin/v1/status")?;
        if self.json {
            print(&text)?;
        } else {
            let status = serde_json::from_str(&text).context("the sidecar is of another version: ask with --json")?;
            print(&summary(&status))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn summary(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // A string takes everything.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    let draining = if status.draining { ", draining" } else { "" };
    line("version", &format!("{}{draining}", status.version));
    line("running", &format!("since {}", date(status.started)));
    line(
        "generation",
        &format!("{}, since {}", status.generation, date(status.generation_since)),
    );
    if status.last_reload == "refused" {
        line("reload", "the files on disk were refused; the log says why");
    }
    if let Some(held) = &status.held {
        line("reload", &format!("held since {}", date(held.since)));
        line(
            "",
            &format!(
                "it would drop {} of {} keys; where that is meant: keygate reload --accept",
                held.dropped, held.of
            ),
        );
        line("", &format!("content {}", held.digest));
    }
    let keys = status.keys.iter().filter(|keys| keys.count > 0);
    let keys: Vec<String> = keys.map(|keys| format!("{} {}", keys.count, keys.state)).collect();
    let keys = if keys.is_empty() {
        "none".to_owned()
    } else {
        keys.join(", ")
    };
    line("keys", &keys);
    if let Some(seen) = status.last_good {
        let said = format!("the last good ones, of {}: the key file is not in force", date(seen));
        line("", &said);
    }
    line("", &format!("the key files were seen {} s ago", status.keys_age));
    for route in &status.not_enforced {
        let methods = match route.methods.is_empty() {
            true => "*".to_owned(),
            false => route.methods.join(","),
        };
        line(&route.enforcement, &format!("{methods} {}", route.route));
    }
    if !status.legacy.is_empty() {
        line("legacy", &left(&status.legacy));
    }
    for entry in &status.legacy {
        line("", &described(entry));
    }
    if let Some(webhooks) = &status.webhooks {
        line("webhooks", &stand(webhooks));
    }
    line("verdict", &status.verdict);
    line("", &format!("counted since {}", date(status.started)));
    text
}

/// How the return path stands.
fn stand(webhooks: &Webhooks) -> String {
    let mut parts = vec![webhooks.registered.to_string()];
    let counts = [
        (webhooks.inactive as u64, "not active"),
        (webhooks.paused as u64, "paused"),
        (webhooks.waiting.unsigned_abs(), "waiting events"),
        (webhooks.dead.unsigned_abs(), "dead events"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    parts.extend(counts.map(|(count, what)| match count {
        1 => format!("1 {}", what.strip_suffix('s').unwrap_or(what)),
        _ => format!("{count} {what}"),
    }));
    parts.join(", ")
}

/// Who is left.
fn left(entries: &[Legacy]) -> String {
    let all: usize = entries.iter().map(|entry| entry.callers).sum();
    match all {
        0 => "nobody came without a key in the last 24 hours".to_owned(),
        1 => "1 caller left".to_owned(),
        _ => format!("{all} callers left"),
    }
}

fn described(entry: &Legacy) -> String {
    let when = if entry.ended {
        format!("ended {}", date(entry.until))
    } else {
        format!("until {}, {} days left", date(entry.until), entry.days_left)
    };
    let note = entry
        .note
        .as_ref()
        .map_or_else(String::new, |note| format!(" ({note})"));
    format!("{}: {}, {when}{note}", entry.name, entry.callers)
}

fn date(unix: i64) -> String {
    Timestamp::from_second(unix).unwrap_or(Timestamp::MAX).to_string()
}
