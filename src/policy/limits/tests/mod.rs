//! Promises of an account as a whole: all or nothing, exact waits, strict windows, generations, threads.

mod charging;
mod quotas;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::Now;
use crate::config::plans::{Limit, Scope};
use crate::policy::refusal::{Exceeded, Refusal};

const SECOND: u64 = 1_000_000_000;

fn limit(name: &str, requests: u32, per: Duration) -> Limit {
    Limit {
        name: name.to_owned(),
        requests,
        per,
        burst: requests,
        strict: false,
        scope: Scope::Key,
    }
}

fn bounds(limits: &[Limit], concurrency: Option<u32>) -> Bounds {
    Bounds {
        windows: Windows::compile(limits),
        concurrency,
        shared: None,
        claims: Claims::default(),
    }
}

fn account(limits: &[Limit]) -> Arc<Account> {
    Account::new(bounds(limits, None))
}

fn at(monotonic: u64) -> Now {
    Now { monotonic, unix: 0 }
}

fn exceeded(refused: &Refused) -> &Exceeded {
    let Refusal::RateLimited(exceeded) = &refused.refusal else {
        panic!("refused by a quota: {refused:?}")
    };
    exceeded
}

fn remaining(report: &Report) -> Vec<u32> {
    report.windows.iter().map(|standing| standing.remaining).collect()
}

#[test]
fn a_refusal_by_one_window_leaves_the_others_whole() {
    let account = account(&[
        limit("sec", 2, Duration::from_secs(1)),
        limit("min", 100, Duration::from_secs(60)),
    ]);
    assert_eq!(remaining(&account.spend(1, at(0)).unwrap()), [1, 99]);
    assert_eq!(remaining(&account.spend(1, at(0)).unwrap()), [0, 98]);
    let refused = account.spend(1, at(0)).unwrap_err();
    assert_eq!(remaining(&refused.report), [0, 98]);
    assert_eq!(refused.report.refused_by, Some(0));
    assert_eq!(refused.wait, SECOND / 2);
    assert_eq!(
        (
            &*exceeded(&refused).window,
            exceeded(&refused).limit,
            exceeded(&refused).retry_after
        ),
        ("sec", 2, 1)
    );
    assert_eq!(remaining(&account.spend(0, at(0)).unwrap()), [0, 98]);
}

#[test]
fn the_window_that_keeps_the_caller_waiting_longest_is_named() {
    let account = account(&[
        limit("sec", 1, Duration::from_secs(1)),
        limit("hour", 1, Duration::from_secs(3_600)),
        limit("min", 1, Duration::from_secs(60)),
    ]);
    account.spend(1, at(0)).unwrap();
    let refused = account.spend(1, at(1)).unwrap_err();
    assert_eq!(refused.report.refused_by, Some(1));
    assert_eq!(exceeded(&refused).window, "hour");
    assert_eq!(exceeded(&refused).retry_after, 3_600);
    let resets: Vec<u64> = refused.report.windows.iter().map(|standing| standing.reset).collect();
    assert_eq!(resets, [SECOND - 1, 3_600 * SECOND - 1, 60 * SECOND - 1]);
}

#[test]
fn a_cost_that_never_fits_waits_for_the_window_and_spends_nothing() {
    let account = account(&[limit("sec", 5, Duration::from_secs(7))]);
    let refused = account.spend(6, at(0)).unwrap_err();
    assert_eq!((refused.wait, exceeded(&refused).retry_after), (7 * SECOND, 7));
    assert_eq!(remaining(&account.spend(5, at(0)).unwrap()), [0]);
}

#[test]
fn no_windows_admit_everything_and_report_nothing() {
    assert_eq!(account(&[]).spend(u32::MAX, at(0)), Ok(Report::default()));
}

#[test]
fn peeking_says_the_same_and_spends_nothing() {
    let account = account(&[limit("sec", 1, Duration::from_secs(1))]);
    for _ in 0..3 {
        assert_eq!(remaining(&account.peek(1, at(0)).unwrap()), [1]);
    }
    account.spend(1, at(0)).unwrap();
    assert_eq!(account.peek(1, at(5)), account.spend(1, at(5)));
    assert!(account.peek(1, at(5)).is_err());
}

#[test]
fn concurrency_gives_back_on_drop() {
    let account = Account::new(bounds(&[], Some(2)));
    let first = account.enter().expect("first");
    let second = account.enter().expect("second");
    assert!(account.enter().is_none());
    assert_eq!(account.in_flight(), 2);
    drop(first);
    assert!(account.enter().is_some());
    drop(second);
    assert_eq!(account.in_flight(), 0);
}

#[test]
fn an_unchanged_plan_keeps_the_account() {
    let limits = [limit("sec", 1, Duration::from_secs(1))];
    let old = Account::new(bounds(&limits, Some(3)));
    assert!(Arc::ptr_eq(&old, &Account::renew(&old, bounds(&limits, Some(3)))));
    assert!(!Arc::ptr_eq(&old, &Account::renew(&old, bounds(&limits, None))));
}

#[test]
fn a_new_generation_gives_nobody_a_fresh_window() {
    let sec = limit("sec", 10, Duration::from_secs(1));
    let strict = Limit {
        strict: true,
        ..limit("min", 20, Duration::from_secs(60))
    };
    let old = Account::new(bounds(&[sec.clone(), strict.clone()], None));
    let slot = old.enter().expect("no limit");
    old.spend(4, at(SECOND)).unwrap();

    // Another order, one window more, one with another value.
    let day = limit("day", 50, Duration::from_secs(86_400));
    let limits = [
        day,
        strict.clone(),
        Limit {
            burst: 5,
            ..sec.clone()
        },
    ];
    let new = Account::renew(&old, bounds(&limits, Some(1)));
    old.spend(2, at(SECOND)).unwrap(); // while the new generation is compiled
    assert_eq!(remaining(&new.spend(1, at(SECOND)).unwrap()), [49, 13, 4]);
    assert!(new.enter().is_none(), "the request of the old generation is in flight");
    drop(slot);
    assert_eq!(new.in_flight(), 0);

    // A straggler of the old generation, then the new one again: neither window was refilled by the change.
    assert_eq!(remaining(&old.spend(1, at(SECOND)).unwrap()), [3, 12]);
    assert_eq!(remaining(&new.spend(1, at(SECOND)).unwrap()), [48, 11, 3]);

    // And back: what the first generation had spent is still spent.
    let back = Account::renew(&new, bounds(&[sec, strict], None));
    assert_eq!(remaining(&back.spend(0, at(SECOND)).unwrap()), [3, 11]);
}

#[test]
fn eight_threads_get_exactly_what_there_is() {
    let account = account(&[
        limit("sec", 1_000, Duration::from_secs(1)),
        Limit {
            strict: true,
            ..limit("min", 1_500, Duration::from_secs(60))
        },
    ]);
    let run = |now: u64| {
        let admitted = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if account.spend(1, at(now)).is_ok() {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        admitted.into_inner()
    };
    assert_eq!(run(SECOND), 1_000);
    assert_eq!(remaining(&account.peek(0, at(SECOND)).unwrap()), [0, 500]);
    assert_eq!(run(3 * SECOND), 500);
    assert_eq!(remaining(&account.peek(0, at(3 * SECOND)).unwrap()), [500, 0]);
}

#[test]
fn eight_threads_never_hold_more_than_the_concurrency() {
    let account = Account::new(bounds(&[], Some(3)));
    let (inside, most, entered) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    if let Some(slot) = account.enter() {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        entered.fetch_add(1, Ordering::Relaxed);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert!(entered.into_inner() >= 2_000);
    assert_eq!(account.in_flight(), 0);
}

/// Some windows, of any kind.
fn any_limits() -> impl Strategy<Value = Vec<Limit>> {
    let one = (1..60u32, 1..5_000u64, 1..=100u32, any::<bool>());
    prop::collection::vec(one, 1..4).prop_map(|windows| {
        windows
            .into_iter()
            .enumerate()
            .map(|(index, (requests, per, share, strict))| Limit {
                name: format!("w{index}"),
                requests,
                per: Duration::from_millis(per),
                burst: (requests * share / 100).max(1),
                strict,
                scope: Scope::Key,
            })
            .collect()
    })
}

/// Steps between arrivals, most of them short, some of them at once, and costs.
fn any_arrivals() -> impl Strategy<Value = Vec<(u64, u32)>> {
    let step = prop_oneof![Just(0), 0..1_000_000u64, 0..100_000_000u64, 0..2_000_000_000u64];
    prop::collection::vec((step, 0..6u32), 1..150)
}

proptest! {
    #[test]
    fn waits_are_exact_and_refusals_spend_nothing(limits in any_limits(), arrivals in any_arrivals()) {
        let account = account(&limits);
        let mut now = 0;
        for (step, cost) in arrivals {
            now += step;
            let before = account.peek(0, at(now)).unwrap();
            match account.spend(cost, at(now)) {
                Ok(report) => {
                    for (had, has) in before.windows.iter().zip(&report.windows) {
                        prop_assert_eq!(had.remaining, has.remaining + cost);
                    }
                }
                Err(refused) => {
                    prop_assert!(cost > 0);
                    prop_assert_eq!(&account.peek(0, at(now)).unwrap(), &before);
                    prop_assert_eq!(remaining(&refused.report), remaining(&before));
                    if limits.iter().any(|limit| cost > limit.burst) {
                        prop_assert!(account.peek(cost, at(now + 1_000 * SECOND)).is_err());
                        break; // the ledgers have looked too far ahead to go on
                    }
                    prop_assert!(account.peek(cost, at(now + refused.wait - 1)).is_err());
                    prop_assert!(account.peek(cost, at(now + refused.wait)).is_ok());
                    let seconds = exceeded(&refused).retry_after;
                    prop_assert!(seconds * SECOND >= refused.wait);
                    prop_assert!((seconds - 1) * SECOND < refused.wait);
                    now += refused.wait;
                }
            }
        }
    }

    #[test]
    fn a_whole_window_is_whole_when_it_says(limits in any_limits(), costs in prop::collection::vec((0..50_000_000u64, 1..4u32), 1..60)) {
        let account = account(&limits);
        let mut now = 0;
        for (step, cost) in costs {
            now += step;
            let _ = account.spend(cost, at(now));
        }
        let reset = account.peek(0, at(now)).unwrap().windows.iter().map(|standing| standing.reset).max().unwrap();
        let whole: Vec<u32> = limits.iter().map(|limit| limit.burst).collect();
        if reset > 0 {
            // At the last nanosecond before, some window still says that it is not whole.
            prop_assert!(account.peek(0, at(now + reset - 1)).unwrap().windows.iter().any(|standing| standing.reset == 1));
        }
        let report = account.peek(0, at(now + reset)).unwrap();
        prop_assert_eq!(remaining(&report), whole);
        prop_assert!(report.windows.iter().all(|standing| standing.reset == 0));
    }

    #[test]
    fn a_strict_window_holds_over_every_interval(requests in 1..40u32, per in 1..3_000u64, share in 1..=100u32,
                                                 arrivals in any_arrivals()) {
        let per = Duration::from_millis(per);
        let strict = Limit { burst: (requests * share / 100).max(1), strict: true, ..limit("w", requests, per) };
        let account = account(std::slice::from_ref(&strict));
        let length = u64::try_from(per.as_nanos()).unwrap();
        let (mut now, mut recent, mut sum) = (0, VecDeque::new(), 0);
        for (step, cost) in arrivals {
            now += step;
            // As greedy as can be: everything there is, in pieces of `cost`.
            while cost > 0 && account.spend(cost, at(now)).is_ok() {
                recent.push_back((now, cost));
                sum += cost;
            }
            while recent.front().is_some_and(|(at, _)| now - at >= length) {
                sum -= recent.pop_front().unwrap().1;
            }
            prop_assert!(sum <= requests, "{sum} units in one window of {requests}");
        }
    }

    #[test]
    fn a_strict_window_gives_back_at_most_a_slice_late(requests in 1..40u32, per in 1..3_000u64, start in 0..10_000_000_000u64) {
        let per = Duration::from_millis(per);
        let account = account(&[Limit { strict: true, ..limit("w", requests, per) }]);
        account.spend(requests, at(start)).unwrap();
        let length = u64::try_from(per.as_nanos()).unwrap();
        prop_assert!(account.peek(1, at(start + length - 1)).is_err());
        prop_assert!(account.peek(requests, at(start + length + length.div_ceil(64) + 64)).is_ok());
    }
}
