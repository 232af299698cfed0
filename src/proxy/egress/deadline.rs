//! By when something has to be done.

use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::clock;

/// A moment of the monotonic clock, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(u64);

impl Deadline {
    /// So long from now.
    pub(super) fn after(time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(clock::monotonic().saturating_add(nanos))
    }

    /// How long it is until then; nothing when it has come.
    pub(super) fn left(self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(clock::monotonic()))
    }

    /// Waits for this until then.
    pub(super) async fn keep<F: Future>(self, work: F) -> Result<F::Output, Elapsed> {
        timeout(self.left(), work).await
    }
}
