//! Signals, and the orderly end.
//!
//! `SIGTERM` and `SIGINT`: readiness goes off; after `timeouts.drain_delay` the listeners close and connections end with
//! the request that they carry; after `timeouts.drain` tunnels get a proper close and the rest is cut. A second signal ends
//! the process at once. `SIGHUP` asks for a reload. When the listeners close because a part of the process was lost, the
//! rest is cut after the same time.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep;
use tracing::info;

use super::Control;
use crate::lifecycle::{self, Stage};

/// Listens for signals; gives back what `SIGHUP` rings.
///
/// # Errors
/// When the process may not install signal handlers.
pub(super) fn spawn(control: &Arc<Control>) -> io::Result<Rc<Notify>> {
    let mut hangup = signal(SignalKind::hangup())?;
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    let hangups = Rc::new(Notify::new());
    let bell = Rc::clone(&hangups);
    let vital = control.vital();
    spawn_local(vital.clone().keep(async move {
        while hangup.recv().await.is_some() {
            bell.notify_one();
        }
    }));
    spawn_local(vital.clone().keep(end(Arc::clone(control), terminate, interrupt)));
    spawn_local(vital.keep(cut(Arc::clone(control))));
    Ok(hangups)
}

async fn end(control: Arc<Control>, mut terminate: Signal, mut interrupt: Signal) {
    first_of(&mut terminate, &mut interrupt).await;
    spawn_local(control.vital().keep(leave(Arc::clone(&control))));
    let number = first_of(&mut terminate, &mut interrupt).await;
    info!(message = "second signal, ending at once");
    // What a shell reports for a process that a signal ended.
    std::process::exit(128 + number);
}

/// Waits for either signal; gives its number.
async fn first_of(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}

/// From the signal to closed listeners.
async fn leave(control: Arc<Control>) {
    let timeouts = control.current.load().config.timeouts.clone();
    info!(
        message = "draining",
        delay_seconds = timeouts.drain_delay.as_secs_f64(),
        drain_seconds = timeouts.drain.as_secs_f64()
    );
    control.conductor.advance(Stage::Leaving);
    sleep(timeouts.drain_delay).await;
    control.conductor.advance(Stage::Closing);
}

/// From closed listeners to the end of what is still in flight.
async fn cut(control: Arc<Control>) {
    lifecycle::reached(&mut control.conductor.stages(), Stage::Closing).await;
    let drain = control.current.load().config.timeouts.drain;
    sleep(drain).await;
    control.conductor.advance(Stage::Cutting);
}
