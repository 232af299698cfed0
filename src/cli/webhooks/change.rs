//! `keygate webhooks pause`, `resume` and `replay`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::activity::word;
use super::ask::{Place, get, post, query, segment, webhook};
use super::text::since;
use crate::cli::admin::client::Client;
use crate::cli::failure::BadInput;
use crate::cli::keys::arguments::label;
use crate::cli::output::{print, tell};
use crate::control::webhooks::{Replay as Replayed, Switched};
use crate::ledger::read::webhooks::EventsPage;

pub(super) const PAUSE_EXAMPLES: &str = "\
Examples:
  While its receiver is moved:       keygate webhooks pause wh_acme --reason \"moves to another host\"
  And on:                            keygate webhooks resume wh_acme

Exit codes: 0 it is so now, 1 the sidecar says no or cannot be asked, 2 bad input.";
pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  An event that was given up:        keygate webhooks replay msg_1
  Of one of several webhooks:        keygate webhooks replay msg_1 --webhook wh_acme
  All dead letters of a webhook:     keygate webhooks events wh_acme --state dead --json | jq -r '.events[].event_id' |
                                       xargs -I{} keygate webhooks replay {} --webhook wh_acme

Exit codes: 0 it is due, 1 the sidecar says no or cannot be asked, 2 bad input, or several webhooks have such an event.";

/// How many webhooks with one event are told of.
const TOLD: usize = 100;

/// Arguments of `keygate webhooks pause`.
#[derive(Args)]
pub(in crate::cli) struct Pause {
    /// Why, for people: it is shown as long as the webhook is paused, and goes on record.
    #[arg(long, value_name = "TEXT", value_parser = label)]
    reason: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Arguments of `keygate webhooks resume`.
#[derive(Args)]
pub(in crate::cli) struct Target {
    /// The webhook's id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Arguments of `keygate webhooks replay`.
#[derive(Args)]
pub(in crate::cli) struct Replay {
    /// The event's id.
    #[arg(value_name = "EVENT")]
    event: String,
    /// The id of its webhook, where several have an event with this id.
    #[arg(long, value_name = "ID")]
    webhook: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Pause {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let wish = match &self.reason {
            Some(reason) => json!({ "reason": reason }),
            None => json!({}),
        };
        self.target.switch("/pause", "paused", &wish)
    }
}

impl Target {
    pub(super) fn resume(self) -> anyhow::Result<ExitCode> {
        self.switch("/resume", "resumed", &json!({}))
    }

    fn switch(self, path: &str, done: &str, wish: &Value) -> anyhow::Result<ExitCode> {
        let switched: Switched = post(&self.place.client()?, &webhook(&self.id, path), wish)?;
        if self.json {
            print(&format!("{:#}\n", serde_json::to_value(&switched)?))?;
            return Ok(ExitCode::SUCCESS);
        }
        let already = if switched.changed { "" } else { "already " };
        print(&format!("{}  {already}{done}\n", switched.webhook))?;
        if let Some(paused) = &switched.paused {
            tell(format_args!("since    {}", since(paused)));
        }
        if switched.waiting > 0 {
            tell(format_args!("waiting  {}", switched.waiting));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.place.client()?;
        let id = match &self.webhook {
            Some(id) => id.clone(),
            None => holder(&client, &self.event)?,
        };
        let path = webhook(&id, &format!("/events/{}/replay", segment(&self.event)));
        let replayed: Replayed = post(&client, &path, &json!({}))?;
        if self.json {
            print(&format!("{:#}\n", serde_json::to_value(&replayed)?))?;
            return Ok(ExitCode::SUCCESS);
        }
        let how = if replayed.changed { "due" } else { "already waiting" };
        print(&format!("{}  {}  {how}\n", replayed.webhook, replayed.event_id))?;
        if let Some(paused) = &replayed.paused {
            tell(format_args!(
                "note: the webhook is paused ({}): it waits until `keygate webhooks resume {}`",
                paused.reason, replayed.webhook
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The one webhook that has an event with this id.
fn holder(client: &Client, event: &str) -> anyhow::Result<String> {
    let query = query(&[("event", Some(event.to_owned())), ("limit", Some(TOLD.to_string()))]);
    let page: EventsPage = get(client, &format!("/admin/v1/webhooks/events?{query}"))?;
    match page.events.as_slice() {
        [] => Err(BadInput::error(
            format!("there is no event {event}"),
            "only those of webhooks with delivery = \"queued\" are kept; `keygate webhooks events` lists them",
        )),
        [one] => Ok(one.webhook.clone()),
        several => {
            let named: Vec<String> = several
                .iter()
                .map(|row| format!("{} ({})", row.webhook, word(row.state)))
                .collect();
            Err(BadInput::error(
                format!("{} webhooks have an event {event}: {}", named.len(), named.join(", ")),
                "say which with --webhook ID",
            ))
        }
    }
}
