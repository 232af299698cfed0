//! Promises of the audit trail in the file: whatever is done to it behind Keygate's back is noticed; and that an earlier
//! Keygate's file goes on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

use super::{Pruned, Reader, Store, Trouble, append, trail, write};
use crate::config::state::State;
use crate::ledger::audit::verify::{Verdict, verify_export};
use crate::ledger::audit::{Action, Actor, Entry, Link, Source};
use crate::ledger::read;

/// 2026-01-31T23:00:00Z
const TIME: i64 = 1_769_900_400;
const DAY: i64 = 86_400;
/// An earlier Keygate's: three requests that were carried, and one that was refused.
const FIRST_VERSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/state_v1.db");

/// A state with a row for each day, from day 0 on.
struct Trail {
    home: TempDir,
    links: Vec<Link>,
}

impl Trail {
    fn of(rows: i64) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keygate.db");
        let links = (0..rows).map(|day| append(&path, &entry(day)).unwrap()).collect();
        Self { home, links }
    }

    fn path(&self) -> PathBuf {
        self.home.path().join("keygate.db")
    }

    /// Somebody who knows how to remove triggers.
    fn tamperer(&self) -> Connection {
        let database = Connection::open(self.path()).unwrap();
        for trigger in ["audit_rows_stay_as_they_are", "audit_rows_stay", "audit_rows_are_new"] {
            database.execute_batch(&format!("DROP TRIGGER {trigger}")).unwrap();
        }
        database
    }

    fn verdict(&self) -> Verdict {
        read::verify(&self.path(), &[]).unwrap()
    }

    fn export(&self) -> String {
        let mut text = String::new();
        read::export(&self.path(), 0, |row| {
            text += &serde_json::to_string(row).unwrap();
            text.push('\n');
            true
        })
        .unwrap();
        text
    }
}

fn entry(day: i64) -> Entry {
    Entry {
        at: TIME + day * DAY,
        actor: Actor::Token("ö\"ps".to_owned()),
        source: Source::Cli,
        action: if day % 2 == 0 {
            Action::KeyRevoke
        } else {
            Action::ReloadApplied
        },
        target: (day % 2 == 0).then(|| format!("key_{day}")),
        detail: json!({ "before": { "name": "a\nb" }, "after": null, "day": day }),
    }
}

fn told(verdict: &Verdict) -> Vec<(i64, &str)> {
    verdict.flaws.iter().map(|flaw| (flaw.seq, &*flaw.what)).collect()
}

#[test]
fn a_trail_that_nobody_touched_is_whole() {
    let trail = Trail::of(5);
    let verdict = trail.verdict();
    assert!(verdict.whole, "{verdict:?}");
    assert_eq!((verdict.rows, verdict.head.as_ref()), (5, trail.links.last()));
    assert_eq!(verdict.anchor, Some(Link::origin()));
    let unseen = Link {
        seq: 3,
        hash: "f".repeat(64),
    };
    let witnesses = [trail.links[1].clone(), unseen];
    let verdict = read::verify(&trail.path(), &witnesses).unwrap();
    assert_eq!(
        told(&verdict),
        [(3, &*format!("is not here with the hash {}", "f".repeat(64)))]
    );
}

#[test]
fn a_single_changed_byte_of_any_column_of_any_row_is_noticed() {
    let trail = Trail::of(4);
    let database = trail.tamperer();
    let mut tried = 0;
    for seq in 1..=4 {
        for column in [
            "previous", "at", "actor", "source", "action", "target", "detail", "hash",
        ] {
            let select = format!("SELECT {column} FROM audit WHERE seq = {seq}");
            let text: Option<String> = database.query_row(&select, (), |row| row.get(0)).unwrap();
            let bytes = text.unwrap_or_default().into_bytes();
            for at in 0..=bytes.len() {
                for flip in [0x01, 0x20, 0x80] {
                    let mut changed = bytes.clone();
                    match changed.get_mut(at) {
                        Some(byte) => *byte ^= flip,
                        // One more.
                        None => changed.push(flip),
                    }
                    database.execute_batch("BEGIN").unwrap();
                    let update = format!("UPDATE audit SET {column} = CAST(?1 AS TEXT) WHERE seq = {seq}");
                    assert_eq!(database.execute(&update, [changed]).unwrap(), 1);
                    let verdict = trail::verify(&database, &[]).unwrap();
                    database.execute_batch("ROLLBACK").unwrap();
                    assert!(!verdict.whole, "byte {at} of {column} of row {seq}, {flip:#x}");
                    let first = verdict.flaws[0].seq;
                    assert!(first == seq || first == seq + 1, "row {seq} {column}: {verdict:?}");
                    tried += 1;
                }
            }
        }
        for other in [-1, 0, 5, 6, i64::MAX, i64::MIN] {
            database.execute_batch("BEGIN").unwrap();
            let moved = database.execute("UPDATE audit SET seq = ?1 WHERE seq = ?2", (other, seq));
            let verdict = trail::verify(&database, &[]).unwrap();
            database.execute_batch("ROLLBACK").unwrap();
            assert!(moved.unwrap() == 1 && !verdict.whole, "row {seq} as {other}");
        }
    }
    assert!(tried > 2_500, "{tried}");
    assert!(trail::verify(&database, &[]).unwrap().whole);
}

#[test]
fn a_single_changed_byte_of_where_it_begins_and_ends_is_noticed() {
    let trail = Trail::of(2);
    let database = trail.tamperer();
    for name in [trail::ANCHOR, trail::HEAD] {
        let select = "SELECT value FROM meta WHERE name = ?1";
        let value: String = database.query_row(select, [name], |row| row.get(0)).unwrap();
        for at in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[at] ^= 1;
            database.execute_batch("BEGIN").unwrap();
            let update = "UPDATE meta SET value = CAST(?1 AS TEXT) WHERE name = ?2";
            database.execute(update, (changed, name)).unwrap();
            let verdict = trail::verify(&database, &[]).unwrap();
            database.execute_batch("ROLLBACK").unwrap();
            assert!(!verdict.whole, "byte {at} of {name}");
        }
        database.execute_batch("BEGIN").unwrap();
        database.execute("DELETE FROM meta WHERE name = ?1", [name]).unwrap();
        assert!(!trail::verify(&database, &[]).unwrap().whole, "without {name}");
        database.execute_batch("ROLLBACK").unwrap();
    }
}

#[test]
fn rows_that_are_removed_are_noticed_wherever_they_were() {
    for (which, expected) in [
        ("seq = 1", (1, "is missing")),
        ("seq = 3", (3, "is missing")),
        ("seq = 5", (5, "is missing")),
        ("seq > 2", (3, "and what follows up to 5 is missing")),
        ("seq < 3", (1, "and what follows up to 2 is missing")),
        ("seq > 0", (1, "and what follows up to 5 is missing")),
    ] {
        let trail = Trail::of(5);
        let database = trail.tamperer();
        database
            .execute_batch(&format!("DELETE FROM audit WHERE {which}"))
            .unwrap();
        drop(database);
        let verdict = trail.verdict();
        assert_eq!(told(&verdict), [expected], "{which}");
        // What comes later does not heal it.
        let next = append(&trail.path(), &entry(9)).unwrap();
        assert_eq!(next.seq, 6, "{which}");
        assert_eq!(trail.verdict().flaws[0].seq, expected.0, "{which}");
    }
}

#[test]
fn a_trail_without_its_head_goes_on_and_shows_the_break_for_ever() {
    let trail = Trail::of(3);
    let database = trail.tamperer();
    database
        .execute_batch("DELETE FROM audit WHERE seq = 3; DELETE FROM meta WHERE name = 'audit_head'")
        .unwrap();
    drop(database);
    for day in [3, 4] {
        append(&trail.path(), &entry(day)).unwrap();
    }
    assert_eq!(told(&trail.verdict()), [(3, "does not follow row 2 as it is")]);
}

#[test]
fn the_file_itself_refuses_to_change_rows() {
    let trail = Trail::of(3);
    let database = Connection::open(trail.path()).unwrap();
    for change in [
        "UPDATE audit SET actor = 'keygate' WHERE seq = 2",
        "UPDATE audit SET seq = 9 WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 2",
        "INSERT INTO audit SELECT 0, previous, at, actor, source, action, target, detail, hash FROM audit WHERE seq = 2",
    ] {
        let refused = database.execute_batch(change).unwrap_err().to_string();
        assert!(refused.contains("only grows"), "{change}: {refused}");
    }
    assert!(trail.verdict().whole);
}

#[test]
fn retention_leaves_a_trail_that_is_whole_and_takes_nothing_that_is_not() {
    let trail = Trail::of(5);
    let kept = State {
        audit_retention: Duration::from_hours(24 * 24),
        ..State::default()
    };
    // Behind the ends of days 0 and 1.
    let now = TIME + 25 * DAY + DAY / 2;
    let mut store = Store::open(&trail.path()).unwrap();
    assert_eq!(store.prune(&kept, now), Pruned::Done);
    let verdict = trail.verdict();
    assert!(verdict.whole, "{verdict:?}");
    assert_eq!((verdict.rows, verdict.anchor.as_ref()), (3, trail.links.get(1)));
    assert!(store.knows(&trail.links[0]).unwrap() && store.knows(&trail.links[3]).unwrap());
    assert_eq!(store.append(&[&entry(5)]).unwrap()[0].seq, 6);
    // The first that is left is missed as much as any other.
    let database = trail.tamperer();
    database
        .execute_batch("UPDATE audit SET actor = 'x' WHERE seq = 3")
        .unwrap();
    assert_eq!(store.prune(&kept, now + 10 * DAY), Pruned::Broken);
    assert_eq!(trail.verdict().rows, 4, "it stays as evidence");
    database.execute_batch("DELETE FROM audit WHERE seq = 3").unwrap();
    assert_eq!(told(&trail.verdict()), [(3, "is missing")]);
}

#[test]
fn retention_may_take_everything() {
    let trail = Trail::of(2);
    let mut store = Store::open(&trail.path()).unwrap();
    assert_eq!(store.prune(&State::default(), TIME + 1_000 * DAY), Pruned::Done);
    assert_eq!((trail.verdict().whole, trail.verdict().rows), (true, 0));
    assert_eq!(store.append(&[&entry(2)]).unwrap()[0].seq, 3);
    assert!(trail.verdict().whole);
}

#[test]
fn a_single_changed_byte_of_an_export_is_noticed() {
    let trail = Trail::of(3);
    let export = trail.export();
    let end = [trail.links[2].clone()];
    assert!(verify_export(export.as_bytes(), &end).unwrap().whole);
    for at in 0..export.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = export.clone().into_bytes();
            changed[at] ^= flip;
            let verdict = verify_export(&*changed, &end).unwrap();
            assert!(!verdict.whole, "byte {at}, {flip:#x}");
        }
    }
    let lines: Vec<&str> = export.lines().collect();
    let without = |gone: usize| {
        let left: Vec<&str> = (0..3).filter(|line| *line != gone).map(|line| lines[line]).collect();
        verify_export(left.join("\n").as_bytes(), &end).unwrap()
    };
    assert!(!without(1).whole);
    assert!(!without(2).whole, "the witness misses the end");
    assert!(without(0).whole, "an export may begin later");
    let twice = format!("{export}{}\n", lines[2]);
    assert!(!verify_export(twice.as_bytes(), &end).unwrap().whole);
}

#[test]
fn rows_of_other_processes_are_heard_once_each() {
    let trail = Trail::of(2);
    let mut store = Store::open(&trail.path()).unwrap();
    let heard =
        |own: &[Link], store: &mut Store| -> Vec<i64> { store.heard(own).into_iter().map(|row| row.seq).collect() };
    assert_eq!(heard(&[], &mut store), [0_i64; 0], "what was there before is old");
    append(&trail.path(), &entry(2)).unwrap();
    let own = store.append(&[&entry(3), &entry(4)]).unwrap();
    // Between an append and a look there is time for another's.
    append(&trail.path(), &entry(5)).unwrap();
    assert_eq!(heard(&own, &mut store), [3]);
    assert_eq!(heard(&[], &mut store), [6]);
    assert_eq!(heard(&[], &mut store), [0_i64; 0]);
}

fn first_version() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keygate.db");
    std::fs::copy(FIRST_VERSION, &path).unwrap();
    (home, path)
}

fn assert_goes_on(path: &Path) {
    let reader = Reader::open(path).unwrap();
    let uses = reader.uses().unwrap();
    assert_eq!(uses.keys["key_alpha"].route.as_deref(), Some("/messages/{id}"));
    assert_eq!(uses.counted_since.as_deref(), Some("2026-11-25T08:00:00Z"));
    let usage = reader.usage(&read::UsageQuery {
        of: None,
        since: 0,
        until: None,
        by: None,
        limit: 10,
        offset: 0,
    });
    let usage = usage.unwrap();
    assert_eq!(
        (usage.total.requests, usage.total.refusals["permission_denied"]),
        (4, 1)
    );
    let version: String = Connection::open(path)
        .unwrap()
        .query_row("SELECT value FROM meta WHERE name = 'schema_version'", (), |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(version, "3");
}

#[test]
fn the_file_of_an_earlier_version_goes_on_with_all_that_it_remembers() {
    let (_home, path) = first_version();
    let error = read::last_use(&path).unwrap_err();
    assert!(error.what.contains("of an earlier Keygate"), "{error}");
    let mut store = Store::open(&path).unwrap();
    let balances = store.balances().unwrap();
    assert_eq!((balances.len(), balances[0].1.used), (1, 3));
    assert_eq!(store.append(&[&entry(0)]).unwrap()[0].seq, 1);
    assert_goes_on(&path);
    store.close();
    // And once more, with nothing left to do.
    drop(Store::open(&path).unwrap());
    assert_goes_on(&path);
}

#[test]
fn the_file_of_the_version_before_this_one_goes_on_and_has_room_for_events() {
    let (_home, path) = first_version();
    let database = Connection::open(&path).unwrap();
    database.execute_batch(include_str!("schema_2.sql")).unwrap();
    database.pragma_update(None, "user_version", 2).unwrap();
    drop(database);
    assert!(matches!(Reader::open(&path), Err(Trouble::Earlier(_, 2))));
    let entry = entry(0);
    append(&path, &entry).unwrap();
    let store = Store::open(&path).unwrap();
    let remembered = store.remembered().unwrap();
    assert_eq!(
        (remembered.waiting.len(), remembered.stands.len(), remembered.place),
        (0, 0, 1)
    );
    assert_goes_on(&path);
    assert!(read::verify(&path, &[]).unwrap().whole);
    assert!(read::webhooks::standings(&path).unwrap().is_empty());
}

#[test]
fn commands_that_meet_the_file_of_an_earlier_version_bring_it_forward_once() {
    let (_home, path) = first_version();
    std::thread::scope(|scope| {
        for day in 0..6 {
            let path = &path;
            scope.spawn(move || append(path, &entry(day)).unwrap());
        }
    });
    assert!(read::verify(&path, &[]).unwrap().whole);
    assert_goes_on(&path);
}

#[test]
fn a_commit_is_on_the_disk_when_it_returns() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&home.path().join("keygate.db")).unwrap();
    let pragma = |name: &str| -> String {
        let value = store.database.pragma_query_value(None, name, |row| row.get(0));
        let value: rusqlite::types::Value = value.unwrap();
        format!("{value:?}")
    };
    // In a write-ahead log, FULL syncs the log with each commit.
    assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    assert_eq!(pragma("synchronous"), "Integer(2)");
}

#[test]
fn what_is_no_state_is_not_appended_to() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("other.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE invoices (x)")
        .unwrap();
    assert!(append(&path, &entry(0)).unwrap_err().what.contains("something else"));
    std::fs::write(
        home.path().join("text.db"),
        "not a database, and never was one ".repeat(99),
    )
    .unwrap();
    assert!(
        append(&home.path().join("text.db"), &entry(0))
            .unwrap_err()
            .what
            .contains("damaged")
    );
    assert!(append(home.path(), &entry(0)).unwrap_err().what.contains("directory"));
    let nowhere = append(&home.path().join("no").join("keygate.db"), &entry(0)).unwrap_err();
    assert!(nowhere.what.contains("No such file"), "{nowhere}");
    assert!(matches!(Reader::open(&path), Err(Trouble::Foreign(_))));
}

#[test]
fn what_a_key_used_last_is_kept_longer_than_its_usage_and_not_for_ever() {
    let home = tempfile::tempdir().unwrap();
    let mut store = Store::open(&home.path().join("keygate.db")).unwrap();
    for (key, day) in [("old", 0), ("older", -1)] {
        let used = write::moment(TIME + day * DAY);
        let insert = "INSERT INTO last_use VALUES (?1, 'acme', ?2, NULL, NULL)";
        store.database.execute(insert, (key, &used)).unwrap();
        let insert = "INSERT INTO permission_use VALUES (?1, 'send', ?2)";
        store.database.execute(insert, (key, &used)).unwrap();
    }
    store.prune(&State::default(), TIME + 400 * DAY);
    let uses = Reader::open(&home.path().join("keygate.db")).unwrap().uses().unwrap();
    assert!(
        uses.keys.keys().eq(["old"]) && uses.permissions.keys().eq(["old"]),
        "{uses:?}"
    );
}
