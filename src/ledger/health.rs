//! How the ledger tells that it cannot write: one loud line, a gauge and a counter, not a line every second.

use std::path::Path;
use std::sync::Arc;

use tracing::{error, info};

use super::audit::Link;
use super::store::Trouble;
use crate::clock;
use crate::telemetry::metrics::Metrics;

/// How often a trouble that lasts is told again: a minute, in nanoseconds.
const AGAIN: u64 = 60_000_000_000;

/// Whether the state file can be had.
pub(super) struct Health {
    metrics: Arc<Metrics>,
    trouble: Option<Lasting>,
}

/// A trouble, since when, and when it was last told; monotonic nanoseconds.
struct Lasting {
    since: u64,
    told: u64,
    failures: u64,
}

impl Health {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, trouble: None }
    }

    /// Nothing could be written.
    pub(super) fn failed(&mut self, trouble: &Trouble) {
        let now = clock::monotonic();
        self.metrics.state_degraded.set(1);
        self.metrics.state_flush_failures.inc();
        let is_new = self.trouble.is_none();
        let lasting = self.trouble.get_or_insert(Lasting {
            since: now,
            told: now,
            failures: 0,
        });
        lasting.failures += 1;
        if is_new || now.saturating_sub(lasting.told) >= AGAIN {
            lasting.told = now;
            error!(
                message = "the state cannot be written; traffic goes on, and what is counted stays in memory until it can",
                reason = %trouble,
                failures = lasting.failures
            );
        }
    }

    /// The file can be had.
    pub(super) fn works(&mut self) {
        self.metrics.state_degraded.set(0);
        if let Some(lasting) = self.trouble.take() {
            let seconds = clock::monotonic().saturating_sub(lasting.since) / 1_000_000_000;
            info!(
                message = "the state is written again",
                after_seconds = seconds,
                failures = lasting.failures
            );
        }
    }

    /// The process ends, and what waits is lost.
    pub(super) fn lost(&self) {
        error!(message = "the state could not be written at the end; what was counted since the last flush is lost");
    }

    /// Everything that there was has been written.
    pub(super) fn wrote(&mut self) {
        self.metrics.state_last_flush.set(clock::unix());
        self.works();
    }

    /// Somebody has removed, replaced or cut the file, or its log, under our hands.
    pub(super) fn displaced(&self, path: &Path) {
        error!(
            message = "the state file, or its log, was removed, replaced or cut while it was in use; balances are written \
                       anew, usage and last use go on from what is there",
            file = %path.display()
        );
    }

    /// The audit trail is not the one that was written to.
    pub(super) fn trail_lost(&self, last: &Link) {
        error!(
            target: "audit",
            message = "the audit trail in the state file is not the one that was written to: rows are missing, or it is another",
            seq = last.seq,
            hash = last.hash
        );
    }

    /// The audit trail's oldest rows are not whole.
    pub(super) fn trail_broken(&self) {
        error!(
            target: "audit",
            message = "the oldest rows of the audit trail are not whole, and so are not removed; `keygate audit verify` says what is wrong"
        );
    }

    /// A file was moved aside.
    pub(super) fn moved_aside(&self, path: &str, reason: &str) {
        self.metrics.state_corrupt.inc();
        error!(
            message = "the state file is damaged and was moved aside; a new one begins, and what it remembered is not counted",
            moved_to = path,
            reason
        );
    }

    /// Usage was given up, because too much of it waits.
    pub(super) fn dropped(&self, requests: u64) {
        self.metrics.state_usage_dropped.inc_by(requests);
    }
}
