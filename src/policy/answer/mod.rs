//! What refusals and failures look like to the caller.
//!
//! A room of its own because the shape of an error is a contract: a problem document by default (RFC 9457), a template
//! where the operator wrote one, a trailers-only response for gRPC callers. Everything that does not depend on the request
//! is compiled once.
//!
//! Invariants: every 401 carries `WWW-Authenticate` and every 405 `Allow` (RFC 9110 §15.5.2, §15.5.6), whatever a template
//! makes of it; no answer is cached; what a template puts into JSON, HTML or XML is escaped; nothing here can fail.
//! Deliberately absent: `Content-Length`, `X-Request-Id` and `Connection`, which belong to the connection.

mod challenge;
mod grpc;
mod template;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use hashbrown::HashMap;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde::Serialize;

use self::challenge::{Challenges, Complaint};
use self::template::Values;
use super::audience::Audience;
use super::caller;
use super::refusal::{Failure, Refusal};
use super::route::RouteIndex;
use crate::config::credentials::Source;
use crate::config::errors::{ErrorTemplate, Errors, Field};

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// What may be asked of a route at all; which of them the upstream offers is its own business.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Every answer that Keygate gives by itself, compiled.
#[derive(Debug)]
pub struct Answers {
    challenges: Challenges,
    /// Of routes with sources of their own.
    of_routes: HashMap<RouteIndex, Door>,
    templates: HashMap<String, ErrorTemplate>,
    tell_path: bool,
}

/// A route whose callers show themselves in another way than everywhere.
#[derive(Debug)]
struct Door {
    challenges: Challenges,
    audience: Audience,
}

/// What an answer may say about its request. Borrowed; nothing in it is secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The request's id, as sent in `X-Request-Id`.
    pub request_id: &'a str,
    /// Whose key it is, once that is known to be valid.
    pub caller: caller::Facts<'a>,
    /// The request's method.
    pub method: Option<&'a str>,
    /// The request's path, where some template asks for it ([`Answers::tell_path`]).
    pub path: Option<&'a str>,
    /// The route, once it is known.
    pub route: Option<RouteIndex>,
    /// Its pattern.
    pub pattern: Option<&'a str>,
    /// Unix seconds.
    pub time_unix: i64,
    /// Whether the caller speaks gRPC ([`speaks_grpc`]).
    pub grpc: bool,
}

/// A whole response; framing and length are left to the server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status; 200 for gRPC callers, whose status is in `grpc-status`.
    pub status: StatusCode,
    /// All header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Whether a request with these headers comes from a gRPC client: `Content-Type: application/grpc`, alone or with `+` or
/// `;` after it.
#[must_use]
pub fn speaks_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| grpc::is_media_type(value.as_bytes()))
}

/// The trailers that end a gRPC call that had begun when its key died: `UNAUTHENTICATED`.
#[must_use]
pub fn withdrawn_trailers() -> HeaderMap {
    grpc::withdrawn()
}

/// A time (Unix seconds) as header fields tell it (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(unix: i64) -> Option<HeaderValue> {
    let at = Timestamp::from_second(unix).ok()?;
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    HeaderValue::try_from(text).ok()
}

/// A refusal or a failure, reduced to what its answer needs.
struct Verdict<'a> {
    status: StatusCode,
    code: &'static str,
    detail: &'static str,
    retry_after: Option<u64>,
    complaint: Complaint,
    /// The window or quota that refused, and its limit.
    window: Option<(&'a str, u64)>,
    /// When the quota that refused begins again, in Unix seconds.
    renews_at: Option<i64>,
    /// Whether the pattern of the route may be told: not of a door that is said not to be there.
    tells_route: bool,
}

/// RFC 9457. `code`, `request_id`, `retry_after` and `renews_at` are extension members.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'static str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renews_at: Option<String>,
}

impl Answers {
    /// Compiles `[errors]`, and the challenges of the credential `sources`.
    #[must_use]
    pub fn compile(errors: &Errors, sources: &[Source]) -> Self {
        Self {
            challenges: Challenges::compile(sources),
            of_routes: HashMap::new(),
            templates: errors.templates.iter().cloned().collect(),
            tell_path: errors.templates.iter().any(|(_, template)| template.tells(Field::Path)),
        }
    }

    /// Adds routes where other sources count, or other callers are let in.
    #[must_use]
    pub fn with_routes(mut self, routes: impl Iterator<Item = (RouteIndex, Vec<Source>, Audience)>) -> Self {
        let door = |(route, sources, audience): (_, Vec<_>, _)| {
            let challenges = Challenges::compile(&sources);
            (route, Door { challenges, audience })
        };
        self.of_routes = routes.map(door).collect();
        self
    }

    fn door(&self, facts: &Facts<'_>) -> Option<&Door> {
        self.of_routes.get(&facts.route?)
    }

    /// Who is spoken to: the caller, once it is known, else whoever may come here.
    fn audience(&self, facts: &Facts<'_>) -> Audience {
        match facts.caller {
            caller::Facts { user_id: Some(_), .. } => Audience::Users,
            caller::Facts { key_id: Some(_), .. } => Audience::Keys,
            caller::Facts { .. } => self.door(facts).map_or(Audience::Keys, |door| door.audience),
        }
    }

    /// Whether [`Facts::path`] is needed.
    #[must_use]
    pub fn tell_path(&self) -> bool {
        self.tell_path
    }

    /// The answer to a request that was refused.
    #[must_use]
    pub fn refusal(&self, refusal: &Refusal, facts: &Facts<'_>) -> Answer {
        self.answer(
            &Verdict {
                status: refusal.status(),
                code: refusal.code(),
                detail: refusal.detail(self.audience(facts)),
                retry_after: refusal.retry_after(),
                complaint: Complaint::of(refusal),
                window: match refusal {
                    Refusal::RateLimited(exceeded) => Some((&exceeded.window, exceeded.limit.into())),
                    Refusal::QuotaExceeded(spent) => Some((&spent.quota, spent.limit)),
                    Refusal::RequestInvalid(_)
                    | Refusal::TlsRequired
                    | Refusal::RouteUnknown
                    | Refusal::CredentialMissing
                    | Refusal::CredentialMalformed(_)
                    | Refusal::CredentialConflict
                    | Refusal::CredentialInvalid(_)
                    | Refusal::CredentialFailuresExceeded(_)
                    | Refusal::SourceDenied
                    | Refusal::EnvironmentDenied(_)
                    | Refusal::PermissionDenied
                    | Refusal::KeysStale
                    | Refusal::SubscriptionDenied
                    | Refusal::TenantDenied
                    | Refusal::HeaderMissing
                    | Refusal::ConcurrencyExceeded
                    | Refusal::BodyTooLarge
                    | Refusal::Draining => None,
                },
                renews_at: refusal.renews_at(),
                tells_route: *refusal != Refusal::RouteUnknown,
            },
            facts,
        )
    }

    /// The answer to a request that could not be served.
    #[must_use]
    pub fn failure(&self, failure: Failure, facts: &Facts<'_>) -> Answer {
        self.answer(
            &Verdict {
                status: failure.status(),
                code: failure.code(),
                detail: failure.detail(),
                retry_after: failure.retry_after(),
                complaint: Complaint::None,
                window: None,
                renews_at: None,
                tells_route: true,
            },
            facts,
        )
    }

    fn answer(&self, verdict: &Verdict<'_>, facts: &Facts<'_>) -> Answer {
        let template = self.templates.get(verdict.code);
        let status = template.and_then(|template| template.status).unwrap_or(verdict.status);
        let values = Values { verdict, facts, status };

        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, NO_STORE);
        if let Some(seconds) = verdict.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenges = self.door(facts).map_or(&self.challenges, |door| &door.challenges);
            for challenge in challenges.of(verdict.complaint) {
                headers.append(WWW_AUTHENTICATE, challenge.clone());
            }
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, METHODS);
        }
        headers.insert(CONTENT_TYPE, PROBLEM);
        if let Some(template) = template {
            template::write_headers(template, &mut headers, &values);
        }
        if facts.grpc {
            return grpc::answer(headers, verdict.status, verdict.detail);
        }
        let body = template.and_then(|template| template::body(template, &values));
        Answer {
            status,
            headers,
            body: body.unwrap_or_else(|| problem(&values)),
        }
    }
}

/// The default body.
fn problem(values: &Values<'_>) -> Bytes {
    let problem = Problem {
        r#type: "about:blank",
        title: template::title(values.status),
        status: values.status.as_u16(),
        detail: values.verdict.detail,
        code: values.verdict.code,
        request_id: values.facts.request_id,
        retry_after: values.verdict.retry_after,
        renews_at: values.renews_at(),
    };
    Bytes::from(serde_json::to_vec(&problem).expect("text and numbers are always JSON"))
}
