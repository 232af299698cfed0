//! The generation in force, shared by all rooms.
//!
//! A worker compares [`Current::version`] with the one that it saw last, a plain load of a number that rarely changes, and only
//! then asks for the generation itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Policy;

/// The generation in force.
#[derive(Debug)]
pub struct Current {
    version: AtomicU64,
    policy: Mutex<Arc<Policy>>,
}

impl Current {
    /// The first generation.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            version: AtomicU64::new(policy.generation),
            policy: Mutex::new(policy),
        }
    }

    /// The number of the generation in force.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The generation in force.
    #[must_use]
    pub fn load(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts the next generation in force: requests that begin from now on use it.
    pub fn swap(&self, next: Arc<Policy>) {
        let version = next.generation;
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.version.store(version, Ordering::Release);
    }
}
