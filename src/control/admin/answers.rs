//! The forms of answers on the admin listener.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;

use super::guard::Denied;

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn text(status: StatusCode, body: &'static str) -> Answer {
    answer(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

pub(super) fn metrics(body: String) -> Answer {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    answer(StatusCode::OK, OPEN_METRICS, body.into())
}

/// What was asked for, for people as well as machines.
pub(super) fn json(body: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(body) {
        Ok(text) => answer(StatusCode::OK, "application/json", (text + "\n").into()),
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "The answer cannot be written as JSON.",
        ),
    }
}

/// RFC 9457.
pub(super) fn problem(status: StatusCode, code: &str, detail: &str) -> Answer {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    });
    answer(status, "application/problem+json", body.to_string().into())
}

pub(super) fn denied(denied: Denied) -> Answer {
    let (status, header) = match denied {
        Denied::NotConfigured | Denied::Missing | Denied::Invalid => (
            StatusCode::UNAUTHORIZED,
            (
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"keygate admin\""),
            ),
        ),
        Denied::Exhausted(wait) => (StatusCode::TOO_MANY_REQUESTS, (RETRY_AFTER, HeaderValue::from(wait))),
    };
    let mut answer = problem(status, denied.code(), denied.detail());
    answer.headers_mut().insert(header.0, header.1);
    answer
}

pub(super) fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This path takes other methods.",
    );
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
