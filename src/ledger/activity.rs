//! What was sent to webhooks: a line for each attempt, in the request or from the queue.
//!
//! A room of its own because it is the same for both ways. Lines of the queue are written with what the attempt led to; those
//! of requests wait in memory for the next flush, a bounded number of them, and what was not written is lost when the process
//! is killed.
//!
//! # Security
//! Lines have no secrets, no headers and nothing of bodies: ids, times, a status, a code of Keygate's own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::queue::Attempt;
use crate::telemetry::metrics::Metrics;

/// How many lines may wait for a flush.
const LINES_MAX: usize = 50_000;
/// How many lines the file has at most; the oldest go.
pub(super) const ROWS_MAX: i64 = 500_000;

/// One attempt in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The webhook's id.
    pub webhook: Arc<str>,
    /// Whose it is.
    pub organization: Arc<str>,
    /// The event's id.
    pub event_id: Arc<str>,
    /// The event's type; may be empty.
    pub event_type: Arc<str>,
    /// Which attempt of the event it was, from 1 on.
    pub number: u32,
    /// How it went.
    pub attempt: Attempt,
}

/// How an event is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// While the service waits.
    Request,
    /// From the queue.
    Queued,
}

/// Takes lines from every thread; cheap to clone. Without `[state]`, it keeps nothing.
#[derive(Debug, Clone)]
pub struct Activity(Option<Arc<Buffer>>);

#[derive(Debug)]
pub(super) struct Buffer {
    lines: Mutex<Vec<Line>>,
    metrics: Arc<Metrics>,
}

impl Activity {
    /// Keeps nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    pub(super) fn on(metrics: Arc<Metrics>) -> Self {
        Self(Some(Arc::new(Buffer {
            lines: Mutex::default(),
            metrics,
        })))
    }

    /// Notes an attempt in a request, for the next flush. Where too many wait, it is given up, and counted.
    pub fn record(&self, line: Line) {
        let Some(buffer) = &self.0 else { return };
        let mut lines = buffer.lines();
        if lines.len() < LINES_MAX {
            lines.push(line);
        } else {
            buffer.metrics.webhooks.activity_dropped.inc();
        }
    }

    /// What has come since this was last asked.
    pub(super) fn take(&self) -> Vec<Line> {
        let Some(buffer) = &self.0 else { return Vec::new() };
        std::mem::take(&mut *buffer.lines())
    }

    /// What could not be written comes first the next time.
    pub(super) fn give_back(&self, mut lines: Vec<Line>) {
        let Some(buffer) = &self.0 else { return };
        let mut newer = buffer.lines();
        let room = LINES_MAX.saturating_sub(lines.len());
        let dropped = newer.len().saturating_sub(room);
        newer.truncate(room);
        lines.append(&mut newer);
        *newer = lines;
        buffer
            .metrics
            .webhooks
            .activity_dropped
            .inc_by(u64::try_from(dropped).unwrap_or(u64::MAX));
    }
}

impl Delivery {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Request, Self::Queued];

    /// As it stands in the file.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Queued => "queued",
        }
    }
}

impl Buffer {
    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
