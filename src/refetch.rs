//! How `proxy` asks for new keys of users' tokens, and `control` answers, without either naming the other.
//!
//! A request with a token whose key is not known waits here for one look at the issuer's keys, but never for long, and never
//! when there has just been one: who answers decides that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long a request waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// The question, and how often it was answered.
#[derive(Debug)]
pub struct Refetch {
    asked: AtomicBool,
    bell: Notify,
    answers: watch::Sender<u64>,
}

/// Why the one who answers was woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A request waits.
    Asked,
    /// Another configuration may be in force.
    Reconsider,
}

impl Default for Refetch {
    fn default() -> Self {
        Self {
            asked: AtomicBool::new(false),
            bell: Notify::new(),
            answers: watch::Sender::new(0),
        }
    }
}

impl Refetch {
    /// Returns when the keys have been looked at, or need not be, or are not there within two seconds.
    pub async fn ask(&self) {
        let mut answers = self.answers.subscribe();
        self.asked.store(true, Ordering::Release);
        self.bell.notify_one();
        // Whether it came in time or not, what is there now counts.
        let _ = timeout(PATIENCE, answers.changed()).await;
    }

    /// Another generation is in force.
    pub fn reconsider(&self) {
        self.bell.notify_one();
    }

    /// Waits until somebody asks.
    pub async fn woken(&self) -> Reason {
        self.bell.notified().await;
        if self.asked.swap(false, Ordering::AcqRel) {
            Reason::Asked
        } else {
            Reason::Reconsider
        }
    }

    /// Lets everybody go who waits.
    pub fn answer(&self) {
        self.answers.send_modify(|count| *count += 1);
    }
}
