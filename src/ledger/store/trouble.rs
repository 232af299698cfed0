//! Why the state file cannot be had.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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
    /// There is nothing in it yet.
    Empty(PathBuf),
    /// It was written by an earlier Keygate, with tables of this version.
    Earlier(PathBuf, usize),
    /// It is not what was written: to be moved aside.
    Damaged(String),
    /// SQLite says so.
    Database(rusqlite::Error),
}

/// Why a state file cannot be read, or not be appended to, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl Unavailable {
    pub(in crate::ledger) fn new(path: &Path, trouble: &Trouble) -> Self {
        let told = trouble.to_string();
        let path = path.display().to_string();
        Self {
            help: trouble.help().to_owned(),
            what: if told.contains(&path) {
                told
            } else {
                format!("{path}: {told}")
            },
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Unavailable {}

impl Trouble {
    /// Whether the disk is full; the open file is good all the same.
    pub(in crate::ledger) fn is_full(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DiskFull))
    }

    /// Whether somebody else is at the file, which is good all the same.
    pub(in crate::ledger) fn is_busy(&self) -> bool {
        matches!(self.code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
    }

    /// Whether this user may not, for what is there.
    pub(in crate::ledger) fn is_denied(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
        )
    }

    /// What an operator may do about it.
    fn help(&self) -> &'static str {
        const USER: &str = "run this as the user that Keygate runs as, who owns the state and its directory";
        match self {
            Self::File(_, error) if error.kind() == io::ErrorKind::NotFound => {
                "a sidecar with this [state] makes it when it starts; or name another with --state FILE"
            }
            Self::File(_, error) if error.kind() == io::ErrorKind::PermissionDenied => USER,
            Self::File(..) => "look at the disk and the directory that it is on",
            Self::Directory(_) => "name the file in it, as [state] path does",
            Self::Locked(_) => "each sidecar has a state of its own",
            Self::Foreign(_) => "name the file that [state] path names",
            Self::Empty(_) | Self::Earlier(..) => "a sidecar of this version makes its tables when it starts",
            Self::Damaged(_) => {
                "a sidecar moves a damaged state aside when it starts, and begins a new one; sqlite3's .recover may read the rest"
            }
            Self::Database(_) if self.is_busy() => "another process keeps it locked; end that, or try again",
            Self::Database(_) if self.is_full() => "make room on its disk",
            Self::Database(_) if self.is_denied() => USER,
            Self::Database(_) => "look at the disk and the directory that it is on",
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Database(error) => error.sqlite_error_code(),
            Self::File(..)
            | Self::Directory(_)
            | Self::Locked(_)
            | Self::Foreign(_)
            | Self::Empty(_)
            | Self::Earlier(..)
            | Self::Damaged(_) => None,
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
            Self::Empty(path) => write!(f, "there is nothing in {} yet", path.display()),
            Self::Earlier(path, version) => {
                write!(
                    f,
                    "{} is of an earlier Keygate, with tables of version {version}",
                    path.display()
                )
            }
            Self::Damaged(reason) => write!(f, "it is damaged: {reason}"),
            Self::Database(error) => write!(f, "{error}"),
        }
    }
}
