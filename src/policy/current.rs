//! The generation in force, shared by all rooms, read by workers without contention.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Policy;

/// The generation in force. `control` swaps it; workers read it through a [`Cached`].
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
            version: AtomicU64::new(0),
            policy: Mutex::new(policy),
        }
    }

    /// The generation in force.
    #[must_use]
    pub fn load(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts the next generation in force: requests that begin from now on use it.
    pub fn swap(&self, next: Arc<Policy>) {
        *self.policy.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// One worker's view of [`Current`]: a plain load of a number that rarely changes, instead of a shared reference count.
#[derive(Debug)]
pub struct Cached {
    current: Arc<Current>,
    seen: RefCell<(u64, Rc<Arc<Policy>>)>,
}

impl Cached {
    /// A view of `current`.
    #[must_use]
    pub fn new(current: Arc<Current>) -> Self {
        let version = current.version.load(Ordering::Acquire);
        let policy = Rc::new(current.load());
        Self {
            current,
            seen: RefCell::new((version, policy)),
        }
    }

    /// The generation in force. `renewed` is called first when it is not the one that this view saw last.
    pub fn policy(&self, renewed: impl FnOnce(&Policy)) -> Rc<Arc<Policy>> {
        let version = self.current.version.load(Ordering::Acquire);
        let mut seen = self.seen.borrow_mut();
        if seen.0 != version {
            *seen = (version, Rc::new(self.current.load()));
            renewed(&seen.1);
        }
        Rc::clone(&seen.1)
    }
}
