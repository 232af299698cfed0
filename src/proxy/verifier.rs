//! Slow hashes, off the data path: argon2id on a few threads of their own, each verdict remembered.
//!
//! # Security
//! - The cache is keyed by the key's digest and the compiled keys: where they are read anew, it asks again. It is never the only carrier of
//!   an expiry: a verdict only says *which record* a key belongs to, and the decision checks that record each time.
//! - The queue is bounded; a flood of guesses is answered 503 (or, by policy, 429 before it gets here), not with memory.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use moka::sync::Cache;
use tokio::sync::oneshot;
use tracing::error;

use super::ingress::Stop;
use crate::policy::refusal::{Failure, Refusal};
use crate::policy::{SlowCheck, Verdict};
use crate::secret::{Digest, slow};
use crate::telemetry::metrics::Metrics;

/// Verdicts that are remembered, positive and negative.
const CACHED: u64 = 65_536;
/// Checks that may wait for each thread.
const QUEUED_PER_THREAD: usize = 32;

/// The slow checker of a process.
pub(super) struct Verifier {
    queue: SyncSender<Job>,
    verdicts: Cache<(u64, Digest), Verdict>,
}

struct Job {
    check: SlowCheck,
    answer: oneshot::Sender<Verdict>,
}

impl Verifier {
    /// Starts `threads` of them.
    pub(super) fn new(threads: usize, metrics: Arc<Metrics>) -> Self {
        let threads = threads.max(1);
        let (queue, jobs) = sync_channel(threads * QUEUED_PER_THREAD);
        let jobs = Arc::new(Mutex::new(jobs));
        for number in 0..threads {
            let (jobs, metrics) = (Arc::clone(&jobs), Arc::clone(&metrics));
            let spawned = thread::Builder::new()
                .name(format!("keygate-hash-{number}"))
                .spawn(move || work(&jobs, &metrics));
            if let Err(error) = spawned {
                error!(message = "cannot start a thread for slow hashes", %error);
            }
        }
        Self {
            queue,
            verdicts: Cache::new(CACHED),
        }
    }

    /// The verdict, from memory or by computing it.
    ///
    /// # Errors
    /// [`Refusal::CredentialFailuresExceeded`] when it would have to be computed for a source that has no bad keys left to
    /// present; [`Failure::VerifierBusy`] when as many checks as may wait are waiting.
    pub(super) async fn verify(&self, check: SlowCheck) -> Result<Verdict, Stop> {
        let asked = (check.compiled, check.digest);
        if let Some(known) = self.verdicts.get(&asked) {
            return Ok(known);
        }
        if let Some(wait) = check.exhausted {
            return Err(Refusal::CredentialFailuresExceeded(wait).into());
        }
        let (answer, verdict) = oneshot::channel();
        self.queue
            .try_send(Job { check, answer })
            .map_err(|_| Failure::VerifierBusy)?;
        let verdict = verdict.await.map_err(|_| Failure::VerifierBusy)?;
        self.verdicts.insert(asked, verdict);
        Ok(verdict)
    }
}

/// Until the process ends: the queue lives as long as the data path.
fn work(jobs: &Mutex<Receiver<Job>>, metrics: &Metrics) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { check, answer }) = job else { return };
        // A caller that has gone away meanwhile costs nothing more.
        if answer.is_closed() {
            continue;
        }
        let check = AssertUnwindSafe(|| {
            check.run(|phc, key| {
                metrics.slow_verifications.inc();
                slow::matches(phc, key)
            })
        });
        // A bug in one check (which has been counted and logged) fails that one, and leaves the thread for others.
        if let Ok(verdict) = panic::catch_unwind(check) {
            // Who asked may be gone by now.
            let _ = answer.send(verdict);
        }
    }
}
