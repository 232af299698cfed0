//! How far a migration has come: who passed that would have been refused, and who still comes without a key.
//!
//! A room of its own because it answers one question of an operator's, "may I enforce this now?", and remembers whom it has
//! seen to do so. It is asked for nothing but these requests; memory is bounded, and begins anew with the process.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use serde::Serialize;

/// For how long a caller that was seen counts as one that is left, in seconds.
pub const SEEN: i64 = 24 * 3600;
/// How many callers are told apart for one entry; the one that was not seen for the longest time is forgotten first.
const CALLERS: NonZeroUsize = NonZeroUsize::new(10_000).expect("is not zero");
/// How many entries there may be, over all generations.
const ENTRIES: usize = 10_000;

/// What was seen since the process began.
#[derive(Debug, Default)]
pub struct Migration {
    /// By route and code.
    observed: Tally<(String, &'static str)>,
    /// By the name of a `[[legacy]]` entry.
    legacy: Tally<Arc<str>>,
}

/// Who came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A key, by its id.
    Key(Arc<str>),
    /// A user, by its id: it may be called as a key is.
    User(Arc<str>),
    /// Somebody at this address, if it is known.
    Address(Option<IpAddr>),
}

/// What a route that only observes would have refused.
#[derive(Debug, Clone, Serialize)]
pub struct Observed {
    /// The route's methods and pattern; empty for requests that match none.
    pub route: String,
    /// The code that would have been the answer.
    pub code: &'static str,
    /// How many.
    #[serde(flatten)]
    pub seen: Seen,
}

/// Who came without a key.
#[derive(Debug, Clone, Serialize)]
pub struct Legacy {
    /// The entry's name.
    pub name: String,
    /// How many.
    #[serde(flatten)]
    pub seen: Seen,
}

/// How many, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Requests since the process began.
    pub requests: u64,
    /// Different keys or addresses in the last 24 hours.
    pub callers: usize,
    /// Unix seconds.
    pub last_seen: i64,
}

#[derive(Debug)]
struct Tally<K>(Mutex<HashMap<K, Count>>);

#[derive(Debug)]
struct Count {
    requests: u64,
    last_seen: i64,
    callers: LruCache<Caller, i64>,
}

impl Migration {
    /// A request passed that would have been refused with `code`. `now` is in Unix seconds.
    pub fn would_refuse(&self, route: &str, code: &'static str, caller: Caller, now: i64) {
        self.observed.count((route.to_owned(), code), caller, now);
    }

    /// A request passed without a key, as the entry with this name may.
    pub fn legacy(&self, name: &Arc<str>, caller: Caller, now: i64) {
        self.legacy.count(Arc::clone(name), caller, now);
    }

    /// What would have been refused, by route and code.
    #[must_use]
    pub fn observed(&self, now: i64) -> Vec<Observed> {
        let seen = self.observed.seen(now).into_iter();
        let mut all: Vec<_> = seen
            .map(|((route, code), seen)| Observed { route, code, seen })
            .collect();
        all.sort_by(|a, b| (&a.route, a.code).cmp(&(&b.route, b.code)));
        all
    }

    /// How many different callers would have been refused something, on whatever route and for whatever reason.
    #[must_use]
    pub fn would_refuse_callers(&self, now: i64) -> usize {
        self.observed.callers(now)
    }

    /// Who came without a key, by entry.
    #[must_use]
    pub fn still_legacy(&self, now: i64) -> Vec<Legacy> {
        let seen = self.legacy.seen(now).into_iter();
        let mut all: Vec<_> = seen
            .map(|(name, seen)| Legacy {
                name: name.to_string(),
                seen,
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + std::hash::Hash> Tally<K> {
    fn count(&self, key: K, caller: Caller, now: i64) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ENTRIES && !entries.contains_key(&key) {
            return;
        }
        let count = entries.entry(key).or_insert_with(|| Count {
            requests: 0,
            last_seen: now,
            callers: LruCache::new(CALLERS),
        });
        count.requests += 1;
        count.last_seen = now;
        count.callers.put(caller, now);
    }

    fn seen(&self, now: i64) -> Vec<(K, Seen)> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = entries.iter().map(|(key, count)| {
            let seen = Seen {
                requests: count.requests,
                callers: count.recent(now).count(),
                last_seen: count.last_seen,
            };
            (key.clone(), seen)
        });
        seen.collect()
    }

    /// Each caller once, however many entries it has.
    fn callers(&self, now: i64) -> usize {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent: HashSet<&Caller> = entries.values().flat_map(|count| count.recent(now)).collect();
        recent.len()
    }
}

impl Count {
    fn recent(&self, now: i64) -> impl Iterator<Item = &Caller> {
        let recent = self.callers.iter().filter(move |(_, at)| now - **at < SEEN);
        recent.map(|(caller, _)| caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart_and_are_gone_after_a_day() {
        let migration = Migration::default();
        let route = "/v1";
        let key = |id: &str| Caller::Key(id.into());
        for (code, caller, now) in [
            ("permission_denied", key("a"), 100),
            ("permission_denied", key("a"), 101),
            ("permission_denied", key("b"), 102),
            ("credential_missing", Caller::Address(None), 103),
        ] {
            migration.would_refuse(route, code, caller, now);
        }
        let told = |now| -> Vec<_> {
            let all = migration.observed(now).into_iter();
            all.map(|one| (one.code, one.seen.requests, one.seen.callers)).collect()
        };
        assert_eq!(told(103), [("credential_missing", 1, 1), ("permission_denied", 3, 2)]);
        assert_eq!(
            told(101 + SEEN),
            [("credential_missing", 1, 1), ("permission_denied", 3, 1)]
        );
    }

    #[test]
    fn a_caller_that_is_refused_for_several_reasons_is_one_caller() {
        let migration = Migration::default();
        let key = |id: &str| Caller::Key(id.into());
        for (route, code, caller, now) in [
            ("/v1", "permission_denied", key("a"), 100),
            ("/v1", "tenant_denied", key("a"), 101),
            ("/v2", "permission_denied", key("a"), 102),
            ("/v2", "permission_denied", key("b"), 103),
        ] {
            migration.would_refuse(route, code, caller, now);
        }
        assert_eq!(migration.would_refuse_callers(103), 2);
        assert_eq!(migration.would_refuse_callers(102 + SEEN), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let migration = Migration::default();
        for number in 0..CALLERS.get() + 5 {
            migration.legacy(&"old".into(), Caller::Key(number.to_string().into()), 7);
        }
        let [left] = migration.still_legacy(7).try_into().unwrap();
        assert_eq!((left.seen.callers, left.seen.requests), (CALLERS.get(), 10_005));
    }
}
