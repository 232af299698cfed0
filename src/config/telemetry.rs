//! `[telemetry]`: what is written about traffic.

use super::reader::{Item, Table};

/// Logging options. They take effect at start; a changed `access_log` also at reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// `log_format = "json" | "text"`, default `json`.
    pub format: LogFormat,
    /// `log_level`: `error`, `warn`, `info` (default), `debug`, `trace`.
    pub level: LogLevel,
    /// `access_log = "all" | "refused" | "off" | { sample = 0.01 }`, default `all`.
    pub access_log: AccessLog,
    /// `audit_log`: whether what goes on record is a log line too, at every level; default true.
    pub audit_log: bool,
}

/// One line, one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what went wrong.
    Error,
    /// And what may go wrong.
    Warn,
    /// And what happens.
    Info,
    /// And per-request detail.
    Debug,
    /// And everything else.
    Trace,
}

/// Which requests get a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AccessLog {
    /// Every request.
    All,
    /// Refused and failed ones.
    Refused,
    /// None.
    Off,
    /// Refused and failed ones, and this share (0 to 1) of the rest.
    Sample(f64),
}

impl AccessLog {
    /// Whether a request gets a line that was refused or failed, or not; `share` is asked for a random number (0 to 1).
    #[must_use]
    pub fn tells(self, is_refused: bool, share: impl FnOnce() -> f64) -> bool {
        match self {
            Self::All => true,
            Self::Refused => is_refused,
            Self::Off => false,
            Self::Sample(wanted) => is_refused || share() < wanted,
        }
    }
}

/// Reads `[telemetry]`.
pub(super) fn read(table: &Table<'_>) -> Telemetry {
    let format = table
        .get("log_format")
        .and_then(|item| item.word(&[("json", LogFormat::Json), ("text", LogFormat::Text)]));
    let level = table.get("log_level").and_then(|item| {
        item.word(&[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ])
    });
    let access_log = table.get("access_log").and_then(|item| read_access_log(&item));
    let audit_log = table.get("audit_log").and_then(|item| item.boolean());
    Telemetry {
        format: format.unwrap_or(LogFormat::Json),
        level: level.unwrap_or(LogLevel::Info),
        access_log: access_log.unwrap_or(AccessLog::All),
        audit_log: audit_log.unwrap_or(true),
    }
}

fn read_access_log(item: &Item<'_>) -> Option<AccessLog> {
    if item.is_table() {
        let table = item.table()?;
        let share = table.require("sample", "for example { sample = 0.01 }")?;
        return share.number(0.0..=1.0).map(AccessLog::Sample);
    }
    item.word(&[
        ("all", AccessLog::All),
        ("refused", AccessLog::Refused),
        ("off", AccessLog::Off),
    ])
}
