//! What has been spent of a quota, by whom, in the period of now.
//!
//! A balance belongs to whoever shares it and to the quota's name, not to a plan or a generation: it survives reloads,
//! another plan, and (with `[state]`) the process. What it may hold comes from the generation that asks.
//!
//! Invariants:
//! - Within a period it grows, but for what is given back because its request was refused after all; it begins again at zero
//!   with the next one. A clock that is set back does not give back
//!   what is spent; one that was more than a day ahead, and is set right, begins the period of now.
//! - Every change is on the list of [`Balances::changed`] until somebody takes it from there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::tz::TimeZone;

use super::calendar::Period;
use crate::config::plans::Scope;
use crate::config::quotas::{Per, Quota};

/// How far a clock may be set back within a balance's period: a day, in seconds.
const SET_BACK: i64 = 86_400;

/// Whose balance of which quota.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Purse {
    /// Who shares it.
    pub scope: Scope,
    /// The key's or organization's id.
    pub owner: Arc<str>,
    /// The quota's name.
    pub quota: Arc<str>,
}

/// What is remembered of a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Units.
    pub used: u64,
    /// Of so many, when it last changed.
    pub allowed: u64,
    /// In this period.
    pub period: Period,
}

/// One balance, shared by all workers and generations.
#[derive(Debug)]
pub struct Balance {
    purse: Purse,
    book: Mutex<Book>,
    changes: Arc<Changes>,
}

/// A caller's claim on a balance, under one generation's definition.
#[derive(Debug, Clone)]
pub struct Claim {
    pub(super) quota: Arc<Quota>,
    balance: Arc<Balance>,
}

/// Every balance that was asked for or remembered.
#[derive(Debug, Default)]
pub struct Balances {
    known: Mutex<HashMap<Purse, Arc<Balance>>>,
    changes: Arc<Changes>,
}

#[derive(Debug, Default)]
struct Changes(Mutex<Vec<Arc<Balance>>>);

#[derive(Debug)]
struct Book {
    spent: Spent,
    /// Which calendar the period is of; none of what was remembered.
    calendar: Option<(Per, TimeZone)>,
    /// Whether it is among the changes.
    is_noted: bool,
}

/// A balance while it is looked at: nobody else spends from it.
pub(super) struct Open<'a> {
    claim: &'a Claim,
    book: MutexGuard<'a, Book>,
}

impl Balances {
    /// The claim of `owner` on its balance of this quota.
    #[must_use]
    pub fn claim(&self, owner: &Arc<str>, quota: &Arc<Quota>) -> Claim {
        let purse = Purse {
            scope: quota.scope,
            owner: Arc::clone(owner),
            quota: quota.name.as_str().into(),
        };
        Claim {
            quota: Arc::clone(quota),
            balance: self.balance(purse),
        }
    }

    /// Puts back what was remembered, beside what has been spent in the same period since. To be called once.
    pub fn restore(&self, remembered: impl IntoIterator<Item = (Purse, Spent)>) {
        for (purse, spent) in remembered {
            let balance = self.balance(purse);
            balance.put_back(spent);
        }
    }

    /// Takes the balances that have changed since this was last asked, as they are now.
    #[must_use]
    pub fn changed(&self) -> Vec<(Purse, Spent)> {
        let changed = std::mem::take(&mut *self.changes.lock());
        changed
            .iter()
            .map(|balance| {
                let mut book = balance.lock();
                book.is_noted = false;
                (balance.purse.clone(), book.spent)
            })
            .collect()
    }

    /// Notes every balance as changed: what was remembered elsewhere is gone.
    pub fn note_all(&self) {
        let all: Vec<Arc<Balance>> = self.lock().values().cloned().collect();
        for balance in all {
            balance.note(&mut balance.lock());
        }
    }

    /// Forgets balances of periods that have ended at `now`, of which nobody has a claim.
    pub fn forget_ended(&self, now: i64) {
        self.lock()
            .retain(|_, balance| Arc::strong_count(balance) > 1 || balance.lock().spent.period.end > now);
    }

    fn balance(&self, purse: Purse) -> Arc<Balance> {
        let mut known = self.lock();
        let balance = known.entry(purse).or_insert_with_key(|purse| {
            Arc::new(Balance {
                purse: purse.clone(),
                book: Mutex::new(Book {
                    spent: Spent {
                        used: 0,
                        allowed: 0,
                        period: Period::NONE,
                    },
                    calendar: None,
                    is_noted: false,
                }),
                changes: Arc::clone(&self.changes),
            })
        });
        Arc::clone(balance)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Purse, Arc<Balance>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Balance>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Balance {
    fn lock(&self) -> MutexGuard<'_, Book> {
        // A panic while the lock was held can at worst have lost one request's units.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the balance on the list of changes, unless it is there.
    fn note(self: &Arc<Self>, book: &mut Book) {
        if !book.is_noted {
            book.is_noted = true;
            self.changes.lock().push(Arc::clone(self));
        }
    }

    fn put_back(self: &Arc<Self>, remembered: Spent) {
        let mut book = self.lock();
        let now = &mut book.spent;
        if now.period == Period::NONE {
            *now = remembered;
        } else if now.period.begin < remembered.period.end {
            // Spent before it could be read: the same period, or the calendar has changed within it.
            now.used = now.used.saturating_add(remembered.used);
            self.note(&mut book);
        }
    }
}

impl Claim {
    /// In which order balances are opened, so that no two requests wait for each other.
    pub(super) fn order(&self) -> &Purse {
        &self.balance.purse
    }

    /// Opens the balance at `now` (Unix seconds), in the period that it falls in.
    pub(super) fn open(&self, now: i64) -> Open<'_> {
        let mut book = self.balance.lock();
        book.turn(&self.quota, now);
        Open { claim: self, book }
    }

    /// Whether both are the same claim on the same balance.
    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.balance, &other.balance)
            && (Arc::ptr_eq(&self.quota, &other.quota) || self.quota == other.quota)
    }
}

impl Book {
    /// Goes on to the period of `now`, where that is another.
    fn turn(&mut self, quota: &Quota, now: i64) {
        let period = self.spent.period;
        let is_over = now >= period.end || now < period.begin.saturating_sub(SET_BACK);
        let is_same = matches!(&self.calendar, Some((per, zone)) if *per == quota.per && *zone == quota.time_zone);
        if !is_over && is_same {
            return;
        }
        if is_over {
            self.spent.used = 0;
        }
        let at = if is_over { now } else { now.max(period.begin) };
        self.spent.period = Period::of(quota.per, &quota.time_zone, at);
        self.calendar = Some((quota.per, quota.time_zone.clone()));
    }
}

impl Open<'_> {
    /// How much may still be spent.
    pub(super) fn remaining(&self) -> u64 {
        self.claim.quota.requests.saturating_sub(self.book.spent.used)
    }

    /// When it begins again, in Unix seconds.
    pub(super) fn renews_at(&self) -> i64 {
        self.book.spent.period.end
    }

    /// Spends what was seen to fit.
    pub(super) fn commit(&mut self, cost: u32) {
        if cost == 0 {
            return;
        }
        self.book.spent.used = self.book.spent.used.saturating_add(u64::from(cost));
        self.book.spent.allowed = self.claim.quota.requests;
        self.claim.balance.note(&mut self.book);
    }

    /// Gives back what was spent at `at` (Unix seconds), if that was in the period of now.
    pub(super) fn give_back(&mut self, cost: u32, at: i64) {
        let Spent { used, period, .. } = &mut self.book.spent;
        if cost == 0 || !(period.begin..period.end).contains(&at) {
            return;
        }
        *used = used.saturating_sub(u64::from(cost));
        self.claim.balance.note(&mut self.book);
    }

    pub(super) fn quota(&self) -> &Quota {
        &self.claim.quota
    }
}
