//! `keygate webhooks list` and `keygate webhooks show`

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Args;

use super::ask::{Place, get, pages, query, webhook};
use super::text::{said, since, table};
use crate::cli::admin::client::Client;
use crate::cli::failure::BadInput;
use crate::cli::output::{print, tell};
use crate::clock;
use crate::config::webhooks;
use crate::control::webhooks::{Page, View};
use crate::ledger::read::webhooks::{self as state, Standing};

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  All webhooks:                      keygate webhooks list
  Those of one customer:             keygate webhooks list --organization 42
  Those that are paused:             keygate webhooks list --json | jq -r '.webhooks[] | select(.paused) | .id'

Exit codes: 0 done, 1 the sidecar says no, 2 bad input.";
pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  How does it stand?                 keygate webhooks show wh_acme
  Has its receiver moved?            keygate webhooks show wh_acme --json | jq .rotation

Exit codes: 0 done, 1 the sidecar says no, 2 bad input.";

const HEADING: [&str; 10] = [
    "ID",
    "ORGANIZATION",
    "URL",
    "EVENTS",
    "SIGN",
    "DELIVERY",
    "STATE",
    "WAITING",
    "DEAD",
    "LAST ATTEMPT",
];

/// Arguments of `keygate webhooks list`.
#[derive(Args)]
pub(in crate::cli) struct List {
    /// Only webhooks of the organization with this id.
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Print JSON: an object with webhooks.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keygate webhooks show`.
#[derive(Args)]
pub(in crate::cli) struct Show {
    /// The webhook's id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let wants = |view: &View| {
            self.organization
                .as_ref()
                .is_none_or(|wanted| *wanted == view.organization)
        };
        let views = self.place.ask_or_read(
            |client| listed(client, self.organization.as_ref()),
            || Ok(from_files(&self.place)?.into_iter().filter(wants).collect()),
        )?;
        let lines: Vec<[String; 10]> = views.iter().map(columns).collect();
        let text = if self.json {
            format!(
                "{:#}\n",
                serde_json::to_value(Page {
                    webhooks: views,
                    next: None
                })?
            )
        } else if io::stdout().is_terminal() {
            table(&HEADING, &lines)
        } else {
            lines.iter().map(|line| line.join("\t") + "\n").collect()
        };
        print(&text)?;
        if !self.json && lines.is_empty() && io::stderr().is_terminal() {
            tell("There are no such webhooks.");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let view = self.place.ask_or_read(
            |client| get(client, &webhook(&self.id, "")),
            || {
                let mut views = from_files(&self.place)?.into_iter();
                views.find(|view| view.id == self.id).ok_or_else(|| unknown(&self.id))
            },
        )?;
        let text = if self.json {
            format!("{:#}\n", serde_json::to_value(&view)?)
        } else {
            described(&view)
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn unknown(id: &str) -> anyhow::Error {
    BadInput::error(
        format!("there is no webhook {id}"),
        "`keygate webhooks list` lists them",
    )
}

/// All of them, as a sidecar knows them.
fn listed(client: &Client, organization: Option<&String>) -> anyhow::Result<Vec<View>> {
    let (views, _) = pages(usize::MAX, |limit, after: Option<&String>| {
        let query = query(&[
            ("organization", organization.cloned()),
            ("limit", Some(limit.to_string())),
            ("after", after.cloned()),
        ]);
        let page: Page = get(client, &format!("/admin/v1/webhooks?{query}"))?;
        Ok((page.webhooks, page.next))
    })?;
    Ok(views)
}

/// All of them, as the configuration and the state file know them.
fn from_files(place: &Place) -> anyhow::Result<Vec<View>> {
    let configured = webhooks::load(&place.configuration.config)?;
    let list = configured.map_or_else(Vec::new, |webhooks| webhooks.list.to_vec());
    let mut standings: BTreeMap<String, Standing> = match place.state()? {
        // Before the first run there is none.
        Some(path) if path.exists() => state::standings(&path)?,
        Some(_) | None => BTreeMap::new(),
    };
    let now = clock::unix();
    let mut views: Vec<View> = list
        .iter()
        .map(|webhook| {
            let standing = standings.remove(&webhook.id).unwrap_or_default();
            View::of(webhook, standing, None, now)
        })
        .collect();
    views.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(views)
}

fn columns(view: &View) -> [String; 10] {
    let last = view.last.as_ref();
    [
        view.id.clone(),
        view.organization.clone(),
        view.url.clone(),
        view.events.join(","),
        view.sign.join(","),
        view.delivery.clone(),
        state(view),
        view.waiting.to_string(),
        view.dead.to_string(),
        last.map_or_else(|| "-".to_owned(), |last| format!("{} {}", last.at, said(last))),
    ]
    .map(|text| text.replace(char::is_control, " "))
}

/// In a word.
fn state(view: &View) -> String {
    match &view.paused {
        _ if !view.active => "inactive".to_owned(),
        Some(paused) => format!("paused ({})", paused.reason),
        None if view.failing_since.is_some() => "failing".to_owned(),
        None => "active".to_owned(),
    }
}

fn described(view: &View) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // A string takes everything.
        let _ = writeln!(text, "{name:<13} {}", value.replace(char::is_control, " "));
    };
    line("id", &view.id);
    line("organization", &view.organization);
    line("url", &view.url);
    line("events", &view.events.join(", "));
    line("sign", &view.sign.join(", "));
    let ordered = if view.ordered { ", in order" } else { "" };
    line("delivery", &format!("{}{ordered}", view.delivery));
    line("state", &state(view));
    if let Some(paused) = &view.paused {
        line("paused", &format!("since {}", since(paused)));
    }
    if let Some(since) = &view.failing_since {
        line("failing", &format!("since {since}, in {} attempts", view.failures));
    }
    if let Some(rotation) = &view.rotation {
        let until = rotation
            .until
            .as_ref()
            .map_or_else(String::new, |until| format!(", until {until}"));
        let moved = match (rotation.sends.as_str(), rotation.moved) {
            ("both", _) => "both secrets sign",
            (_, Some(true)) => "the receiver takes the new secret: the previous one can go",
            (_, Some(false)) => "the receiver takes the previous secret still",
            (_, None) => "not known yet which secret the receiver takes",
        };
        line("rotation", &format!("{moved}{until}"));
    }
    line("waiting", &view.waiting.to_string());
    line("dead", &view.dead.to_string());
    if let Some(last) = &view.last {
        line(
            "last attempt",
            &format!(
                "{} {} ({} of {}, {} ms)",
                last.at,
                said(last),
                last.attempt,
                last.event_id,
                last.duration_ms
            ),
        );
    }
    text
}
