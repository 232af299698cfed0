//! `keygate audit list`

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};

use crate::cli::output::{print, tell};
use crate::cli::state_file::{Since, StateFile, since};
use crate::clock;
use crate::ledger::audit::Action;
use crate::ledger::audit::chain::Row;
use crate::ledger::read::{self, AuditQuery};

pub(super) const EXAMPLES: &str = "\
Examples:
  The last week:                     keygate audit list --since 7d
  What became of a key:              keygate audit list --key key_1a2b
  Every change of a key:             keygate audit list --action key
  For programs:                      keygate audit list --json | jq -r '.entries[].action'";

/// Arguments of `keygate audit list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    place: StateFile,
    /// Only what was done since then: 7d, 36h, or a date.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Only what is about the key with this id.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only this action (key.revoke), or all of its kind (key).
    #[arg(long, value_name = "ACTION", value_parser = action)]
    action: Option<String>,
    /// At most so many entries.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,
    /// Only what came before the row with this number: for the next page.
    #[arg(long, value_name = "SEQ")]
    before: Option<i64>,
    /// Print JSON: an object with entries, and with next where there are more.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let query = AuditQuery {
            since: self.since.map(|since| since.unix(now)),
            until: None,
            key: self.key,
            action: self.action,
            before: self.before,
            limit: self.limit,
        };
        let page = read::audit(&self.place.find()?, &query)?;
        let text = if self.json {
            format!("{:#}\n", serde_json::to_value(&page)?)
        } else if io::stdout().is_terminal() {
            table(&page.entries)
        } else {
            page.entries.iter().map(|row| columns(row).join("\t") + "\n").collect()
        };
        print(&text)?;
        if !self.json && io::stderr().is_terminal() {
            match page.next {
                Some(next) => tell(format_args!("There is more: --before {next}, or a larger --limit.")),
                None if page.entries.is_empty() => tell("There is no such entry."),
                None => {}
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn columns(row: &Row) -> [String; 7] {
    [
        row.seq.to_string(),
        row.at.clone(),
        row.action.clone(),
        row.target.clone().unwrap_or_else(|| "-".to_owned()),
        row.actor.clone(),
        row.source.clone(),
        row.detail.clone(),
    ]
    // What somebody has put there must not move a terminal's cursor, nor a column.
    .map(|text| text.replace(char::is_control, " "))
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["SEQ", "TIME", "ACTION", "SUBJECT", "ACTOR", "SOURCE", "DETAIL"]);
    for row in rows {
        table.add_row(columns(row));
    }
    format!("{}\n", table.trim_fmt())
}

/// An action, or what comes before the point in some.
fn action(text: &str) -> Result<String, String> {
    let words = Action::ALL.map(Action::word);
    let is_known = words
        .iter()
        .any(|word| *word == text || word.split_once('.').is_some_and(|(kind, _)| kind == text));
    if is_known {
        return Ok(text.to_owned());
    }
    Err(format!("known are {}", words.join(", ")))
}
