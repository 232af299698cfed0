//! What operators ask of the reload, and what is told about it: how the admin listener speaks to the loop, which alone
//! touches files and generations.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use crate::clock;
use crate::config::Config;
use crate::config::records::{Records, Scope};
use crate::ledger::audit::{Actor, Source};

/// Asked for a reload, by whoever may.
#[derive(Debug, Default)]
pub struct Reloads {
    queue: Mutex<VecDeque<Request>>,
    bell: Notify,
    held: Mutex<Option<Held>>,
    stands_in: Mutex<Option<i64>>,
    in_force: Mutex<Option<InForce>>,
}

/// What is in force, as it was read: the gate itself forgets what it does not need to decide, such as names and dates.
#[derive(Debug, Clone)]
pub struct InForce {
    /// All records.
    pub records: Arc<Records>,
    /// What they refer to.
    pub scope: Arc<Scope>,
}

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// It is in force.
    Applied {
        /// As which generation.
        generation: u64,
    },
    /// The files say what is in force already.
    Unchanged {
        /// The generation in force.
        generation: u64,
    },
    /// The files are not valid; the last good generation stays in force.
    Refused {
        /// Each in words, with its place.
        problems: Vec<String>,
    },
    /// They are valid, but would drop a large share of the keys.
    Held(Held),
}

/// A change that waits for somebody to say that it is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since when; Unix seconds.
    pub since: i64,
    /// How many keys would be dropped.
    pub dropped: usize,
    /// Of how many that are in force.
    pub of: usize,
    /// What names this very content: hexadecimal.
    pub digest: String,
}

/// A reload that was asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) by: By,
    /// What may be applied although it drops many keys.
    pub(super) accept: Option<Accept>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// Who brings a reload about, for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// From where.
    pub source: Source,
}

/// Which held content is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Accept {
    /// The one that is held now.
    Held,
    /// The one with this [digest](Held::digest).
    Exactly(String),
}

impl By {
    /// A change of files.
    pub(super) const FILE: Self = Self {
        actor: Actor::File,
        source: Source::File,
    };
    /// Keygate by itself.
    pub(super) const KEYGATE: Self = Self {
        actor: Actor::Keygate,
        source: Source::Keygate,
    };
    /// `SIGHUP`.
    pub(super) const SIGNAL: Self = Self {
        actor: Actor::Unknown,
        source: Source::Signal,
    };
}

impl Reloads {
    /// Reads all files again and applies what they say. `None` where the process ends before that.
    pub async fn reload(&self, by: By) -> Option<Outcome> {
        self.ask(by, None).await
    }

    /// As [`Reloads::reload`], and lets through what is held: `digest` names it, so that nobody accepts something else than
    /// was looked at; without one it is what is held when this is called.
    pub async fn accept(&self, by: By, digest: Option<String>) -> Option<Outcome> {
        self.ask(by, Some(digest.map_or(Accept::Held, Accept::Exactly))).await
    }

    /// What is held.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        locked(&self.held).clone()
    }

    /// Where the keys in force are not those of the key file: when they were last seen in it, in Unix seconds.
    #[must_use]
    pub fn last_good(&self) -> Option<i64> {
        *locked(&self.stands_in)
    }

    /// What is in force, as it was read; `None` before the reload has begun to work.
    #[must_use]
    pub fn in_force(&self) -> Option<InForce> {
        locked(&self.in_force).clone()
    }

    /// This is in force now.
    pub(super) fn put_in_force(&self, records: &Arc<Records>, config: &Config) {
        let Config {
            plans,
            environments,
            keys,
            ..
        } = config;
        let in_force = InForce {
            records: Arc::clone(records),
            scope: Arc::new(Scope::new(plans, environments, keys, config.limits.keys, clock::unix())),
        };
        *locked(&self.in_force) = Some(in_force);
    }

    async fn ask(&self, by: By, accept: Option<Accept>) -> Option<Outcome> {
        let (reply, outcome) = oneshot::channel();
        locked(&self.queue).push_back(Request { by, accept, reply });
        self.bell.notify_one();
        outcome.await.ok()
    }

    /// The next request.
    pub(super) async fn next(&self) -> Request {
        loop {
            let next = locked(&self.queue).pop_front();
            match next {
                Some(request) => return request,
                None => self.bell.notified().await,
            }
        }
    }

    pub(super) fn stand_in(&self, seen: Option<i64>) {
        *locked(&self.stands_in) = seen;
    }

    pub(super) fn hold(&self, held: Option<Held>) {
        *locked(&self.held) = held;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
