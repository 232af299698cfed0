//! `keygate usage`: how keys were used, as the state file remembers it.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};

use super::output::{print, tell};
use super::state_file::{Since, StateFile, since};
use crate::clock;
use crate::ledger::read::{self, By, Counts, KeyUsage, Usage, UsageQuery};

pub(super) const EXAMPLES: &str = "\
Examples:
  All keys, over the last week:      keygate usage
  One customer, day by day:          keygate usage 42 --since 30d --by day
  For programs:                      keygate usage --json | jq '.keys[] | {key, requests}'";

/// Arguments of `keygate usage`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only the key with this id, or the keys of the organization with this id.
    #[arg(value_name = "KEY|ORG")]
    of: Option<String>,
    #[command(flatten)]
    place: StateFile,
    /// Since when: 7d, 36h, or a date; whole hours.
    #[arg(long, value_name = "TIME", value_parser = since, default_value = "7d")]
    since: Since,
    /// Hour by hour, or day by day.
    #[arg(long, value_enum)]
    by: Option<Piece>,
    /// At most so many keys, those with the most requests first.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    limit: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A piece of time, as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Piece {
    Hour,
    /// In UTC.
    Day,
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let query = UsageQuery {
            of: self.of,
            since: self.since.unix(clock::unix()),
            until: None,
            by: self.by.map(|by| match by {
                Piece::Hour => By::Hour,
                Piece::Day => By::Day,
            }),
            limit: self.limit,
            offset: 0,
        };
        let usage = read::usage(&self.place.find()?, &query)?;
        let text = if self.json {
            format!("{:#}\n", serde_json::to_value(&usage)?)
        } else {
            let lines = lines(&usage, query.by.is_some());
            if io::stdout().is_terminal() {
                table(&lines, query.by.is_some())
            } else {
                lines.iter().map(|line| line.join("\t") + "\n").collect()
            }
        };
        print(&text)?;
        if !self.json {
            if usage.keys.is_empty() {
                let of = query.of.map_or_else(String::new, |of| format!(" of {of}"));
                tell(format_args!("Nothing{of} was counted since {}.", usage.since));
            } else if usage.more {
                tell(format_args!(
                    "There are more than {} keys: --limit shows them.",
                    self.limit
                ));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// One for each key, or for each of its pieces of time.
fn lines(usage: &Usage, by: bool) -> Vec<Vec<String>> {
    if !by {
        return usage.keys.iter().map(of_key).collect();
    }
    let periods = usage.keys.iter().flat_map(|key| {
        key.periods.iter().map(|period| {
            let mut line = vec![period.begins.clone(), key.key.clone(), key.organization.clone()];
            line.extend(numbers(&period.counts));
            line
        })
    });
    let mut lines: Vec<Vec<String>> = periods.collect();
    lines.sort();
    lines
}

fn of_key(key: &KeyUsage) -> Vec<String> {
    let told = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
    let last = key.last_use.as_ref();
    let mut line = vec![key.key.clone(), key.organization.clone()];
    line.extend(numbers(&key.total));
    line.push(told(last.map(|last| &last.used_at)));
    line.push(told(last.and_then(|last| last.network.as_ref())));
    line.push(told(last.and_then(|last| last.route.as_ref())));
    line
}

fn numbers(counts: &Counts) -> [String; 6] {
    let refusals: Vec<String> = counts
        .refusals
        .iter()
        .map(|(code, requests)| format!("{code}={requests}"))
        .collect();
    [
        counts.requests.to_string(),
        counts.refused.to_string(),
        counts.failed.to_string(),
        counts.bytes_in.to_string(),
        counts.bytes_out.to_string(),
        if refusals.is_empty() {
            "-".to_owned()
        } else {
            refusals.join(",")
        },
    ]
}

fn table(lines: &[Vec<String>], by: bool) -> String {
    if lines.is_empty() {
        return String::new();
    }
    const COUNTS: [&str; 6] = ["REQUESTS", "REFUSED", "FAILED", "BYTES IN", "BYTES OUT", "REFUSALS"];
    let (before, after): (&[&str], &[&str]) = if by {
        (&["BEGINS", "KEY", "ORGANIZATION"], &[])
    } else {
        (&["KEY", "ORGANIZATION"], &["LAST USED", "FROM", "ROUTE"])
    };
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header([before, &COUNTS, after].concat());
    for line in lines {
        table.add_row(line);
    }
    format!("{}\n", table.trim_fmt())
}
