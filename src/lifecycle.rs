//! The stages of a sidecar's life: how `control` tells `proxy` to stop without naming it.

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
pub struct Conductor(watch::Sender<Stage>);

/// Sees the stage.
pub type Stages = watch::Receiver<Stage>;

impl Conductor {
    /// A new life, [`Stage::Serving`].
    #[must_use]
    pub fn new() -> (Self, Stages) {
        let (sender, receiver) = watch::channel(Stage::Serving);
        (Self(sender), receiver)
    }

    /// Moves on to `stage`, unless it has been passed already.
    pub fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|current| {
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
        self.0.subscribe()
    }
}

/// Returns once `stage` has been reached (or nobody is left to announce it).
pub async fn reached(stages: &mut Stages, stage: Stage) {
    // An error means that the conductor is gone: the process is ending, which is past every stage.
    let _ = stages.wait_for(|current| *current >= stage).await;
}
