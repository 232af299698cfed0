//! A worker: one thread, one single-threaded runtime, and everything on the data path local to it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::Proxy;
use super::acceptor::{self, Arrival, Census, Inlet};
use super::connection;
use super::ids::Ids;
use super::register::Register;
use super::relay::BodyRules;
use super::sweep::Sweep;
use super::upstream::Upstreams;
use super::verifier::Verifier;
use crate::config::Config;
use crate::current::{Current, Follower};
use crate::ledger::tally::{Tallies, Tally};
use crate::lifecycle::{self, Stage, Stages, Vital};
use crate::listen::Bound;
use crate::policy::Policy;
use crate::refetch::Refetch;
use crate::runtime;
use crate::telemetry::metrics::Metrics;

/// After the drain time: how long tunnels have for their close handshake.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// What all workers share.
pub(super) struct Shared {
    /// The generation in force.
    pub(super) current: Arc<Current>,
    /// When to stop; never marked as seen, so that a change is one load away.
    pub(super) stages: Stages,
    /// For what cannot be lost.
    pub(super) vital: Vital,
    /// What is told.
    pub(super) metrics: Arc<Metrics>,
    /// Where workers count usage.
    tallies: Arc<Tallies>,
    /// Open connections.
    pub(super) census: Mutex<Census>,
    /// Open tunnels, and those that an upstream has been asked for.
    pub(super) tunnels: AtomicUsize,
    /// Slow hashes.
    pub(super) verifier: Verifier,
    /// Whom to ask for new keys of users' tokens.
    pub(super) refetch: Arc<Refetch>,
}

impl Shared {
    pub(super) fn new(proxy: Proxy, config: &Config) -> Self {
        Self {
            current: proxy.current,
            stages: proxy.stages,
            vital: proxy.vital,
            verifier: Verifier::new(config.keys.argon2_concurrency, Arc::clone(&proxy.metrics)),
            refetch: proxy.refetch,
            metrics: proxy.metrics,
            tallies: proxy.tallies,
            census: Mutex::default(),
            tunnels: AtomicUsize::new(0),
        }
    }
}

/// One worker's own things.
pub(super) struct Worker {
    /// What all workers share.
    pub(super) shared: Arc<Shared>,
    /// Timeouts.
    pub(super) sweep: Rc<Sweep>,
    /// Names of requests.
    pub(super) ids: Ids,
    /// Usage.
    pub(super) tally: Tally,
    /// What runs under a key.
    pub(super) register: Register,
    generation: RefCell<Rc<Generation>>,
    /// Open connections, each with what wakes it when the stage changes.
    places: RefCell<Slab<Option<Waker>>>,
    emptied: Notify,
}

/// One generation, as one worker uses it.
pub(super) struct Generation {
    /// What decides.
    pub(super) policy: Arc<Policy>,
    /// Connections to the services behind.
    pub(super) upstreams: Upstreams,
    /// What bodies keep to, unless their route says otherwise.
    body_rules: Rc<BodyRules>,
    /// By a route's own limit.
    route_body_rules: HashMap<u64, Rc<BodyRules>>,
}

/// An open connection of a worker; given back on drop, a panic's included.
pub(super) struct Place {
    worker: Rc<Worker>,
    seat: usize,
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
    let thread = runtime::spawn(format!("keygate-{number}"), move || {
        shared.vital.clone().keep(async move {
            match listeners {
                Some(listeners) => {
                    let accepting = acceptor::run(listeners, vec![own], Arc::clone(&shared));
                    spawn_local(shared.vital.clone().keep(accepting));
                }
                None => drop(own),
            }
            Worker::new(shared).run(arrivals).await;
        })
    })?;
    Ok((inlet, thread))
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Rc<Self> {
        let sweep = Sweep::new();
        let policy = shared.current.load();
        let upstreams = Upstreams::new(&policy.config.upstreams, &sweep);
        Rc::new(Self {
            generation: RefCell::new(Rc::new(Generation::new(policy, upstreams))),
            tally: shared.tallies.open(),
            shared,
            sweep,
            ids: Ids::new(),
            register: Register::default(),
            places: RefCell::default(),
            emptied: Notify::new(),
        })
    }

    /// The generation in force: asked once at the start of each request, and kept until its end.
    pub(super) fn generation(&self) -> Rc<Generation> {
        let mut seen = self.generation.borrow_mut();
        if seen.policy.generation != self.shared.current.version() {
            let policy = self.shared.current.load();
            let upstreams = seen.upstreams.renew(&policy.config.upstreams);
            *seen = Rc::new(Generation::new(policy, upstreams));
        }
        Rc::clone(&seen)
    }

    /// The generation that was asked for last; `None` while another is put in its place.
    pub(super) fn last_generation(&self) -> Option<Rc<Generation>> {
        self.generation.try_borrow().ok().map(|seen| Rc::clone(&seen))
    }

    /// The stage of the process: nobody can have seen a later one, such as a closed listener, before this says so.
    pub(super) fn stage(&self) -> Stage {
        let stages = &self.shared.stages;
        // One load, until the process is told to stop. (An error means that nobody is left to tell more.)
        match stages.has_changed() {
            Ok(false) => Stage::Serving,
            Ok(true) | Err(_) => *stages.borrow(),
        }
    }

    /// Serves until drained: arrivals end when the acceptor is gone, connections when they are done or cut.
    async fn run(self: Rc<Self>, mut arrivals: UnboundedReceiver<Arrival>) {
        let vital = self.shared.vital.clone();
        spawn_local(vital.clone().keep(Rc::clone(&self).follow_stages()));
        let follower = self.shared.current.follow();
        spawn_local(vital.keep(Rc::clone(&self).follow_generations(follower)));
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
        spawn_local(async move { connection::serve(&place, arrival).await });
    }

    /// Tells every connection when the stage changes.
    async fn follow_stages(self: Rc<Self>) {
        let mut stages = self.shared.stages.clone();
        while stages.changed().await.is_ok() {
            stages.mark_unchanged();
            for (_, waker) in self.places.borrow_mut().iter_mut() {
                if let Some(waker) = waker.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Decides on what is open by each new generation, and at each end in time.
    async fn follow_generations(self: Rc<Self>, mut follower: Follower) {
        loop {
            let policy = Arc::clone(&self.generation().policy);
            self.register.review(&policy).await;
            follower.reviewed(policy.generation);
            drop(policy);
            tokio::select! {
                () = follower.changed() => {}
                () = self.register.ended() => {}
            }
        }
    }

    /// Wakes the connection in this seat.
    pub(super) fn wake(&self, seat: usize) {
        let waker = self.places.borrow_mut().get_mut(seat).and_then(Option::take);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn empty(&self) {
        while !self.places.borrow().is_empty() {
            self.emptied.notified().await;
        }
    }
}

impl Generation {
    fn new(policy: Arc<Policy>, upstreams: Upstreams) -> Self {
        let config = &policy.config;
        let rules = |max_bytes| {
            let law = Arc::clone(&policy.law);
            Rc::new(BodyRules {
                max_bytes,
                pause: config.timeouts.client_body,
                trailers: Box::new(move |trailers| law.trailers(trailers)),
            })
        };
        let own = config.routes.iter().filter_map(|route| route.body_bytes);
        Self {
            body_rules: rules(config.limits.body_bytes),
            route_body_rules: own.map(|limit| (limit, rules(Some(limit)))).collect(),
            policy,
            upstreams,
        }
    }

    /// What a request's body keeps to; `own` is its route's limit.
    pub(super) fn body_rules(&self, own: Option<u64>) -> &Rc<BodyRules> {
        let own = own.and_then(|limit| self.route_body_rules.get(&limit));
        own.unwrap_or(&self.body_rules)
    }
}

impl Place {
    fn take(worker: &Rc<Worker>) -> Self {
        Self {
            seat: worker.places.borrow_mut().insert(None),
            worker: Rc::clone(worker),
        }
    }

    /// Where its task can be woken.
    pub(super) fn seat(&self) -> usize {
        self.seat
    }

    /// Whose it is.
    pub(super) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// The stage of the process; the task is woken when it changes.
    pub(super) fn stage(&self, cx: &Context<'_>) -> Stage {
        match &mut self.worker.places.borrow_mut()[self.seat] {
            Some(known) => known.clone_from(cx.waker()),
            unknown => *unknown = Some(cx.waker().clone()),
        }
        self.worker.stage()
    }

    /// Waits for a stage.
    pub(super) async fn reached(&self, stage: Stage) {
        poll_fn(|cx| {
            if self.stage(cx) >= stage {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.worker.places.borrow_mut();
        places.remove(self.seat);
        if places.is_empty() {
            self.worker.emptied.notify_one();
        }
    }
}
