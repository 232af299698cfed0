//! What the service gets: the receiver's answer, or a problem document that says why there is none.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, PROXY_AUTHENTICATE, RETRY_AFTER,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::deliver::Told;
use super::line::Line;
use super::stop::Stop;
use crate::policy::egress::Refusal;
use crate::policy::header_law::connection;

/// What the service gets.
pub(super) type Answer = Response<Full<Bytes>>;

/// How many tries there were.
pub(super) const ATTEMPTS: HeaderName = HeaderName::from_static("x-webhook-attempts");
/// Set where the receiver's answer is longer than the service gets.
const TRUNCATED: HeaderName = HeaderName::from_static("x-webhook-truncated");

/// What a receiver says to the connection, to a browser, or to whoever would follow it elsewhere: a redirect in the service's
/// hands would lead it where nobody has checked.
const NOT_FOR_THE_SERVICE: [HeaderName; 12] = [
    CONNECTION,
    CONTENT_LENGTH,
    LOCATION,
    PROXY_AUTHENTICATE,
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("refresh"),
];

/// Others, by what they begin with: what only Keygate says.
const OURS: [&str; 3] = ["x-webhook-", "x-auth-", "access-control-"];

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: String,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_id: Option<&'a str>,
}

/// Of a receiver, as far as the service is to see it.
pub(super) fn receivers(told: Told, attempts: u32) -> Answer {
    let options = connection::options(&told.headers);
    let mut answer = Response::new(Full::new(told.body));
    *answer.status_mut() = told.status;
    let headers = answer.headers_mut();
    for (name, value) in &told.headers {
        let is_ours = OURS.iter().any(|beginning| name.as_str().starts_with(beginning));
        if !(is_ours || options.names(name) || NOT_FOR_THE_SERVICE.contains(name)) {
            headers.append(name, value.clone());
        }
    }
    if told.is_cut {
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
    }
    headers.insert(ATTEMPTS, HeaderValue::from(attempts));
    answer
}

/// Why there is none.
pub(super) fn problem(stop: &Stop, line: &Line) -> Answer {
    let status = stop.status();
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: stop.detail(),
        code: stop.code(),
        request_id: line.request_id.to_str().unwrap_or_default(),
        webhook_id: line.webhook.as_deref(),
    };
    let mut answer = json(status, &problem, line.attempts);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = stop.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match stop {
        Stop::Refused(Refusal::TokenInvalid) => {
            headers.insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"keygate\""));
            headers.append(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"keygate\""));
        }
        Stop::Refused(Refusal::ConnectUnsupported | Refusal::MethodUnsupported) => {
            headers.insert(ALLOW, HeaderValue::from_static("POST, PUT, PATCH"));
        }
        Stop::Refused(_) | Stop::Failed(_) => {}
    }
    answer
}

/// A document of Keygate's own.
pub(super) fn json(status: StatusCode, document: &impl Serialize, attempts: u32) -> Answer {
    let body = serde_json::to_vec(document).expect("text and numbers are always JSON");
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ATTEMPTS, HeaderValue::from(attempts));
    answer
}

/// The event was not sent, since nobody asked for it.
pub(super) fn not_subscribed() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(ATTEMPTS, HeaderValue::from(0));
    answer
}
