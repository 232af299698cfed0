//! A key's standing: what is known of it in one generation, and its running account, which outlives generations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::caller::Caller;
use super::limits::{Account, Balances, Bounds, Claims, RateHeaders, Windows};
use crate::config::plans::{Dialect, Limit, Plan, PlanId, Scope};
use crate::config::quotas::Quota;

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
    /// The plan's name.
    pub plan: Arc<str>,
    /// The windows to spend from.
    pub windows: Arc<Windows>,
    /// The windows that all keys of an organization with this plan spend from.
    pub shared: Arc<Windows>,
    /// The quotas to spend from, in the order of reports.
    pub quotas: Box<[Arc<Quota>]>,
    /// What is told about them.
    pub headers: RateHeaders,
    /// Requests in flight at once.
    pub concurrency: Option<u32>,
}

/// Every plan of a generation, compiled.
#[derive(Debug)]
pub struct Plans {
    /// By [`PlanId`].
    whole: Vec<Arc<Terms>>,
    /// The same, for environments that need no quota.
    without_quota: Vec<Arc<Terms>>,
}

/// Where a caller's terms differ from its plan's.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    /// A key's own limits, in place of those that each key of the plan has.
    pub limits: Option<&'a [Limit]>,
    /// An organization's own quotas, in place of those that each organization with the plan has.
    pub quota: Option<&'a [Quota]>,
    /// Whether the caller's environment spends quota at all.
    pub spends_quota: bool,
}

/// The accounts of all keys that were used since the process started, and what they share.
#[derive(Debug, Default)]
pub struct Accounts {
    own: Mutex<HashMap<Arc<str>, Arc<Account>>>,
    shared: Mutex<HashMap<Group, Arc<Account>>>,
    balances: Arc<Balances>,
}

/// The keys of one organization that have one plan.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Group {
    organization: Arc<str>,
    plan: Arc<str>,
}

impl Plans {
    /// Compiles the plans of a configuration.
    #[must_use]
    pub fn compile(plans: &[Plan]) -> Self {
        let whole: Vec<Arc<Terms>> = plans.iter().map(|plan| Terms::compile(plan, &Own::NOTHING)).collect();
        let without_quota = whole.iter().zip(plans).map(|(terms, plan)| {
            if terms.quotas.is_empty() {
                Arc::clone(terms)
            } else {
                Terms::compile(plan, &Own::NO_QUOTA)
            }
        });
        Self {
            without_quota: without_quota.collect(),
            whole,
        }
    }

    /// A caller's terms: its plan, one of `plans`, and what is its own.
    #[must_use]
    pub fn terms(&self, plans: &[Plan], id: PlanId, own: &Own<'_>) -> Arc<Terms> {
        let index = usize::from(id.0);
        let has_quota_of_its_own = own.spends_quota && own.quota.is_some();
        if own.limits.is_some() || has_quota_of_its_own {
            Terms::compile(&plans[index], own)
        } else if own.spends_quota {
            Arc::clone(&self.whole[index])
        } else {
            Arc::clone(&self.without_quota[index])
        }
    }
}

impl Own<'_> {
    const NOTHING: Self = Self {
        limits: None,
        quota: None,
        spends_quota: true,
    };
    const NO_QUOTA: Self = Self {
        spends_quota: false,
        ..Self::NOTHING
    };
}

impl Terms {
    /// A user's: windows of its own and, where its organization `has_record`, what the organization's keys share, quotas
    /// included. Quotas that each key has are not for users, who are more than can be remembered.
    #[must_use]
    pub fn of_user(plan: &Plan, has_record: bool, quota: Option<&[Quota]>) -> Arc<Self> {
        let mut plan = plan.clone();
        plan.limits.retain(|limit| has_record || limit.scope == Scope::Key);
        plan.quota
            .retain(|quota| has_record && quota.scope == Scope::Organization);
        let own = Own { quota, ..Own::NOTHING };
        Self::compile(&plan, &own)
    }

    fn compile(plan: &Plan, own: &Own<'_>) -> Arc<Self> {
        let of = |scope| plan.limits.iter().filter(move |limit| limit.scope == scope).cloned();
        let windows: Vec<Limit> = match own.limits {
            Some(limits) => limits.to_vec(),
            None => of(Scope::Key).collect(),
        };
        let shared: Vec<Limit> = of(Scope::Organization).collect();
        let quotas = quotas(plan, own);
        Arc::new(Self {
            plan: plan.name.as_str().into(),
            windows: Windows::compile(&windows),
            shared: Windows::compile(&shared),
            headers: headers(&plan.headers, &windows, &shared, &quotas),
            quotas,
            concurrency: plan.concurrency,
        })
    }
}

/// In the order of reports, which is that of the balances' purses.
fn quotas(plan: &Plan, own: &Own<'_>) -> Box<[Arc<Quota>]> {
    if !own.spends_quota {
        return Box::default();
    }
    let of_plan = plan
        .quota
        .iter()
        .filter(|quota| quota.scope == Scope::Key || own.quota.is_none());
    let mut quotas: Vec<Arc<Quota>> = of_plan
        .chain(own.quota.unwrap_or_default())
        .cloned()
        .map(Arc::new)
        .collect();
    quotas.sort_by(|a, b| (a.scope, &a.name).cmp(&(b.scope, &b.name)));
    quotas.into()
}

fn headers(dialects: &[Dialect], windows: &[Limit], shared: &[Limit], quotas: &[Arc<Quota>]) -> RateHeaders {
    let limits: Vec<Limit> = windows.iter().chain(shared).cloned().collect();
    RateHeaders::compile(dialects, &limits, quotas)
}

impl Accounts {
    /// The account of the caller with this id, of this organization, under these terms: what it has spent and has in
    /// flight stays, and so does what the organization has.
    #[must_use]
    pub fn of(&self, id: &Arc<str>, organization: &Arc<str>, terms: &Terms) -> Arc<Account> {
        let claims = terms.quotas.iter().map(|quota| {
            let owner = match quota.scope {
                Scope::Key => id,
                Scope::Organization => organization,
            };
            self.balances.claim(owner, quota)
        });
        let bounds = Bounds {
            windows: Arc::clone(&terms.windows),
            concurrency: terms.concurrency,
            shared: self.shared(organization, terms),
            claims: Claims::new(claims),
        };
        renewed(&mut lock(&self.own), Arc::clone(id), bounds)
    }

    /// What bounds a user of this organization, if there is a record of it, under the terms that [`Terms::of_user`] makes.
    #[must_use]
    pub fn bounds_of_user(&self, organization: Option<&Arc<str>>, terms: &Terms) -> Bounds {
        let claims = organization.into_iter().flat_map(|organization| {
            let quotas = terms.quotas.iter();
            quotas.map(move |quota| self.balances.claim(organization, quota))
        });
        Bounds {
            windows: Arc::clone(&terms.windows),
            concurrency: terms.concurrency,
            shared: organization.and_then(|organization| self.shared(organization, terms)),
            claims: Claims::new(claims),
        }
    }

    /// What the keys of an organization with one plan share.
    fn shared(&self, organization: &Arc<str>, terms: &Terms) -> Option<Arc<Account>> {
        if terms.shared.is_empty() {
            return None;
        }
        let bounds = Bounds {
            windows: Arc::clone(&terms.shared),
            concurrency: None,
            shared: None,
            claims: Claims::default(),
        };
        let group = Group {
            organization: Arc::clone(organization),
            plan: Arc::clone(&terms.plan),
        };
        Some(renewed(&mut lock(&self.shared), group, bounds))
    }

    /// What has been spent of quotas.
    #[must_use]
    pub fn balances(&self) -> &Arc<Balances> {
        &self.balances
    }

    /// Forgets the accounts of keys that are gone and have nothing in flight, and those of organizations that are gone.
    pub fn retain(&self, is_key: impl Fn(&str) -> bool, is_organization: impl Fn(&str) -> bool) {
        lock(&self.own).retain(|id, account| account.in_flight() > 0 || is_key(id));
        lock(&self.shared).retain(|group, _| is_organization(&group.organization));
    }
}

/// The account under this name, within these bounds.
fn renewed<N: Eq + std::hash::Hash>(accounts: &mut HashMap<N, Arc<Account>>, name: N, bounds: Bounds) -> Arc<Account> {
    let account = match accounts.get(&name) {
        Some(known) => Account::renew(known, bounds),
        None => Account::new(bounds),
    };
    accounts.insert(name, Arc::clone(&account));
    account
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
