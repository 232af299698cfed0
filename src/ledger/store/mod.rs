//! The state file: an SQLite database in WAL mode, with one writer, and readable for people.
//!
//! A room of its own because nothing else knows of SQLite. The tables are in `schema.sql`; times in them are text.

mod file;
mod trouble;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row};

use super::backlog::Backlog;
use crate::config::plans::Scope;
use crate::policy::limits::{Period, Purse, Spent};
use file::Seen;

pub(super) use trouble::Trouble;

const SCHEMA: &str = include_str!("schema.sql");
/// Its tables.
const TABLES: [&str; 5] = ["meta", "quota_balances", "usage", "refusals", "last_use"];
/// Which version of them; counts up.
const VERSION: i32 = 1;
/// What tells a Keygate's state from the databases of others: "Kgat".
const APPLICATION: i32 = 0x4b67_6174;
/// How long somebody else's transaction is waited for, an operator's `sqlite3` for example.
const BUSY: Duration = Duration::from_secs(1);
/// How many pages of 4 KiB the write-ahead log holds before it is folded into the database.
const LOG_PAGES: i32 = 256;
/// Files up to this size are checked as a whole when they are opened; larger ones where they are read.
const CHECKED_BYTES: u64 = 64 << 20;

/// An open state file that nobody else writes to.
pub(super) struct Store {
    database: Connection,
    path: PathBuf,
    /// The file and its log, when they were last looked at.
    seen: Option<Seen>,
    /// Of the last hour in which old usage was removed.
    pruned: i64,
    _lock: File,
}

impl Store {
    /// Opens the state at `path`; makes it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        if path.is_dir() {
            return Err(Trouble::Directory(path.to_owned()));
        }
        file::make(path)?;
        let lock = file::lock(&file::real(path))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut database = Connection::open_with_flags(path, flags)?;
        database.busy_timeout(BUSY)?;
        prepare(&mut database, path)?;
        Ok(Self {
            database,
            path: path.to_owned(),
            seen: Seen::at(path),
            pruned: i64::MIN,
            _lock: lock,
        })
    }

    /// Moves the state at `path` aside, which must not be open; gives its new path.
    pub(super) fn move_aside(path: &Path, now_unix: i64) -> Result<PathBuf, Trouble> {
        let path = file::real(path);
        let _lock = file::lock(&path)?;
        file::move_aside(&path, now_unix)
    }

    /// Whether the path still leads to this file and its log, and nobody has cut either.
    pub(super) fn is_in_place(&mut self) -> bool {
        let before = std::mem::replace(&mut self.seen, Seen::at(&self.path));
        match (before, &self.seen) {
            (Some(before), Some(now)) => before.goes_on_as(now),
            (None, _) | (_, None) => false,
        }
    }

    /// All balances. Rows that somebody has made unreadable are left out.
    pub(super) fn balances(&self) -> Result<Vec<(Purse, Spent)>, Trouble> {
        const SELECT: &str =
            "SELECT scope, owner, quota, used, allowed, period_begins, period_ends FROM quota_balances";
        let mut select = self.database.prepare(SELECT)?;
        let rows = select.query_map((), |row| Ok(balance(row)))?;
        let mut balances = Vec::new();
        for row in rows {
            balances.extend(row?);
        }
        Ok(balances)
    }

    /// Writes all of a backlog, or nothing.
    pub(super) fn write(&mut self, backlog: &Backlog, now_unix: i64) -> Result<(), Trouble> {
        write::all(&mut self.database, backlog, now_unix)?;
        let hour = now_unix / 3_600;
        // The backlog is written: where old usage cannot be removed now, it is the next time.
        if hour != self.pruned && write::prune(&self.database, now_unix).is_ok() {
            self.pruned = hour;
        }
        Ok(())
    }

    /// Folds the write-ahead log into the database and empties it: on a full disk, that may be all there is to win.
    pub(super) fn make_room(&mut self) {
        // A reader may keep it from being done; then there is the next time.
        let _ = self
            .database
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        // Nobody else has cut it.
        self.seen = Seen::at(&self.path);
    }

    /// Leaves one file behind, without companions.
    pub(super) fn close(self) {
        // What cannot be folded in now is folded in by the next start.
        let _ = self.database.close();
    }
}

/// Makes sure that it is ours and whole, and sets it up.
fn prepare(database: &mut Connection, path: &Path) -> Result<(), Trouble> {
    let pragma = |name| database.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = database.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if application != APPLICATION && tables > 0 {
        return Err(Trouble::Foreign(path.to_owned()));
    }
    if version > VERSION {
        let reason = format!("its tables are of version {version}, and this Keygate knows {VERSION}");
        return Err(Trouble::Damaged(reason));
    }
    let size = std::fs::metadata(path).map_or(0, |found| found.len());
    if size <= CHECKED_BYTES {
        let found: String = database.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
        if found != "ok" {
            return Err(Trouble::Damaged(found));
        }
    }
    if tables > 0 {
        let found: i64 = database.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN (?1, ?2, ?3, ?4, ?5)",
            TABLES,
            |row| row.get(0),
        )?;
        if usize::try_from(found) != Ok(TABLES.len()) {
            return Err(Trouble::Damaged("some of its tables are missing".to_owned()));
        }
    }
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    database.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    if tables == 0 {
        let transaction = database.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.execute(
            "INSERT INTO meta (name, value) VALUES ('schema_version', ?1), ('made_by', ?2)",
            (VERSION.to_string(), concat!("keygate ", env!("CARGO_PKG_VERSION"))),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

fn balance(row: &Row<'_>) -> Option<(Purse, Spent)> {
    let text = |index| row.get::<_, String>(index).ok();
    let number = |index| {
        row.get::<_, i64>(index)
            .ok()
            .and_then(|number| u64::try_from(number).ok())
    };
    let time = |index| Some(text(index)?.parse::<Timestamp>().ok()?.as_second());
    let scope = [Scope::Organization, Scope::Key]
        .into_iter()
        .find(|scope| text(0).as_deref() == Some(scope.word()))?;
    let purse = Purse {
        scope,
        owner: Arc::from(text(1)?),
        quota: Arc::from(text(2)?),
    };
    let period = Period {
        begin: time(5)?,
        end: time(6)?,
    };
    let spent = Spent {
        used: number(3)?,
        allowed: number(4)?,
        period,
    };
    Some((purse, spent))
}
