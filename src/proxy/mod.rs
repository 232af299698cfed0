//! Carry: bytes in, bytes out, on behalf of what `policy` decided.
//!
//! A room of its own so that everything that touches a live connection is here, and nothing else is: it decides nothing,
//! reads no file, and does not know who changes the generation.
//!
//! A connection's way: `acceptor` (limits, least-loaded worker) → `worker` (one thread, one runtime, nothing shared) →
//! `connection` (TLS, HTTP/1.1 or HTTP/2) → `screen` (raw HTTP/1.1 heads) → `ingress` (one request on one screen) →
//! `upstream` (pool, connect, retry) → `relay` (bodies) or `tunnel` (upgrades), seen from start to end by `access`.
//!
//! # Performance
//! Each worker is a single-threaded runtime with its own upstream connections; a request never crosses a thread. Timeouts
//! are one coarse `sweep` per worker. The clock is read once per request for the decision.

mod acceptor;
mod access;
mod connection;
pub mod egress;
mod executor;
mod ids;
mod ingress;
mod patience;
mod register;
mod relay;
mod screen;
mod stream;
mod sweep;
mod tunnel;
mod upgrade;
mod upstream;
mod verifier;
mod websocket;
mod worker;

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::current::Current;
use crate::ledger::tally::Tallies;
use crate::lifecycle::{Stages, Vital};
use crate::listen::Bound;
use crate::refetch::Refetch;
use crate::telemetry::metrics::Metrics;

/// What the data path works with.
pub struct Proxy {
    /// The generation in force.
    pub current: Arc<Current>,
    /// When to stop.
    pub stages: Stages,
    /// For what cannot be lost.
    pub vital: Vital,
    /// Whom to ask for new keys of users' tokens.
    pub refetch: Arc<Refetch>,
    /// What is told.
    pub metrics: Arc<Metrics>,
    /// Where usage is counted.
    pub tallies: Arc<Tallies>,
}

/// Starts accepting and serving. The thread that is given back ends when everything has been drained.
///
/// # Errors
/// When a thread or its runtime cannot be had.
pub fn start(proxy: Proxy, listeners: Vec<Bound>) -> io::Result<JoinHandle<()>> {
    let config = &proxy.current.load().config;
    let workers = config.ingress.workers.unwrap_or_else(granted_cpus);
    let shared = Arc::new(worker::Shared::new(proxy, config));
    let mut inlets = Vec::with_capacity(workers);
    let mut threads = Vec::with_capacity(workers + 1);
    let mut listeners = Some(listeners);
    for number in 0..workers {
        // With one worker, it accepts for itself; with more, a thread of its own hands connections out.
        let accepts = if workers == 1 { listeners.take() } else { None };
        let (inlet, thread) = worker::spawn(number, Arc::clone(&shared), accepts)?;
        inlets.push(inlet);
        threads.push(thread);
    }
    if let Some(listeners) = listeners {
        threads.push(acceptor::spawn(listeners, inlets, shared)?);
    }
    thread::Builder::new().name("keygate-proxy".to_owned()).spawn(move || {
        for thread in threads {
            // A panic has been counted, logged, and told by what was vital.
            let _ = thread.join();
        }
    })
}

/// The CPUs that the cgroup grants, rounded down, at least one.
fn granted_cpus() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
