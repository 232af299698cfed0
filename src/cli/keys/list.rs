//! `keygate keys list`

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::{Value, json};

use super::store::Store;
use super::{Where, date_time};
use crate::cli::output::{print, tell};
use crate::clock;
use crate::config::records::{Key, KeyState, Organization, Records, Scope};
use crate::ledger::read::LastUse;

pub(super) const EXAMPLES: &str = "\
Examples:
  All keys:                          keygate keys list
  The ids of one customer's keys:    keygate keys list --organization 42 | cut -f1
  What has ended:                    keygate keys list --state expired
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
    /// Print a JSON array with everything that a record says, except hashes and metadata.
    #[arg(long)]
    json: bool,
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
        let last_use = store.last_use();
        let shown: Vec<Shown<'_>> = records
            .keys
            .iter()
            .map(|key| Shown::new(key, &records, &store.scope, now).used(&last_use))
            .filter(|shown| self.wants(shown))
            .collect();
        let text = if self.json {
            let objects: Vec<Value> = shown.iter().map(Shown::json).collect();
            format!("{:#}\n", Value::Array(objects))
        } else if io::stdout().is_terminal() {
            table(&shown)
        } else {
            shown.iter().map(|shown| shown.columns().join("\t") + "\n").collect()
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

    fn wants(&self, shown: &Shown<'_>) -> bool {
        let organization = shown.organization;
        self.state.is_none_or(|state| state.state() == shown.state)
            && self
                .organization
                .as_ref()
                .is_none_or(|wanted| *wanted == organization.id || organization.name.as_ref() == Some(wanted))
    }
}

/// A key with what its record refers to.
pub(super) struct Shown<'a> {
    key: &'a Key,
    organization: &'a Organization,
    environment: Option<&'a str>,
    plan: Option<&'a str>,
    state: KeyState,
    last_use: Option<&'a LastUse>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(key: &'a Key, records: &'a Records, scope: &'a Scope, now_unix: i64) -> Self {
        Self {
            key,
            organization: &records.organizations[key.organization as usize],
            environment: key.environment.map(|id| scope.environments.name(id.0)),
            plan: key.plan.map(|id| scope.plans.name(id.0)),
            state: key.state(now_unix),
            last_use: None,
        }
    }

    /// With when it was last used, if it was.
    pub(super) fn used(self, last_use: &'a HashMap<String, LastUse>) -> Self {
        Self {
            last_use: last_use.get(&self.key.id),
            ..self
        }
    }

    fn columns(&self) -> [String; 9] {
        [
            self.key.id.clone(),
            self.key.name.clone(),
            self.organization.id.clone(),
            self.environment.unwrap_or("-").to_owned(),
            if self.key.permissions.is_empty() {
                "-".to_owned()
            } else {
                self.key.permissions.join(",")
            },
            self.state.word().to_owned(),
            self.key.end().map_or_else(|| "never".to_owned(), date_time),
            self.key.hint.clone().unwrap_or_else(|| "-".to_owned()),
            self.last_use
                .map_or_else(|| "-".to_owned(), |last| last.used_at.clone()),
        ]
    }

    /// What `verify` tells about it.
    pub(super) fn lines(&self) -> String {
        let name = self.organization.name.as_deref().unwrap_or_default();
        let [
            id,
            key_name,
            organization,
            environment,
            permissions,
            state,
            expires,
            _,
            _,
        ] = self.columns();
        format!(
            "key           {id}  {key_name}\norganization  {organization}  {name}\nenvironment   {environment}\npermissions   \
             {permissions}\nstate         {state}\nexpires       {expires}\n"
        )
    }

    pub(super) fn json(&self) -> Value {
        let key = self.key;
        json!({
            "id": key.id,
            "name": key.name,
            "organization": self.organization.id,
            "organization_name": self.organization.name,
            "environment": self.environment,
            "permissions": key.permissions,
            "subscriptions": key.subscriptions,
            "plan": self.plan,
            "state": self.state.word(),
            "created_at": key.created_at.map(date_time),
            "not_before": key.not_before.map(date_time),
            "expires_at": key.end().map(date_time),
            "revoked_at": key.revoked_at.map(date_time),
            "allowed_sources": key.allowed_sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "owner": key.owner,
            "hint": key.hint,
            "last_use": self.last_use,
        })
    }
}

fn table(shown: &[Shown<'_>]) -> String {
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
        table.add_row(one.columns());
    }
    for index in UNBROKEN {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    format!("{}\n", table.trim_fmt())
}
