//! One fetch of an issuer's keys over HTTP.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use jsonwebtoken::Algorithm;

use super::outbound::{self, CallError};
use crate::config::endpoint::Endpoint;
use crate::config::user_tokens::jwks::{KeySet, Unusable};

const WANTED: HeaderValue = HeaderValue::from_static("application/jwk-set+json, application/json");

/// Why there are no keys.
#[derive(Debug)]
pub(super) enum FetchError {
    /// No answer.
    Call(CallError),
    /// Another answer than 200.
    Status(StatusCode),
    /// The answer is no set of keys.
    Unusable(Unusable),
}

/// Fetches the set.
///
/// # Errors
/// Whatever is in the way of it.
pub(super) async fn fetch(endpoint: &Endpoint, algorithms: &[Algorithm]) -> Result<KeySet, FetchError> {
    let mut request = Request::new(Full::<Bytes>::default());
    request.headers_mut().insert(ACCEPT, WANTED);
    let answer = outbound::call(endpoint, request).await.map_err(FetchError::Call)?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status(answer.status()));
    }
    KeySet::parse(answer.body(), algorithms).map_err(FetchError::Unusable)
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Status(status) => write!(f, "the answer is {status}"),
            Self::Unusable(unusable) => write!(f, "the answer {unusable}"),
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Call(error) => Some(error),
            Self::Unusable(unusable) => Some(unusable),
            Self::Status(_) => None,
        }
    }
}
