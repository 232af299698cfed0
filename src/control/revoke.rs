//! Revocation: at once, for good, whatever the key file says.
//!
//! Two ways lead here. Whoever may use the admin listener *pushes* a revocation ([`Control::revoke`]): it is in force in the next
//! generation, which is made in no time, then remembered on disk, and told when nothing goes on that it forbids. And the *files*
//! say so ([`spawn`]): what they have revoked is remembered too, so that it stays revoked when the record comes back.
//!
//! A push is in force before it is remembered: where the disk cannot take it, the key is dead all the same, until the process
//! ends, and whoever pushed is told so.

use std::future::pending;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::Control;
use crate::clock;
use crate::config::records::Tombstone;
use crate::policy::revocations::Revocations;
use crate::telemetry::metrics::Channel;

/// How long is waited for workers to act on a generation; they do so within milliseconds, unless one is stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// The wall clock may be set: how long it is trusted to go on as it does.
const TRUSTED: Duration = Duration::from_secs(10);

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The key's id.
    pub key: String,
    /// Since when it is revoked; Unix seconds.
    pub revoked_at: i64,
    /// Whether it was revoked before.
    pub was_revoked: bool,
    /// The generation from which on it is.
    pub generation: u64,
    /// Whether the next process knows of it.
    pub remembered: Remembered,
    /// From the call to the moment at which nothing went on under this key; `None` where a worker did not say so in time.
    pub enforced_in: Option<Duration>,
}

/// Whether a revocation outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// It is on disk.
    Yes,
    /// There is no `[state]` to remember it in.
    NoState,
    /// It could not be written; the system's words.
    Failed(String),
}

impl Control {
    /// Revokes a key of the generation in force, by its id. `by` says who wants it, for the journal. `None`: there is no such
    /// key, and never was one that was revoked.
    pub(super) async fn revoke(&self, key: &str, reason: Option<String>, by: &str) -> Option<Pushed> {
        let (begun, now) = (clock::monotonic(), clock::unix());
        let policy = self.current.load();
        let known = policy.keyring().by_id(key);
        let since = policy.revocations().key_since(key).filter(|since| *since <= now);
        if known.is_none() && since.is_none() {
            return None;
        }
        let hashes = known.map_or_else(Vec::new, |index| policy.keyring().fingerprints(index));
        drop(policy);
        self.pushed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.to_owned());
        let tombstone = Tombstone {
            key: Some(key.to_owned()),
            hashes,
            revoked_at: since.unwrap_or(now),
            reason,
        };
        if let Some((before, _)) = self.current.update(|policy| policy.revoking([&tombstone])) {
            self.retired.add(before);
        }
        let generation = self.current.version();
        let revoked_at = tombstone.revoked_at;
        let enforced = async {
            let enforced = timeout(PATIENCE, self.current.enforced(generation)).await;
            // Not how long the disk takes.
            let took = Duration::from_nanos(clock::monotonic().saturating_sub(begun));
            (took, enforced.is_ok())
        };
        let (remembered, (took, is_enforced)) = tokio::join!(self.remember(vec![tombstone], by.to_owned()), enforced);
        let enforced_in = is_enforced.then_some(took);
        if since.is_none() {
            self.metrics.revoked(Channel::Push, took);
            info!(
                message = "key revoked",
                key_id = key,
                by,
                generation,
                enforced_ms = took.as_millis()
            );
        }
        Some(Pushed {
            key: key.to_owned(),
            revoked_at,
            was_revoked: since.is_some(),
            generation,
            remembered,
            enforced_in,
        })
    }

    /// Writes revocations down.
    async fn remember(&self, tombstones: Vec<Tombstone>, by: String) -> Remembered {
        let Some(journal) = &self.journal else {
            return Remembered::NoState;
        };
        let journal = Arc::clone(journal);
        let written = spawn_blocking(move || journal.remember(&tombstones, &by)).await;
        let failed = match written {
            Ok(Ok(())) => return Remembered::Yes,
            Ok(Err(error)) => error.to_string(),
            Err(failed) => failed.to_string(),
        };
        error!(
            message = "a revocation is in force, but could not be written down: the next process will not know of it unless the \
                       key file says so",
            reason = failed
        );
        Remembered::Failed(failed)
    }
}

/// Follows what the files revoke: it is told once nothing of it goes on, and remembered. What they announce counts from its
/// moment on, which is met by a timer: nobody has to write a file then.
pub(super) fn spawn(control: &Arc<Control>) {
    let following = Arc::clone(control);
    spawn_local(control.vital().keep(async move {
        let (mut seen, mut known, mut then) = (0, Arc::<Revocations>::default(), i64::MIN);
        loop {
            let policy = following.current.load();
            let (generation, slow_after) = (policy.generation, policy.config.keys.slow_after);
            let revocations = Arc::clone(policy.revocations());
            drop(policy);
            // A clock that was set back tells nothing twice.
            let now = clock::unix().max(then);
            let news = revocations.news_since((&known, then), now);
            if !news.is_empty() {
                following
                    .follow(news, generation, (seen > 0).then_some(slow_after))
                    .await;
            }
            (seen, known, then) = (generation, revocations, now);
            tokio::select! {
                () = following.current.changed(seen) => {}
                () = announced(&known, now) => {}
            }
        }
    }));
}

/// Returns when the next of what is announced may have come into force.
async fn announced(revocations: &Revocations, now: i64) {
    match revocations.next_after(now) {
        Some(next) => sleep(clock::until(next).min(TRUSTED)).await,
        None => pending().await,
    }
}

impl Control {
    /// Follows what is new in a generation; `slow_after` is there where it is known since when it is.
    async fn follow(&self, news: Vec<Tombstone>, generation: u64, slow_after: Option<Duration>) {
        if timeout(PATIENCE, self.current.enforced(generation)).await.is_err() {
            error!(
                message = "a worker has not acted on the newest generation yet",
                generation
            );
        }
        let now = clock::unix_millis();
        let keys = news
            .iter()
            .filter_map(|news| Some((news.key.as_deref()?, news.revoked_at)));
        for (key, revoked_at) in keys.filter(|(key, _)| !self.has_pushed(key)) {
            let Some(slow_after) = slow_after else { continue };
            let lag = now.saturating_sub(revoked_at.saturating_mul(1_000));
            let lag = Duration::from_millis(u64::try_from(lag).unwrap_or(0));
            self.metrics.revoked(Channel::File, lag);
            let lag_seconds = lag.as_secs_f64();
            if lag > slow_after {
                warn!(
                    message = "the key file was slow: between revoked_at and now, this key was let in; a push through the admin \
                               listener is in force at once (`keygate keys revoke`)",
                    key_id = key,
                    lag_seconds
                );
            } else {
                info!(message = "key revoked", key_id = key, by = "file", lag_seconds);
            }
        }
        self.remember(news, "file".to_owned()).await;
    }

    fn has_pushed(&self, key: &str) -> bool {
        self.pushed.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}
