//! `keygate reload`: has a running sidecar read its files again, and says what became of it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::Configuration;
use super::admin::client::Sidecar;
use super::output::{print, tell};
use crate::control::reload::Outcome;

pub(super) const EXAMPLES: &str = "\
Examples:
  Read the files again, now:                keygate reload
  Let many keys go, which was held:         keygate reload --accept
  Only the very content that was looked at: keygate reload --accept 5f3c…

Exit codes: 0 what the files say is in force, 1 it is not, or the sidecar cannot be asked, 2 bad input.";

/// A reload of many keys takes a while; the sidecar itself waits less.
const PATIENCE: Duration = Duration::from_secs(58);

/// Arguments of `keygate reload`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Also apply a change that is held because too many keys would go. DIGEST, as it was told, names the content that is
    /// meant; without it, that is what is held now. Needs the role admin.
    #[arg(long, value_name = "DIGEST", num_args = 0..=1, value_parser = digest)]
    accept: Option<Option<String>>,
    #[command(flatten)]
    sidecar: Sidecar,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    configuration: Configuration,
}

/// What names the content that is meant. An empty one, as from a variable that nobody has set, means nothing.
fn digest(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("write the 64 hexadecimal digits that were told".to_owned())
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let wish = match &self.accept {
            None => json!({}),
            Some(None) => json!({ "accept": true }),
            Some(Some(digest)) => json!({ "accept": true, "digest": digest }),
        };
        let client = self.sidecar.client(&self.configuration.config)?.patient(PATIENCE);
        let text = client.post("/admin/v1/reload", &wish)?;
        let value: Value = serde_json::from_str(&text).context("the answer is not JSON")?;
        let outcome = serde_json::from_value::<Outcome>(value).ok();
        if self.json {
            print(&text)?;
        } else {
            describe(outcome.as_ref())?;
        }
        Ok(match outcome {
            Some(Outcome::Applied { .. } | Outcome::Unchanged { .. }) => ExitCode::SUCCESS,
            Some(Outcome::Refused { .. } | Outcome::Held(_)) | None => ExitCode::FAILURE,
        })
    }
}

fn describe(outcome: Option<&Outcome>) -> anyhow::Result<()> {
    match outcome {
        Some(Outcome::Applied { generation }) => print(&format!("applied: generation {generation}\n"))?,
        Some(Outcome::Unchanged { generation }) => {
            print(&format!("unchanged: generation {generation} is what the files say\n"))?;
        }
        Some(Outcome::Refused { problems }) => {
            problems.iter().for_each(tell);
            tell("refused: the last good generation stays in force");
        }
        Some(Outcome::Held(held)) => tell(format_args!(
            "held: {} of {} keys would go, and nobody revoked them\n  help: mend the files, or, if this is meant: keygate reload \
             --accept {}",
            held.dropped, held.of, held.digest
        )),
        None => tell("pending: it takes longer than usual, and goes on; `keygate status` tells when it is done"),
    }
    Ok(())
}
