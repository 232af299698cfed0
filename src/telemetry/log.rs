//! Log lines: one JSON object (or one line of text) per event, on standard error, written off the data path.
//!
//! The writer is a thread behind a bounded queue. When it cannot keep up, lines are dropped and counted
//! (`keygate_log_lines_dropped_total`); no request ever waits for a log.
//!
//! # Security
//! Only Keygate's own events are written, at every level: the libraries' quote what came over the wire (`h2` a path that
//! does not parse, with its query).

use tracing::level_filters::LevelFilter;
use tracing::{error, warn};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;

use crate::config::problem::{Problem, Severity};
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
    let level = level(options.level);
    let own = Targets::new()
        .with_target("keygate", level)
        .with_target("access", level)
        // What goes on record does so at every level.
        .with_target(
            "audit",
            if options.audit_log {
                LevelFilter::INFO
            } else {
                LevelFilter::OFF
            },
        );
    let lines = fmt()
        .with_max_level(level.max(LevelFilter::INFO))
        .with_writer(writer)
        .with_ansi(false);
    // An error means that a subscriber is installed already (a test, an embedding program): theirs stays.
    let _ = match options.format {
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish().with(own)),
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish().with(own)),
    };
    Writer { dropped, _guard: guard }
}

/// Tells an operator's mistake as one event, with its place. The offending line is left out: it may hold a secret.
pub fn problem(problem: &Problem) {
    let file = problem.file.display();
    let (line, column) = problem.position.unzip();
    let said = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let (option, help) = (said(&problem.path), said(&problem.help));
    match problem.severity {
        Severity::Error => error!(message = %problem.what, %file, line, column, option, help),
        Severity::Advice => {}
        Severity::Warning => warn!(message = %problem.what, %file, line, column, option, help),
    }
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
