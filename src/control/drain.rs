//! Signals, and the orderly end.
//!
//! `SIGTERM` and `SIGINT`: readiness goes off; after `timeouts.drain_delay` the listeners close and connections end with
//! the request that they carry; after `timeouts.drain` tunnels get a proper close and the rest is cut. A second signal ends
//! the process at once. `SIGHUP` asks for a reload.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep;
use tracing::info;

use super::Control;
use crate::lifecycle::Stage;

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
    spawn_local(async move {
        while hangup.recv().await.is_some() {
            bell.notify_one();
        }
    });
    spawn_local(end(Arc::clone(control), terminate, interrupt));
    Ok(hangups)
}

async fn end(control: Arc<Control>, mut terminate: Signal, mut interrupt: Signal) {
    first_of(&mut terminate, &mut interrupt).await;
    spawn_local(stages(Arc::clone(&control)));
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

async fn stages(control: Arc<Control>) {
    let timeouts = control.current.load().config.timeouts.clone();
    info!(
        message = "draining",
        delay_seconds = timeouts.drain_delay.as_secs_f64(),
        drain_seconds = timeouts.drain.as_secs_f64()
    );
    control.conductor.advance(Stage::Leaving);
    sleep(timeouts.drain_delay).await;
    control.conductor.advance(Stage::Closing);
    sleep(timeouts.drain).await;
    control.conductor.advance(Stage::Cutting);
}
