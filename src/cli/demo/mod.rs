//! `keygate demo`: the product at work, in one process, with nothing to prepare.
//!
//! A sample messaging [`service`], Keygate in front of it, a sample [`receiver`] of its events, and a [`sandbox`] with a configuration and keys that were made
//! a moment ago. The [`steps`] of the tour are one list; [`tour`] prints it for people to paste, [`check`] runs it over
//! real connections and compares. Whatever way the demonstration ends, the sandbox is removed.

pub mod call;
pub mod check;
pub mod client;
pub mod fact;
pub mod paint;
pub mod receiver;
pub mod sandbox;
pub mod service;
pub mod steps;
pub mod tour;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::Context;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{self, Running};
use crate::config;
use crate::config::sources::Sources;
use crate::telemetry::log;
use call::Places;
use check::Taking;
use client::Client;
use paint::Paint;
use receiver::Receiver;
use sandbox::{Sandbox, Setup};
use service::Service;

/// Shows Keygate at work: a sample messaging service with Keygate in front of it, and a tour of `curl` commands
///
/// Everything runs in this one process, on the loopback interface, with keys and files made for this run and removed at
/// its end. Paste the commands of the tour into another terminal; Ctrl-C ends the demonstration.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take the tour here and now: send its requests, compare the answers, exit with 1 if one differs
    #[arg(long)]
    pub check: bool,
    /// The port that Keygate listens on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Show Keygate's log, with a line for each request, on standard error
    #[arg(long)]
    pub log: bool,
}

/// Runs the demonstration to its end: Ctrl-C, SIGTERM or SIGHUP, or the last step of the check.
///
/// # Errors
/// When it cannot start: a port that is taken, a temporary directory that cannot be written.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on a signal ends the demonstration in order, not the process at once.
    let mut interrupt = Interrupt::new(&runtime)?;
    let mut stage = Stage::set(&args)?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = stage.perform(&args) => outcome,
            () = interrupt.arrived() => Ok(if args.check { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
        }
    });
    let struck = stage.strike();
    let code = outcome?;
    struck.map(|()| code)
}

/// Everything that runs and lies about during the demonstration.
struct Stage {
    sandbox: Sandbox,
    service: Service,
    receiver: Receiver,
    running: Running,
    _log: log::Writer,
}

impl Stage {
    fn set(args: &Args) -> anyhow::Result<Self> {
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = bind().context("no free port for the sample service")?;
        let service = service::start(listener).context("cannot start the sample service")?;
        let listener = bind().context("no free port for the sample receiver")?;
        let setup = Setup {
            service: service.address(),
            receiver: listener.local_addr()?,
            port: args.port,
            log: args.log,
        };
        let sandbox = Sandbox::new(setup).context("cannot write the demonstration's files")?;
        let receiver =
            receiver::start(listener, sandbox.webhook.expose()).context("cannot start the sample receiver")?;
        let mut read = Sources::default();
        let config = config::load(&sandbox.config_file(), &mut read)?.config;
        let log = log::install(&config.telemetry);
        let running = app::start(config, read, None, Some(&log))?;
        Ok(Self {
            sandbox,
            service,
            receiver,
            running,
            _log: log,
        })
    }

    /// Prints the tour and waits for ever, or takes it.
    async fn perform(&mut self, args: &Args) -> anyhow::Result<ExitCode> {
        let first = |addresses: &[SocketAddr]| addresses.first().copied().context("Keygate has no address");
        let places = Places {
            gateway: first(&self.running.ingress)?,
            egress: first(&self.running.egress)?,
            receiver: self.receiver.address(),
        };
        let url = format!("http://{}{}", places.receiver, receiver::PATH);
        self.service.send_events(places.egress, url);
        let steps = steps::steps(&self.sandbox);
        let paint = Paint::of_stdout();
        let mut out = io::stdout().lock();
        if args.check {
            let taking = Taking {
                client: Client { places },
                key_file: &self.sandbox.key_file(),
                receiver: Some(&mut self.receiver),
            };
            let different = check::check(&steps, taking, paint, &mut out).await?;
            return Ok(if different == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        let scene = tour::Scene {
            places,
            service: self.service.address(),
            sandbox: &self.sandbox,
        };
        tour::print(&scene, &steps, paint, &mut out)?;
        out.flush()?;
        drop(out);
        while let Some(line) = self.receiver.lines.recv().await {
            // Nobody may be looking any more; the demonstration goes on.
            let _ = writeln!(io::stdout(), "{}", paint.dim(format_args!("receiver: {line}")));
        }
        std::future::pending().await
    }

    /// Stops Keygate before the service behind it, and both before their files go.
    fn strike(self) -> anyhow::Result<()> {
        let ended = self.running.shutdown();
        drop(self.service);
        drop(self.receiver);
        drop(self.sandbox);
        ended
    }
}

/// The signals that end a demonstration.
struct Interrupt([Signal; 3]);

impl Interrupt {
    fn new(runtime: &Runtime) -> io::Result<Self> {
        let _context = runtime.enter();
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn arrived(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
