//! What can be seen of it: attempts, events, how webhooks stand; and that none of it tells what is in an event.

use std::sync::Arc;
use std::time::Duration;

use super::super::{After, Attempt, Claim};
use super::{Rig, TIME, event};
use crate::config::state::State;
use crate::ledger::activity::Line;
use crate::ledger::read::webhooks::{self, ActivityQuery, EventState, EventsQuery};

const SECOND: i64 = 1_000;

fn line(webhook: &str, id: &str, number: u32, at: i64, is_delivered: bool) -> Line {
    Line {
        webhook: webhook.into(),
        organization: "acme".into(),
        event_id: id.into(),
        event_type: "status".into(),
        number,
        attempt: Attempt {
            at,
            is_delivered,
            status: is_delivered.then_some(200),
            error: (!is_delivered).then_some("receiver_timeout"),
            duration: Duration::from_millis(7),
        },
    }
}

/// A queued event that fails and is delivered, one that dies, one that waits; and attempts in requests.
fn busy() -> Rig {
    let mut rig = Rig::new();
    rig.arrange(&[("a", true, 1), ("b", false, 1)]);
    for (webhook, id) in [("a", "1"), ("b", "2"), ("b", "3")] {
        rig.accept(event(webhook, id, TIME)).unwrap();
    }
    let by_webhook = |mut claims: Vec<Claim>| -> [Claim; 2] {
        claims.sort_by_key(|claim| Arc::clone(claim.webhook()));
        claims.try_into().unwrap()
    };
    let [a, b] = by_webhook(rig.queue.claim(TIME, 9));
    rig.settle(a, After::Again(TIME + SECOND), TIME);
    rig.settle(b, After::Dead, TIME + 1);
    let [a, b] = by_webhook(rig.queue.claim(TIME + SECOND, 9));
    rig.settle(a, After::Delivered, TIME + SECOND);
    drop(b);
    for number in 1..=3 {
        rig.activity
            .record(line("c", "r", number, TIME + i64::from(number) * SECOND, number == 3));
    }
    rig.flush(TIME);
    rig.pause("b", TIME);
    rig
}

fn seen(rig: &Rig, query: ActivityQuery) -> Vec<(String, String, u32, bool)> {
    let query = ActivityQuery {
        limit: query.limit.max(1),
        ..query
    };
    let page = webhooks::activity(&rig.path(), &query).unwrap();
    page.attempts
        .into_iter()
        .map(|row| (row.webhook, row.event_id, row.attempt, row.delivered))
        .collect()
}

#[test]
fn every_attempt_is_seen_newest_first_and_by_page() {
    let rig = busy();
    let all = ActivityQuery {
        limit: 100,
        ..ActivityQuery::default()
    };
    let page = webhooks::activity(&rig.path(), &all).unwrap();
    assert_eq!((page.attempts.len(), page.next), (6, None));
    let (newest, oldest) = (&page.attempts[0], &page.attempts[5]);
    assert_eq!(
        (&*newest.delivery, newest.status, newest.attempt),
        ("request", Some(200), 3)
    );
    assert_eq!(oldest.at, "2026-01-31T23:00:00.000Z");
    assert_eq!(
        (&*oldest.delivery, oldest.status, oldest.duration_ms),
        ("queued", Some(503), 12)
    );
    assert_eq!((&*oldest.organization, &*oldest.event_type), ("acme", "message.sent"));
    let failed = ActivityQuery {
        failed: true,
        ..all.clone()
    };
    let row = |webhook: &str, id: &str, number, delivered| (webhook.to_owned(), id.to_owned(), number, delivered);
    assert_eq!(
        seen(&rig, failed.clone()),
        [
            row("c", "r", 2, false),
            row("c", "r", 1, false),
            row("b", "2", 1, false),
            row("a", "1", 1, false)
        ]
    );
    let of_one = ActivityQuery {
        webhook: Some("a".to_owned()),
        ..all.clone()
    };
    assert_eq!(seen(&rig, of_one), [row("a", "1", 2, true), row("a", "1", 1, false)]);
    let of_event = ActivityQuery {
        event: Some("2".to_owned()),
        ..all.clone()
    };
    assert_eq!(seen(&rig, of_event), [row("b", "2", 1, false)]);
    let since = ActivityQuery {
        since: Some(TIME / SECOND + 2),
        until: Some(TIME / SECOND + 3),
        ..all
    };
    assert_eq!(seen(&rig, since), [row("c", "r", 2, false)]);
    let first = webhooks::activity(
        &rig.path(),
        &ActivityQuery {
            limit: 3,
            ..failed.clone()
        },
    )
    .unwrap();
    let rest = ActivityQuery {
        before: first.next,
        ..failed
    };
    assert_eq!(seen(&rig, rest), [row("a", "1", 1, false)]);
}

#[test]
fn events_are_seen_without_what_is_in_them() {
    let rig = busy();
    let ask = |state, webhook: Option<&str>| {
        let query = EventsQuery {
            state,
            webhook: webhook.map(str::to_owned),
            limit: 10,
            ..EventsQuery::default()
        };
        webhooks::events(&rig.path(), &query).unwrap().events
    };
    let ids = |events: Vec<webhooks::EventRow>| -> Vec<String> { events.into_iter().map(|row| row.event_id).collect() };
    assert_eq!(ids(ask(None, None)), ["3", "2", "1"]);
    assert_eq!(ids(ask(None, Some("a"))), ["1"]);
    let dead = ask(Some(EventState::Dead), None).remove(0);
    assert_eq!(
        (&*dead.event_id, dead.attempts, dead.outcome.as_deref()),
        ("2", 1, Some("503"))
    );
    assert_eq!(dead.ended_at.as_deref(), Some("2026-01-31T23:00:00.013Z"));
    assert!(dead.replayable && dead.due_at.is_none());
    let waiting = ask(Some(EventState::Waiting), None).remove(0);
    assert_eq!(
        (&*waiting.event_id, waiting.due_at.is_some(), waiting.replayable),
        ("3", true, false)
    );
    let all = serde_json::to_string(&ask(None, None)).unwrap();
    assert!(!all.contains("application/json") && !all.contains("{\\\"id"), "{all}");
}

#[test]
fn it_is_seen_how_webhooks_stand() {
    let rig = busy();
    let standings = webhooks::standings(&rig.path()).unwrap();
    assert!(standings.keys().eq(["a", "b", "c"]));
    let (a, b, c) = (&standings["a"], &standings["b"], &standings["c"]);
    assert_eq!((a.waiting, a.dead, a.delivered, a.failures), (0, 0, 1, 0));
    assert_eq!((b.waiting, b.dead, b.delivered, b.failures), (1, 1, 0, 1));
    assert_eq!(b.failing_since.as_deref(), Some("2026-01-31T23:00:00.001Z"));
    let paused = b.paused.as_ref().unwrap();
    assert_eq!((&*paused.reason, &*paused.by), ("operator", "token:ops"));
    assert_eq!(
        c.last.as_ref().map(|last| (last.attempt, last.delivered)),
        Some((3, true))
    );
}

#[test]
fn activity_goes_by_age_and_lines_of_a_flush_that_failed_come_with_the_next() {
    let mut rig = Rig::with(State {
        activity_retention: Duration::from_hours(24),
        ..State::default()
    });
    rig.activity.record(line("a", "old", 1, TIME, true));
    rig.flush(TIME);
    rig.activity.record(line("a", "new", 1, TIME + 3_600 * SECOND, true));
    let other = rusqlite::Connection::open(rig.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    rig.desk.flush(rig.store.as_mut().unwrap(), TIME / SECOND).unwrap_err();
    other.execute_batch("ROLLBACK").unwrap();
    rig.flush(TIME + 24 * 3_600 * SECOND);
    let all = |rig: &Rig| {
        seen(
            rig,
            ActivityQuery {
                limit: 9,
                ..ActivityQuery::default()
            },
        )
        .len()
    };
    assert_eq!(all(&rig), 2);
    rig.flush(TIME + 25 * 3_600 * SECOND);
    assert_eq!(all(&rig), 1);
}

#[test]
fn lines_that_wait_are_bounded_and_what_is_given_up_is_counted() {
    let mut rig = Rig::new();
    let line = line("a", "1", 1, TIME, true);
    (0..50_010).for_each(|_| rig.activity.record(line.clone()));
    let lines = rig.activity.take();
    rig.activity.record(line.clone());
    rig.activity.give_back(lines);
    assert_eq!(rig.metrics.webhooks.activity_dropped.get(), 11);
    rig.flush(TIME);
    assert!(rig.activity.take().is_empty());
}

#[test]
fn metrics_tell_how_much_waits_and_for_how_long() {
    let mut rig = Rig::new();
    rig.accept(event("a", "1", TIME)).unwrap();
    rig.accept(event("a", "2", TIME + 50 * SECOND)).unwrap();
    rig.flush(TIME + 90 * SECOND);
    let text = rig.metrics.render(None);
    assert!(
        text.contains("keygate_webhook_queue_events{state=\"waiting\"} 2"),
        "{text}"
    );
    assert!(text.contains("keygate_webhook_queue_oldest_seconds 90"), "{text}");
}

/// All that a table says, as text.
fn told(database: &rusqlite::Connection, table: &str) -> String {
    let mut select = database.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = select.column_count();
    let mut rows = select.query(()).unwrap();
    let mut text = String::new();
    while let Some(row) = rows.next().unwrap() {
        for column in 0..columns {
            let value = row.get_ref(column).unwrap();
            text += &String::from_utf8_lossy(value.as_bytes().unwrap_or_default());
            text.push('\n');
        }
    }
    text
}

#[test]
fn nothing_but_the_protected_table_has_what_the_service_sent() {
    let rig = busy();
    let database = rusqlite::Connection::open(rig.path()).unwrap();
    let mut select = database
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
        .unwrap();
    let tables = select.query_map((), |row| row.get::<_, String>(0)).unwrap();
    let telling: Vec<String> = tables
        .map(Result::unwrap)
        .filter(|table| {
            let told = told(&database, table);
            told.contains("application/json") || told.contains("{\"id\"")
        })
        .collect();
    assert_eq!(telling, ["webhook_event_contents"]);
}

#[test]
fn what_is_asked_often_is_asked_of_an_index() {
    let rig = Rig::new();
    let database = rusqlite::Connection::open(rig.path()).unwrap();
    for (query, index) in [
        (
            "SELECT 1 FROM webhook_events WHERE event_id = 'e' AND webhook = 'w'",
            "sqlite_autoindex_webhook_events_1",
        ),
        (
            "SELECT seq FROM webhook_events WHERE state = 'waiting' ORDER BY seq",
            "webhook_events_waiting",
        ),
        (
            "SELECT seq FROM webhook_events WHERE state = 'delivered' AND has_content = 1 AND ended_at IS NOT NULL ORDER BY ended_at LIMIT 64",
            "webhook_events_ended",
        ),
        (
            "SELECT seq FROM webhook_events WHERE state = 'dead' AND has_content IN (0, 1) AND ended_at < '2026' LIMIT 9",
            "webhook_events_ended",
        ),
    ] {
        let plan: String = database
            .query_row(&format!("EXPLAIN QUERY PLAN {query}"), (), |row| row.get(3))
            .unwrap();
        assert!(plan.contains(index) && !plan.contains("B-TREE"), "{query}: {plan}");
    }
}
