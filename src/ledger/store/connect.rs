//! Ways to open the file: to write, beside others, and to read.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use rusqlite::{Connection, OpenFlags};

use super::{Trouble, file, schema};
use crate::clock;

/// How long between two tries, where SQLite itself does not wait.
const AGAIN: Duration = Duration::from_millis(10);
/// How long a reader waits, in the rare moments in which it has to.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a path in a URI has to be encoded of.
const IN_URI: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

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

/// Opens the state at `path` to read what stands in it now, whoever writes to it meanwhile.
pub(super) fn to_read(path: &Path) -> Result<Connection, Trouble> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => return Err(Trouble::Directory(path.to_owned())),
        Ok(_) => {}
        Err(error) => return Err(Trouble::File(path.to_owned(), error)),
    }
    // Where it may, SQLite opens it to write, so that whoever leaves last folds the log in and leaves one file behind.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.pragma_update(None, "query_only", true)?;
    database.busy_timeout(PATIENCE)?;
    match snapshot(&database, path) {
        // A log that is not there cannot be made where nothing may be written: nobody writes, and the file is all there is.
        Err(trouble) if trouble.is_denied() && !file::has_log(path) => {
            let name = percent_encoding::percent_encode(path.as_os_str().as_bytes(), &IN_URI);
            let database =
                Connection::open_with_flags(format!("file:{name}?immutable=1"), flags | OpenFlags::SQLITE_OPEN_URI)?;
            snapshot(&database, path).map(|()| database)
        }
        outcome => outcome.map(|()| database),
    }
}

/// Everything that is asked from now on is answered from one moment.
fn snapshot(database: &Connection, path: &Path) -> Result<(), Trouble> {
    database.execute_batch("BEGIN")?;
    match schema::identify(database, path)? {
        schema::VERSION => Ok(()),
        0 => Err(Trouble::Empty(path.to_owned())),
        earlier => Err(Trouble::Earlier(path.to_owned(), earlier)),
    }
}

fn prepare(database: &mut Connection, path: &Path, thorough: bool) -> Result<(), Trouble> {
    schema::identify(database, path)?;
    if thorough {
        schema::check(database, path)?;
    }
    schema::set_up(database, path)
}
