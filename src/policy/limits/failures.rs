//! How many bad keys one source may present before it is told to wait.
//!
//! Only failed credentials spend it, and only they are refused by it: a valid key from the same address is never held
//! back. Memory is bounded: the source that failed longest ago is forgotten first, so that whoever wants a fresh bucket
//! by that way has to fail from more than [`SOURCES`] networks.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::pace::{Pace, Wait};
use super::seconds_up;
use crate::config::limits::CredentialFailures;

/// How many sources are remembered.
const SOURCES: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// The buckets of all sources; shared by all workers, and by the generations while the setting stays the same.
#[derive(Debug)]
pub struct Failures(Option<Buckets>);

#[derive(Debug)]
struct Buckets {
    setting: CredentialFailures,
    pace: Pace,
    /// Each source's theoretical arrival time.
    arrivals: Mutex<LruCache<Source, u64>>,
}

/// Whom one bucket stands for: what one client can hardly have many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    /// The Unix socket.
    Local,
    /// One IPv4 address, also when it came mapped into IPv6.
    V4(u32),
    /// An IPv6 /64.
    V6(u64),
}

impl Failures {
    /// Empty buckets; `None` is off.
    #[must_use]
    pub fn new(setting: Option<&CredentialFailures>) -> Arc<Self> {
        Arc::new(Self(setting.map(|setting| Buckets {
            setting: setting.clone(),
            pace: Pace::new(setting.requests, setting.per, setting.requests),
            arrivals: Mutex::new(LruCache::sparse(SOURCES)),
        })))
    }

    /// The same buckets when the setting did not change, else new ones.
    #[must_use]
    pub fn renew(old: &Arc<Self>, setting: Option<&CredentialFailures>) -> Arc<Self> {
        if old.0.as_ref().map(|buckets| &buckets.setting) == setting {
            Arc::clone(old)
        } else {
            Self::new(setting)
        }
    }

    /// Counts one bad key from `source` (`None` is the Unix socket) at `now` (monotonic nanoseconds).
    ///
    /// # Errors
    /// Whole seconds until the next bad key is looked at, rounded up, when the bucket was empty already.
    pub fn spend(&self, source: Option<IpAddr>, now: u64) -> Result<(), u64> {
        let Some(buckets) = &self.0 else { return Ok(()) };
        let source = Source::of(source);
        let mut arrivals = buckets.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let arrival = arrivals.get_or_insert_mut(source, || 0);
        *arrival = buckets.take(*arrival, now)?;
        Ok(())
    }

    /// Whether the next bad key from `source` would be refused, and for how many seconds: asked before a slow hash.
    #[must_use]
    pub fn is_empty(&self, source: Option<IpAddr>, now: u64) -> Option<u64> {
        let buckets = self.0.as_ref()?;
        let arrivals = buckets.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.take(*arrivals.peek(&Source::of(source))?, now).err()
    }
}

impl Buckets {
    fn take(&self, arrival: u64, now: u64) -> Result<u64, u64> {
        self.pace.take(1, arrival, now).map_err(|wait| match wait {
            Wait::For(nanoseconds) => seconds_up(nanoseconds),
            Wait::Never => seconds_up(self.pace.per()), // a bucket holds at least one
        })
    }
}

impl Source {
    fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Local,
            Some(IpAddr::V4(v4)) => Self::V4(v4.to_bits()),
            Some(IpAddr::V6(v6)) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn setting() -> CredentialFailures {
        CredentialFailures {
            requests: 3,
            per: Duration::from_secs(60),
        }
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_empty_bucket_refuses_until_a_unit_is_back() {
        let failures = Failures::new(Some(&setting()));
        let source = ip("203.0.113.9");
        for _ in 0..3 {
            assert_eq!(failures.is_empty(source, 5), None);
            assert_eq!(failures.spend(source, 5), Ok(()));
        }
        assert_eq!(failures.is_empty(source, 5), Some(20));
        assert_eq!(failures.spend(source, 5), Err(20));
        assert_eq!(failures.spend(source, 5 + SECOND / 2), Err(20));
        assert_eq!(failures.spend(source, 5 + 19 * SECOND), Err(1));
        assert_eq!(failures.is_empty(source, 5 + 20 * SECOND), None);
        assert_eq!(failures.spend(source, 5 + 20 * SECOND), Ok(()));
        assert_eq!(failures.spend(source, 5 + 20 * SECOND), Err(20));
    }

    #[test]
    fn sources_are_told_apart_by_what_one_client_has() {
        let table = [
            ("203.0.113.9", "203.0.113.10", false),
            ("203.0.113.9", "::ffff:203.0.113.9", true),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ];
        for (left, right, same) in table {
            assert_eq!(Source::of(ip(left)) == Source::of(ip(right)), same, "{left} {right}");
        }
        let failures = Failures::new(Some(&setting()));
        for _ in 0..3 {
            assert_eq!(failures.spend(None, 0), Ok(()));
        }
        assert_eq!(failures.spend(None, 0), Err(20));
        assert_eq!(failures.spend(ip("127.0.0.1"), 0), Ok(()));
    }

    #[test]
    fn it_can_be_off_and_survives_what_does_not_concern_it() {
        let off = Failures::new(None);
        for _ in 0..1_000 {
            assert_eq!(off.spend(None, 0), Ok(()));
        }
        assert_eq!(off.is_empty(None, 0), None);

        let on = Failures::renew(&off, Some(&setting()));
        assert!(!Arc::ptr_eq(&off, &on));
        assert!(Arc::ptr_eq(&on, &Failures::renew(&on, Some(&setting()))));
        let other = CredentialFailures {
            requests: 4,
            ..setting()
        };
        assert!(!Arc::ptr_eq(&on, &Failures::renew(&on, Some(&other))));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten() {
        let failures = Failures::new(Some(&setting()));
        let first = ip("2001:db8::1");
        for _ in 0..3 {
            assert_eq!(failures.spend(first, 0), Ok(()));
        }
        for number in 0..u32::try_from(SOURCES.get()).unwrap() {
            assert_eq!(failures.spend(Some(IpAddr::V4(number.into())), 1), Ok(()));
        }
        let held = failures.0.as_ref().unwrap().arrivals.lock().unwrap().len();
        assert_eq!(held, SOURCES.get());
        assert_eq!(failures.is_empty(first, 1), None);
    }
}
