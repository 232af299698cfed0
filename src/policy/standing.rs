//! A key's standing: what is known of it in one generation, and its running account, which outlives generations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::caller::Caller;
use super::limits::{Account, RateHeaders, Windows};
use crate::config::plans::{Dialect, Limit, Plan};

/// What a request of one key needs; rendered once per generation.
#[derive(Debug)]
pub struct Standing {
    /// Who it is, and what the upstream is told.
    pub caller: Caller,
    /// How much it may ask for.
    pub terms: Arc<Terms>,
    /// What it has asked for.
    pub account: Arc<Account>,
}

/// A plan, compiled.
#[derive(Debug)]
pub struct Terms {
    /// The windows to spend from.
    pub windows: Arc<Windows>,
    /// What is told about them.
    pub headers: RateHeaders,
    /// Requests in flight at once.
    pub concurrency: Option<u32>,
}

/// The accounts of all keys that were used since the process started.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<HashMap<Arc<str>, Arc<Account>>>);

impl Terms {
    /// Compiles a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Arc<Self> {
        Self::compile(&plan.limits, &plan.headers, plan.concurrency)
    }

    /// The plan with a key's own limits in place of the plan's.
    #[must_use]
    pub fn with_limits(plan: &Plan, limits: &[Limit]) -> Arc<Self> {
        Self::compile(limits, &plan.headers, plan.concurrency)
    }

    fn compile(limits: &[Limit], dialects: &[Dialect], concurrency: Option<u32>) -> Arc<Self> {
        Arc::new(Self {
            windows: Windows::compile(limits),
            headers: RateHeaders::compile(dialects, limits),
            concurrency,
        })
    }
}

impl Accounts {
    /// The account of the key with this id, under these terms: what it has spent and has in flight stays.
    #[must_use]
    pub fn of(&self, id: &Arc<str>, terms: &Terms) -> Arc<Account> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let account = match accounts.get(id) {
            Some(known) => Account::renew(known, &terms.windows, terms.concurrency),
            None => Account::new(&terms.windows, terms.concurrency),
        };
        accounts.insert(Arc::clone(id), Arc::clone(&account));
        account
    }

    /// Forgets the accounts of keys that are gone and have nothing in flight.
    pub fn retain(&self, is_known: impl Fn(&str) -> bool) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|id, account| account.in_flight() > 0 || is_known(id));
    }
}
