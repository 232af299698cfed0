//! `[telemetry]`: what is written about traffic.

/// Logging options. They take effect at start; a changed `access_log` also at reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// `log_format = "json" | "text"`, default `json`.
    pub format: LogFormat,
    /// `log_level`: `error`, `warn`, `info` (default), `debug`, `trace`.
    pub level: LogLevel,
    /// `access_log = "all" | "refused" | "off" | { sample = 0.01 }`, default `all`.
    pub access_log: AccessLog,
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
