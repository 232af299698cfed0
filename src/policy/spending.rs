//! What a request spends of each window and quota, and what is left of them: a plan's terms beside a report.
//!
//! A room of its own because a report knows numbers only, in an order that the terms give them: the two are read together
//! in one place.

use std::fmt;

use serde::Serialize;

use super::limits::Report;
use super::standing::Terms;
use crate::config::plans::Scope;

/// One window or quota, as one request meets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// `window` or `quota`.
    pub kind: &'static str,
    /// Who shares it: `key` or `organization`.
    pub scope: &'static str,
    /// How much it holds.
    pub limit: u64,
    /// How much of it the request costs.
    pub cost: u64,
    /// How much is left before the request.
    pub left: u64,
    /// How much would be left after it; absent where it does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_after: Option<u64>,
}

/// What a request that costs `cost` meets, in the order of the report.
#[must_use]
pub fn shares(terms: &Terms, report: &Report, cost: u32) -> Vec<Share> {
    let limits = terms.windows.limits().chain(terms.shared.limits());
    let windows = limits
        .zip(&report.windows)
        .enumerate()
        .map(|(index, (limit, standing))| {
            let refused = report.refused_by == Some(index);
            let left = u64::from(standing.remaining);
            share(
                &limit.name,
                "window",
                limit.scope,
                limit.requests.into(),
                left,
                cost,
                refused,
            )
        });
    let quotas = terms.quotas.iter().zip(&report.quotas).map(|(quota, left)| {
        share(
            &quota.name,
            "quota",
            quota.scope,
            quota.requests,
            left.remaining,
            cost,
            false,
        )
    });
    windows.chain(quotas).collect()
}

fn share(name: &str, kind: &'static str, scope: Scope, limit: u64, left: u64, cost: u32, refused: bool) -> Share {
    let cost = u64::from(cost);
    Share {
        name: name.to_owned(),
        kind,
        scope: match scope {
            Scope::Key => "key",
            Scope::Organization => "organization",
        },
        limit,
        cost,
        left,
        left_after: if refused { None } else { left.checked_sub(cost) },
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            limit,
            cost,
            left,
            ..
        } = self;
        match self.left_after {
            Some(after) => write!(f, "{cost} of {name}: {after} left of {limit}"),
            None => write!(f, "{cost} of {name}, which has {left} left of {limit}"),
        }
    }
}
