//! Tells operators that keys end, before they do: in the log, in the metrics, in the audit trail, and to a webhook.
//!
//! Three tasks, so that none waits for what is slow: one follows generations and time ([`watch`] says what is due), one
//! tells it, in batches ([`tell`]), and one delivers webhooks ([`deliver`]). What was told is remembered in the audit trail
//! ([`memory`]); without `[state]`, a restart tells again.

mod deliver;
mod memory;
mod tell;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::warn;

use self::tell::Batch;
use self::watch::{Alert, Watch};
use super::Control;
use crate::clock;
use crate::config::expiry::Window;
use crate::policy::Policy;
use crate::telemetry::metrics::Metrics;

/// How long to wait between two looks at least, and how many times as long as a look takes: many generations in a row cost
/// little.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_FACTOR: u32 = 20;
/// How long to wait at most: somebody may set the clock.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How much longer than the longest window ago something may have been told that matters, in seconds: a key that was announced,
/// and has ended while no process ran.
const RECALLED: i64 = 30 * 24 * 60 * 60;

/// Starts it.
pub(super) fn spawn(control: &Arc<Control>) {
    let (to_tell, told) = mpsc::unbounded_channel();
    let (to_deliver, delivered) = mpsc::channel(deliver::QUEUED);
    let vital = || control.vital();
    spawn_local(vital().keep(deliver::follow(Arc::clone(control), delivered)));
    spawn_local(vital().keep(tell::follow(Arc::clone(control), told, to_deliver)));
    spawn_local(vital().keep(follow(Arc::clone(control), to_tell)));
}

/// Follows generations and time.
async fn follow(control: Arc<Control>, tell: UnboundedSender<Batch>) {
    let mut watch = Watch::default();
    let (mut seen, mut has_recalled, mut shown) = (0, false, Vec::new());
    loop {
        let policy = control.current.load();
        let generation = policy.generation;
        if !has_recalled && !policy.config.expiry.alerts.is_empty() {
            has_recalled = true;
            recall(&policy, &mut watch).await;
        }
        let now = clock::unix();
        let begun = clock::monotonic();
        let alerts = if generation != seen || watch.is_stale(now) {
            let alerts;
            (watch, alerts) = look(watch, Arc::clone(&policy), now).await;
            alerts
        } else {
            watch.go_on(policy.keyring(), now)
        };
        seen = generation;
        let took = Duration::from_nanos(clock::monotonic().saturating_sub(begun));
        shown = show(&control.metrics, &shown, &watch, now);
        if alerts.is_empty() {
            drop(policy);
        } else {
            // Who tells ends with the process, as this does.
            let _ = tell.send(Batch { policy, alerts });
        }
        sleep((took * PAUSE_FACTOR).clamp(PAUSE, LONGEST_PAUSE)).await;
        let pause = clock::until(watch.next(now)).min(LONGEST_PAUSE);
        let _ = timeout(pause, control.current.changed(seen)).await;
    }
}

/// Shows how many keys end within each window, and no others than these; gives the windows.
fn show(metrics: &Metrics, before: &[Window], watch: &Watch, now: i64) -> Vec<Window> {
    let counts: Vec<(Window, usize)> = watch.counts(now).collect();
    let windows: Vec<Window> = counts.iter().map(|(window, _)| *window).collect();
    for gone in before.iter().filter(|window| !windows.contains(window)) {
        metrics.keys_expiring(gone.to_string(), None);
    }
    for (window, keys) in counts {
        metrics.keys_expiring(window.to_string(), Some(keys));
    }
    windows
}

/// A pass over all keys, where nobody waits.
async fn look(mut watch: Watch, policy: Arc<Policy>, now: i64) -> (Watch, Vec<Alert>) {
    let looked = spawn_blocking(move || {
        let alerts = watch.look(&policy, now);
        (watch, alerts)
    });
    looked
        .await
        .unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
}

/// Reads what earlier processes have told.
async fn recall(policy: &Policy, watch: &mut Watch) {
    let (Some(state), Some(longest)) = (&policy.config.state, policy.config.expiry.alerts.last()) else {
        return;
    };
    let (path, since) = (state.path.clone(), clock::unix() - longest.seconds() - RECALLED);
    match spawn_blocking(move || memory::recall(&path, since)).await {
        Ok(Ok(told)) => watch.remember(told),
        Ok(Err(unavailable)) => warn!(
            message = "what was told of keys that end cannot be read, so all of it is told again",
            reason = %unavailable
        ),
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
