//! The only file that knows every room: it starts them, hands them what they share, and waits for their end.

use std::net::SocketAddr;
use std::panic;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Context, ensure};
use tracing::{error, info};

use crate::clock;
use crate::config::Config;
use crate::config::last_good::StandIn;
use crate::config::sources::Sources;
use crate::control::reload::{Begun, Reloads, Retired};
use crate::control::{self, Control};
use crate::current::Current;
use crate::errand;
use crate::ledger::Ledger;
use crate::ledger::journal::Journal;
use crate::lifecycle::{Conductor, Stage};
use crate::listen::Bound;
use crate::policy::Policy;
use crate::proxy::egress::Return;
use crate::proxy::{self, Proxy};
use crate::refetch::Refetch;
use crate::telemetry::log;
use crate::telemetry::metrics::Metrics;

/// A running sidecar.
pub struct Running {
    /// The client-facing TCP addresses, with the ports that were really taken.
    pub ingress: Vec<SocketAddr>,
    /// The same of those where the service brings its events.
    pub egress: Vec<SocketAddr>,
    conductor: Conductor,
    proxy: JoinHandle<()>,
    return_path: JoinHandle<()>,
    control: JoinHandle<()>,
    ledger: Ledger,
}

/// Starts everything; returns once every listener is bound and served. `read` is what `config` was read from, but for its keys
/// where there is a `stand_in`; `log` is the
/// process's log writer, where it has one, so that its losses are told.
///
/// # Errors
/// Names the address or resource that could not be had.
pub fn start(
    config: Config,
    read: Sources,
    stand_in: Option<StandIn>,
    log: Option<&log::Writer>,
) -> anyhow::Result<Running> {
    let metrics = Arc::new(Metrics::default());
    count_panics(Arc::clone(&metrics));
    let (conductor, stages) = Conductor::new();
    let ingress = Bound::all(&config.ingress.listen).context("ingress.listen")?;
    let egress = config.egress.as_ref().map(|egress| Bound::all(&egress.listen));
    let egress = egress.transpose().context("egress.listen")?.unwrap_or_default();
    let admin = Bound::all(&config.admin.listen).context("admin.listen")?;
    let addresses = |bound: &[Bound]| bound.iter().filter_map(Bound::tcp_address).collect();
    let (ingress_addresses, egress_addresses) = (addresses(&ingress), addresses(&egress));
    announce("ingress", &ingress);
    announce("egress", &egress);
    announce("admin", &admin);

    let state = config.state.clone();
    let begun = Begun {
        read,
        records: Arc::clone(&config.records),
        stand_in,
    };
    let (journal, remembered) = state.as_ref().map(Journal::open).transpose()?.unzip();
    let policy = Policy::first(config)?.remembering(remembered.unwrap_or_default().iter());
    if let Some(stand_in) = &begun.stand_in {
        policy.freshness().saw(stand_in.seen);
    }
    // Before the first request, so that nobody spends twice what the last process knows.
    let ledger =
        Ledger::start(state.as_ref(), policy.balances(), Arc::clone(&metrics)).context("cannot start the ledger")?;
    let current = Arc::new(Current::new(Arc::new(policy)));
    let refetch = Arc::<Refetch>::default();
    let (errands, inbox) = errand::channel();
    let control = Control {
        current: Arc::clone(&current),
        queue: ledger.queue.clone(),
        errands,
        journal: journal.map(Arc::new),
        pushed: Mutex::default(),
        refetch: Arc::clone(&refetch),
        reloads: Reloads::default(),
        retired: Retired::default(),
        conductor: conductor.clone(),
        started: clock::unix(),
        metrics: Arc::clone(&metrics),
        audit: ledger.audit.clone(),
        dropped_lines: log.map(log::Writer::dropped_lines),
    };
    let returning = Return {
        current: Arc::clone(&current),
        stages: conductor.stages(),
        vital: conductor.vital(Stage::Closing),
        queue: ledger.queue.clone(),
        activity: ledger.activity.clone(),
        metrics: Arc::clone(&metrics),
    };
    let data_path = Proxy {
        current,
        refetch,
        stages,
        // What is in flight elsewhere may finish.
        vital: conductor.vital(Stage::Closing),
        metrics,
        tallies: Arc::clone(&ledger.tallies),
    };
    let proxy = proxy::start(data_path, ingress).context("cannot start the data path")?;
    let return_path = proxy::egress::start(returning, inbox, egress).context("cannot start the return path")?;
    let control = control::start(control, admin, begun).context("cannot start the control plane")?;
    info!(message = "ready");
    Ok(Running {
        ingress: ingress_addresses,
        egress: egress_addresses,
        conductor,
        proxy,
        return_path,
        control,
        ledger,
    })
}

impl Running {
    /// Waits until everything has been drained, after a signal or because something broke.
    ///
    /// # Errors
    /// When a part was lost that the process cannot do without.
    pub fn wait(self) -> anyhow::Result<()> {
        // A panic of either thread has been counted and logged, and makes the conductor crippled.
        let _ = self.proxy.join();
        let _ = self.return_path.join();
        // Nobody counts any more.
        self.ledger.close();
        self.conductor.advance(Stage::Ended);
        let _ = self.control.join();
        info!(message = "ended");
        ensure!(!self.conductor.is_crippled(), "ended by a bug; the log says where");
        Ok(())
    }

    /// Ends without waiting for requests in flight.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub fn shutdown(self) -> anyhow::Result<()> {
        self.conductor.advance(Stage::Cutting);
        self.wait()
    }
}

fn announce(listener: &'static str, bound: &[Bound]) {
    for address in bound {
        info!(message = "listening", listener, %address);
    }
}

/// A panic ends one task, not the sidecar: it is counted, and logged without its message, which could quote a request.
fn count_panics(metrics: Arc<Metrics>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        metrics.panics.inc();
        let place = panic.location().map(ToString::to_string);
        error!(message = "a task ended by a bug", place);
        if cfg!(debug_assertions) {
            before(panic);
        }
    }));
}
