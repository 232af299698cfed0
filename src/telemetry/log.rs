//! Log lines: one JSON object (or one line of text) per event, on standard error, written off the data path.
//!
//! The writer is a thread behind a bounded queue. When it cannot keep up, lines are dropped and counted
//! (`keygate_log_lines_dropped_total`); no request ever waits for a log.

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt;

use crate::config::telemetry::{LogFormat, LogLevel, Telemetry};

/// How many lines may wait for the writer.
const QUEUED_LINES: usize = 65_536;

/// Keeps the writer alive; what is queued is written when it is dropped.
pub struct Writer {
    dropped: ErrorCounter,
    _guard: WorkerGuard,
}

impl Writer {
    /// Counts the lines that were dropped because the writer could not keep up.
    #[must_use]
    pub fn dropped_lines(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}

/// Installs the process's log writer. A second call leaves the first in place.
#[must_use]
pub fn install(options: &Telemetry) -> Writer {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("keygate-log")
        .finish(std::io::stderr());
    let dropped = writer.error_counter();
    let lines = fmt()
        .with_max_level(level(options.level))
        .with_writer(writer)
        .with_ansi(false);
    // An error means that a subscriber is installed already (a test, an embedding program): theirs stays.
    let _ = match options.format {
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
    };
    Writer { dropped, _guard: guard }
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
