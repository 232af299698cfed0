//! Promises of quotas and of what an organization shares: all or nothing, exact, over generations and threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::super::*;
use crate::clock::Now;
use crate::config::plans::{Limit, Scope};
use crate::config::quotas::{Per, Quota};
use crate::policy::refusal::Refusal;

/// 2026-01-31T22:00:00Z: in Berlin, an hour before February.
const EVENING: i64 = 1_769_896_800;
const HOUR: i64 = 3_600;

fn quota(name: &str, requests: u64, per: Per, scope: Scope) -> Arc<Quota> {
    Arc::new(Quota {
        name: name.to_owned(),
        requests,
        per,
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        scope,
    })
}

fn windows(requests: &[u32]) -> Arc<Windows> {
    let limit = |requests: &u32| Limit {
        name: format!("w{requests}"),
        requests: *requests,
        per: Duration::from_secs(1_000_000),
        burst: *requests,
        strict: false,
        scope: Scope::Key,
    };
    Windows::compile(&requests.iter().map(limit).collect::<Vec<_>>())
}

fn plain(own: &[u32], claims: Claims) -> Bounds {
    Bounds {
        windows: windows(own),
        concurrency: None,
        shared: None,
        claims,
    }
}

fn claims(balances: &Balances, owner: &str, quotas: &[&Arc<Quota>]) -> Claims {
    let owner: Arc<str> = owner.into();
    Claims::new(quotas.iter().map(|quota| balances.claim(&owner, quota)))
}

fn at(unix: i64) -> Now {
    Now { monotonic: 0, unix }
}

/// What is left of everything: windows, then quotas.
fn rest(account: &Account, now: Now) -> Vec<u64> {
    let report = account.peek(0, now).unwrap();
    let windows = report.windows.iter().map(|standing| u64::from(standing.remaining));
    windows.chain(report.quotas.iter().map(|left| left.remaining)).collect()
}

#[test]
fn a_quota_is_spent_to_the_last_unit_and_begins_again_with_its_calendar() {
    let balances = Balances::default();
    let month = quota("month", 3, Per::Month, Scope::Organization);
    let account = Account::new(plain(&[], claims(&balances, "acme", &[&month])));
    for left in [2, 1, 0] {
        let report = account.spend(1, at(EVENING)).unwrap();
        assert_eq!(
            (report.quotas[0].remaining, report.quotas[0].reset),
            (left, HOUR.unsigned_abs())
        );
    }
    let refused = account.spend(1, at(EVENING + HOUR - 1)).unwrap_err();
    let Refusal::QuotaExceeded(spent) = refused.refusal else {
        panic!()
    };
    assert_eq!((&*spent.quota, spent.limit), ("month", 3));
    assert_eq!((spent.retry_after, spent.renews_at), (1, EVENING + HOUR));
    assert_eq!(rest(&account, at(EVENING + HOUR)), [3]);
    assert!(account.spend(3, at(EVENING + HOUR)).is_ok());
    assert!(account.spend(1, at(EVENING + HOUR)).is_err());
    assert!(
        account.spend(0, at(EVENING + HOUR)).is_ok(),
        "what costs nothing is always admitted"
    );
}

#[test]
fn a_window_that_refuses_leaves_the_quota_whole_and_the_other_way_round() {
    let balances = Balances::default();
    let month = quota("month", 3, Per::Month, Scope::Key);
    let account = Account::new(plain(&[2], claims(&balances, "k", &[&month])));
    account.spend(2, at(EVENING)).unwrap();
    assert!(matches!(
        account.spend(1, at(EVENING)).unwrap_err().refusal,
        Refusal::RateLimited(_)
    ));
    assert_eq!(rest(&account, at(EVENING)), [0, 1]);

    let account = Account::new(plain(&[9], claims(&balances, "other", &[&month])));
    assert!(matches!(
        account.spend(4, at(EVENING)).unwrap_err().refusal,
        Refusal::QuotaExceeded(_)
    ));
    assert_eq!(rest(&account, at(EVENING)), [9, 3]);
}

#[test]
fn keys_of_an_organization_share_its_windows_and_its_quota() {
    let balances = Balances::default();
    let shared = Account::new(plain(&[5], Claims::default()));
    let month = quota("month", 7, Per::Month, Scope::Organization);
    let key = |own: u32| {
        Account::new(Bounds {
            shared: Some(Arc::clone(&shared)),
            ..plain(&[own], claims(&balances, "acme", &[&month]))
        })
    };
    let (a, b) = (key(3), key(4));
    a.spend(3, at(EVENING)).unwrap();
    assert_eq!(rest(&b, at(EVENING)), [4, 2, 4]);
    let refused = b.spend(3, at(EVENING)).unwrap_err();
    assert_eq!(refused.report.refused_by, Some(1), "the organization's window");
    assert_eq!(rest(&b, at(EVENING)), [4, 2, 4], "its own window is whole");
    b.spend(2, at(EVENING)).unwrap();
    assert_eq!(rest(&a, at(EVENING)), [0, 0, 2]);
}

#[test]
fn a_balance_survives_another_plan_another_calendar_and_the_process() {
    let balances = Balances::default();
    let month = quota("month", 10, Per::Month, Scope::Organization);
    let account = Account::new(plain(&[], claims(&balances, "acme", &[&month])));
    account.spend(4, at(EVENING)).unwrap();

    let larger = quota("month", 100, Per::Month, Scope::Organization);
    let renewed = Account::renew(&account, plain(&[], claims(&balances, "acme", &[&larger])));
    assert_eq!(rest(&renewed, at(EVENING)), [96]);
    assert_eq!(rest(&account, at(EVENING)), [6], "a request of the generation before");
    let daily = quota("month", 5, Per::Day, Scope::Organization);
    let renewed = Account::renew(&account, plain(&[], claims(&balances, "acme", &[&daily])));
    assert_eq!(rest(&renewed, at(EVENING)), [1]);

    let remembered = balances.changed();
    assert_eq!(remembered.len(), 1);
    assert_eq!(balances.changed(), [], "told once");
    let next_process = Balances::default();
    next_process.restore(remembered);
    let account = Account::new(plain(&[], claims(&next_process, "acme", &[&month])));
    assert_eq!(rest(&account, at(EVENING)), [6]);
    assert_eq!(
        rest(&account, at(EVENING + HOUR)),
        [10],
        "what is remembered ends with its period"
    );
}

#[test]
fn what_was_spent_before_the_file_could_be_read_is_added_to_what_it_holds() {
    let (before, balances) = (Balances::default(), Balances::default());
    let month = quota("month", 10, Per::Month, Scope::Organization);
    Account::new(plain(&[], claims(&before, "acme", &[&month])))
        .spend(4, at(EVENING))
        .unwrap();
    let account = Account::new(plain(&[], claims(&balances, "acme", &[&month])));
    account.spend(1, at(EVENING)).unwrap();
    assert_eq!(balances.changed().len(), 1);
    balances.restore(before.changed());
    assert_eq!(rest(&account, at(EVENING)), [5]);
    assert_eq!(balances.changed()[0].1.used, 5, "and told again");

    // But not what is of a period that has ended since.
    let late = Balances::default();
    let account = Account::new(plain(&[], claims(&late, "acme", &[&month])));
    account.spend(1, at(EVENING + HOUR)).unwrap();
    before.note_all();
    late.restore(before.changed());
    assert_eq!(rest(&account, at(EVENING + HOUR)), [9]);
}

#[test]
fn a_clock_that_is_set_back_gives_nothing_back() {
    let balances = Balances::default();
    let day = quota("day", 3, Per::Day, Scope::Key);
    let account = Account::new(plain(&[], claims(&balances, "k", &[&day])));
    account.spend(3, at(EVENING + HOUR)).unwrap();
    assert!(account.spend(1, at(EVENING + HOUR - 1)).is_err());
    assert!(account.spend(1, at(EVENING)).is_err());
    assert!(
        account.spend(1, at(EVENING - 100 * 86_400)).is_ok(),
        "unless it was wrong by far"
    );
}

#[test]
fn balances_without_claims_are_forgotten_when_they_have_ended() {
    let balances = Balances::default();
    let day = quota("day", 3, Per::Day, Scope::Key);
    let account = Account::new(plain(&[], claims(&balances, "k", &[&day])));
    account.spend(1, at(EVENING)).unwrap();
    drop(account);
    balances.forget_ended(EVENING + HOUR);
    assert_eq!(balances.changed().len(), 1, "but not before they were told");
    balances.forget_ended(EVENING + HOUR - 1);
    balances.note_all();
    assert_eq!(balances.changed().len(), 1);
    balances.forget_ended(EVENING + HOUR);
    balances.note_all();
    assert_eq!(balances.changed(), []);
}

#[test]
fn eight_threads_get_exactly_what_there_is_and_never_wait_for_each_other_in_a_ring() {
    let balances = Balances::default();
    let month = quota("month", 1_000, Per::Month, Scope::Organization);
    let day = quota("day", 2_000, Per::Day, Scope::Organization);
    let shared = Account::new(plain(&[1_500], Claims::default()));
    // Half of the keys name the quotas in the other order.
    let keys: Vec<Arc<Account>> = [[&month, &day], [&day, &month]]
        .iter()
        .map(|quotas| {
            Account::new(Bounds {
                shared: Some(Arc::clone(&shared)),
                ..plain(&[800], claims(&balances, "acme", quotas))
            })
        })
        .collect();
    let admitted = AtomicU64::new(0);
    thread::scope(|scope| {
        for worker in 0..8 {
            let (keys, admitted) = (&keys, &admitted);
            scope.spawn(move || {
                for _ in 0..1_000 {
                    if keys[worker % 2].spend(1, at(EVENING)).is_ok() {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1_000);
    assert_eq!(rest(&keys[0], at(EVENING))[1..], [500, 1_000, 0]);
}

proptest! {
    #[test]
    fn refusals_change_nothing_and_balances_never_exceed(
        own in 1..200u32, together in 1..200u32, month in 1..200u64, day in 1..60u64,
        calls in prop::collection::vec((0..2usize, 0..9u32, 0..20_000i64), 1..120),
    ) {
        let balances = Balances::default();
        let shared = Account::new(plain(&[together], Claims::default()));
        let month = quota("month", month, Per::Month, Scope::Organization);
        let day = quota("day", day, Per::Day, Scope::Key);
        let keys: Vec<Arc<Account>> = ["a", "b"].iter().map(|key| {
            let of_organization = balances.claim(&"acme".into(), &month);
            let of_key = balances.claim(&(*key).into(), &day);
            Account::new(Bounds { shared: Some(Arc::clone(&shared)), ..plain(&[own], Claims::new([of_key, of_organization])) })
        }).collect();
        let mut now = EVENING;
        let mut spent_this_month = (0, 0u64);
        for (key, cost, step) in calls {
            now += step;
            let before: Vec<Vec<u64>> = keys.iter().map(|key| rest(key, at(now))).collect();
            let told = keys[key].peek(cost, at(now));
            let outcome = keys[key].spend(cost, at(now));
            prop_assert_eq!(told.is_ok(), outcome.is_ok());
            let after: Vec<Vec<u64>> = keys.iter().map(|key| rest(key, at(now))).collect();
            let renews = keys[key].peek(0, at(now)).unwrap().quotas[0].reset.cast_signed() + now;
            if spent_this_month.0 != renews {
                spent_this_month = (renews, 0);
            }
            match outcome {
                Err(refused) => {
                    prop_assert_eq!(before, after);
                    let fits = rest(&keys[key], at(now)).iter().all(|left| u64::from(cost) <= *left);
                    prop_assert!(!fits, "{refused:?}");
                }
                Ok(_) => {
                    let expected: Vec<u64> = before[key].iter().map(|left| left - u64::from(cost)).collect();
                    prop_assert_eq!(&after[key], &expected);
                    spent_this_month.1 += u64::from(cost);
                    prop_assert!(spent_this_month.1 <= month.requests);
                    // The other key has lost what they share, and only that.
                    let other = 1 - key;
                    prop_assert_eq!(after[other][0], before[other][0]);
                    prop_assert_eq!(after[other][1], after[key][1]);
                    prop_assert_eq!(after[other][2], after[key][2]);
                    prop_assert_eq!(after[other][3], before[other][3]);
                }
            }
        }
    }
}
