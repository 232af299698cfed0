//! `[state]`: where quota balances, usage and last use outlive the process.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::Files;
use super::problem::Problems;
use super::reader::{Item, Table};
use super::{part, units};

/// What is kept is kept for at least that long.
const DAY: Duration = Duration::from_hours(24);

/// What is kept of webhooks is kept for at least that long.
const HOUR: Duration = Duration::from_hours(1);
/// How many events may be queued. Memory knows of each that waits: about 300 bytes.
const QUEUE_EVENTS: RangeInclusive<u64> = 1..=10_000_000;
/// How much room they may take.
const QUEUE_BYTES: RangeInclusive<u64> = (1 << 20)..=(1 << 40);

/// How the file ends whose keys were last in force.
pub(super) const LAST_GOOD: &str = ".keys.jsonl";

/// The state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// `path`: an SQLite database.
    pub path: PathBuf,
    /// `flush`: at most this much is lost when the process is killed; default 1 s.
    pub flush: Duration,
    /// `usage_retention`: how long usage is kept, and what keys used last; default 92 days.
    pub usage_retention: Duration,
    /// `audit_retention`: how long the audit trail is kept; default 400 days.
    pub audit_retention: Duration,
    /// `queue_events`: how many queued events may wait or be dead; default 100 000.
    pub queue_events: u64,
    /// `queue_bytes`: how much room queued events may take, delivered ones that are kept among them; default 256 MiB.
    pub queue_bytes: u64,
    /// `event_retention`: how long delivered and dead events are kept, to be sent again and to know their ids; default 7 days.
    pub event_retention: Duration,
    /// `delivered_contents`: whether delivered events are kept with their bodies and headers, and so can be sent again.
    pub delivered_contents: bool,
    /// `activity_retention`: how long it is kept what was sent to webhooks; default 30 days.
    pub activity_retention: Duration,
}

impl Default for State {
    fn default() -> Self {
        Self {
            path: PathBuf::from("keygate.db"),
            flush: Duration::from_secs(1),
            usage_retention: Duration::from_hours(92 * 24),
            audit_retention: Duration::from_hours(400 * 24),
            queue_events: 100_000,
            queue_bytes: 256 << 20,
            event_retention: Duration::from_hours(7 * 24),
            delivered_contents: true,
            activity_retention: Duration::from_hours(30 * 24),
        }
    }
}

/// Reads `[state]` alone of the configuration in the file at `path`.
///
/// # Errors
/// Every problem of the section, when at least one of them is an error.
pub fn load(path: &Path) -> Result<Option<State>, Problems> {
    part::load(path, |root, files| read(root.get("state").as_ref(), files, None))
}

impl State {
    /// Where the keys are kept that were last in force.
    #[must_use]
    pub fn last_good(&self) -> PathBuf {
        self.beside(LAST_GOOD)
    }

    /// Where revocations are remembered.
    #[must_use]
    pub fn revocations(&self) -> PathBuf {
        self.beside(".revocations")
    }

    /// A file beside the state itself, whatever links lead to it.
    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = real(&self.path).into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// Where the file at `path` itself is, or will be: two links to one file, or to none yet, lead to one place.
#[must_use]
pub fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let target = std::fs::read_link(path).ok();
    let target = target.and_then(|target| Some(path.parent()?.join(target)));
    target
        .filter(|target| target != path)
        .unwrap_or_else(|| path.to_owned())
}

/// Reads `[state]`; `None` where nothing is to be remembered. `keys` is where keys are read from.
pub(super) fn read(item: Option<&Item<'_>>, files: &Files, keys: Option<&Path>) -> Option<State> {
    let table: Table<'_> = item?.table()?;
    let path = table.require("path", "for example path = \"keygate.db\"");
    let default = State::default();
    let flush = table.get("flush");
    let flush = flush
        .and_then(|item| item.duration_within(Duration::from_millis(100)..=Duration::from_mins(1)))
        .unwrap_or(default.flush);
    let retention = |key, shortest, default| {
        let item = table.get(key);
        let told = item.and_then(|item| item.duration_within(shortest..=units::LONGEST));
        told.unwrap_or(default)
    };
    let usage_retention = retention("usage_retention", DAY, default.usage_retention);
    let audit_retention = retention("audit_retention", DAY, default.audit_retention);
    let event_retention = retention("event_retention", HOUR, default.event_retention);
    let activity_retention = retention("activity_retention", HOUR, default.activity_retention);
    let queue_events = table.get("queue_events").and_then(|item| item.integer(QUEUE_EVENTS));
    let queue_bytes = table.get("queue_bytes").and_then(|item| item.size(QUEUE_BYTES));
    let delivered_contents = table.get("delivered_contents").and_then(|item| item.boolean());
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
    let state = State {
        path,
        flush,
        usage_retention,
        audit_retention,
        queue_events: queue_events.unwrap_or(default.queue_events),
        queue_bytes: queue_bytes.unwrap_or(default.queue_bytes),
        event_retention,
        delivered_contents: delivered_contents.unwrap_or(default.delivered_contents),
        activity_retention,
    };
    if keys == Some(&state.last_good()) {
        item.error(
            "would keep a copy of the keys where the keys themselves are",
            "give the state another name, for example \"keygate.db\"",
        );
        return None;
    }
    Some(state)
}
