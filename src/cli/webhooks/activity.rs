//! `keygate webhooks activity` and `keygate webhooks events`

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::ask::{Place, get, pages, query};
use super::text::{said, table};
use crate::cli::output::{print, tell};
use crate::cli::state_file::{Since, since};
use crate::clock;
use crate::ledger::read::webhooks::{
    self as state, ActivityPage, ActivityQuery, AttemptRow, EventRow, EventState, EventsPage, EventsQuery,
};

pub(super) const ACTIVITY_EXAMPLES: &str = "\
Examples:
  What was sent lately:              keygate webhooks activity
  What failed in the last day:       keygate webhooks activity wh_acme --failed --since 1d
  What became of one event:          keygate webhooks activity --event msg_1
  For programs:                      keygate webhooks activity --json | jq -r '.attempts[].error'

Exit codes: 0 done, 1 the sidecar says no, 2 bad input.";
pub(super) const EVENTS_EXAMPLES: &str = "\
Examples:
  The dead letters:                  keygate webhooks events --state dead
  What waits for a webhook:          keygate webhooks events wh_acme --state waiting

Exit codes: 0 done, 1 the sidecar says no, 2 bad input.";

/// Arguments of `keygate webhooks activity`.
#[derive(Args)]
pub(in crate::cli) struct Activity {
    /// Only of the webhook with this id.
    #[arg(value_name = "ID")]
    webhook: Option<String>,
    /// Only of the event with this id.
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only attempts that did not deliver.
    #[arg(long)]
    failed: bool,
    /// Since when: 7d, 36h, or a date.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// At most so many, the newest first.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    place: Place,
    /// Print JSON: an object with attempts, and with next where there are more.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keygate webhooks events`.
#[derive(Args)]
pub(in crate::cli) struct Events {
    /// Only of the webhook with this id.
    #[arg(value_name = "ID")]
    webhook: Option<String>,
    /// Only those in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// At most so many, those that were accepted last first.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    place: Place,
    /// Print JSON: an object with events, and with next where there are more.
    #[arg(long)]
    json: bool,
}

/// A state, as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// Its next attempt will come.
    Waiting,
    /// It has arrived.
    Delivered,
    /// It was given up.
    Dead,
}

impl Activity {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let wanted = ActivityQuery {
            webhook: self.webhook,
            event: self.event,
            failed: self.failed,
            since: self.since.map(|since| since.unix(now)),
            until: None,
            before: None,
            limit: self.limit,
        };
        let page = self.place.ask_or_read(
            |client| {
                let (attempts, next) = pages(self.limit as usize, |limit, before: Option<&i64>| {
                    let query = query(&[
                        ("webhook", wanted.webhook.clone()),
                        ("event", wanted.event.clone()),
                        ("failed", wanted.failed.then(|| "true".to_owned())),
                        ("since", wanted.since.map(moment)),
                        ("limit", Some(limit.to_string())),
                        ("before", before.map(ToString::to_string)),
                    ]);
                    let page: ActivityPage = get(client, &format!("/admin/v1/webhooks/activity?{query}"))?;
                    Ok((page.attempts, page.next))
                })?;
                Ok(ActivityPage { attempts, next })
            },
            || Ok(state::activity(&self.place.state_file()?, &wanted)?),
        )?;
        let heading = ["AT", "WEBHOOK", "EVENT", "TYPE", "ATTEMPT", "DELIVERY", "RESULT", "MS"];
        show(&page, self.json, &heading, page.attempts.iter().map(attempt).collect())?;
        finish(self.json, page.attempts.len(), page.next.is_some())
    }
}

impl Events {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let wanted = EventsQuery {
            webhook: self.webhook,
            event: None,
            state: self.state.map(|state| match state {
                State::Waiting => EventState::Waiting,
                State::Delivered => EventState::Delivered,
                State::Dead => EventState::Dead,
            }),
            before: None,
            limit: self.limit,
        };
        let page = self.place.ask_or_read(
            |client| {
                let (events, next) = pages(self.limit as usize, |limit, before: Option<&i64>| {
                    let query = query(&[
                        ("webhook", wanted.webhook.clone()),
                        ("state", wanted.state.map(|state| word(state).to_owned())),
                        ("limit", Some(limit.to_string())),
                        ("before", before.map(ToString::to_string)),
                    ]);
                    let page: EventsPage = get(client, &format!("/admin/v1/webhooks/events?{query}"))?;
                    Ok((page.events, page.next))
                })?;
                Ok(EventsPage { events, next })
            },
            || Ok(state::events(&self.place.state_file()?, &wanted)?),
        )?;
        let heading = [
            "ACCEPTED",
            "WEBHOOK",
            "EVENT",
            "TYPE",
            "STATE",
            "ATTEMPTS",
            "LAST RESULT",
            "DUE OR ENDED",
        ];
        show(&page, self.json, &heading, page.events.iter().map(event).collect())?;
        finish(self.json, page.events.len(), page.next.is_some())
    }
}

fn show(page: &impl Serialize, json: bool, heading: &[&str; 8], lines: Vec<[String; 8]>) -> anyhow::Result<()> {
    let text = if json {
        format!("{:#}\n", serde_json::to_value(page)?)
    } else if io::stdout().is_terminal() {
        table(heading, &lines)
    } else {
        lines.iter().map(|line| line.join("\t") + "\n").collect()
    };
    Ok(print(&text)?)
}

fn finish(json: bool, told: usize, more: bool) -> anyhow::Result<ExitCode> {
    if !json && io::stderr().is_terminal() {
        if more {
            tell("There is more: a larger --limit shows it.");
        } else if told == 0 {
            tell("There is nothing like that.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn attempt(row: &AttemptRow) -> [String; 8] {
    [
        row.at.clone(),
        row.webhook.clone(),
        row.event_id.clone(),
        row.event_type.clone(),
        row.attempt.to_string(),
        row.delivery.clone(),
        said(row),
        row.duration_ms.to_string(),
    ]
    .map(shown)
}

fn event(row: &EventRow) -> [String; 8] {
    [
        row.accepted_at.clone(),
        row.webhook.clone(),
        row.event_id.clone(),
        row.event_type.clone(),
        word(row.state).to_owned(),
        row.attempts.to_string(),
        row.outcome.clone().unwrap_or_default(),
        row.due_at.clone().or(row.ended_at.clone()).unwrap_or_default(),
    ]
    .map(shown)
}

/// What stands in a column: never nothing, and nothing that moves a cursor.
fn shown(text: String) -> String {
    match text.is_empty() {
        true => "-".to_owned(),
        false => text.replace(char::is_control, " "),
    }
}

/// As it is asked for.
pub(super) fn word(state: EventState) -> &'static str {
    match state {
        EventState::Waiting => "waiting",
        EventState::Delivered => "delivered",
        EventState::Dead => "dead",
    }
}

/// A moment in a query. Nothing was sent before 1970.
fn moment(unix: i64) -> String {
    Timestamp::from_second(unix.max(0))
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}
