//! What is told and when, as tables: windows, moved ends, generations, restarts.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::memory;
use super::watch::{Alert, News, Told, Watch};
use crate::config::{self, sources::Sources};
use crate::ledger::Ledger;
use crate::ledger::audit::{Action, Actor, Entry, Source, append};
use crate::policy::Policy;
use crate::policy::limits::Balances;
use crate::secret::Digest;
use crate::telemetry::metrics::Metrics;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// 2027-01-01T00:00:00Z
const BEGIN: i64 = 1_798_761_600;

/// Keys with their ends.
fn policy(alerts: &str, keys: &[(&str, Option<i64>)]) -> Policy {
    policy_with(alerts, keys, "")
}

fn policy_with(alerts: &str, keys: &[(&str, Option<i64>)], more: &str) -> Policy {
    let home = tempfile::tempdir().unwrap();
    let mut records = "[[organizations]]\nid = \"acme\"\n".to_owned();
    for (id, end) in keys {
        let hash = hex::encode(Digest::of(id.as_bytes()).0);
        let end = end.map(|end| format!("expires_at = {}\n", Timestamp::from_second(end).unwrap()));
        let end = end.unwrap_or_default();
        records.push_str(&format!(
            "[[keys]]\nid = \"{id}\"\nname = \"{id}\"\norganization = \"acme\"\nhash = \"sha256:{hash}\"\n{end}"
        ));
    }
    std::fs::write(home.path().join("keys.toml"), records + more).unwrap();
    let path = home.path().join("config.toml");
    let text = format!(
        "[ingress]\nlisten = [\"127.0.0.1:0\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:1\"\n[keys]\nfile = \
         \"keys.toml\"\n[keys.expiry]\nalerts = {alerts}\n"
    );
    std::fs::write(&path, text).unwrap();
    Policy::first(config::load(&path, &mut Sources::default()).unwrap().config).unwrap()
}

/// `a within 7d`, `a ended`.
fn shown(policy: &Policy, alerts: &[Alert]) -> Vec<String> {
    let shown = alerts.iter().map(|alert| {
        let id = policy.keyring().key(alert.key).id();
        match alert.news {
            News::Soon(window) => format!("{id} within {window}"),
            News::Ended => format!("{id} ended"),
        }
    });
    shown.collect()
}

/// Lets time pass until then, as the task does: from one moment at which there may be something new to the next.
fn pass(watch: &mut Watch, policy: &Policy, mut now: i64, until: i64) -> Vec<(i64, String)> {
    let mut told = Vec::new();
    loop {
        let next = watch.next(now);
        assert!(next > now, "{next} is not after {now}");
        if next > until {
            return told;
        }
        now = next;
        let alerts = if watch.is_stale(now) {
            watch.look(policy, now)
        } else {
            watch.go_on(policy.keyring(), now)
        };
        told.extend(shown(policy, &alerts).into_iter().map(|told| (now, told)));
    }
}

fn counts(watch: &Watch, now: i64) -> Vec<usize> {
    watch.counts(now).map(|(_, keys)| keys).collect()
}

#[test]
fn each_window_is_told_once_when_it_begins_and_the_end_once() {
    let (end, other) = (BEGIN + 20 * DAY + 17, BEGIN + 20 * DAY + 18);
    let policy = policy(
        "[\"14d\", \"7d\", \"1d\"]",
        &[("a", Some(end)), ("b", Some(other)), ("c", None)],
    );
    let mut watch = Watch::default();
    assert!(watch.look(&policy, BEGIN).is_empty());
    let told = pass(&mut watch, &policy, BEGIN, BEGIN + 40 * DAY);
    let expected: Vec<(i64, String)> = [
        ("within 14d", 14 * DAY),
        ("within 7d", 7 * DAY),
        ("within 1d", DAY),
        ("ended", 0),
    ]
    .iter()
    .flat_map(|(what, before)| {
        [
            (end - before, format!("a {what}")),
            (other - before, format!("b {what}")),
        ]
    })
    .collect();
    assert_eq!(told, expected);
}

#[test]
fn a_key_that_comes_into_several_windows_at_once_is_told_of_for_the_narrowest() {
    let alerts = "[\"14d\", \"7d\", \"1d\"]";
    let table = [
        (14 * DAY + 1, None),
        (14 * DAY, Some("a within 14d")),
        (7 * DAY + 1, Some("a within 14d")),
        (7 * DAY, Some("a within 7d")),
        (DAY, Some("a within 1d")),
        (1, Some("a within 1d")),
        // It was over before anybody looked.
        (0, None),
        (-1, None),
    ];
    for (left, expected) in table {
        let policy = policy(alerts, &[("a", Some(BEGIN + left))]);
        let mut watch = Watch::default();
        let told = watch.look(&policy, BEGIN);
        assert_eq!(shown(&policy, &told).first().map(String::as_str), expected, "{left}");
        assert!(watch.look(&policy, BEGIN).is_empty(), "once: {left}");
        assert!(watch.go_on(policy.keyring(), BEGIN).is_empty(), "once: {left}");
    }
}

#[test]
fn another_end_is_told_anew_and_the_old_one_no_more() {
    let alerts = "[\"2d\", \"1d\"]";
    let before = policy(alerts, &[("a", Some(BEGIN + DAY)), ("b", Some(BEGIN + DAY))]);
    let mut watch = Watch::default();
    assert_eq!(
        shown(&before, &watch.look(&before, BEGIN)),
        ["a within 1d", "b within 1d"]
    );
    let after = policy(alerts, &[("a", Some(BEGIN + 3 * DAY)), ("b", Some(BEGIN + DAY + 60))]);
    let now = BEGIN + 60;
    assert_eq!(shown(&after, &watch.look(&after, now)), ["b within 1d"]);
    assert_eq!(
        pass(&mut watch, &after, now, BEGIN + 4 * DAY),
        [
            (BEGIN + DAY, "a within 2d".to_owned()),
            (BEGIN + DAY + 60, "b ended".to_owned()),
            (BEGIN + 2 * DAY, "a within 1d".to_owned()),
            (BEGIN + 3 * DAY, "a ended".to_owned()),
        ]
    );
    // Written with an end in the past: that is no surprise to whoever wrote it.
    let past = policy(alerts, &[("a", Some(BEGIN + DAY))]);
    assert!(watch.look(&past, BEGIN + 4 * DAY).is_empty());
}

#[test]
fn what_is_revoked_disabled_or_not_valid_yet_is_not_told_of() {
    let alerts = "[\"1d\"]";
    let key = |state: &str| {
        format!(
            "[[keys]]\nid = \"a\"\nname = \"a\"\norganization = \"acme\"\nhash = \"sha256:{}\"\nexpires_at = {}\n{state}\n",
            hex::encode(Digest::of(b"a").0),
            Timestamp::from_second(BEGIN + HOUR).unwrap()
        )
    };
    let mut watch = Watch::default();
    for state in ["active = false", "revoked_at = 2026-12-31T00:00:00Z"] {
        let policy = policy_with(alerts, &[], &key(state));
        assert!(watch.look(&policy, BEGIN).is_empty(), "{state}");
        assert_eq!(counts(&watch, BEGIN), [0], "{state}");
        assert!(pass(&mut watch, &policy, BEGIN, BEGIN + DAY).is_empty(), "{state}");
    }
    let policy = policy_with(alerts, &[], &key("not_before = 2027-01-01T00:10:00Z"));
    assert!(watch.look(&policy, BEGIN).is_empty());
    assert_eq!(
        pass(&mut watch, &policy, BEGIN, BEGIN + DAY),
        [
            (BEGIN + 600, "a within 1d".to_owned()),
            (BEGIN + HOUR, "a ended".to_owned())
        ]
    );
    // Revoked between the alert and the end.
    let good = policy_with(alerts, &[], &key(""));
    assert_eq!(watch.look(&good, BEGIN).len(), 1);
    let revoked = policy_with(alerts, &[], &key("revoked_at = 2027-01-01T00:30:00Z"));
    assert!(watch.look(&revoked, BEGIN).is_empty());
    assert_eq!(counts(&watch, BEGIN), [1]);
    assert!(pass(&mut watch, &revoked, BEGIN, BEGIN + DAY).is_empty());
    assert_eq!(counts(&watch, BEGIN + 30 * 60), [0]);
}

#[test]
fn counts_are_right_at_any_time() {
    let keys: Vec<(String, i64)> = (0..200).map(|n| (format!("k{n}"), BEGIN + n * n * 97)).collect();
    let named: Vec<(&str, Option<i64>)> = keys.iter().map(|(id, end)| (id.as_str(), Some(*end))).collect();
    let policy = policy("[\"10d\", \"3d\", \"1h\"]", &named);
    let mut watch = Watch::default();
    let mut now = BEGIN;
    drop(watch.look(&policy, now));
    while now < BEGIN + 60 * DAY {
        let expected: Vec<usize> = [HOUR, 3 * DAY, 10 * DAY]
            .map(|window| {
                keys.iter()
                    .filter(|(_, end)| *end > now && *end <= now + window)
                    .count()
            })
            .into();
        assert_eq!(counts(&watch, now), expected, "at {now}");
        let next = watch.next(now);
        assert_eq!(counts(&watch, next - 1), expected, "nothing changes before {next}");
        now = next;
        if watch.is_stale(now) {
            drop(watch.look(&policy, now));
        } else {
            drop(watch.go_on(policy.keyring(), now));
        }
    }
}

#[test]
fn a_clock_that_is_set_back_makes_no_wrong_count() {
    let keys = [("a", Some(BEGIN + HOUR)), ("b", Some(BEGIN + 3 * DAY))];
    let policy = policy("[\"1d\"]", &keys);
    let mut watch = Watch::default();
    assert_eq!(shown(&policy, &watch.look(&policy, BEGIN)), ["a within 1d"]);
    assert_eq!(pass(&mut watch, &policy, BEGIN, BEGIN + HOUR).len(), 1);
    assert_eq!(counts(&watch, BEGIN + HOUR), [0]);
    assert!(watch.is_stale(BEGIN + HOUR - 1));
    assert!(!watch.is_stale(BEGIN + HOUR));
    drop(watch.look(&policy, BEGIN + 30 * 60));
    assert_eq!(counts(&watch, BEGIN + 30 * 60), [1]);
}

#[test]
fn other_windows_hold_from_the_next_generation_on() {
    let keys = [("a", Some(BEGIN + 2 * DAY))];
    let mut watch = Watch::default();
    let week = policy("[\"7d\"]", &keys);
    assert_eq!(shown(&week, &watch.look(&week, BEGIN)), ["a within 7d"]);
    let finer = policy("[\"7d\", \"3d\", \"1d\"]", &keys);
    assert_eq!(shown(&finer, &watch.look(&finer, BEGIN)), ["a within 3d"]);
    let off = policy("[]", &keys);
    assert!(watch.look(&off, BEGIN).is_empty());
    assert!(counts(&watch, BEGIN).is_empty());
    assert_eq!(watch.next(BEGIN), i64::MAX);
}

#[test]
fn what_the_audit_trail_remembers_is_not_told_again() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("keygate.db");
    let entry = |at, key: &str, event: &str, ends_at, within: Option<&str>| {
        let expires_at = Timestamp::from_second(ends_at).unwrap();
        let entry = Entry {
            at,
            actor: Actor::Keygate,
            source: Source::Keygate,
            action: Action::KeyExpire,
            target: Some(key.to_owned()),
            detail: serde_json::json!({ "event": event, "expires_at": expires_at, "within": within }),
        };
        append(&state, &entry).unwrap();
    };
    let end = BEGIN + DAY;
    entry(BEGIN - 40 * DAY, "too old", "key.expiring", end, Some("60d"));
    entry(BEGIN - 9 * DAY, "a", "key.expiring", end, Some("14d"));
    entry(BEGIN - 9 * DAY, "moved", "key.expiring", end - HOUR, Some("7d"));
    entry(BEGIN - 9 * DAY, "unseen", "key.expiring", BEGIN - HOUR, Some("14d"));
    entry(BEGIN - 9 * DAY, "over", "key.expiring", BEGIN - HOUR, Some("14d"));
    entry(BEGIN - 3 * DAY, "a", "key.expiring", end, Some("7d"));
    entry(BEGIN - HOUR, "over", "key.expired", BEGIN - HOUR, None);
    let told = memory::recall(&state, BEGIN - 30 * DAY).unwrap();
    let (hour, week) = (BEGIN - HOUR, 7 * DAY);
    let expected: HashMap<Box<str>, Told> = [
        ("a", end, week),
        ("moved", end - HOUR, week),
        ("unseen", hour, 2 * week),
    ]
    .map(|(key, ends_at, within)| (key.into(), Told { ends_at, within }))
    .into();
    assert_eq!(told, expected);

    let keys = [
        ("a", Some(end)),
        ("moved", Some(end)),
        ("unseen", Some(hour)),
        ("over", Some(hour)),
        ("new", Some(end + 1)),
    ];
    let policy = policy("[\"14d\", \"7d\", \"1d\"]", &keys);
    let mut watch = Watch::default();
    watch.remember(told);
    let now = BEGIN - 1;
    assert_eq!(
        shown(&policy, &watch.look(&policy, now)),
        ["unseen ended", "moved within 7d", "new within 7d"]
    );
    assert_eq!(
        pass(&mut watch, &policy, now, BEGIN),
        [(BEGIN, "a within 1d".to_owned()), (BEGIN, "moved within 1d".to_owned())]
    );
}

#[test]
fn a_state_that_cannot_be_read_is_an_error_and_an_empty_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("keygate.db");
    assert!(memory::recall(&state, BEGIN).is_err());
    let settings = crate::config::state::State {
        path: state.clone(),
        ..crate::config::state::State::default()
    };
    let ledger = Ledger::start(Some(&settings), Arc::<Balances>::default(), Arc::<Metrics>::default()).unwrap();
    assert_eq!(memory::recall(&state, BEGIN).unwrap(), HashMap::new());
    ledger.close();
}
