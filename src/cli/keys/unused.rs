//! `keygate keys unused`

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::store::Store;
use super::{Where, date_time};
use crate::cli::failure::BadInput;
use crate::cli::output::{print, tell};
use crate::cli::state_file::{Since, since};
use crate::clock;
use crate::config::records::{Dead, KeyState, View};
use crate::ledger::read::{self, Uses};
use crate::policy::permissions::Sets;

pub(super) const EXAMPLES: &str = "\
Examples:
  What nobody used for a month:      keygate keys unused --since 30d
  Only ids of unused keys:           keygate keys unused --json | jq -r '.keys[] | select(.unused) | .id'
  What keys could do without:        keygate keys unused --json | jq '.keys[] | {id, unused_permissions}'";

/// Arguments of `keygate keys unused`.
#[derive(Debug, Args)]
pub struct Unused {
    #[command(flatten)]
    place: Where,
    /// The state file [default: `path` under `state` in the configuration].
    #[arg(long, value_name = "STATE")]
    state: Option<PathBuf>,
    /// Since when: 30d, or a date.
    #[arg(long, value_name = "TIME", value_parser = since, default_value = "30d")]
    since: Since,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What could be narrowed.
#[derive(Serialize)]
struct Found<'a> {
    since: String,
    /// Before that, nothing was counted.
    counted_since: Option<&'a str>,
    permissions_counted_since: Option<&'a str>,
    keys: Vec<Narrowable<'a>>,
}

/// A key that is not used, or not for all that it may do.
#[derive(Serialize)]
struct Narrowable<'a> {
    id: &'a str,
    name: &'a str,
    organization: &'a str,
    /// Whether it was not used at all since then.
    unused: bool,
    /// Whether it is younger than that itself; `null` where its record does not say.
    young: Option<bool>,
    created_at: Option<String>,
    last_used: Option<&'a str>,
    /// Those that its record names, and that no route asked it for since then.
    unused_permissions: Vec<&'a str>,
    /// What routes did ask it for, each with its last time: what it could have instead of a wildcard or a set.
    used_permissions: BTreeMap<&'a str, &'a str>,
}

impl Unused {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let mut store = Store::open(&self.place, now)?;
        let records = store.records()?;
        let settings = store.settings.as_ref();
        let state = self.state.or_else(|| Some(store.state()?.to_owned()));
        let state = state.ok_or_else(|| {
            BadInput::error(
                "without a state, nobody knows what was used",
                "add [state] with path = \"keygate.db\" to the configuration, or name a state file with --state FILE",
            )
        })?;
        let uses = read::uses(&state)?;
        let sets = Sets::compile(settings.map_or(&[], |settings| &settings.permissions));
        let dead = Dead::of(&records);
        let views: Vec<View> = records
            .keys
            .iter()
            .map(|key| View::of(key, &records, &store.scope, &dead, now))
            .collect();
        let since = date_time(self.since.unix(now));
        let found = Found {
            keys: narrowable(&views, &uses, &sets, &since),
            counted_since: uses.counted_since.as_deref(),
            permissions_counted_since: uses.permissions_counted_since.as_deref(),
            since,
        };
        let text = if self.json {
            format!("{:#}\n", serde_json::to_value(&found)?)
        } else if io::stdout().is_terminal() {
            table(&found.keys)
        } else {
            found.keys.iter().map(|key| key.columns().join("\t") + "\n").collect()
        };
        print(&text)?;
        if !self.json {
            found.caution();
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Keys that are accepted now, and could do without something.
fn narrowable<'a>(views: &'a [View], uses: &'a Uses, sets: &Sets, since: &str) -> Vec<Narrowable<'a>> {
    let active = views.iter().filter(|view| view.state == KeyState::Active);
    active
        .map(|view| Narrowable::of(view, uses, sets, since))
        .filter(|key| key.unused || !key.unused_permissions.is_empty())
        .collect()
}

impl<'a> Narrowable<'a> {
    fn of(key: &'a View, uses: &'a Uses, sets: &Sets, since: &str) -> Self {
        let last_used = uses.keys.get(&key.id).map(|last| &*last.used_at);
        let used_permissions: BTreeMap<&str, &str> = uses
            .permissions
            .get(&key.id)
            .into_iter()
            .flatten()
            .map(|(permission, at)| (&**permission, &**at))
            .filter(|(_, at)| *at >= since)
            .collect();
        let is_used = |held: &&String| {
            let comes_to = sets.expand(&[held.as_str()]);
            used_permissions.keys().any(|used| comes_to.contains(used))
        };
        let created_at = key.created_at.map(date_time);
        Self {
            id: &key.id,
            name: &key.name,
            organization: &key.organization,
            unused: last_used.is_none_or(|at| at < since),
            young: created_at.as_deref().map(|created| created > since),
            created_at,
            last_used,
            unused_permissions: key
                .permissions
                .iter()
                .filter(|held| !is_used(held))
                .map(|held| &**held)
                .collect(),
            used_permissions,
        }
    }

    fn columns(&self) -> [String; 6] {
        let age = match self.young {
            Some(true) => "young",
            Some(false) => "old",
            None => "-",
        };
        let permissions = if self.unused_permissions.is_empty() {
            "-".to_owned()
        } else {
            self.unused_permissions.join(",")
        };
        [
            self.id.to_owned(),
            self.name.to_owned(),
            self.organization.to_owned(),
            self.last_used.unwrap_or("never").to_owned(),
            age.to_owned(),
            permissions,
        ]
    }
}

impl Found<'_> {
    /// What was not counted may have happened.
    fn caution(&self) {
        let late = |began: Option<&str>| began.filter(|began| **began > *self.since).map(str::to_owned);
        if let Some(began) = late(self.counted_since) {
            tell(format_args!(
                "Use is counted since {began} only: before that, any of these may have been used."
            ));
        } else if let Some(began) = late(self.permissions_counted_since) {
            tell(format_args!(
                "The use of permissions is counted since {began} only: before that, any of them may have been needed."
            ));
        }
        if self.keys.is_empty() && io::stderr().is_terminal() {
            tell("Every key was used, with all that it may do.");
        }
    }
}

fn table(keys: &[Narrowable<'_>]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["ID", "NAME", "ORGANIZATION", "LAST USED", "AGE", "UNUSED PERMISSIONS"]);
    for key in keys {
        table.add_row(key.columns());
    }
    format!("{}\n", table.trim_fmt())
}
