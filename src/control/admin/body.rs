//! The body of a call: JSON, bounded in length and time, and nothing that was not asked for.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::problem::Problem;

/// How long a body may be.
const BYTES_MAX: usize = 64 << 10;
/// How long it may take.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Reads a body that must be there.
pub(super) async fn required<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Problem> {
    read(&bytes(request).await?, |error| error.to_string())
}

/// As [`required`], for a body that may hold a secret, so that nothing of it is quoted: `what` says what it holds.
pub(super) async fn secret<T: DeserializeOwned>(request: Request<Incoming>, what: &str) -> Result<T, Problem> {
    read(&bytes(request).await?, |error| {
        format!(
            "see line {}, column {} of it. It is {what}",
            error.line(),
            error.column()
        )
    })
}

/// Reads a body that may be left out.
pub(super) async fn optional<T: DeserializeOwned + Default>(request: Request<Incoming>) -> Result<T, Problem> {
    if request.body().is_end_stream() && !request.headers().contains_key(CONTENT_TYPE) {
        return Ok(T::default());
    }
    required(request).await
}

fn read<T: DeserializeOwned>(body: &[u8], say: impl FnOnce(&serde_json::Error) -> String) -> Result<T, Problem> {
    // A list would be taken for the members in their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::invalid("The body is a list: this takes an object."));
    }
    serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("The body is not what this takes: {}.", say(&error))))
}

async fn bytes(request: Request<Incoming>) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_type_unsupported",
            "The body is JSON: send it with Content-Type: application/json.",
        ));
    }
    let body = Limited::new(request.into_body(), BYTES_MAX);
    match timeout(TIME_MAX, body.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "A body has at most 64 KiB.",
        )),
        Ok(Err(_)) => Err(Problem::invalid("The body is cut short.")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "The body did not arrive in time.",
        )),
    }
}

/// RFC 8259 §11: the type has no parameters; `charset=utf-8` says nothing new.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(first), None) = (types.next(), types.next()) else {
        return false;
    };
    let Ok(text) = first.to_str() else { return false };
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let parameters = parameters.trim().replace('"', "");
    kind.trim().eq_ignore_ascii_case("application/json")
        && (parameters.is_empty() || parameters.eq_ignore_ascii_case("charset=utf-8"))
}
