//! The stages of a sidecar's life: how `control` tells `proxy` to stop without naming it, and how the loss of a part that
//! the process cannot do without ends the whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::sync::watch;

/// Where the process stands. Only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Accepting and serving.
    Serving,
    /// Still serving, but readiness says no, so that load balancers stop sending.
    Leaving,
    /// Listeners are closed; connections end after the request that they are carrying.
    Closing,
    /// The drain time is over: tunnels get a proper close, everything else is cut.
    Cutting,
    /// Nothing is left; the process ends.
    Ended,
}

/// Moves the stage forward.
#[derive(Debug, Clone)]
pub struct Conductor {
    stage: watch::Sender<Stage>,
    crippled: Arc<AtomicBool>,
}

/// Sees the stage.
pub type Stages = watch::Receiver<Stage>;

/// Kept by a part that the process cannot do without: a worker, a loop that accepts, the one that reloads. Where a panic
/// drops it, the process goes on to the stage that was named, since half a sidecar is worse than one that is restarted.
#[derive(Debug, Clone)]
pub struct Vital {
    conductor: Conductor,
    then: Stage,
}

impl Conductor {
    /// A new life, [`Stage::Serving`].
    #[must_use]
    pub fn new() -> (Self, Stages) {
        let (stage, stages) = watch::channel(Stage::Serving);
        let crippled = Arc::default();
        (Self { stage, crippled }, stages)
    }

    /// Moves on to `stage`, unless it has been passed already.
    pub fn advance(&self, stage: Stage) {
        self.stage.send_if_modified(|current| {
            let forward = stage > *current;
            if forward {
                *current = stage;
            }
            forward
        });
    }

    /// Another view.
    #[must_use]
    pub fn stages(&self) -> Stages {
        self.stage.subscribe()
    }

    /// For parts whose loss moves the process on to `then`.
    #[must_use]
    pub fn vital(&self, then: Stage) -> Vital {
        Vital {
            conductor: self.clone(),
            then,
        }
    }

    /// Whether a part has been lost that the process cannot do without.
    #[must_use]
    pub fn is_crippled(&self) -> bool {
        self.crippled.load(Ordering::Relaxed)
    }
}

impl Vital {
    /// The part is lost.
    pub fn lost(&self) {
        self.conductor.crippled.store(true, Ordering::Relaxed);
        self.conductor.advance(self.then);
    }

    /// Runs a part of which the process needs all.
    pub async fn keep<F: Future>(self, part: F) -> F::Output {
        let _vital = self;
        part.await
    }
}

impl Drop for Vital {
    fn drop(&mut self) {
        if thread::panicking() {
            self.lost();
        }
    }
}

/// Returns once `stage` has been reached (or nobody is left to announce it).
pub async fn reached(stages: &mut Stages, stage: Stage) {
    // An error means that the conductor is gone: the process is ending, which is past every stage.
    let _ = stages.wait_for(|current| *current >= stage).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_never_taken_back() {
        let (conductor, stages) = Conductor::new();
        conductor.advance(Stage::Cutting);
        conductor.advance(Stage::Closing);
        assert_eq!(*stages.borrow(), Stage::Cutting);
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_ends_the_process_and_another_does_not() {
        let (conductor, mut stages) = Conductor::new();
        let vital = conductor.vital(Stage::Closing);
        let done = tokio::spawn(vital.clone().keep(async {}));
        let bug = tokio::spawn(async { panic!("a test's own") });
        done.await.unwrap();
        bug.await.unwrap_err();
        assert!(!conductor.is_crippled());
        assert_eq!(*stages.borrow(), Stage::Serving);

        let bug = tokio::spawn(vital.keep(async { panic!("a test's own") }));
        reached(&mut stages, Stage::Closing).await;
        assert!(conductor.is_crippled());
        assert_eq!(*stages.borrow(), Stage::Closing);
        bug.await.unwrap_err();
    }

    #[test]
    fn a_vital_thread_that_panics_ends_the_process() {
        let (conductor, stages) = Conductor::new();
        let vital = conductor.vital(Stage::Cutting);
        let thread = crate::runtime::spawn("vital".to_owned(), move || vital.keep(async { panic!("a test's own") }));
        thread.unwrap().join().unwrap_err();
        assert!(conductor.is_crippled());
        assert_eq!(*stages.borrow(), Stage::Cutting);
    }
}
