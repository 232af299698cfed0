//! Tries, one after the other, within the time that the service waits.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::attempt::{self, Attempt};
use super::body::Outgoing;
use super::office::Office;
use super::serve::Stop;
use crate::clock;
use crate::policy::egress::schedule;
use crate::policy::egress::{Dispatch, Egress, Failure};

/// The receiver took it.
pub(super) const DELIVERED: &str = "delivered";
/// The receiver answered, and did not take it.
pub(super) const REJECTED: &str = "rejected";
/// It did not arrive.
pub(super) const FAILED: &str = "failed";
/// The webhook did not ask for it.
pub(super) const NOT_SUBSCRIBED: &str = "not_subscribed";

/// A receiver's answer.
#[derive(Debug)]
pub(super) struct Told {
    /// Any.
    pub(super) status: StatusCode,
    /// As they came.
    pub(super) headers: HeaderMap,
    /// As much as the service gets.
    pub(super) body: Bytes,
    /// Whether that is not all.
    pub(super) is_cut: bool,
}

/// How a delivery ended.
#[derive(Debug)]
pub(super) struct Delivered {
    /// What the last try brought.
    pub(super) told: Result<Told, Box<Stop>>,
    /// How many there were.
    pub(super) attempts: u32,
}

/// Tries until the receiver has answered for good, there are no more tries, or `end` has come. A body that passes by is tried
/// once.
pub(super) async fn deliver(
    office: &Rc<Office>,
    egress: &Egress,
    dispatch: &Dispatch,
    method: &Method,
    mut passing: Option<Outgoing>,
    end: Instant,
) -> Delivered {
    let retry = &dispatch.webhook().retry;
    let most = if passing.is_some() { 1 } else { retry.attempts };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let began = clock::monotonic();
        let attempt = Attempt {
            office,
            egress,
            dispatch,
            method,
        };
        let told = timeout_at(end, attempt.run(passing.take())).await;
        let told = told.unwrap_or_else(|_| Err(Failure::Timeout("total").into()));
        attempt::tell(office, dispatch, attempts, &told, clock::monotonic().saturating_sub(began));
        let pause = again(&told).map(|asked| asked.max(retry.delay(attempts + 1)));
        let next = pause.filter(|_| attempts < most).map(|pause| Instant::now() + pause);
        match next {
            // Not where the service would not be there any more to hear of it.
            Some(next) if next < end => sleep_until(next).await,
            Some(_) | None => {
                return Delivered {
                    told: told.map_err(Box::new),
                    attempts,
                };
            }
        }
    }
}

/// Whether another try may go better, and how long the receiver wants to be left alone before it.
fn again(told: &Result<Told, Stop>) -> Option<Duration> {
    match told {
        Ok(told) => schedule::is_retried_in_request(told.status)
            .then(|| schedule::retry_after(&told.headers, clock::unix()).unwrap_or_default()),
        Err(Stop::Failed(failure)) => failure.is_before_connection().then_some(Duration::ZERO),
        Err(Stop::Refused(_)) => None,
    }
}

/// In a word.
pub(super) fn outcome_of(status: StatusCode) -> &'static str {
    if status.is_success() { DELIVERED } else { REJECTED }
}
