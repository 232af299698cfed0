//! Ways to open the file: to write, beside others, and to read.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{Trouble, file, schema};
use crate::clock;

/// How long between two tries, where SQLite itself does not wait.
const AGAIN: Duration = Duration::from_millis(10);

/// Opens the state at `path` to write to it, with today's tables; makes it where there is none. `thorough` looks for damage.
/// Waits for `patience` where others are at it.
pub(super) fn to_write(path: &Path, patience: Duration, thorough: bool) -> Result<Connection, Trouble> {
    if path.is_dir() {
        return Err(Trouble::Directory(path.to_owned()));
    }
    file::make(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(patience)?;
    let waited = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    let end = clock::monotonic().saturating_add(waited);
    loop {
        match prepare(&mut database, path, thorough) {
            // Two that make one file at once: SQLite waits for most locks, but not for the one that this takes.
            Err(trouble) if trouble.is_busy() && clock::monotonic() < end => thread::sleep(AGAIN),
            outcome => return outcome.map(|()| database),
        }
    }
}

fn prepare(database: &mut Connection, path: &Path, thorough: bool) -> Result<(), Trouble> {
    schema::identify(database, path)?;
    if thorough {
        schema::check(database, path)?;
    }
    schema::set_up(database, path)
}
