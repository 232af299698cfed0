//! The windows of a plan, compiled once, and what a key's running state in one of them means.

use std::sync::Arc;

use super::ledger::Ledger;
use super::pace::{Pace, Wait};
use crate::config::plans::Limit;

/// The windows that a key spends, shared by every key of the same plan.
#[derive(Debug, PartialEq, Eq)]
pub struct Windows(Box<[Window]>);

/// One window's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) limit: Limit,
    pace: Pace,
}

/// Where a key stands in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Units that could be spent now.
    pub remaining: u32,
    /// Nanoseconds until the window is whole again; in the report of a refusal, for a window that refused, until the same
    /// request fits.
    pub reset: u64,
}

/// A key's running state in one window.
#[derive(Debug)]
pub(super) struct Cell {
    arrival: u64,
    ledger: Option<Box<Ledger>>,
}

impl Windows {
    /// Compiles a plan's limits.
    #[must_use]
    pub fn compile(limits: &[Limit]) -> Arc<Self> {
        Arc::new(Self(
            limits
                .iter()
                .map(|limit| Window {
                    limit: limit.clone(),
                    pace: Pace::new(limit.requests, limit.per, limit.burst),
                })
                .collect(),
        ))
    }

    /// Whether there is nothing to spend.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the plan.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Window> {
        self.0.iter()
    }
}

impl Window {
    /// A whole window.
    pub(super) fn cell(&self) -> Cell {
        Cell {
            arrival: 0,
            ledger: self.limit.strict.then(|| Box::new(Ledger::new())),
        }
    }

    /// Whether `cost` units fit at `now`: what to [`Self::commit`], or how many nanoseconds until they do.
    pub(super) fn stage(&self, cell: &mut Cell, cost: u32, now: u64) -> Result<u64, u64> {
        let paced = self.pace.take(cost, cell.arrival, now);
        let paced_wait = match paced {
            Ok(_) => 0,
            Err(Wait::For(wait)) => wait,
            Err(Wait::Never) => return Err(self.pace.per()),
        };
        let strict_wait = match &mut cell.ledger {
            Some(ledger) if cost > 0 => ledger.wait(self.limit.requests.saturating_sub(cost), now, self.pace.per()),
            Some(_) | None => 0,
        };
        match (paced, strict_wait) {
            (Ok(arrival), 0) => Ok(arrival),
            (Ok(_) | Err(_), wait) => Err(wait.max(paced_wait)),
        }
    }

    /// Spends what was staged at the same `now`.
    pub(super) fn commit(&self, cell: &mut Cell, cost: u32, staged: u64, now: u64) {
        cell.arrival = staged;
        if let Some(ledger) = &mut cell.ledger
            && cost > 0
        {
            ledger.record(cost, now, self.pace.per());
        }
    }

    /// What is left at `now`, and how long until all of it is.
    pub(super) fn standing(&self, cell: &mut Cell, now: u64) -> Standing {
        let paced = Standing {
            remaining: self.pace.remaining(cell.arrival, now),
            reset: cell.arrival.saturating_sub(now),
        };
        match &mut cell.ledger {
            None => paced,
            Some(ledger) => {
                let left = self.limit.requests.saturating_sub(ledger.spent(now, self.pace.per()));
                Standing {
                    remaining: paced.remaining.min(left),
                    reset: paced.reset.max(ledger.wait(0, now, self.pace.per())),
                }
            }
        }
    }

    /// Whether the cell says nothing that a new one would not.
    pub(super) fn is_whole(&self, cell: &mut Cell, now: u64) -> bool {
        self.standing(cell, now).reset == 0
    }
}
