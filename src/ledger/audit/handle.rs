//! How the running sidecar hands entries over: to the log at once, and to the thread that writes.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};

use tracing::{error, info};

use super::chain::{Link, Row};
use super::entry::Entry;
use crate::ledger::store;
use crate::ledger::writer::Message;
use crate::telemetry::metrics::Metrics;

/// How many entries may be on their way to the thread.
pub(in crate::ledger) const QUEUED: usize = 4_096;

/// Takes entries from every thread; cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit(Option<Door>);

#[derive(Debug, Clone)]
struct Door {
    writer: SyncSender<Message>,
    path: Arc<Path>,
    metrics: Arc<Metrics>,
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is on disk, here in the chain.
    Chained(Link),
    /// The file cannot be had now; it waits in memory until it can.
    Waiting,
    /// There is no `[state]`: it is a log event, and nothing else.
    Logged,
    /// Too many wait already, or the process ends: it is a log event, and counted as lost.
    Lost,
}

/// Told once.
type Acknowledge = Box<dyn FnOnce(Recorded) + Send>;

/// An entry that is not in the file yet.
pub(in crate::ledger) struct Pending {
    pub(in crate::ledger) entry: Entry,
    /// Who wants to know what becomes of it.
    acknowledge: Option<Acknowledge>,
    metrics: Option<Arc<Metrics>>,
    /// Whether it was logged, for want of the file.
    is_told: bool,
    /// Whether it is where it belongs.
    is_settled: bool,
}

impl Audit {
    /// A handle that only logs.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    pub(in crate::ledger) fn on(writer: SyncSender<Message>, path: &Path, metrics: Arc<Metrics>) -> Self {
        Self(Some(Door {
            writer,
            path: path.into(),
            metrics,
        }))
    }

    /// Records an entry. Never waits, unless the process is at its end.
    pub fn record(&self, entry: Entry) {
        self.hand_over(entry, None);
    }

    /// Records an entry, and calls `acknowledge` once it is on disk, or cannot be for now: in about a second at most. Where
    /// there is no file, or no room, it is called before this returns, else by the thread that writes: it must not block.
    ///
    /// With a channel: `audit.record_then(entry, move |recorded| drop(sender.send(recorded)))`.
    pub fn record_then(&self, entry: Entry, acknowledge: impl FnOnce(Recorded) + Send + 'static) {
        self.hand_over(entry, Some(Box::new(acknowledge)));
    }

    fn hand_over(&self, entry: Entry, acknowledge: Option<Acknowledge>) {
        let mut pending = Pending {
            entry,
            acknowledge,
            metrics: self.0.as_ref().map(|door| Arc::clone(&door.metrics)),
            is_told: false,
            is_settled: false,
        };
        match &self.0 {
            Some(door) => match door.writer.try_send(Message::Entry(Box::new(pending))) {
                // The thread has ended, and with it soon the process: there is nobody left to be kept waiting.
                Err(TrySendError::Disconnected(Message::Entry(pending))) => pending.append(&door.path),
                // What does not fit is dropped, and so given up.
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(Message::Queue | Message::Stop)) => {}
            },
            None => {
                pending.log(None);
                pending.settle(Recorded::Logged);
            }
        }
    }
}

impl Pending {
    /// One of the ledger's own.
    pub(in crate::ledger) fn own(entry: Entry, metrics: &Arc<Metrics>) -> Self {
        Self {
            entry,
            acknowledge: None,
            metrics: Some(Arc::clone(metrics)),
            is_told: false,
            is_settled: false,
        }
    }

    /// Without the thread.
    fn append(self, path: &Path) {
        // Where that fails, it is given up.
        if let Ok(link) = store::append(path, &self.entry) {
            self.chained(link);
        }
    }

    /// It is on disk.
    pub(in crate::ledger) fn chained(mut self, link: Link) {
        if self.is_told {
            info!(target: "audit", message = "an audit entry that waited is in the file", seq = link.seq, hash = link.hash);
        } else {
            self.log(Some(&link));
        }
        self.settle(Recorded::Chained(link));
    }

    /// It has to wait. The log has it at once all the same.
    pub(in crate::ledger) fn waits(&mut self) {
        if !self.is_told {
            self.is_told = true;
            self.log(None);
        }
        self.answer(Recorded::Waiting);
    }

    /// About how much memory it takes.
    pub(in crate::ledger) fn bytes(&self) -> usize {
        size_of::<Self>() + self.entry.detail.to_string().len()
    }

    fn settle(&mut self, recorded: Recorded) {
        self.is_settled = true;
        self.answer(recorded);
    }

    fn answer(&mut self, recorded: Recorded) {
        if let Some(acknowledge) = self.acknowledge.take() {
            acknowledge(recorded);
        }
    }

    fn log(&self, link: Option<&Link>) {
        log(&Row::after(&Link::origin(), &self.entry), link);
    }
}

impl Drop for Pending {
    /// Whatever way it is given up, the log has it, as an error.
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        if let Some(metrics) = &self.metrics {
            metrics.audit_lost.inc();
        }
        let entry = &self.entry;
        error!(
            target: "audit",
            message = "an audit entry is not in the state file, and will not be: this line is all there is of it",
            at = entry.at,
            action = entry.action.word(),
            actor = %entry.actor,
            source = %entry.source,
            subject = entry.target.as_deref(),
            detail = entry.detail_text(),
        );
        self.settle(Recorded::Lost);
    }
}

/// Logs what stands in a row; `link` is its place, if it has one.
pub(in crate::ledger) fn log(row: &Row, link: Option<&Link>) {
    info!(
        target: "audit",
        message = "audit",
        at = row.at,
        action = row.action,
        actor = row.actor,
        source = row.source,
        subject = row.target.as_deref(),
        detail = row.detail,
        seq = link.map(|link| link.seq),
        hash = link.map(|link| link.hash.as_str()),
    );
}
