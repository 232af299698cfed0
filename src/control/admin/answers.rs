//! The forms of answers on the admin listener.

use std::io;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::content::{Content, Pieces};
use super::problem::Problem;

pub(super) type Answer = Response<Content>;

pub(super) fn text(status: StatusCode, body: &'static str) -> Answer {
    answer(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

pub(super) fn metrics(body: String) -> Answer {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    answer(StatusCode::OK, OPEN_METRICS, body.into())
}

/// What was asked for, for people as well as machines.
pub(super) fn json(body: &impl Serialize) -> Answer {
    json_as(StatusCode::OK, body)
}

/// As [`json()`], with another status.
pub(super) fn json_as(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(body) {
        Ok(text) => answer(status, "application/json", (text + "\n").into()),
        Err(_) => problem(Problem::bug()),
    }
}

/// JSON lines, as long as they come.
pub(super) fn lines(write: impl FnOnce(&mut Pieces) -> io::Result<()> + Send + 'static) -> Answer {
    with(StatusCode::OK, "application/jsonl", Content::written(write))
}

/// A document that stands in the program.
pub(super) fn document(body: &'static str) -> Answer {
    answer(StatusCode::OK, "application/json", Bytes::from_static(body.as_bytes()))
}

/// Which methods a path takes.
pub(super) fn options(allow: &str) -> Answer {
    let mut answer = Response::new(Content::Whole(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allow) = HeaderValue::from_str(allow) {
        answer.headers_mut().insert(ALLOW, allow);
    }
    answer
}

/// RFC 9457.
pub(super) fn problem(problem: Problem) -> Answer {
    let status = problem.status;
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": problem.detail,
        "code": problem.code,
    });
    if !problem.problems.is_empty() {
        body["problems"] = serde_json::to_value(&problem.problems).unwrap_or(Value::Null);
    }
    let mut answer = answer(status, "application/problem+json", body.to_string().into());
    if let Some((name, value)) = problem.header.map(|header| *header) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    with(status, content_type, Content::Whole(body))
}

fn with(status: StatusCode, content_type: &'static str, body: Content) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
