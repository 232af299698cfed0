//! Change: what alters a running sidecar. Reload, signals and drain, the admin listener.
//!
//! A room of its own so that everything that can change what is in force is in one place, on its own thread, away from
//! the data path. It swaps generations and moves the [stage](crate::lifecycle::Stage); it never touches a connection.

mod admin;
mod drain;
mod expiry;
pub mod explain;
mod fixed;
mod jwks;
pub mod keyfile;
#[cfg(test)]
mod life;
pub mod mint;
mod outbound;
pub mod reload;
mod revoke;
pub mod status;
mod user_keys;
mod watch;
pub mod webhooks;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use tracing_appender::non_blocking::ErrorCounter;

use self::reload::Begun;
use crate::current::Current;
use crate::errand::Errands;
use crate::ledger::audit::Audit;
use crate::ledger::journal::Journal;
use crate::ledger::queue::Queue;
use crate::lifecycle::{self, Conductor, Stage, Vital};
use crate::listen::Bound;
use crate::refetch::Refetch;
use crate::runtime;
use crate::telemetry::metrics::Metrics;

/// What the control plane works on.
pub struct Control {
    /// The generation in force.
    pub current: Arc<Current>,
    /// Where events wait for their receivers.
    pub queue: Queue,
    /// What the return path is asked for.
    pub errands: Errands,
    /// Moves the stage forward.
    pub conductor: Conductor,
    /// When the process began; Unix seconds.
    pub started: i64,
    /// Where revocations are remembered, with `[state]`.
    pub journal: Option<Arc<Journal>>,
    /// The ids of keys that were revoked by a push.
    pub pushed: Mutex<HashSet<String>>,
    /// Who asks for new keys of users' tokens.
    pub refetch: Arc<Refetch>,
    /// Asked for a reload.
    pub reloads: reload::Reloads,
    /// Generations that were replaced, to be freed where nobody waits.
    pub retired: reload::Retired,
    /// What is told.
    pub metrics: Arc<Metrics>,
    /// Where what is done goes on record.
    pub audit: Audit,
    /// Counts log lines that were given up, where the process has a log.
    pub dropped_lines: Option<ErrorCounter>,
}

impl Control {
    /// For the parts of the control plane: without one of them nobody can end the process in good order.
    fn vital(&self) -> Vital {
        self.conductor.vital(Stage::Cutting)
    }
}

/// Starts the control thread; `begun` is what the first generation was read from. It ends when the stage is [`Stage::Ended`].
///
/// # Errors
/// When the thread, its runtime, its signal handlers or its listeners cannot be had.
pub fn start(control: Control, admin: Vec<Bound>, begun: Begun) -> io::Result<JoinHandle<()>> {
    let (started, outcome) = mpsc::sync_channel(1);
    let thread = runtime::spawn("keygate-control".to_owned(), move || {
        control.vital().keep(async move {
            let mut stages = control.conductor.stages();
            let outcome = spawn_all(Arc::new(control), admin, begun);
            let failed = outcome.is_err();
            // The starter waits for exactly this message.
            drop(started.send(outcome));
            if !failed {
                lifecycle::reached(&mut stages, Stage::Ended).await;
            }
        })
    })?;
    outcome
        .recv()
        .map_err(|_| io::Error::other("the control thread ended while starting"))??;
    Ok(thread)
}

fn spawn_all(control: Arc<Control>, admin: Vec<Bound>, begun: Begun) -> io::Result<()> {
    let hangups = drain::spawn(&control)?;
    admin::spawn(&control, admin)?;
    user_keys::spawn(&control);
    revoke::spawn(&control);
    expiry::spawn(&control);
    reload::spawn(control, hangups, begun)
}
