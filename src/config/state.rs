//! `[state]`: where quota balances, usage and last use outlive the process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::Files;
use super::reader::{Item, Table};

/// The state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `path`: an SQLite database.
    pub path: PathBuf,
    /// `flush`: at most this much is lost when the process is killed; default 1 s.
    pub flush: Duration,
}

/// Reads `[state]`; `None` where nothing is to be remembered. `keys` is where keys are read from.
pub(super) fn read(item: Option<&Item<'_>>, files: &Files, keys: Option<&Path>) -> Option<State> {
    let table: Table<'_> = item?.table()?;
    let path = table.require("path", "for example path = \"keygate.db\"");
    let flush = table.get("flush");
    let flush = flush
        .and_then(|item| item.duration_within(Duration::from_millis(100)..=Duration::from_mins(1)))
        .unwrap_or(Duration::from_secs(1));
    let item = path?;
    let path = files.resolve(item.text()?);
    // A file that is no database would be moved aside, and a directory of keys is read again with every change in it.
    let is_read = files.sources().paths().any(|read| read == path);
    if is_read || keys.is_some_and(|keys| path.starts_with(keys)) {
        item.error(
            "is a file that Keygate reads, or among them",
            "the state has a file of its own, for example \"keygate.db\"",
        );
        return None;
    }
    if path.is_dir() {
        item.error(
            format!("{} is a directory", path.display()),
            "name a file in it, for example \"keygate.db\"; it is made at the first start",
        );
        return None;
    }
    Some(State { path, flush })
}
