//! `keygate keys list`

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;

use super::store::Store;
use super::{Where, arguments, show};
use crate::cli::output::{print, tell};
use crate::clock;
use crate::config::records::{Dead, KeyState, View};
use crate::ledger::read::LastUse;

pub(super) const EXAMPLES: &str = "\
Examples:
  All keys:                          keygate keys list
  The ids of one customer's keys:    keygate keys list --organization 42 | cut -f1
  What has ended:                    keygate keys list --state expired
  What ends soon:                    keygate keys list --expiring 14d
  What should be rotated:            keygate keys list --older-than 90d
  For programs:                      keygate keys list --json | jq -r '.[] | select(.expires_at) | .id'";

/// On narrower terminals, lines are left to the terminal to break.
const NARROW: u16 = 100;
/// Columns that are copied from, and so are never broken: id, state, expires, hint, last use.
const UNBROKEN: [usize; 5] = [0, 5, 6, 7, 8];

/// Arguments of `keygate keys list`.
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    place: Where,
    /// Only keys of the organization with this id or name.
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// Only keys in this state.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only keys that are good and end within this time: 14d, 12h.
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    expiring: Option<Duration>,
    /// Only keys whose secret is at least this old, counted from the last rotation, or else from when the key was made; those
    /// of unknown age too, and none that are revoked.
    #[arg(long, value_name = "TIME", value_parser = arguments::duration)]
    older_than: Option<Duration>,
    /// Print a JSON array with everything that a record says, except hashes and metadata.
    #[arg(long)]
    json: bool,
}

/// A key, and when it was last used, as far as that is known.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    view: View,
    last_use: Option<LastUse>,
}

/// A state, as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum State {
    /// Accepted now.
    Active,
    /// Its not_before has not come.
    NotYetValid,
    /// Its end has passed.
    Expired,
    /// Turned off with active = false.
    Disabled,
    /// Revoked for good.
    Revoked,
}

impl State {
    fn state(self) -> KeyState {
        match self {
            Self::Active => KeyState::Active,
            Self::NotYetValid => KeyState::NotYetValid,
            Self::Expired => KeyState::Expired,
            Self::Disabled => KeyState::Disabled,
            Self::Revoked => KeyState::Revoked,
        }
    }
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let mut store = Store::open(&self.place, now)?;
        let records = store.records()?;
        let dead = Dead::of(&records);
        let mut last_use = store.last_use();
        let views = records
            .keys
            .iter()
            .map(|key| View::of(key, &records, &store.scope, &dead, now));
        let shown: Vec<Shown> = views
            .filter(|view| self.wants(view, now))
            .map(|view| Shown {
                last_use: last_use.remove(&view.id),
                view,
            })
            .collect();
        let text = if self.json {
            format!("{:#}\n", serde_json::to_value(&shown)?)
        } else if io::stdout().is_terminal() {
            table(&shown)
        } else {
            shown.iter().map(|one| columns(one).join("\t") + "\n").collect()
        };
        print(&text)?;
        if shown.is_empty() && io::stderr().is_terminal() {
            let which = if records.keys.is_empty() {
                "There are no keys yet."
            } else {
                "No key is like that."
            };
            tell(which);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wants(&self, view: &View, now_unix: i64) -> bool {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let will_be_good = matches!(view.state, KeyState::Active | KeyState::NotYetValid);
        let ends_within = |within: Duration| {
            let limit = now_unix.saturating_add(seconds(within));
            will_be_good && view.expires_at.is_some_and(|end| end <= limit)
        };
        // Where nobody says how old it is, it may be older.
        let is_older = |than: Duration| view.secret_age(now_unix).is_none_or(|age| age >= seconds(than));
        self.state.is_none_or(|state| state.state() == view.state)
            && self.expiring.is_none_or(ends_within)
            && self
                .older_than
                .is_none_or(|than| is_older(than) && view.state != KeyState::Revoked)
            && self
                .organization
                .as_ref()
                .is_none_or(|wanted| *wanted == view.organization || view.organization_name.as_ref() == Some(wanted))
    }
}

fn columns(shown: &Shown) -> [String; 9] {
    let view = &shown.view;
    let last_use = shown.last_use.as_ref();
    [
        view.id.clone(),
        view.name.clone(),
        view.organization.clone(),
        view.environment.clone().unwrap_or_else(|| "-".to_owned()),
        show::permissions(view),
        view.state.word().to_owned(),
        show::expires(view),
        view.hint.clone().unwrap_or_else(|| "-".to_owned()),
        last_use.map_or_else(|| "-".to_owned(), |last| last.used_at.clone()),
    ]
}

fn table(shown: &[Shown]) -> String {
    if shown.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "ID",
        "NAME",
        "ORGANIZATION",
        "ENVIRONMENT",
        "PERMISSIONS",
        "STATE",
        "EXPIRES",
        "HINT",
        "LAST USED",
    ]);
    if table.width().is_some_and(|width| width >= NARROW) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for one in shown {
        table.add_row(columns(one));
    }
    for index in UNBROKEN {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    format!("{}\n", table.trim_fmt())
}
