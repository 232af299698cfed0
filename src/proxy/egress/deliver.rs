//! Tries, one after the other, within the time that the service waits.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::sleep;

use super::attempt::{self, Attempt};
use super::body::Outgoing;
use super::deadline::Deadline;
use super::office::Office;
use super::stop::Stop;
use crate::clock;
use crate::policy::egress::schedule::{self, Outcome};
use crate::policy::egress::{Dispatch, Egress};

/// The receiver took it.
pub(super) const DELIVERED: &str = "delivered";
/// The receiver answered, and did not take it.
pub(super) const REJECTED: &str = "rejected";
/// It did not arrive.
pub(super) const FAILED: &str = "failed";
/// It is on disk, to be sent.
pub(super) const QUEUED: &str = "queued";
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
    pub(super) told: Result<Told, Stop>,
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
    end: Deadline,
) -> Delivered {
    let retry = &dispatch.webhook().retry;
    let most = if passing.is_some() { 1 } else { retry.attempts };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let began = (clock::unix_millis(), clock::monotonic());
        let attempt = Attempt {
            office,
            egress,
            dispatch,
            method,
            end,
            seen: None,
        };
        let told = attempt.run(passing.take()).await;
        attempt::record(office, dispatch, attempts, began, &told);
        let pause = schedule::again_in_request(
            &retry.delays,
            (attempts, most),
            outcome(&told),
            asked(&told),
            end.left(),
            office.ids.share(),
        );
        match pause {
            Some(pause) => sleep(pause).await,
            None => {
                return Delivered { told, attempts };
            }
        }
    }
}

/// What it means for whether there is another.
pub(super) fn outcome(told: &Result<Told, Stop>) -> Outcome {
    match told {
        Ok(told) => Outcome::Status(told.status.as_u16()),
        Err(Stop::Refused(_)) => Outcome::Refused,
        Err(Stop::Failed(failure)) if failure.is_before_connection() => Outcome::Unreached,
        Err(Stop::Failed(_)) => Outcome::Broken,
    }
}

/// How long the receiver wants to be left alone.
pub(super) fn asked(told: &Result<Told, Stop>) -> Option<Duration> {
    let value = told.as_ref().ok()?.headers.get(RETRY_AFTER)?;
    schedule::retry_after(value.as_bytes(), clock::unix())
}

/// Whether nobody has to look after it.
pub(super) fn is_well(outcome: &str) -> bool {
    [DELIVERED, QUEUED, NOT_SUBSCRIBED].contains(&outcome)
}

/// In a word.
pub(super) fn outcome_of(status: StatusCode) -> &'static str {
    if status.is_success() { DELIVERED } else { REJECTED }
}
