//! Why the state file cannot be had.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

/// Why the state file cannot be had, or not be written.
#[derive(Debug)]
pub(in crate::ledger) enum Trouble {
    /// It, or its lock, cannot be made or opened.
    File(PathBuf, io::Error),
    /// It is a directory.
    Directory(PathBuf),
    /// Another process has it.
    Locked(PathBuf),
    /// It is a database of something else, and is left alone.
    Foreign(PathBuf),
    /// It is not what was written: to be moved aside.
    Damaged(String),
    /// SQLite says so.
    Database(rusqlite::Error),
}

impl Trouble {
    /// Whether the disk is full; the open file is good all the same.
    pub(in crate::ledger) fn is_full(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DiskFull))
    }

    /// Whether somebody else is at the file, which is good all the same.
    pub(in crate::ledger) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Database(error) => error.sqlite_error_code(),
            Self::File(..) | Self::Directory(_) | Self::Locked(_) | Self::Foreign(_) | Self::Damaged(_) => None,
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            Some(_) | None => Self::Database(error),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Directory(path) => write!(f, "{} is a directory", path.display()),
            Self::Locked(path) => write!(f, "another process holds {}: it has this state", path.display()),
            Self::Foreign(path) => write!(f, "{} is a database of something else", path.display()),
            Self::Damaged(reason) => write!(f, "it is damaged: {reason}"),
            Self::Database(error) => write!(f, "{error}"),
        }
    }
}
