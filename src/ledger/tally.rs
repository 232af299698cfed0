//! How the data path counts: each worker has a tally of its own, which the ledger empties now and then.
//!
//! A request takes a lock that nobody else wants, except for the moment in which the ledger puts an empty page in the place
//! of the full one, and allocates nothing once its key has been seen since then.
//!
//! What is counted, is counted when a request or tunnel has ended, for the hour in which it did, and only where a key was
//! found. A page takes a bounded number of keys; what comes beyond that is given up, and counted. Which permissions were
//! needed is noted beside it; where that takes too much room, the next page will have it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use crate::config::routes::Permission;
use crate::policy::permissions::Permissions;

/// Keys that one page takes, in one hour.
const KEYS_MAX: usize = 200_000;
/// Permissions of keys that one page takes.
const PERMISSIONS_MAX: usize = 1_000_000;

/// One request or tunnel that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Whose it was: the key's id.
    pub key: &'a Arc<str>,
    /// And its organization's.
    pub organization: &'a Arc<str>,
    /// How it ended.
    pub end: End,
    /// Bytes of its body, or from the client into the tunnel.
    pub bytes_in: u64,
    /// Bytes of the answer's body, or out of the tunnel.
    pub bytes_out: u64,
    /// Where the client was.
    pub address: Option<IpAddr>,
    /// The route that matched.
    pub route: Option<&'a Arc<str>>,
    /// What it needed permission for.
    pub need: Option<Need<'a>>,
    /// When it ended, in Unix seconds.
    pub at: i64,
}

/// What a route asked for, and what the caller has.
#[derive(Debug, Clone, Copy)]
pub struct Need<'a> {
    /// The route's `permission`.
    pub demanded: &'a Permission,
    /// The caller's.
    pub held: &'a Permissions,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was let through, and carried.
    Carried,
    /// It was refused, with this code.
    Refused(&'static str),
    /// It was let through, and carried until what it rested on ended, with this code.
    Withdrawn(&'static str),
    /// It was let through, but could not be carried to its end.
    Failed,
}

/// One worker's tally.
#[derive(Debug)]
pub struct Tally(Option<Arc<Mutex<Page>>>);

/// The tallies of all workers.
#[derive(Debug)]
pub struct Tallies(Option<Mutex<Vec<Arc<Mutex<Page>>>>>);

/// What one worker has counted.
#[derive(Debug, Default)]
pub(super) struct Page {
    counts: HashMap<Arc<str>, Counts>,
    /// Of hours that are over.
    closed: Vec<(Arc<str>, Counts)>,
    /// Permissions that are noted, of all keys.
    permissions: usize,
    /// Requests that were given up.
    pub(super) dropped: u64,
}

/// One key's usage in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    /// When the hour began, in Unix seconds.
    pub(super) hour: i64,
    pub(super) organization: Arc<str>,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// By code.
    pub(super) refused: SmallVec<[(&'static str, u64); 2]>,
    pub(super) last_use: Option<LastUse>,
    /// When each permission was last needed, and had; sorted by name.
    pub(super) permissions: Vec<(Box<str>, i64)>,
}

/// When, from where and for what a key was last used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastUse {
    pub(super) at: i64,
    pub(super) address: Option<IpAddr>,
    pub(super) route: Option<Arc<str>>,
}

impl Tallies {
    /// Nothing is counted.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    pub(super) fn on() -> Self {
        Self(Some(Mutex::default()))
    }

    /// A tally for one worker.
    #[must_use]
    pub fn open(&self) -> Tally {
        Tally(self.0.as_ref().map(|pages| {
            let page = Arc::default();
            lock(pages).push(Arc::clone(&page));
            page
        }))
    }

    /// Takes what has been counted since this was last asked.
    pub(super) fn take(&self) -> Vec<Page> {
        let pages = self.0.as_ref().map(|pages| lock(pages).clone()).unwrap_or_default();
        pages
            .iter()
            .map(|page| {
                let room = lock(page).counts.len();
                let empty = Page {
                    counts: HashMap::with_capacity(room),
                    ..Page::default()
                };
                std::mem::replace(&mut *lock(page), empty)
            })
            .collect()
    }
}

impl Tally {
    /// Whether anybody wants to know.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Counts a request or tunnel that has ended.
    pub fn count(&self, call: &Call<'_>) {
        if let Some(page) = &self.0 {
            lock(page).count(call);
        }
    }
}

impl Page {
    /// What was counted, by key.
    pub(super) fn into_counts(self) -> impl Iterator<Item = (Arc<str>, Counts)> {
        self.closed.into_iter().chain(self.counts)
    }

    pub(super) fn count(&mut self, call: &Call<'_>) {
        let hour = call.at - call.at.rem_euclid(3_600);
        let is_full = self.counts.len() + self.closed.len() >= KEYS_MAX;
        match self.counts.get_mut(&**call.key) {
            Some(counts) if counts.hour == hour => counts.add(call, &mut self.permissions),
            Some(_) | None if is_full => self.dropped += 1,
            Some(counts) => {
                let mut next = Counts::of(call, hour);
                next.add(call, &mut self.permissions);
                self.closed
                    .push((Arc::clone(call.key), std::mem::replace(counts, next)));
            }
            None => {
                let mut counts = Counts::of(call, hour);
                counts.add(call, &mut self.permissions);
                self.counts.insert(Arc::clone(call.key), counts);
            }
        }
    }
}

impl Counts {
    fn of(call: &Call<'_>, hour: i64) -> Self {
        Self {
            hour,
            organization: Arc::clone(call.organization),
            requests: 0,
            failed: 0,
            bytes_in: 0,
            bytes_out: 0,
            refused: SmallVec::new(),
            last_use: None,
            permissions: Vec::new(),
        }
    }

    fn add(&mut self, call: &Call<'_>, noted: &mut usize) {
        self.requests += 1;
        self.bytes_in += call.bytes_in;
        self.bytes_out += call.bytes_out;
        match call.end {
            End::Carried => {}
            End::Failed => self.failed += 1,
            End::Refused(code) => return self.add_refused(code, 1),
            End::Withdrawn(code) => self.add_refused(code, 1),
        }
        self.last_use = Some(LastUse {
            at: call.at,
            address: call.address,
            route: call.route.cloned(),
        });
        let Some(need) = call.need else { return };
        let (Permission::Any(names) | Permission::All(names)) = need.demanded;
        for name in names.iter().filter(|name| need.held.contains(name)) {
            match self.permissions.binary_search_by(|(known, _)| (**known).cmp(name)) {
                Ok(known) => self.permissions[known].1 = call.at,
                Err(_) if *noted >= PERMISSIONS_MAX => {}
                Err(free) => {
                    *noted += 1;
                    self.permissions.insert(free, (name.as_str().into(), call.at));
                }
            }
        }
    }

    fn add_refused(&mut self, code: &'static str, requests: u64) {
        match self.refused.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += requests,
            None => self.refused.push((code, requests)),
        }
    }

    /// Adds what another worker, or the same one later, has counted for the same key and hour.
    pub(super) fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        for (code, requests) in other.refused {
            self.add_refused(code, requests);
        }
        self.last_use = LastUse::later(self.last_use.take(), other.last_use);
    }
}

impl LastUse {
    /// The later of two.
    pub(super) fn later(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if other.at >= one.at { other } else { one }),
            (one, other) => one.or(other),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
