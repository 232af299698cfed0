//! Audit entries that are not in the file yet: none, as long as it can be had.

use super::audit::{Entry, Link, Pending};
use crate::telemetry::metrics::Metrics;

/// How many may wait.
const ENTRIES_MAX: usize = 10_000;
/// How much memory they may take.
const BYTES_MAX: usize = 16 << 20;

/// In the order in which they came.
#[derive(Default)]
pub(super) struct Waiting {
    entries: Vec<Pending>,
    bytes: usize,
}

impl Waiting {
    /// One more, where there is room; else it is given up, and not one that came before it.
    pub(super) fn add(&mut self, pending: Pending) {
        let bytes = self.bytes.saturating_add(pending.bytes());
        if self.entries.len() < ENTRIES_MAX && bytes <= BYTES_MAX {
            self.bytes = bytes;
            self.entries.push(pending);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> Vec<&Entry> {
        self.entries.iter().map(|pending| &pending.entry).collect()
    }

    /// All of them are in the file now, at these places.
    pub(super) fn chained(&mut self, links: Vec<Link>, metrics: &Metrics) {
        let entries = std::mem::take(self).entries;
        metrics.audit_waiting.set(0);
        entries
            .into_iter()
            .zip(links)
            .for_each(|(pending, link)| pending.chained(link));
    }

    /// The file cannot be had.
    pub(super) fn wait(&mut self, metrics: &Metrics) {
        let count = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        metrics.audit_waiting.set(count);
        self.entries.iter_mut().for_each(Pending::waits);
    }
}
