//! `keygate demo`: the product at work, in one process, with nothing to prepare.
//!
//! A sample messaging [`service`], Keygate in front of it, and a [`sandbox`] with a configuration and keys that were made
//! a moment ago. The [`steps`] of the tour are one list; [`tour`] prints it for people to paste, [`check`] runs it over
//! real connections and compares. Whatever way the demonstration ends, the sandbox is removed.

pub mod call;
pub mod check;
pub mod client;
pub mod fact;
pub mod paint;
pub mod sandbox;
pub mod service;
pub mod steps;
pub mod tour;

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

use anyhow::Context;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{self, Running};
use crate::config;
use crate::config::sources::Sources;
use crate::telemetry::log;
use client::Client;
use paint::Paint;
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
    let stage = Stage::set(&args)?;
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
    running: Running,
    _log: log::Writer,
}

impl Stage {
    fn set(args: &Args) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port for the sample service")?;
        let service = service::start(listener).context("cannot start the sample service")?;
        let setup = Setup {
            service: service.address(),
            port: args.port,
            log: args.log,
        };
        let sandbox = Sandbox::new(setup).context("cannot write the demonstration's files")?;
        let mut read = Sources::default();
        let config = config::load(&sandbox.config_file(), &mut read)?.config;
        let log = log::install(&config.telemetry);
        let running = app::start(config, read, None, Some(&log))?;
        Ok(Self {
            sandbox,
            service,
            running,
            _log: log,
        })
    }

    /// Prints the tour and waits for ever, or takes it.
    async fn perform(&self, args: &Args) -> anyhow::Result<ExitCode> {
        let gateway = *self.running.ingress.first().context("Keygate has no address")?;
        let steps = steps::steps(&self.sandbox);
        let paint = Paint::of_stdout();
        let mut out = io::stdout().lock();
        if args.check {
            let client = Client { gateway };
            let different = check::check(&steps, client, &self.sandbox.key_file(), paint, &mut out).await?;
            return Ok(if different == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        let scene = tour::Scene {
            gateway,
            service: self.service.address(),
            sandbox: &self.sandbox,
        };
        tour::print(&scene, &steps, paint, &mut out)?;
        out.flush()?;
        drop(out);
        std::future::pending().await
    }

    /// Stops Keygate before the service behind it, and both before their files go.
    fn strike(self) -> anyhow::Result<()> {
        let ended = self.running.shutdown();
        drop(self.service);
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
