//! What the steps of a trace say to people.
//!
//! A room of its own so that the decision reads as rules, not as prose. Nothing here is called unless somebody asked for a
//! trace, and nothing secret comes in.

use jiff::Timestamp;

use super::Policy;
use super::caller::Caller;
use super::forwarded::Client;
use super::limits::{Refused, Report};
use super::spending;
use super::standing::Terms;
use crate::config::environments::EnvironmentId;
use crate::config::routes::{Access, Enforcement, Permission, Route};

pub(super) fn client(client: &Client) -> String {
    let tls = if client.tls { " over TLS" } else { "" };
    format!("comes from {}{tls}", address(client))
}

pub(super) fn address(client: &Client) -> String {
    client
        .address
        .map_or_else(|| "an unknown address".to_owned(), |address| address.to_string())
}

pub(super) fn access(route: &Route) -> String {
    let who = match route.access {
        Access::Key => "needs a key",
        Access::User => "needs a user's token",
        Access::KeyOrUser => "needs a key or a user's token",
        Access::Public => "open to anybody",
        Access::Deny => "open to nobody",
    };
    match route.enforcement {
        Enforcement::Enforce => who.to_owned(),
        Enforcement::Observe => format!("{who}; observed, not enforced"),
        Enforcement::Off => format!("{who}; not enforced"),
    }
}

pub(super) fn end(end: Option<i64>, now: i64) -> String {
    let date = |at: i64| Timestamp::from_second(at).unwrap_or(Timestamp::MAX);
    match end {
        None => "never expires".to_owned(),
        Some(at) if at <= now => format!("ended {}", date(at)),
        Some(at) => format!("ends {}", date(at)),
    }
}

pub(super) fn environment(policy: &Policy, route: &Route, caller: &Caller) -> String {
    let name = |id: &EnvironmentId| policy.config.environments[usize::from(id.0)].name.clone();
    let taken: Vec<String> = route.environments.iter().map(name).collect();
    let own = caller.environment.as_ref().map_or_else(|| "none".to_owned(), name);
    format!("needs {}; the key's is {own}", taken.join(" or "))
}

pub(super) fn permission(needed: &Permission, caller: &Caller) -> String {
    format!("needs {needed}; the key has {}", listed(caller.permissions.iter()))
}

pub(super) fn subscriptions(caller: &Caller) -> String {
    let all = caller.subscriptions.iter().map(|name| &**name);
    format!("the key has {}", listed(all))
}

/// What is spent, or would have to be.
pub(super) fn spending(terms: &Terms, spent: &Result<Report, Box<Refused>>, cost: u32) -> String {
    let (report, verb) = match spent {
        Ok(report) => (report, "spends"),
        Err(refused) => (&refused.report, "would need"),
    };
    let shares = spending::shares(terms, report, cost);
    if shares.is_empty() {
        return format!("plan {} has no limits", terms.plan);
    }
    let shares: Vec<String> = shares.iter().map(ToString::to_string).collect();
    format!("{verb} {}", shares.join("; "))
}

fn listed<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}
