//! Why an event is not delivered.

use http::StatusCode;

use crate::policy::egress::{Failure, Refusal};

/// Why an event is not delivered.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// We said no.
    Refused(Refusal),
    /// We could not.
    Failed(Failure),
}

impl Stop {
    /// The status of its answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::Failed(failure) => failure.status(),
        }
    }

    /// Stable and of few values.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Failed(failure) => failure.code(),
        }
    }

    /// What is wrong.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.detail(),
            Self::Failed(failure) => failure.detail(),
        }
    }

    /// Seconds for `Retry-After`.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Refused(refusal) => refusal.retry_after(),
            Self::Failed(Failure::Busy) => Some(1),
            Self::Failed(_) => None,
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
