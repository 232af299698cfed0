//! Keeps the keys that users' tokens are verified with what their issuer publishes.
//!
//! Fetched at the start, every `refresh`, and when a request shows a key that is not known, at most once in `refetch`. What was
//! fetched stays until something better has been: an issuer that is down, or that answers with something else than keys,
//! changes nothing but a log line and the metrics.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tracing::{info, warn};

use super::Control;
use super::jwks::{self, FetchError};
use crate::clock;
use crate::config::user_tokens::Remote;
use crate::config::user_tokens::jwks::KeySet;
use crate::refetch::Reason;
use crate::telemetry::metrics::Outcome;

/// How soon a failed fetch is tried again at first; then twice as late each time, up to `refresh`.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// What was fetched last, and from where.
struct Last {
    url: String,
    algorithms: Vec<Algorithm>,
    /// When, on the monotonic clock.
    at: u64,
    /// How often it has failed since it last did not.
    failures: u32,
}

/// Starts it.
pub(super) fn spawn(control: &Arc<Control>) {
    let control = Arc::clone(control);
    spawn_local(control.vital().keep(async move {
        let mut last: Option<Last> = None;
        loop {
            last = turn(&control, last).await;
        }
    }));
}

/// Waits for a reason to fetch, and fetches.
async fn turn(control: &Control, last: Option<Last>) -> Option<Last> {
    let policy = control.current.load();
    let Some((remote, rules)) = policy.remote_user_keys() else {
        control.refetch.woken().await;
        control.refetch.answer();
        return None;
    };
    let last = last.filter(|last| last.url == remote.endpoint.url && last.algorithms == rules.algorithms);
    if let Some(known) = &last {
        match timeout(known.rest(remote), control.refetch.woken()).await {
            // It is time.
            Err(_) => {}
            Ok(Reason::Reconsider) => return last,
            Ok(Reason::Asked) if known.age() < remote.refetch => {
                control.refetch.answer();
                return last;
            }
            Ok(Reason::Asked) => {}
        }
    }
    let at = clock::monotonic();
    let fetched = jwks::fetch(&remote.endpoint, &rules.algorithms).await;
    let failures = match &fetched {
        Ok(_) => 0,
        Err(_) => last.map_or(0, |last| last.failures).saturating_add(1),
    };
    tell(control, remote, &fetched);
    if let Ok(set) = fetched {
        policy.put_user_keys(remote, set);
    }
    control.refetch.answer();
    Some(Last {
        url: remote.endpoint.url.clone(),
        algorithms: rules.algorithms.clone(),
        at,
        failures,
    })
}

impl Last {
    fn age(&self) -> Duration {
        Duration::from_nanos(clock::monotonic().saturating_sub(self.at))
    }

    /// How long until the next fetch is due.
    fn rest(&self, remote: &Remote) -> Duration {
        let pause = match self.failures {
            0 => remote.refresh,
            failures => remote
                .refresh
                .min(FIRST_RETRY * 2u32.saturating_pow(failures.min(16) - 1)),
        };
        pause.saturating_sub(self.age())
    }
}

fn tell(control: &Control, remote: &Remote, fetched: &Result<KeySet, FetchError>) {
    let metrics = &control.metrics;
    let result = match fetched {
        Ok(set) => {
            let keys = set.keys.len();
            metrics.user_keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
            metrics.user_keys_fetched.set(clock::unix());
            info!(
                message = "keys for users' tokens fetched",
                host = remote.endpoint.authority,
                keys
            );
            "fetched"
        }
        Err(error) => {
            warn!(message = "keys for users' tokens cannot be fetched, those before stay", host = remote.endpoint.authority, %error);
            "failed"
        }
    };
    metrics.user_key_fetches.get_or_create(&Outcome { result }).inc();
}
