//! Promises of the counting side: what refusals leave alone, what hours are, and that memory is bounded.

use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::backlog::Backlog;
use super::store::Store;
use super::tally::{Call, Counts, End, LastUse, Page, Tallies};
use crate::config::plans::Scope;
use crate::config::state::State;
use crate::policy::limits::{Period, Purse, Spent};

/// 2026-01-31T23:00:00Z
const HOUR: i64 = 1_769_900_400;

fn call<'a>(key: &'a Arc<str>, end: End, at: i64) -> Call<'a> {
    Call {
        key,
        organization: key,
        end,
        bytes_in: 3,
        bytes_out: 5,
        address: "203.0.113.7".parse().ok(),
        route: None,
        need: None,
        at,
    }
}

fn counts(page: Page) -> Vec<(Arc<str>, Counts)> {
    let mut counts: Vec<_> = page.into_counts().collect();
    counts.sort_by_key(|(key, counts)| (Arc::clone(key), counts.hour));
    counts
}

#[test]
fn calls_are_counted_by_key_hour_and_end() {
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    let mut page = Page::default();
    page.count(&call(&a, End::Carried, HOUR - 1));
    page.count(&call(&a, End::Failed, HOUR));
    page.count(&call(&a, End::Refused("rate_limited"), HOUR + 1));
    page.count(&call(&a, End::Refused("rate_limited"), HOUR + 3_599));
    page.count(&call(&a, End::Refused("quota_exceeded"), HOUR + 2));
    page.count(&call(&b, End::Refused("source_denied"), HOUR));
    let counted = counts(page);
    let told: Vec<_> = counted
        .iter()
        .map(|(key, counts)| (&**key, counts.hour, counts.requests, counts.failed, counts.bytes_out))
        .collect();
    assert_eq!(
        told,
        [
            ("a", HOUR - 3_600, 1, 0, 5),
            ("a", HOUR, 4, 1, 20),
            ("b", HOUR, 1, 0, 5)
        ]
    );
    assert_eq!(
        counted[1].1.refused.as_slice(),
        [("rate_limited", 2), ("quota_exceeded", 1)]
    );
    assert_eq!(counted[1].1.last_use.as_ref().map(|last| last.at), Some(HOUR));
    assert_eq!(counted[2].1.last_use, None);
    let mut page = Page::default();
    page.count(&call(&b, End::Withdrawn("credential_invalid"), HOUR));
    let [(_, cut)] = counts(page).try_into().unwrap();
    assert_eq!(cut.refused.as_slice(), [("credential_invalid", 1)]);
    assert_eq!(cut.last_use.map(|last| last.at), Some(HOUR), "it was carried");
}

#[test]
fn a_page_takes_a_bounded_number_of_keys_and_counts_what_it_gives_up() {
    let mut page = Page::default();
    for number in 0..200_010 {
        page.count(&call(&number.to_string().into(), End::Carried, HOUR));
    }
    page.count(&call(&"7".into(), End::Carried, HOUR));
    assert_eq!(page.dropped, 10);
    let mut backlog = Backlog::default();
    assert_eq!(backlog.add_page(page), 10);
    assert_eq!(backlog.usage.len(), 200_000);
    assert_eq!(backlog.usage[&("7".into(), HOUR)].requests, 2);
}

#[test]
fn a_backlog_is_bounded_and_keeps_what_it_has() {
    let mut backlog = Backlog::default();
    let mut dropped = 0;
    for round in 0..6 {
        let mut page = Page::default();
        for number in 0..200_000 {
            page.count(&call(&number.to_string().into(), End::Carried, HOUR + round * 3_600));
        }
        dropped += backlog.add_page(page);
    }
    assert_eq!((backlog.usage.len(), dropped), (1_000_000, 200_000));
    assert_eq!(backlog.last_use.len(), 200_000);
}

#[test]
fn workers_count_while_the_ledger_takes_and_nothing_is_counted_twice() {
    let tallies = Tallies::on();
    let mut backlog = Backlog::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let tally = tallies.open();
                scope.spawn(move || {
                    let key: Arc<str> = "k".into();
                    (0..5_000).for_each(|at| tally.count(&call(&key, End::Carried, HOUR + at)));
                })
            })
            .collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            for page in tallies.take() {
                backlog.add_page(page);
            }
        }
    });
    for page in tallies.take() {
        backlog.add_page(page);
    }
    let requests: u64 = backlog.usage.values().map(|counts| counts.requests).sum();
    assert_eq!(requests, 20_000);
    assert_eq!(backlog.last_use["k"].1.at, HOUR + 4_999);
}

#[test]
fn without_state_nothing_is_counted() {
    let tallies = Tallies::off();
    let tally = tallies.open();
    assert!(!tally.is_on());
    tally.count(&call(&"k".into(), End::Carried, HOUR));
    assert!(tallies.take().is_empty());
}

proptest! {
    #[test]
    fn a_refused_request_never_changes_last_use(ends in prop::collection::vec((0..3usize, 0..10_000i64, 0..3u8), 1..60)) {
        let keys: [Arc<str>; 3] = ["a", "b", "c"].map(Arc::from);
        let (mut all, mut without) = (Backlog::default(), Backlog::default());
        for (key, at, end) in ends {
            let end = [End::Carried, End::Failed, End::Refused("rate_limited")][usize::from(end)];
            let call = call(&keys[key], end, HOUR + at);
            let mut page = Page::default();
            page.count(&call);
            all.add_page(page);
            if end != End::Refused("rate_limited") {
                let mut page = Page::default();
                page.count(&call);
                without.add_page(page);
            }
        }
        let told = |backlog: Backlog| {
            let mut told: Vec<(Arc<str>, LastUse)> = backlog.last_use.into_iter().map(|(key, (_, last))| (key, last)).collect();
            told.sort_by_key(|(key, _)| Arc::clone(key));
            told
        };
        prop_assert_eq!(told(all), told(without));
    }
}

#[test]
fn balances_of_long_ago_are_removed_from_the_file_and_those_of_now_are_not() {
    let home = tempfile::tempdir().unwrap();
    let spent = |days: i64| {
        let end = HOUR + days * 86_400;
        let purse = Purse {
            scope: Scope::Key,
            owner: days.to_string().into(),
            quota: "day".into(),
        };
        let period = Period {
            begin: end - 86_400,
            end,
        };
        (
            purse,
            Spent {
                used: 7,
                allowed: 9,
                period,
            },
        )
    };
    let all = [spent(-93), spent(-91), spent(1)];
    let mut backlog = Backlog::default();
    backlog.add_balances(all.to_vec());
    let mut store = Store::open(&home.path().join("keygate.db")).unwrap();
    store.write(&backlog, HOUR).unwrap();
    store.prune(&State::default(), HOUR);
    let mut left = store.balances().unwrap();
    left.sort_by_key(|(_, spent)| spent.period.end);
    assert_eq!(left, all[1..]);
}
