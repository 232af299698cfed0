//! The state file: an SQLite database in WAL mode, readable for people.
//!
//! A room of its own because nothing else knows of SQLite. The tables are in `schema_1.sql` and what comes after it; times in
//! them are text. One process writes balances and usage, and holds the lock for it; the audit trail takes rows from others
//! too, each in a transaction that begins with the file's write lock.

mod attempts;
mod connect;
mod events;
mod file;
mod reader;
mod restore;
mod schema;
#[cfg(test)]
mod tests;
mod trail;
mod trouble;
mod webhooks;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, Row as Columns};

use super::audit::Entry;
use super::audit::chain::{self, Link};
use super::backlog::Backlog;
use crate::config::plans::Scope;
use crate::config::state::State;
use crate::config::state::real;
use crate::policy::limits::{Period, Purse, Spent};
use file::Seen;

pub(super) use events::{Book, State as Row};
pub(super) use reader::Reader;
pub(super) use trail::Pruned;
pub(super) use trouble::Trouble;
pub use trouble::Unavailable;
pub(super) use write::moment_millis;

/// How long somebody else's transaction is waited for, an operator's `sqlite3` for example.
const BUSY: Duration = Duration::from_secs(1);

/// Appends one entry to the audit trail of the state at `path`, whoever has it open.
///
/// # Errors
/// When it cannot be had.
pub(super) fn append(path: &Path, entry: &Entry) -> Result<Link, Unavailable> {
    trail::append_alone(path, entry).map_err(|trouble| Unavailable::new(path, &trouble))
}

/// An open state file whose balances nobody else writes.
pub(super) struct Store {
    database: Connection,
    path: PathBuf,
    /// The file and its log, when they were last looked at.
    seen: Option<Seen>,
    /// Of the last hour in which what is old was removed.
    pruned: i64,
    /// The last row of the audit trail that is logged, or was there before.
    heard: i64,
    _lock: File,
}

impl Store {
    /// Opens the state at `path`; makes it where there is none.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        if path.is_dir() {
            return Err(Trouble::Directory(path.to_owned()));
        }
        file::make(path)?;
        let lock = file::lock(&real(path))?;
        let database = connect::to_write(path, BUSY, true)?;
        let heard = trail::place(&database, trail::HEAD)?.map_or(0, |head| head.seq);
        Ok(Self {
            database,
            path: path.to_owned(),
            seen: Seen::at(path),
            pruned: i64::MIN,
            heard,
            _lock: lock,
        })
    }

    /// Moves the state at `path` aside, which must not be open; gives its new path.
    pub(super) fn move_aside(path: &Path, now_unix: i64) -> Result<PathBuf, Trouble> {
        let path = real(path);
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

    /// Appends entries to the audit trail, all or none; gives their places.
    pub(super) fn append(&mut self, entries: &[&Entry]) -> Result<Vec<Link>, Trouble> {
        trail::append(&mut self.database, entries)
    }

    /// What other processes have appended to the audit trail since this was last asked: up to `own`, what this one has just
    /// appended, or up to the end.
    pub(super) fn heard(&mut self, own: &[Link]) -> Vec<chain::Row> {
        let (last, next) = match (own.first(), own.last()) {
            (Some(first), Some(last)) => (Some(first.seq - 1), Some(last.seq)),
            (None, _) | (_, None) => (None, None),
        };
        // What cannot be read now is read the next time.
        let Ok((rows, end)) = trail::between(&self.database, self.heard, last) else {
            return Vec::new();
        };
        self.heard = next.unwrap_or(end);
        rows
    }

    /// Whether this place is in the audit trail, or was until retention took it.
    pub(super) fn knows(&self, link: &Link) -> Result<bool, Trouble> {
        trail::knows(&self.database, link)
    }

    /// Where the audit trail ends.
    pub(super) fn last(&self) -> Result<Option<Link>, Trouble> {
        trail::place(&self.database, trail::HEAD)
    }

    /// Writes all of a backlog, or nothing.
    pub(super) fn write(&mut self, backlog: &Backlog, now_unix: i64) -> Result<(), Trouble> {
        Ok(write::all(&mut self.database, backlog, now_unix)?)
    }

    /// Once in every hour, removes what is older than it is kept. What cannot be removed now, is the next time.
    pub(super) fn prune(&mut self, kept: &State, now_unix: i64) -> Pruned {
        let hour = now_unix / 3_600;
        if hour == self.pruned {
            return Pruned::Done;
        }
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let before = write::moment(now_unix.saturating_sub(seconds(kept.audit_retention)));
        let usage = write::prune(&self.database, seconds(kept.usage_retention), now_unix);
        let trail = trail::prune(&mut self.database, &before);
        if usage.is_ok() && trail.is_ok() {
            self.pruned = hour;
        }
        trail.unwrap_or(Pruned::Done)
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

fn balance(row: &Columns<'_>) -> Option<(Purse, Spent)> {
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
