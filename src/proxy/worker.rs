//! A worker: one thread, one single-threaded runtime, and everything on the data path local to it.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, mpsc as handover};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::LocalRuntime;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::Proxy;
use super::acceptor::{self, Arrival, Census, Inlet};
use super::connection;
use super::sweep::Sweep;
use super::upstream::Upstreams;
use super::verifier::Verifier;
use crate::config::Config;
use crate::lifecycle::{self, Stage, Stages};
use crate::listen::Bound;
use crate::policy::Policy;
use crate::policy::current::{Cached, Current};
use crate::telemetry::metrics::Metrics;

/// After the drain time: how long tunnels have for their close handshake.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// What all workers share.
pub(super) struct Shared {
    /// The generation in force.
    pub(super) current: Arc<Current>,
    /// When to stop.
    pub(super) stages: Stages,
    /// What is told.
    pub(super) metrics: Arc<Metrics>,
    /// Open connections.
    pub(super) census: Mutex<Census>,
    /// Open tunnels.
    pub(super) tunnels: AtomicUsize,
    /// Slow hashes.
    pub(super) verifier: Verifier,
}

impl Shared {
    pub(super) fn new(proxy: Proxy, config: &Config) -> Self {
        Self {
            current: proxy.current,
            stages: proxy.stages,
            verifier: Verifier::new(config.keys.argon2_concurrency, Arc::clone(&proxy.metrics)),
            metrics: proxy.metrics,
            census: Mutex::default(),
            tunnels: AtomicUsize::new(0),
        }
    }
}

/// One worker's own things.
pub(super) struct Worker {
    /// What all workers share.
    pub(super) shared: Arc<Shared>,
    /// Connections to the services behind.
    pub(super) upstreams: Upstreams,
    /// Timeouts.
    pub(super) sweep: Rc<Sweep>,
    policy: Cached,
    open: Cell<usize>,
    emptied: Notify,
}

/// Starts a worker; with `listeners` it accepts for itself.
pub(super) fn spawn(
    number: usize,
    shared: Arc<Shared>,
    listeners: Option<Vec<Bound>>,
) -> io::Result<(Inlet, JoinHandle<()>)> {
    let (sender, arrivals) = unbounded_channel();
    let inlet = Inlet {
        sender,
        load: Arc::default(),
    };
    let own = inlet.clone();
    let (started, outcome) = handover::sync_channel(1);
    let thread = thread::Builder::new().name(format!("keygate-{number}")).spawn(move || {
        let runtime = match LocalRuntime::new() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        // The starter waits for exactly this message.
        let _ = started.send(Ok(()));
        runtime.block_on(async move {
            match listeners {
                Some(listeners) => drop(spawn_local(acceptor::run(listeners, vec![own], Arc::clone(&shared)))),
                None => drop(own),
            }
            Worker::new(shared).run(arrivals).await;
        });
    })?;
    match outcome.recv() {
        Ok(Ok(())) => Ok((inlet, thread)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("a worker ended while starting")),
    }
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Rc<Self> {
        let sweep = Sweep::new();
        let policy = Cached::new(Arc::clone(&shared.current));
        let upstreams = Upstreams::new(&shared.current.load().config.upstreams, Rc::clone(&sweep));
        Rc::new(Self {
            shared,
            upstreams,
            sweep,
            policy,
            open: Cell::new(0),
            emptied: Notify::new(),
        })
    }

    /// The generation in force: asked once at the start of each request, and kept until its end.
    pub(super) fn policy(&self) -> Rc<Arc<Policy>> {
        self.policy.policy(|next| self.upstreams.renew(&next.config.upstreams))
    }

    /// Serves until drained: arrivals end when the acceptor is gone, connections when they are done or cut.
    async fn run(self: Rc<Self>, mut arrivals: UnboundedReceiver<Arrival>) {
        let mut stages = self.shared.stages.clone();
        loop {
            tokio::select! {
                biased;
                arrival = arrivals.recv() => match arrival {
                    Some(arrival) => self.serve(arrival),
                    None => break,
                },
                () = lifecycle::reached(&mut stages, Stage::Closing) => break,
            }
        }
        arrivals.close();
        while let Some(arrival) = arrivals.recv().await {
            self.serve(arrival);
        }
        tokio::select! {
            () = self.empty() => {}
            () = lifecycle::reached(&mut stages, Stage::Cutting) => {
                // What is left after this is cut with the runtime.
                let _ = timeout(CLOSE_TIME, self.empty()).await;
            }
        }
    }

    fn serve(self: &Rc<Self>, arrival: Arrival) {
        let place = Place::take(self);
        spawn_local(async move {
            let worker = Rc::clone(&place.0);
            connection::serve(worker, arrival).await;
            drop(place);
        });
    }

    async fn empty(&self) {
        while self.open.get() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// An open connection of this worker; a panic gives the place back too.
struct Place(Rc<Worker>);

impl Place {
    fn take(worker: &Rc<Worker>) -> Self {
        worker.open.set(worker.open.get() + 1);
        Self(Rc::clone(worker))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let open = self.0.open.get() - 1;
        self.0.open.set(open);
        if open == 0 {
            self.0.emptied.notify_one();
        }
    }
}
