//! `[plans.NAME]`: how much a key may ask for.

use std::time::Duration;

use super::names;
use super::quotas::{self, Quota};
use super::reader::{Item, Place, Table};

/// Index into [`super::Config::plans`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanId(pub u16);

/// One plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// `limits`: all of them admit a request, or none is spent.
    pub limits: Vec<Limit>,
    /// `quota`: what a calendar day or month holds, spent together with `limits`.
    pub quota: Vec<Quota>,
    /// `concurrency`: requests and tunnels in flight at once per key; `None` is unlimited.
    pub concurrency: Option<u32>,
    /// `rate_limit_headers`: the dialects told to the caller, default `["ratelimit"]`.
    pub headers: Vec<Dialect>,
}

/// One named window: `{ name = "sec", requests = 80, per = "1s", burst = 80, strict = false }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limit {
    /// What headers and errors call it. A token of RFC 9110 characters.
    pub name: String,
    /// How many units per window; at least 1.
    pub requests: u32,
    /// The window's length; at least one millisecond.
    pub per: Duration,
    /// How many units may come at once; at least 1, default and at most `requests`.
    pub burst: u32,
    /// No interval of the window's length ever admits more than `requests`.
    pub strict: bool,
    /// Who shares it.
    pub scope: Scope,
}

/// Whose requests a limit or a quota counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// `organization`: of all keys of one organization; a limit's, of those that have the same plan.
    Organization,
    /// `key`: of one key.
    Key,
}

/// Whose a list of limits is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A plan: any scope.
    Plan,
    /// A key: its own.
    Key,
}

/// A dialect of rate-limit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `ratelimit`: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11).
    RateLimit,
    /// `x-ratelimit`: `X-RateLimit-Limit`, `-Remaining`, `-Reset` (Unix seconds) of the tightest window.
    XRateLimit,
    /// `x-ratelimit-window`: `X-RateLimit-<window>-Limit` and `-Remaining` for each window.
    XRateLimitWindow,
}

/// How many windows one plan may have.
const MOST_LIMITS: usize = 16;
/// How many units a window may hold.
const MOST_REQUESTS: u32 = 1_000_000_000;
/// The name of the plan that applies where nothing names another.
pub const DEFAULT: &str = "default";

/// The plan named `default`, where the configuration does not have one: no limits.
#[must_use]
pub fn unlimited() -> Plan {
    Plan {
        name: DEFAULT.to_owned(),
        limits: Vec::new(),
        quota: Vec::new(),
        concurrency: None,
        headers: vec![Dialect::RateLimit],
    }
}

/// Reads `[plans.NAME]`, each with its place; adds `default` at the end where it is not there.
pub(super) fn read<'d>(root: &Table<'d>) -> Vec<(Plan, Place<'d>)> {
    let section = root.section("plans");
    let mut plans = Vec::new();
    for (name, item) in section.names() {
        names::check("a plan", name, &item);
        let Some(table) = item.table() else { continue };
        let plan = Plan {
            name: name.to_owned(),
            limits: table
                .get("limits")
                .map_or_else(Vec::new, |item| read_limits(&item, Holder::Plan)),
            quota: table
                .get("quota")
                .map_or_else(Vec::new, |item| quotas::read(&item, quotas::Owner::Plan)),
            concurrency: table
                .get("concurrency")
                .and_then(|item| item.or_off(|item| item.integer(1..=MOST_REQUESTS))),
            headers: table
                .get("rate_limit_headers")
                .map_or_else(|| unlimited().headers, |item| read_dialects(&item)),
        };
        check_names(&plan, &item);
        plans.push((plan, item.key_place()));
    }
    if !plans.iter().any(|(plan, _)| plan.name == DEFAULT) {
        plans.push((unlimited(), section.place().clone()));
    }
    plans
}

/// Headers and errors tell limits and quotas apart by their names.
fn check_names(plan: &Plan, item: &Item<'_>) {
    let both = |quota: &&Quota| {
        let mut limits = plan.limits.iter();
        limits.any(|limit| limit.name.eq_ignore_ascii_case(&quota.name))
    };
    if let Some(quota) = plan.quota.iter().find(both) {
        item.key_place().error(
            format!("has a limit and a quota named {:?}", quota.name),
            "give each a name of its own",
        );
    }
}

/// Reads a list of limits, of a plan or of a key.
#[must_use]
pub fn read_limits(item: &Item<'_>, holder: Holder) -> Vec<Limit> {
    let Some(tables) = item.tables() else {
        return Vec::new();
    };
    if tables.len() > MOST_LIMITS {
        item.error(format!("has {} limits", tables.len()), format!("at most {MOST_LIMITS}"));
    }
    let mut limits: Vec<Limit> = Vec::with_capacity(tables.len());
    for table in &tables {
        let Some(limit) = read_limit(table, holder) else {
            continue;
        };
        // Header names, which limits' names are part of, are the same in any case.
        if limits.iter().any(|other| other.name.eq_ignore_ascii_case(&limit.name)) {
            table.place().error(
                format!("there is already a limit named {:?} here", limit.name),
                "give each limit of a plan a name of its own",
            );
        }
        limits.push(limit);
    }
    limits
}

fn read_limit(table: &Table<'_>, holder: Holder) -> Option<Limit> {
    const EXAMPLE: &str = "for example { name = \"sec\", requests = 80, per = \"1s\" }";
    let name = table.require("name", EXAMPLE);
    let requests = table.require("requests", EXAMPLE);
    let per = table.require("per", EXAMPLE);
    let burst_item = table.get("burst");
    let strict = table.get("strict");
    let scope = table.get("scope");

    let name = name.and_then(|item| names::token(&item));
    let requests = requests.and_then(|item| item.integer(1..=MOST_REQUESTS));
    let per_place = per.as_ref().map(|item| item.place().clone());
    let per = per.and_then(|item| item.duration());
    let burst = burst_item.as_ref().map(|item| item.integer(1..=MOST_REQUESTS));
    let strict = strict.map_or(Some(false), |item| item.boolean());

    let scope = match (scope, holder) {
        (None, _) => Some(Scope::Key),
        (Some(item), Holder::Plan) => Scope::read(&item),
        (Some(item), Holder::Key) => own_scope(&item),
    };

    let (name, requests, per, strict) = (name?, requests?, per?, strict?);
    let burst = burst.unwrap_or(Some(requests))?;
    if let (Some(item), true) = (burst_item, burst > requests) {
        item.error(
            format!("is more than `requests` ({requests})"),
            "a window never admits more than `requests`; lower `burst` or raise `requests`",
        );
    }
    if let (Some(place), true) = (per_place, per.as_nanos() < u128::from(requests)) {
        place.error("is too short for so many requests", "at least one nanosecond for each");
    }
    Some(Limit {
        name,
        requests,
        per,
        burst,
        strict,
        scope: scope?,
    })
}

/// A key shares its own limits with nobody.
fn own_scope(item: &Item<'_>) -> Option<Scope> {
    let scope = Scope::read(item)?;
    if scope == Scope::Organization {
        item.error(
            "is not possible for a key's own limits",
            "what an organization's keys share stands in their plan",
        );
        return None;
    }
    Some(scope)
}

impl Scope {
    /// Stable, for people and machines alike.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Key => "key",
        }
    }

    pub(super) fn read(item: &Item<'_>) -> Option<Self> {
        let words = [Self::Key, Self::Organization].map(|scope| (scope.word(), scope));
        item.word(&words)
    }
}

fn read_dialects(item: &Item<'_>) -> Vec<Dialect> {
    let mut dialects = Vec::new();
    for item in item.list_or_one().unwrap_or_default() {
        let dialect = item.word(&[
            ("ratelimit", Dialect::RateLimit),
            ("x-ratelimit", Dialect::XRateLimit),
            ("x-ratelimit-window", Dialect::XRateLimitWindow),
        ]);
        match dialect {
            Some(dialect) if dialects.contains(&dialect) => item.error("is there twice", "remove one of the two"),
            Some(dialect) => dialects.push(dialect),
            None => {}
        }
    }
    dialects
}
