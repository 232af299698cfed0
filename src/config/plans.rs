//! `[plans.NAME]`: how much a key may ask for.

use std::time::Duration;

use super::names;
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
            limits: table.get("limits").map_or_else(Vec::new, |item| read_limits(&item)),
            concurrency: table
                .get("concurrency")
                .and_then(|item| item.or_off(|item| item.integer(1..=MOST_REQUESTS))),
            headers: table
                .get("rate_limit_headers")
                .map_or_else(|| unlimited().headers, |item| read_dialects(&item)),
        };
        plans.push((plan, item.key_place()));
    }
    if !plans.iter().any(|(plan, _)| plan.name == DEFAULT) {
        plans.push((unlimited(), section.place().clone()));
    }
    plans
}

/// Reads a list of limits, of a plan or of a key.
#[must_use]
pub fn read_limits(item: &Item<'_>) -> Vec<Limit> {
    let Some(tables) = item.tables() else {
        return Vec::new();
    };
    if tables.len() > MOST_LIMITS {
        item.error(format!("has {} limits", tables.len()), format!("at most {MOST_LIMITS}"));
    }
    let mut limits: Vec<Limit> = Vec::with_capacity(tables.len());
    for table in &tables {
        let Some(limit) = read_limit(table) else { continue };
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

fn read_limit(table: &Table<'_>) -> Option<Limit> {
    const EXAMPLE: &str = "for example { name = \"sec\", requests = 80, per = \"1s\" }";
    let name = table.require("name", EXAMPLE);
    let requests = table.require("requests", EXAMPLE);
    let per = table.require("per", EXAMPLE);
    let burst_item = table.get("burst");
    let strict = table.get("strict");

    let name = name.and_then(|item| read_name(&item));
    let requests = requests.and_then(|item| item.integer(1..=MOST_REQUESTS));
    let per_place = per.as_ref().map(|item| item.place().clone());
    let per = per.and_then(|item| item.duration());
    let burst = burst_item.as_ref().map(|item| item.integer(1..=MOST_REQUESTS));
    let strict = strict.map_or(Some(false), |item| item.boolean());

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
    })
}

fn read_name(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    if names::is_token(name) {
        return Some(name.to_owned());
    }
    item.error(
        "cannot stand in a header name",
        "letters, digits, `-` and `_`, for example \"sec\"",
    );
    None
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
