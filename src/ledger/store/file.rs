//! The file of the store: made private, locked, and moved aside when it is damaged.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Trouble;

/// Only the owner reads and writes.
const PRIVATE: u32 = 0o600;
/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Which file a path led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// What is at the path now; `None` where nothing is.
    pub(super) fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|found| Self::of(&found))
    }

    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
        }
    }
}

/// Locks the state at `path` for this process, as long as the file that is given back is open. The lock is a file of its own,
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
/// mode.
pub(super) fn make(path: &Path) -> Result<(), Trouble> {
    private(path)
        .map(drop)
        .map_err(|error| Trouble::File(path.to_owned(), error))
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
