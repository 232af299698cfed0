//! Generations that are no longer in force, kept until nobody uses them.
//!
//! A room of its own because of who frees them: a million keys take a while to free, and the last reference must not be a
//! worker's, whose connections would wait.

use std::sync::{Arc, Mutex, PoisonError};

use crate::policy::Policy;

/// Generations that somebody may still use.
#[derive(Debug, Default)]
pub struct Retired(Mutex<Vec<Arc<Policy>>>);

impl Retired {
    /// Takes a generation that has just been replaced.
    pub fn add(&self, policy: Arc<Policy>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(policy);
    }

    /// Frees those that nobody else holds; whether there are more.
    pub(super) fn sweep(&self) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is held by this list alone can be had by nobody any more.
        let unused: Vec<_> = kept.extract_if(.., |policy| Arc::strong_count(policy) == 1).collect();
        let more = !kept.is_empty();
        drop(kept);
        drop(unused);
        more
    }
}
