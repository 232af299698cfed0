//! The return path: the service's events on their way to its customers' servers.
//!
//! A room of its own, and a thread of its own, so that a receiver that is slow, or many, never touch a client's request. An
//! event's way: `listener` (connections of the service) → `serve` (one request on one screen) → `deliver` (tries, within the time
//! for them; `queue` where nobody waits) → `attempt` (one try) → `receivers` (connections, `resolve` and `connect`), seen from start to end by `line`.
//!
//! What may leave, and how it is signed, is decided in [`policy::egress`](crate::policy::egress).

mod answer;
mod attempt;
mod body;
mod bring;
mod connect;
mod deadline;
mod deliver;
mod line;
mod listener;
mod office;
mod organization;
mod queue;
mod receivers;
mod resolve;
mod sample;
mod serve;
mod stop;
#[cfg(test)]
mod tests;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::task::spawn_local;

use self::office::Office;
use crate::current::Current;
use crate::errand::Inbox;
use crate::ledger::activity::Activity;
use crate::ledger::queue::Queue;
use crate::lifecycle::{Stages, Vital};
use crate::listen::Bound;
use crate::runtime;
use crate::telemetry::metrics::Metrics;

/// What events are carried with.
pub struct Return {
    /// The generation in force.
    pub current: Arc<Current>,
    /// When to stop.
    pub stages: Stages,
    /// For what cannot be lost.
    pub vital: Vital,
    /// Where events wait that nobody waits for.
    pub queue: Queue,
    /// Where tries are noted.
    pub activity: Activity,
    /// What is told.
    pub metrics: Arc<Metrics>,
}

/// Starts accepting events, and what operators ask for. The thread that is given back ends when everything has been drained.
///
/// # Errors
/// When the thread or its runtime cannot be had.
pub fn start(parts: Return, errands: Inbox, listeners: Vec<Bound>) -> io::Result<JoinHandle<()>> {
    let vital = parts.vital.clone();
    runtime::spawn("keygate-egress".to_owned(), move || {
        vital.keep(async move {
            let office = Rc::new(Office::new(parts));
            spawn_local(office.vital.clone().keep(queue::run(Rc::clone(&office))));
            spawn_local(office.vital.clone().keep(sample::run(Rc::clone(&office), errands)));
            listener::run(office, listeners).await;
        })
    })
}
