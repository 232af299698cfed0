//! What is not yet written: it grows while the file cannot be had, up to a bound, and is empty after every good flush.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::tally::{Counts, LastUse, Page};
use crate::policy::limits::{Purse, Spent};

/// Keys and hours that are held at most.
const USAGE_MAX: usize = 1_000_000;

/// What is to be written next.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// As it is now; one for each balance that there is, so bounded by them.
    pub(super) balances: HashMap<Purse, Spent>,
    /// To be added, by key and hour.
    pub(super) usage: HashMap<(Arc<str>, i64), Counts>,
    /// To be put, by key, with its organization.
    pub(super) last_use: HashMap<Arc<str>, (Arc<str>, LastUse)>,
    /// To be put, by key and permission: when it was last used.
    pub(super) permission_use: HashMap<(Arc<str>, Box<str>), i64>,
}

impl Backlog {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.balances.is_empty() && self.usage.is_empty() && self.last_use.is_empty() && self.permission_use.is_empty()
    }

    /// Notes how balances are now.
    pub(super) fn add_balances(&mut self, changed: Vec<(Purse, Spent)>) {
        self.balances.extend(changed);
    }

    /// Adds what a worker has counted; gives the number of requests that are given up.
    pub(super) fn add_page(&mut self, page: Page) -> u64 {
        let mut dropped = page.dropped;
        for (key, mut counts) in page.into_counts() {
            if let Some(last) = counts.last_use.take() {
                self.add_last_use(&key, &counts.organization, last);
            }
            for (permission, at) in std::mem::take(&mut counts.permissions) {
                self.add_permission_use(&key, permission, at);
            }
            let is_full = self.usage.len() >= USAGE_MAX;
            match self.usage.entry((key, counts.hour)) {
                Entry::Occupied(mut known) => known.get_mut().merge(counts),
                Entry::Vacant(_) if is_full => dropped += counts.requests,
                Entry::Vacant(free) => {
                    free.insert(counts);
                }
            }
        }
        dropped
    }

    fn add_permission_use(&mut self, key: &Arc<str>, permission: Box<str>, at: i64) {
        let is_full = self.permission_use.len() >= USAGE_MAX;
        match self.permission_use.entry((Arc::clone(key), permission)) {
            Entry::Occupied(mut known) => *known.get_mut() = at.max(*known.get()),
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(free) => {
                free.insert(at);
            }
        }
    }

    fn add_last_use(&mut self, key: &Arc<str>, organization: &Arc<str>, last: LastUse) {
        let is_full = self.last_use.len() >= USAGE_MAX;
        match self.last_use.entry(Arc::clone(key)) {
            Entry::Occupied(mut known) => {
                let (_, before) = known.get();
                if last.at >= before.at {
                    known.insert((Arc::clone(organization), last));
                }
            }
            Entry::Vacant(_) if is_full => {}
            Entry::Vacant(free) => {
                free.insert((Arc::clone(organization), last));
            }
        }
    }
}
