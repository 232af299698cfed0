//! `[errors]`: what refusals and failures look like to the caller.

use http::{HeaderName, StatusCode};

use super::reader::{self, Table};
use super::template::{self, Sample, Template, Value};

/// The shape of error answers.
#[derive(Debug, Clone, Default)]
pub struct Errors {
    /// `[errors.templates.<code>]`, by code.
    pub templates: Vec<(String, ErrorTemplate)>,
}

/// What replaces one code's answer.
#[derive(Debug, Clone)]
pub struct ErrorTemplate {
    /// `status`; `None` keeps the code's own.
    pub status: Option<StatusCode>,
    /// `headers`, their values with placeholders. Names are unique. With a `body`, `Content-Type` is always among them:
    /// `application/json` where the operator names none.
    pub headers: Vec<(HeaderName, Template<Field>)>,
    /// `body`, with placeholders; `None` keeps the problem document.
    pub body: Option<Template<Field>>,
}

/// What an error answer may tell. What follows from the key is told once the key is known to be valid, and never before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `{code}`
    Code,
    /// `{status}`: the number.
    Status,
    /// `{title}`: the status in words (RFC 9110), `Too Many Requests`.
    Title,
    /// `{detail}`: a sentence for people.
    Detail,
    /// `{request_id}`
    RequestId,
    /// `{time}`: RFC 3339, in UTC.
    Time,
    /// `{method}`
    Method,
    /// `{path}`: as the client sent it, without its query.
    Path,
    /// `{route}`: the pattern of the route that matched.
    Route,
    /// `{retry_after}`: whole seconds.
    RetryAfter,
    /// `{window}`: the name of the limit or quota that is spent.
    Window,
    /// `{limit}`: its `requests`.
    Limit,
    /// `{renews_at}`: when the quota that is spent begins again (RFC 3339).
    RenewsAt,
    /// `{key.id}`
    KeyId,
    /// `{key.name}`
    KeyName,
    /// `{organization.id}`, alias `{organization}`
    OrganizationId,
    /// `{organization.name}`
    OrganizationName,
    /// `{environment}`: its name.
    Environment,
    /// `{plan}`: the name of the one that counts, where somebody named it.
    Plan,
}

/// Every code that an answer may have.
pub const CODES: &[&str] = &[
    "request_invalid",
    "head_too_large",
    "head_timeout",
    "tls_required",
    "route_unknown",
    "credential_missing",
    "credential_malformed",
    "credential_conflict",
    "credential_invalid",
    "credential_failures_exceeded",
    "source_denied",
    "environment_denied",
    "permission_denied",
    "keys_stale",
    "subscription_denied",
    "tenant_denied",
    "header_missing",
    "concurrency_exceeded",
    "rate_limited",
    "quota_exceeded",
    "body_too_large",
    "draining",
    "upstream_unreachable",
    "upstream_connect_timeout",
    "upstream_timeout",
    "upstream_idle_timeout",
    "total_timeout",
    "upstream_invalid",
    "body_timeout",
    "body_invalid",
    "client_gone",
    "tunnels_exhausted",
    "verifier_busy",
    "user_keys_unavailable",
];

/// The placeholders, by name.
const FIELDS: &[(&str, Field)] = &[
    ("code", Field::Code),
    ("status", Field::Status),
    ("title", Field::Title),
    ("detail", Field::Detail),
    ("request_id", Field::RequestId),
    ("time", Field::Time),
    ("method", Field::Method),
    ("path", Field::Path),
    ("route", Field::Route),
    ("retry_after", Field::RetryAfter),
    ("window", Field::Window),
    ("limit", Field::Limit),
    ("renews_at", Field::RenewsAt),
    ("key.id", Field::KeyId),
    ("key.name", Field::KeyName),
    ("organization.id", Field::OrganizationId),
    ("organization", Field::OrganizationId),
    ("organization.name", Field::OrganizationName),
    ("environment", Field::Environment),
    ("plan", Field::Plan),
];

/// Codes whose answers always say when to come back.
const WITH_RETRY_AFTER: &[&str] = &[
    "credential_failures_exceeded",
    "concurrency_exceeded",
    "rate_limited",
    "quota_exceeded",
    "draining",
    "tunnels_exhausted",
    "verifier_busy",
];

impl ErrorTemplate {
    /// Whether it has this placeholder.
    #[must_use]
    pub fn tells(&self, field: Field) -> bool {
        let headers = self.headers.iter().map(|(_, value)| value);
        headers
            .chain(&self.body)
            .any(|text| text.fields().any(|told| *told == field))
    }
}

impl template::Field for Field {
    fn names() -> &'static [(&'static str, Self)] {
        FIELDS
    }
}

impl Field {
    /// Whether every answer with this code has a value for it.
    fn always_known(self, code: &str) -> bool {
        match self {
            Self::Code | Self::Status | Self::Title | Self::Detail | Self::RequestId | Self::Time => true,
            Self::RetryAfter => WITH_RETRY_AFTER.contains(&code),
            Self::Window | Self::Limit => matches!(code, "rate_limited" | "quota_exceeded"),
            Self::RenewsAt => code == "quota_exceeded",
            Self::KeyId
            | Self::KeyName
            | Self::OrganizationId
            | Self::OrganizationName
            | Self::Environment
            | Self::Plan
            | Self::Method
            | Self::Path
            | Self::Route => false,
        }
    }

    fn is_number(self) -> bool {
        match self {
            Self::Status | Self::RetryAfter | Self::Limit => true,
            Self::Code
            | Self::Title
            | Self::Detail
            | Self::RequestId
            | Self::Time
            | Self::Method
            | Self::Path
            | Self::Route
            | Self::Window
            | Self::RenewsAt
            | Self::KeyId
            | Self::KeyName
            | Self::OrganizationId
            | Self::OrganizationName
            | Self::Environment
            | Self::Plan => false,
        }
    }
}

/// Reads `[errors]`.
pub(super) fn read(table: &Table<'_>) -> Errors {
    let section = table.section("templates");
    let mut templates = Vec::new();
    for (code, item) in section.names() {
        if !CODES.contains(&code) {
            let help = match reader::nearest(code, CODES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", reader::list(CODES)),
            };
            item.key_place()
                .error(format!("{code:?} is not a code of an error"), help);
        }
        if let Some(template) = item.table().and_then(|table| read_one(code, &table)) {
            templates.push((code.to_owned(), template));
        }
    }
    Errors { templates }
}

fn read_one(code: &str, table: &Table<'_>) -> Option<ErrorTemplate> {
    let status = table.get("status").and_then(|item| item.integer(400..=599u16));
    let headers = table.section("headers");
    let body_item = table.get("body");
    if table.is_empty() {
        table
            .place()
            .warning("changes nothing", "write status, headers or body, or remove it");
    }
    let mut headers = template::read_headers(&headers);
    let body = match &body_item {
        Some(item) => Some(template::read_body(item, &mut headers, &samples(code))?),
        None => None,
    };
    Some(ErrorTemplate {
        status: status.and_then(|status| StatusCode::from_u16(status).ok()),
        headers,
        body,
    })
}

/// Each body is filled in twice: with a value for everything, and with what answers of this code always have.
fn samples(code: &str) -> [Sample<'_, Field>; 2] {
    let example = |field: &Field| match field.is_number() {
        true => Value::Number(429),
        false => Value::Text(template::NASTY.into()),
    };
    [
        Sample {
            what: "is not JSON once its placeholders are filled in".to_owned(),
            value: Box::new(example),
        },
        Sample {
            what: format!("is not JSON when some placeholders have no value, which happens with `{code}`"),
            value: Box::new(move |field: &Field| match field.always_known(code) {
                true => example(field),
                false => Value::Absent,
            }),
        },
    ]
}
