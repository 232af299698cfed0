//! `[errors]`: what refusals and failures look like to the caller.

use http::{HeaderName, StatusCode};

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
    pub headers: Vec<(HeaderName, Template)>,
    /// `body`, with placeholders; `None` keeps the problem document.
    pub body: Option<Template>,
    /// How placeholders in `body` are escaped, from `Content-Type`.
    pub escape: Escape,
}

/// A text with placeholders. One that has no value at the time is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// Part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Verbatim.
    Text(String),
    /// Replaced for each answer.
    Field(Field),
}

/// What an error answer may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `{code}`
    Code,
    /// `{status}`: the number.
    Status,
    /// `{detail}`: a sentence for people.
    Detail,
    /// `{request_id}`
    RequestId,
    /// `{retry_after}`: whole seconds.
    RetryAfter,
    /// `{window}`: the name of the limit that is spent.
    Window,
    /// `{limit}`: its `requests`.
    Limit,
    /// `{key.id}`
    KeyId,
    /// `{key.name}`
    KeyName,
    /// `{organization}`: its id.
    Organization,
}

/// What may not stand in a body as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// JSON string escapes (RFC 8259 §7).
    Json,
    /// `&`, `<`, `>` and quotes, for HTML and XML.
    Markup,
    /// Nothing, in plain text.
    None,
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
    "concurrency_exceeded",
    "rate_limited",
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
];
