//! The file of the store: made private, locked, and moved aside when it is damaged.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Trouble;
use crate::config::state::real;

/// Only the owner reads and writes.
const PRIVATE: u32 = 0o600;
/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 2] = [LOG, "-shm"];
/// The write-ahead log.
const LOG: &str = "-wal";

/// What a path led to: a database and, where there is one, its write-ahead log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    database: Look,
    log: Option<Look>,
}

/// One file, and how long it was.
#[derive(Debug, Clone, Copy)]
struct Look {
    device: u64,
    inode: u64,
    bytes: u64,
}

impl Seen {
    /// What is at the path now; `None` where nothing is.
    pub(super) fn at(path: &Path) -> Option<Self> {
        let path = real(path);
        let look = |path: &Path| std::fs::metadata(path).ok().map(|found| Look::of(&found));
        Some(Self {
            database: look(&path)?,
            log: look(&beside(&path, LOG)),
        })
    }

    /// Whether `later` is the same, grown at most. What has become shorter was cut by somebody else, and what is written to
    /// a log that is gone is gone with the process.
    pub(super) fn goes_on_as(&self, later: &Self) -> bool {
        let log = match (&self.log, &later.log) {
            (Some(before), Some(now)) => before.goes_on_as(now),
            (Some(_), None) => false,
            (None, _) => true,
        };
        log && self.database.goes_on_as(&later.database)
    }
}

impl Look {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
        }
    }

    fn goes_on_as(&self, later: &Self) -> bool {
        (self.device, self.inode) == (later.device, later.inode) && self.bytes <= later.bytes
    }
}

/// Locks the state at `path`, which is [`real`], for this process, as long as the file that is given back is open. The lock is a file of its own,
/// since closing any handle of a database would release SQLite's own locks.
pub(super) fn lock(path: &Path) -> Result<File, Trouble> {
    let path = beside(path, ".lock");
    let file = private(&path).map_err(|error| Trouble::File(path.clone(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Trouble::Locked(path)),
        Err(TryLockError::Error(error)) => Err(Trouble::File(path, error)),
    }
}

/// Makes the database file, if it is not there: SQLite would make it readable for others, and gives its companions the same
/// mode. One that is there is not touched: closing it again would release the locks of whoever else has it open in this process.
pub(super) fn make(path: &Path) -> Result<(), Trouble> {
    if path.exists() {
        return Ok(());
    }
    private(path)
        .map(drop)
        .map_err(|error| Trouble::File(path.to_owned(), error))
}

/// Whether there is a write-ahead log beside it.
pub(super) fn has_log(path: &Path) -> bool {
    beside(&real(path), LOG).exists()
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
}

/// Moves a database and its companions out of the way; gives its new path.
pub(super) fn move_aside(path: &Path, now_unix: i64) -> Result<PathBuf, Trouble> {
    let time = Timestamp::from_second(now_unix)
        .unwrap_or_default()
        .strftime("%Y%m%dT%H%M%SZ");
    let aside = (0..)
        .map(|again: u32| match again {
            0 => beside(path, &format!(".corrupt-{time}")),
            again => beside(path, &format!(".corrupt-{time}-{again}")),
        })
        .find(|aside| !aside.exists())
        .expect("numbers do not end before free names do");
    std::fs::rename(path, &aside).map_err(|error| Trouble::File(path.to_owned(), error))?;
    for companion in COMPANIONS {
        let from = beside(path, companion);
        if from.exists() {
            let to = beside(&aside, companion);
            std::fs::rename(&from, to).map_err(|error| Trouble::File(from, error))?;
        }
    }
    Ok(aside)
}

/// `keygate.db` and `-wal` → `keygate.db-wal`.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}
