//! `keygate webhooks test`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::ask::{Place, post, webhook};
use crate::cli::failure::BadInput;
use crate::cli::output::print;
use crate::errand::Sent;

pub(super) const EXAMPLES: &str = "\
Examples:
  Does it take events?               keygate webhooks test wh_acme
  As an event of the service:        keygate webhooks test wh_acme --event message.received --body message.json
  For programs:                      keygate webhooks test wh_acme --json | jq -r .outcome

Exit codes: 0 the receiver took it, 1 it did not, or the sidecar says no or cannot be asked, 2 bad input.";

/// What the sidecar takes, escaped as JSON and with what stands around it.
const BODY_BYTES: usize = 60 << 10;

/// Arguments of `keygate webhooks test`.
#[derive(Args)]
pub(in crate::cli) struct Test {
    /// The webhook's id.
    #[arg(value_name = "ID")]
    id: String,
    /// The event's type [default: keygate.test, or, where the webhook does not take that, the first that it takes].
    #[arg(long, value_name = "TYPE")]
    event: Option<String>,
    /// A file with what is sent, as it is; at most 60 KiB of text [default: a JSON document that says that it is a test].
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut wish = json!({});
        if let Some(event) = &self.event {
            wish["event"] = json!(event);
        }
        if let Some(body) = self.read_body()? {
            wish["body"] = json!(body);
        }
        let sent: Sent = post(&self.place.client()?, &webhook(&self.id, "/test"), &wish)?;
        let text = if self.json {
            format!("{:#}\n", serde_json::to_value(&sent)?)
        } else {
            described(&sent)
        };
        print(&text)?;
        Ok(match sent.outcome.as_str() {
            "delivered" => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    fn read_body(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.body else { return Ok(None) };
        let bad = |what: String| BadInput::error(format!("{} {what}", path.display()), "");
        let bytes = std::fs::read(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
        if bytes.len() > BODY_BYTES {
            return Err(bad("is longer than 60 KiB".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|_| bad("is not UTF-8 text".to_owned()))?;
        Ok(Some(text))
    }
}

fn described(sent: &Sent) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // A string takes everything.
        let _ = writeln!(text, "{name:<9} {}", value.replace(char::is_control, " "));
    };
    line("event", &format!("{} {}", sent.event, sent.event_id));
    line("sent", &format!("{} {}", sent.method, sent.url));
    for header in &sent.headers {
        line("", &format!("{}: {}", header.name, header.value));
    }
    let status = sent.status.map_or_else(String::new, |status| format!(" {status}"));
    line(
        "outcome",
        &format!("{}{status} after {} ms", sent.outcome, sent.duration_ms),
    );
    if let Some(detail) = &sent.detail {
        line("why", detail);
    }
    text
}
