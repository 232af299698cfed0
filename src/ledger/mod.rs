//! Remember: what must outlive a request and the process. Quota balances, usage, last use, the audit trail, and events that
//! wait for their receivers, in one SQLite file.
//!
//! A room of its own so that nothing on the data path ever waits for a disk. Workers bump counters ([`tally`]) and balances
//! in memory; one thread (`writer`) takes what has changed, twice in every `state.flush`, and writes it in one
//! transaction (`store`). Where that fails, what is unwritten stays in memory, bounded (`backlog`), and is written once
//! the file can be had again. Only who queues an event waits until it is on disk, and not for the disk's sake alone: that is
//! what it is told.
//!
//! Invariants:
//! - Balances are read before the first request is served. Where that is not possible (another process holds the file), they
//!   are added to what has been spent by the time it is.
//! - When the process is killed, what happened within the last `state.flush` is lost; in good order, nothing is. Of the
//!   [`queue`], nothing is either way.
//! - Never more than one process writes balances and usage: a lock file beside the database says who. Only the [`audit`] trail
//!   takes rows from others too.
//! - A file that is damaged is moved aside, never overwritten, and a new one begun.

pub mod activity;
pub mod audit;
mod backlog;
mod health;
pub mod journal;
pub mod queue;
pub mod read;
mod store;
pub mod tally;
mod waiting;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::config::state::State;
use crate::policy::limits::Balances;
use crate::telemetry::metrics::Metrics;
use activity::Activity;
use audit::Audit;
use queue::{Desk, Queue};
use tally::Tallies;
use writer::{Message, Writer};

pub use store::Unavailable;

/// The state file's keeper, or none where there is nothing to keep.
pub struct Ledger {
    /// What workers count in.
    pub tallies: Arc<Tallies>,
    /// Where what is done goes on record.
    pub audit: Audit,
    /// Where events wait for their receivers.
    pub queue: Queue,
    /// Where attempts to deliver events in requests are noted.
    pub activity: Activity,
    writer: Option<(SyncSender<Message>, JoinHandle<()>)>,
}

impl Ledger {
    /// Reads what is remembered into `balances`, and starts to write. Without `[state]`, does nothing. A file that cannot
    /// be had is no error: the gate serves without it, and says so.
    ///
    /// # Errors
    /// When the thread cannot be had.
    pub fn start(state: Option<&State>, balances: Arc<Balances>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let Some(state) = state else {
            return Ok(Self {
                tallies: Arc::new(Tallies::off()),
                audit: Audit::off(),
                queue: Queue::off(),
                activity: Activity::off(),
                writer: None,
            });
        };
        let tallies = Arc::new(Tallies::on());
        let (sender, inbox) = sync_channel(audit::QUEUED);
        let audit = Audit::on(sender.clone(), &state.path, Arc::clone(&metrics));
        let queue = Queue::on(sender.clone());
        let activity = Activity::on(Arc::clone(&metrics));
        let desk = Desk::new(&queue, &activity, state, &metrics);
        let mut writer = Writer::new(state, balances, Arc::clone(&tallies), desk, metrics);
        writer.begin();
        let thread = thread::Builder::new()
            .name("keygate-ledger".to_owned())
            .spawn(move || writer.run(&inbox))?;
        Ok(Self {
            tallies,
            audit,
            queue,
            activity,
            writer: Some((sender, thread)),
        })
    }

    /// Writes what is left; to be called when nobody counts any more.
    pub fn close(self) {
        if let Some((sender, thread)) = self.writer {
            // Either fails only where the thread has ended by a bug, which was logged.
            let _ = sender.send(Message::Stop);
            let _ = thread.join();
        }
    }
}
