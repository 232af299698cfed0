//! One bucket's arithmetic: the generic cell rate algorithm of `governor`, with the state outside.
//!
//! `governor` decides; the state that it asks for is one number, the theoretical arrival time, and it is lent to it for
//! the length of one decision, relative to that decision's time. So a key costs eight bytes per window, time is an
//! argument, and a decision that is not committed leaves nothing behind.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

/// The longest window that is reckoned with, in nanoseconds: 146 years.
const LONGEST: u64 = 1 << 62;

/// How fast units come back, and how many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    quota: Quota,
    per: u64,
}

/// Why not, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// So many nanoseconds, at least 1.
    For(u64),
    /// More was asked for than may ever come at once.
    Never,
}

impl Pace {
    /// `requests` units per `per`, `burst` of them at once. One unit comes back every `per / requests`, rounded up to whole
    /// nanoseconds, so that rounding never admits more than was written.
    pub(super) fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let requests = requests.max(1);
        let burst = NonZeroU32::new(burst.clamp(1, requests)).expect("clamped to at least 1");
        let per = u64::try_from(per.as_nanos()).unwrap_or(LONGEST).clamp(1, LONGEST);
        let interval = Duration::from_nanos(per.div_ceil(u64::from(requests)));
        let quota = Quota::with_period(interval).expect("rounded up, so not zero");
        Self {
            quota: quota.allow_burst(burst),
            per,
        }
    }

    /// The window's length in nanoseconds.
    pub(super) fn per(self) -> u64 {
        self.per
    }

    /// How many units may come at once.
    pub(super) fn burst(self) -> u32 {
        self.quota.burst_size().get()
    }

    /// The arrival time after taking `cost` units at `now` from a bucket whose arrival time is `arrival`.
    pub(super) fn take(self, cost: u32, arrival: u64, now: u64) -> Result<u64, Wait> {
        let Some(units) = NonZeroU32::new(cost) else {
            return Ok(arrival);
        };
        if cost > self.burst() {
            return Err(Wait::Never); // asked here, since governor would multiply the cost first and overflow
        }
        let lent = Lent {
            arrival: Nanos::new(arrival.saturating_sub(now)),
            next: Cell::new(Nanos::new(0)),
        };
        let limiter: RateLimiter<_, _, _, NoOpMiddleware<Nanos>> = RateLimiter::new(self.quota, lent, Standstill);
        match limiter.check_n(units) {
            Ok(Ok(())) => Ok(now.saturating_add(limiter.into_state_store().next.get().as_u64())),
            Ok(Err(until)) => Err(Wait::For(until.earliest_possible().as_u64().max(1))),
            Err(_insufficient_capacity) => Err(Wait::Never),
        }
    }

    /// How many units could be taken at `now`.
    pub(super) fn remaining(self, arrival: u64, now: u64) -> u32 {
        let interval = self.interval();
        let full = interval * u64::from(self.burst());
        let left = full.saturating_sub(arrival.saturating_sub(now)) / interval;
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Nanoseconds between two units.
    fn interval(self) -> u64 {
        u64::try_from(self.quota.replenish_interval().as_nanos()).expect("made from a u64")
    }
}

/// A bucket's state, lent to governor for one decision: all times are relative to it.
struct Lent {
    arrival: Nanos,
    next: Cell<Nanos>,
}

impl StateStore for Lent {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = decide(Some(self.arrival))?;
        self.next.set(next);
        Ok(outcome)
    }
}

/// Time during one decision: it stands still at zero.
#[derive(Clone, Copy)]
struct Standstill;

impl Clock for Standstill {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}

#[cfg(test)]
mod tests {
    use governor::middleware::StateInformationMiddleware;
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let pace = Pace::new(10, Duration::from_secs(1), 3);
        let mut arrival = 0;
        for _ in 0..3 {
            arrival = pace.take(1, arrival, SECOND).expect("within the burst");
        }
        assert_eq!(pace.remaining(arrival, SECOND), 0);
        assert_eq!(pace.take(1, arrival, SECOND), Err(Wait::For(SECOND / 10)));
        assert!(pace.take(1, arrival, SECOND + SECOND / 10).is_ok());
        assert_eq!(pace.remaining(arrival, 2 * SECOND), 3);
    }

    #[test]
    fn extremes_neither_overflow_nor_admit() {
        let table = [
            (u32::MAX, Duration::from_millis(1)),
            (u32::MAX, Duration::MAX),
            (1, Duration::MAX),
            (1, Duration::from_millis(1)),
        ];
        for (requests, per) in table {
            let pace = Pace::new(requests, per, requests);
            let arrival = pace.take(requests, 0, 0).expect("a full bucket");
            assert_eq!(pace.remaining(arrival, 0), 0);
            assert!(matches!(pace.take(1, arrival, 0), Err(Wait::For(_))));
            assert!(pace.take(1, arrival, u64::MAX).is_ok());
        }
        let slow = Pace::new(1, Duration::from_secs(86_400 * 365), 1);
        assert_eq!(slow.take(u32::MAX, 0, 0), Err(Wait::Never));
    }

    #[test]
    fn rounding_is_against_the_caller() {
        let pace = Pace::new(600_000, Duration::from_millis(1), 600_000); // one in 1⅔ ns
        let arrival = pace.take(600_000, 0, 0).expect("a full bucket");
        assert_eq!(pace.remaining(arrival, 600_000), 300_000);
        assert_eq!(pace.remaining(arrival, 1_000_000), 500_000);
    }

    proptest! {
        #[test]
        fn remaining_is_what_governor_counts(requests in 1..5_000u32, per in 1..100_000u64, share in 1..=100u32,
                                             costs in prop::collection::vec((0..50_000_000u64, 1..20u32), 1..50)) {
            let burst = (requests * share / 100).max(1);
            let pace = Pace::new(requests, Duration::from_millis(per), burst);
            let (mut arrival, mut now) = (0, 0);
            for (step, cost) in costs {
                now += step;
                let before = pace.remaining(arrival, now);
                let lent = Lent { arrival: Nanos::new(u64::saturating_sub(arrival, now)), next: Cell::new(Nanos::new(0)) };
                let limiter: RateLimiter<_, _, _, StateInformationMiddleware> = RateLimiter::new(pace.quota, lent, Standstill);
                let told = limiter.check_n(NonZeroU32::new(cost).unwrap());
                match pace.take(cost, arrival, now) {
                    Ok(next) => {
                        prop_assert!(cost <= before);
                        arrival = next;
                        prop_assert_eq!(told.unwrap().unwrap().remaining_burst_capacity(), pace.remaining(arrival, now));
                        prop_assert_eq!(pace.remaining(arrival, now), before - cost);
                    }
                    Err(Wait::Never) => prop_assert!(told.is_err()),
                    Err(Wait::For(wait)) => {
                        prop_assert!(cost > before);
                        prop_assert!(told.unwrap().is_err());
                        prop_assert!(pace.take(cost, arrival, now + wait).is_ok());
                        prop_assert!(pace.take(cost, arrival, now + wait - 1).is_err());
                    }
                }
            }
        }

        #[test]
        fn never_more_than_the_burst_and_the_rate(requests in 1..2_000_000u32, per in 1..10_000u64, share in 1..=100u64,
                                                  steps in prop::collection::vec(0..2_000_000u64, 1..200)) {
            let per = Duration::from_millis(per);
            let burst = u32::try_from((u64::from(requests) * share / 100).clamp(1, 40)).unwrap();
            let pace = Pace::new(requests, per, burst);
            let (mut arrival, mut now, mut admitted) = (0, 0, 0u128);
            for step in steps {
                now += step;
                while let Ok(next) = pace.take(1, arrival, now) {
                    arrival = next;
                    admitted += 1;
                }
                let most = u128::from(burst) + u128::from(now) * u128::from(requests) / per.as_nanos();
                prop_assert!(admitted <= most, "{admitted} > {most} after {now} ns");
            }
        }
    }
}
