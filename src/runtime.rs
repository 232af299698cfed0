//! Threads that each run one single-threaded runtime: workers, the acceptor, the control plane.

use std::io;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::runtime::LocalRuntime;

/// Starts a thread that runs what `run` makes, on a runtime of its own, to its end.
///
/// # Errors
/// When the thread or its runtime cannot be had.
pub fn spawn<F, R>(name: String, run: R) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()>,
    R: FnOnce() -> F + Send + 'static,
{
    let (started, outcome) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(name).spawn(move || {
        let runtime = LocalRuntime::new();
        match runtime {
            Ok(runtime) => {
                // The starter waits for exactly this message.
                drop(started.send(Ok(())));
                runtime.block_on(async move { run().await });
            }
            Err(error) => drop(started.send(Err(error))),
        }
    })?;
    match outcome.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::other("the thread ended while starting")),
    }
}
