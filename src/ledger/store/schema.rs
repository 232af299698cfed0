//! The tables, and how those of an earlier version become those of today.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Trouble, write};
use crate::clock;

/// The version of today's tables; counts up.
pub(super) const VERSION: usize = 3;
/// What makes the tables of each version from those of the version before; the first from nothing.
const STEPS: [&str; VERSION] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
];
/// The tables of each version.
const TABLES: [&[&str]; VERSION] = [
    &["meta", "quota_balances", "usage", "refusals", "last_use"],
    &[
        "meta",
        "quota_balances",
        "usage",
        "refusals",
        "last_use",
        "audit",
        "permission_use",
    ],
    &[
        "meta",
        "quota_balances",
        "usage",
        "refusals",
        "last_use",
        "audit",
        "permission_use",
        "webhook_events",
        "webhook_event_contents",
        "webhook_states",
        "webhook_attempts",
    ],
];
/// What tells a Keygate's state from the databases of others: "Kgat".
const APPLICATION: i32 = 0x4b67_6174;
/// How many pages of 4 KiB the write-ahead log holds before it is folded into the database.
const LOG_PAGES: i32 = 256;
/// Files up to this size are checked as a whole when they are opened; larger ones where they are read.
const CHECKED_BYTES: u64 = 64 << 20;

/// Which version the tables in a database are of; 0 where there are none yet. All of it is seen at one moment: another process may
/// just be making the tables.
///
/// # Errors
/// When it is something else's, damaged, or of a version that is not known.
pub(super) fn identify(database: &Connection, path: &Path) -> Result<usize, Trouble> {
    if database.is_autocommit() {
        let _moment = database.unchecked_transaction()?;
        return identify_now(database, path);
    }
    identify_now(database, path)
}

fn identify_now(database: &Connection, path: &Path) -> Result<usize, Trouble> {
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = database.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if application != APPLICATION && tables > 0 {
        return Err(Trouble::Foreign(path.to_owned()));
    }
    let version = usize::try_from(version).unwrap_or_default();
    if version > VERSION {
        let reason = format!("its tables are of version {version}, and this Keygate knows {VERSION}");
        return Err(Trouble::Damaged(reason));
    }
    if tables == 0 {
        return Ok(0);
    }
    let missing = || Trouble::Damaged("some of its tables are missing".to_owned());
    let tables = version.checked_sub(1).map(|index| TABLES[index]).ok_or_else(missing)?;
    for table in tables {
        let is_there = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let found: i64 = database.query_row(is_there, [table], |row| row.get(0))?;
        if found == 0 {
            return Err(missing());
        }
    }
    Ok(version)
}

/// Looks for damage, in a file that is not too large for it.
///
/// # Errors
/// When there is some.
pub(super) fn check(database: &Connection, path: &Path) -> Result<(), Trouble> {
    let size = std::fs::metadata(path).map_or(0, |found| found.len());
    if size <= CHECKED_BYTES {
        let found: String = database.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
        if found != "ok" {
            return Err(Trouble::Damaged(found));
        }
    }
    Ok(())
}

/// Sets a connection up for writing, and brings the tables to today's version.
///
/// # Errors
/// When the database cannot be written.
pub(super) fn set_up(database: &mut Connection, path: &Path) -> Result<(), Trouble> {
    let journal: String = database.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if journal != "wal" {
        database.pragma_update(None, "journal_mode", "wal")?;
    }
    database.pragma_update(None, "synchronous", "full")?;
    database.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    if identify(database, path)? == VERSION {
        return Ok(());
    }
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let version = identify(&transaction, path)?;
    for step in &STEPS[version..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", i32::try_from(VERSION).unwrap_or(i32::MAX))?;
    transaction.execute(
        "INSERT INTO meta (name, value) VALUES ('schema_version', ?1), ('made_by', ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE name = 'schema_version'",
        (VERSION.to_string(), concat!("keygate ", env!("CARGO_PKG_VERSION"))),
    )?;
    // Since when something that is not there has not happened.
    let now = write::moment(clock::unix());
    let counted_since = "SELECT coalesce(min(least), ?1) FROM (
         SELECT min(hour) AS least FROM usage UNION ALL SELECT min(used_at) FROM last_use)";
    transaction.execute(
        &format!(
            "INSERT INTO meta (name, value) VALUES ('counted_since', ({counted_since})), ('permissions_counted_since', ?1)
             ON CONFLICT (name) DO NOTHING"
        ),
        [now],
    )?;
    transaction.commit()?;
    Ok(())
}
