//! `quota = […]`: how much may be asked for in a calendar day or month, of a plan or of an organization.
//!
//! A room of its own because quotas are not windows: they begin and end with the calendar of a place, hold far more, and
//! are remembered in `[state]`.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use jiff::tz::{self, TimeZone};

use super::environments::Environment;
use super::names;
use super::plans::{DEFAULT, Plan, Scope};
use super::reader::{Item, Place, Table, nearest};
use super::records::Records;
use super::routes::Placed;

/// One quota: `{ name = "month", requests = 100000, per = "month", time_zone = "Europe/Berlin", scope = "organization" }`.
#[derive(Clone, PartialEq, Eq)]
pub struct Quota {
    /// What errors, headers and the state file call it. A token of RFC 9110 characters.
    pub name: String,
    /// How many units in each period; at least 1.
    pub requests: u64,
    /// How long a period is.
    pub per: Per,
    /// Where midnight is midnight: a name of the IANA time zone database, default `UTC`.
    pub time_zone: TimeZone,
    /// Who shares it.
    pub scope: Scope,
}

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
}

/// How many quotas one plan or organization may have.
const MOST_QUOTAS: usize = 8;
/// How many units a quota may hold: what JSON numbers and SQLite hold exactly.
const MOST_REQUESTS: u64 = 1 << 53;
const EXAMPLE: &str = "for example { name = \"month\", requests = 100000, per = \"month\" }";

/// Which scopes a list of quotas may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A plan's: any.
    Plan,
    /// An organization's own: itself.
    Organization,
}

impl Quota {
    /// Whether both would spend the same balance, in different calendars.
    fn disagrees(&self, other: &Self) -> bool {
        self.name == other.name && (self.per, &self.time_zone) != (other.per, &other.time_zone)
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota")
            .field("name", &self.name)
            .field("requests", &self.requests)
            .field("per", &self.per)
            .field("time_zone", &self.time_zone.iana_name())
            .field("scope", &self.scope)
            .finish()
    }
}

/// Reads a list of quotas.
pub(super) fn read(item: &Item<'_>, owner: Owner) -> Vec<Quota> {
    let Some(tables) = item.tables() else {
        return Vec::new();
    };
    if tables.len() > MOST_QUOTAS {
        item.error(format!("has {} quotas", tables.len()), format!("at most {MOST_QUOTAS}"));
    }
    let mut quotas: Vec<Quota> = Vec::with_capacity(tables.len());
    for table in &tables {
        let Some(quota) = read_one(table, owner) else { continue };
        if quotas.iter().any(|other| other.name.eq_ignore_ascii_case(&quota.name)) {
            table.place().error(
                format!("there is already a quota named {:?} here", quota.name),
                "give each quota a name of its own",
            );
        }
        quotas.push(quota);
    }
    quotas
}

fn read_one(table: &Table<'_>, owner: Owner) -> Option<Quota> {
    let name = table.require("name", EXAMPLE);
    let requests = table.require("requests", EXAMPLE);
    let per = table.require("per", EXAMPLE);
    let time_zone = table.get("time_zone");
    let scope = table.get("scope");

    let name = name.and_then(|item| names::token(&item));
    let requests = requests.and_then(|item| item.integer(1..=MOST_REQUESTS));
    let per = per.and_then(|item| item.word(&[("day", Per::Day), ("month", Per::Month)]));
    let time_zone = time_zone.map_or(Some(TimeZone::UTC), |item| read_time_zone(&item));
    let scope = match (scope, owner) {
        (None, _) => Some(Scope::Organization),
        (Some(item), Owner::Plan) => Scope::read(&item),
        (Some(item), Owner::Organization) => item.word(&[("organization", Scope::Organization)]),
    };
    Some(Quota {
        name: name?,
        requests: requests?,
        per: per?,
        time_zone: time_zone?,
        scope: scope?,
    })
}

fn read_time_zone(item: &Item<'_>) -> Option<TimeZone> {
    let name = item.text()?;
    if let Ok(zone) = tz::db().get(name) {
        return Some(zone);
    }
    let known: Vec<String> = tz::db().available().map(|name| name.to_string()).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = match nearest(name, &known).or_else(|| of_that_city(name, &known)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "a name of the IANA time zone database, for example \"Europe/Berlin\"".to_owned(),
    };
    item.error(format!("there is no time zone named {name:?}"), help);
    None
}

/// `Berlin` → `Europe/Berlin`.
fn of_that_city<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let city = name.rsplit('/').next().unwrap_or(name).replace(' ', "_");
    let ends_so = |zone: &&&str| {
        zone.rsplit('/')
            .next()
            .is_some_and(|own| own.eq_ignore_ascii_case(&city))
    };
    known.iter().find(ends_so).copied()
}

/// Refuses routes that cost more than a quota ever holds.
pub(super) fn check_costs(routes: &[Placed<'_>], plans: &[(Plan, Place<'_>)], records: &Records) {
    let of_plans = plans
        .iter()
        .filter_map(|(plan, _)| Some((format!("plan {:?}", plan.name), smallest(&plan.quota)?)));
    let of_organizations = records
        .organizations
        .iter()
        .filter_map(|organization| {
            let quota = smallest(organization.quota.as_deref()?)?;
            Some((format!("organization {:?}", organization.id), quota))
        })
        .min_by_key(|(_, quota)| quota.requests);
    let all: Vec<(String, &Quota)> = of_plans.chain(of_organizations).collect();
    let spending = |placed: &&Placed<'_>| placed.route.access.takes_callers();
    for placed in routes.iter().filter(spending) {
        let cost = placed.route.cost;
        for (who, quota) in all.iter().filter(|(_, quota)| u64::from(cost) > quota.requests) {
            placed.cost.error(
                format!(
                    "costs {cost}, but quota {:?} of {who} never holds more than {}: no such request could be admitted",
                    quota.name, quota.requests
                ),
                "lower `cost`, or raise `requests` of the quota",
            );
        }
    }
}

/// Refuses plans by which keys of one organization would spend one balance in two calendars: it would begin again with
/// whichever period ends first.
pub(super) fn check_calendars(plans: &[(Plan, Place<'_>)], environments: &[Environment], records: &Records) {
    let disagree = |(one, _): &(Plan, Place<'_>), (other, _): &(Plan, Place<'_>)| {
        of_organization(one).any(|quota| of_organization(other).any(|its| quota.disagrees(its)))
    };
    let mut before = plans.iter().enumerate();
    if !before.any(|(index, plan)| plans[..index].iter().any(|other| disagree(plan, other))) {
        return;
    }
    let otherwise = plans.iter().position(|(plan, _)| plan.name == DEFAULT);
    let mut known: HashMap<(u32, &str), (usize, &Quota)> = HashMap::new();
    let mut told = HashSet::new();
    for key in &records.keys {
        let organization = &records.organizations[key.organization as usize];
        let environment = key.environment.map(|id| &environments[usize::from(id.0)]);
        let plan = key.plan.or(environment.and_then(|environment| environment.plan));
        let plan = plan.or(organization.plan).map(|id| usize::from(id.0)).or(otherwise);
        let spends = organization.quota.is_none() && environment.is_none_or(|environment| environment.quota);
        let (true, Some(index)) = (spends, plan) else { continue };
        let (plan, place) = &plans[index];
        for quota in of_organization(plan) {
            let (first, its) = *known.entry((key.organization, &quota.name)).or_insert((index, quota));
            if quota.disagrees(its) && told.insert((index, first)) {
                let (other, id) = (&plans[first].0.name, &organization.id);
                place.error(
                    format!("quota {:?} has another `per` or `time_zone` in plan {other:?}, and organization {id:?} has keys of both plans, which share one balance", quota.name),
                    "give one of the two another name, or both the same `per` and `time_zone`",
                );
            }
        }
    }
}

fn of_organization(plan: &Plan) -> impl Iterator<Item = &Quota> {
    plan.quota.iter().filter(|quota| quota.scope == Scope::Organization)
}

fn smallest(quotas: &[Quota]) -> Option<&Quota> {
    quotas.iter().min_by_key(|quota| quota.requests)
}

/// Warns about quotas that nobody remembers.
pub(super) fn check_state(plans: &[(Plan, Place<'_>)], records: &Records, has_state: bool, state: &Place<'_>) {
    const FORGOTTEN: &str = "begins anew with every start, since there is no [state]";
    const HELP: &str = "add [state] with path = \"keygate.db\"";
    if has_state {
        return;
    }
    let mut warned = false;
    for (_, place) in plans.iter().filter(|(plan, _)| !plan.quota.is_empty()) {
        warned = true;
        place.warning(format!("`quota` {FORGOTTEN}"), HELP);
    }
    let own = |organization: &&Arc<super::records::Organization>| {
        organization.quota.as_ref().is_some_and(|own| !own.is_empty())
    };
    if let (Some(organization), false) = (records.organizations.iter().find(own), warned) {
        state.warning(
            format!("the quota of organization {:?} {FORGOTTEN}", organization.id),
            HELP,
        );
    }
}
