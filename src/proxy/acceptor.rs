//! Accepts connections, holds the limits on their number, and hands each to the least-loaded worker.
//!
//! `SO_REUSEPORT` would spread a sidecar's few long-lived connections badly, so one loop accepts for all workers.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinHandle as Task, spawn_local};
use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::worker::Shared;
use crate::lifecycle::{self, Stage};
use crate::listen::Bound;
use crate::runtime;
use crate::telemetry::metrics::Limit;

/// After a failed accept (no file descriptors left, mostly): closing connections will mend it.
const PAUSE: Duration = Duration::from_millis(50);

/// The way into a worker.
#[derive(Clone)]
pub(super) struct Inlet {
    /// Where connections go.
    pub(super) sender: UnboundedSender<Arrival>,
    /// How many the worker holds.
    pub(super) load: Arc<AtomicUsize>,
}

/// A connection on its way to a worker.
pub(super) struct Arrival {
    /// The socket.
    pub(super) socket: Accepted,
    /// Its other end; `None` on a Unix socket.
    pub(super) address: Option<IpAddr>,
    /// Its place in the limits.
    pub(super) ticket: Ticket,
}

/// An accepted socket, bound to no runtime.
pub(super) enum Accepted {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A place in the limits on connections; given back on drop.
pub(super) struct Ticket {
    shared: Arc<Shared>,
    source: Option<IpAddr>,
    load: Arc<AtomicUsize>,
}

/// Open connections: in all, and by source.
#[derive(Default)]
pub(super) struct Census {
    all: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// Accepts on a thread of its own.
pub(super) fn spawn(listeners: Vec<Bound>, inlets: Vec<Inlet>, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let vital = shared.vital.clone();
    runtime::spawn("keygate-accept".to_owned(), move || {
        vital.keep(run(listeners, inlets, shared))
    })
}

/// Accepts until the listeners are to be closed.
pub(super) async fn run(listeners: Vec<Bound>, inlets: Vec<Inlet>, shared: Arc<Shared>) {
    let mut stages = shared.stages.clone();
    let inlets: Rc<[Inlet]> = inlets.into();
    let loops: Vec<Task<()>> = listeners
        .into_iter()
        .map(|listener| {
            let vital = shared.vital.clone();
            spawn_local(vital.keep(accept(listener, Rc::clone(&inlets), Arc::clone(&shared))))
        })
        .collect();
    lifecycle::reached(&mut stages, Stage::Closing).await;
    // Dropping the loops drops the listeners: the port is free, and new connections are refused by the kernel.
    loops.iter().for_each(Task::abort);
}

async fn accept(listener: Bound, inlets: Rc<[Inlet]>, shared: Arc<Shared>) {
    let outcome = match listener {
        Bound::Tcp(listener) => match TcpListener::from_std(listener) {
            Ok(listener) => loop {
                match listener.accept().await {
                    Ok((socket, address)) => {
                        admit(
                            socket.into_std().map(Accepted::Tcp),
                            Some(address.ip()),
                            &inlets,
                            &shared,
                        );
                    }
                    Err(error) => failed(&error).await,
                }
            },
            Err(error) => error,
        },
        Bound::Unix(listener, file) => match UnixListener::from_std(listener) {
            Ok(listener) => {
                let _file = file;
                loop {
                    match listener.accept().await {
                        Ok((socket, _)) => admit(socket.into_std().map(Accepted::Unix), None, &inlets, &shared),
                        Err(error) => failed(&error).await,
                    }
                }
            }
            Err(error) => error,
        },
    };
    error!(message = "a listener cannot be used", error = %outcome);
    shared.vital.lost();
}

async fn failed(error: &io::Error) {
    warn!(message = "cannot accept", %error);
    sleep(PAUSE).await;
}

fn admit(socket: io::Result<Accepted>, address: Option<IpAddr>, inlets: &[Inlet], shared: &Arc<Shared>) {
    let Ok(socket) = socket else { return };
    let address = address.map(|address| address.to_canonical());
    let Some(inlet) = inlets.iter().min_by_key(|inlet| inlet.load.load(Ordering::Relaxed)) else {
        return;
    };
    let Some(ticket) = Ticket::take(shared, address, &inlet.load) else {
        return debug!(message = "connection refused, a limit is met", source = ?address);
    };
    // A worker that is gone has been counted as a panic; the connection is closed by dropping it.
    let _ = inlet.sender.send(Arrival {
        socket,
        address,
        ticket,
    });
}

impl Ticket {
    fn take(shared: &Arc<Shared>, source: Option<IpAddr>, load: &Arc<AtomicUsize>) -> Option<Self> {
        let limits = &shared.current.load().config.limits;
        let met = shared
            .census()
            .enter(source, limits.connections, limits.connections_per_source);
        if let Err(limit) = met {
            shared.metrics.connections_refused.get_or_create(&Limit { limit }).inc();
            return None;
        }
        shared.metrics.connections.inc();
        load.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            shared: Arc::clone(shared),
            source,
            load: Arc::clone(load),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
        self.shared.metrics.connections.dec();
        self.shared.census().leave(self.source);
    }
}

impl Census {
    /// A place for one more, or the name of the limit that is met.
    fn enter(&mut self, source: Option<IpAddr>, all: usize, per_source: usize) -> Result<(), &'static str> {
        if self.all >= all {
            return Err("connections");
        }
        if let Some(source) = source {
            let count = self.by_source.entry(source).or_default();
            if *count >= per_source {
                return Err("connections_per_source");
            }
            *count += 1;
        }
        self.all += 1;
        Ok(())
    }

    fn leave(&mut self, source: Option<IpAddr>) {
        self.all -= 1;
        if let Some(source) = source
            && let Some(count) = self.by_source.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

impl Shared {
    fn census(&self) -> MutexGuard<'_, Census> {
        // Counting cannot be left half done by a panic.
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_places_come_back() {
        let (one, two) = (Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2])));
        let mut census = Census::default();
        assert_eq!(census.enter(one, 3, 2), Ok(()));
        assert_eq!(census.enter(one, 3, 2), Ok(()));
        assert_eq!(census.enter(one, 3, 2), Err("connections_per_source"));
        assert_eq!(census.enter(two, 3, 2), Ok(()));
        assert_eq!(census.enter(None, 3, 2), Err("connections"));
        census.leave(one);
        assert_eq!(census.enter(None, 3, 2), Ok(()), "a Unix peer counts towards all only");
        census.leave(one);
        census.leave(two);
        census.leave(None);
        assert!(
            census.by_source.is_empty(),
            "nothing is remembered of sources that left"
        );
        assert_eq!(census.all, 0);
    }
}
