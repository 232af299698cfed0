//! The thread that reads, compiles and frees: all the work of a reload, with less priority than requests have.
//!
//! A room of its own so that a million keys are parsed and freed where nobody waits: not on a worker, and not on the control
//! thread, which answers probes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::keeper::Keeper;

/// How much nicer than the workers, of 19: under full load it gets about a tenth of a core, alone a whole one.
const NICE: i32 = 10;
/// How often generations that were replaced are looked at, until all of them are freed.
const SWEEP: Duration = Duration::from_millis(250);

/// What is to be done, with what it is done to.
type Job = Box<dyn FnOnce(&mut Keeper) + Send>;

/// Does one job after the other.
#[derive(Debug)]
pub(super) struct Workshop {
    jobs: mpsc::Sender<Job>,
}

impl Workshop {
    /// Starts the thread. It ends with this, or with the process.
    pub(super) fn start(keeper: Keeper) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        thread::Builder::new()
            .name("keygate-reload".to_owned())
            .spawn(move || work(keeper, &queue))?;
        Ok(Self { jobs })
    }

    /// Has a job done; `None` where it ended by a bug.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Keeper) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, done) = oneshot::channel();
        let job: Job = Box::new(move |keeper| drop(reply.send(job(keeper))));
        self.jobs.send(job).ok()?;
        done.await.ok()
    }
}

fn work(mut keeper: Keeper, queue: &Receiver<Job>) {
    be_nice();
    keeper.begin();
    loop {
        let job = if keeper.tidy() {
            match queue.recv_timeout(SWEEP) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        } else {
            match queue.recv() {
                Ok(job) => job,
                Err(mpsc::RecvError) => return,
            }
        };
        // A bug ends the job, not the thread: the next look is another one. The panic itself has been counted and logged.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut keeper)));
    }
}

/// Gives way to the workers. Elsewhere than on Linux a thread has no priority of its own.
fn be_nice() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::warn!(message = "reloads have the priority of requests", %error);
    }
}
