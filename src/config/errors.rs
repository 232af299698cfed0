//! `[errors]`: what refusals and failures look like to the caller.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::names;
use super::reader::{self, Item, Table};
use super::template::{self, Part};

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

/// The placeholders, by name, with an example of each.
const FIELDS: &[(&str, Field, &str)] = &[
    ("code", Field::Code, "rate_limited"),
    ("status", Field::Status, "429"),
    ("detail", Field::Detail, "The rate limit of this API key is spent."),
    ("request_id", Field::RequestId, "0123456789abcdef"),
    ("retry_after", Field::RetryAfter, "1"),
    ("window", Field::Window, "sec"),
    ("limit", Field::Limit, "80"),
    ("renews_at", Field::RenewsAt, "2026-02-01T00:00:00Z"),
    ("key.id", Field::KeyId, "key_01"),
    ("key.name", Field::KeyName, "backend"),
    ("organization", Field::Organization, "42"),
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

impl Field {
    /// Whether every answer with this code has a value for it.
    #[must_use]
    pub fn always_known(self, code: &str) -> bool {
        match self {
            Self::Code | Self::Status | Self::Detail | Self::RequestId => true,
            Self::RetryAfter => WITH_RETRY_AFTER.contains(&code),
            Self::Window | Self::Limit => matches!(code, "rate_limited" | "quota_exceeded"),
            Self::RenewsAt => code == "quota_exceeded",
            Self::KeyId | Self::KeyName | Self::Organization => matches!(
                code,
                "source_denied"
                    | "environment_denied"
                    | "permission_denied"
                    | "subscription_denied"
                    | "tenant_denied"
                    | "concurrency_exceeded"
                    | "rate_limited"
                    | "quota_exceeded"
            ),
        }
    }

    fn example(self) -> &'static str {
        FIELDS
            .iter()
            .find(|(_, field, _)| *field == self)
            .map_or("", |(_, _, example)| example)
    }
}

impl Escape {
    /// What a media type (RFC 9110 §8.3.1) asks for.
    #[must_use]
    pub fn for_content_type(content_type: &str) -> Self {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        if essence == "application/json" || essence.ends_with("+json") {
            Self::Json
        } else if matches!(&*essence, "text/html" | "text/xml" | "application/xml") || essence.ends_with("+xml") {
            Self::Markup
        } else {
            Self::None
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
    let mut headers = read_headers(&headers);
    let body = match &body_item {
        Some(item) => Some(parse(item.string()?, item)),
        None => None,
    };
    let content_type = headers.iter().find_map(|(name, value)| match &*value.0 {
        [Piece::Text(text)] if name == header::CONTENT_TYPE => Some(text.clone()),
        _ => None,
    });
    let content_type = content_type.unwrap_or_else(|| "application/json".to_owned());
    let escape = Escape::for_content_type(&content_type);
    if body.is_some() && !headers.iter().any(|(name, _)| name == header::CONTENT_TYPE) {
        headers.push((header::CONTENT_TYPE, Template(vec![Piece::Text(content_type)])));
    }
    if let (Some(item), Some(body), Escape::Json) = (&body_item, &body, escape) {
        check_json(code, body, item);
    }
    Some(ErrorTemplate {
        status: status.and_then(|status| StatusCode::from_u16(status).ok()),
        headers,
        body,
        escape,
    })
}

fn read_headers(table: &Table<'_>) -> Vec<(HeaderName, Template)> {
    let mut headers: Vec<(HeaderName, Template)> = Vec::new();
    for (key, item) in table.names() {
        let (Some(name), Some(text)) = (names::header_key(key, &item), item.string()) else {
            continue;
        };
        let value = parse(text, &item);
        if HeaderValue::from_str(text).is_err() {
            item.error(
                "cannot be the value of a header",
                "visible characters only, on one line",
            );
        } else if name == header::CONTENT_TYPE && value.0.iter().any(|piece| matches!(piece, Piece::Field(_))) {
            item.error(
                "has a placeholder, but decides how the body is escaped",
                "write it without placeholders",
            );
        } else if headers.iter().any(|(other, _)| *other == name) {
            item.key_place()
                .error("names a header for the second time", "case makes no difference");
        } else {
            headers.push((name, value));
        }
    }
    headers
}

fn parse(text: &str, item: &Item<'_>) -> Template {
    let fields: Vec<(&str, Field)> = FIELDS.iter().map(|(name, field, _)| (*name, *field)).collect();
    let pieces = template::parse(text, &fields, item)
        .into_iter()
        .map(|part| match part {
            Part::Text(text) => Piece::Text(text),
            Part::Field(field) => Piece::Field(field),
        })
        .collect();
    Template(pieces)
}

/// Reports a body that would not be JSON, with values or without those that may be lacking.
fn check_json(code: &str, body: &Template, item: &Item<'_>) {
    let with_all = rendered(body, |field| field.example());
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&with_all) {
        item.error(
            format!(
                "is not JSON once its placeholders are filled in: {}",
                without_position(&error)
            ),
            "mend it, or name another Content-Type in `headers`; placeholders for texts go in quotes",
        );
        return;
    }
    let lacking = |field: Field| if field.always_known(code) { field.example() } else { "" };
    if serde_json::from_str::<serde::de::IgnoredAny>(&rendered(body, lacking)).is_err() {
        let names: Vec<String> = FIELDS
            .iter()
            .filter(|(_, field, _)| !field.always_known(code) && body.0.contains(&Piece::Field(*field)))
            .map(|(name, _, _)| format!("{{{name}}}"))
            .collect();
        item.error(
            format!(
                "is not JSON when {} has no value, which happens with `{code}`",
                names.join(" or ")
            ),
            "put it in quotes, or remove it",
        );
    }
}

fn rendered(template: &Template, value: impl Fn(Field) -> &'static str) -> String {
    template
        .0
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Field(field) => value(*field),
        })
        .collect()
}

/// The position would be one of the rendered body, not of the file.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
