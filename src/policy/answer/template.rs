//! `[errors.templates.<code>]`: an answer in the operator's own words.
//!
//! Values are escaped for the media type that they go into, so that a key's name or a request id can neither break a
//! document nor speak for Keygate.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::{Facts, Verdict};
use crate::config::errors::{ErrorTemplate, Field};
use crate::config::template::Value;

/// What placeholders stand for, in one answer.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) verdict: &'a Verdict<'a>,
    pub(super) facts: &'a Facts<'a>,
    /// The status that the answer has.
    pub(super) status: StatusCode,
}

/// The template's body; `None` keeps the problem document.
pub(super) fn body(template: &ErrorTemplate, values: &Values<'_>) -> Option<Bytes> {
    let body = template.body.as_ref()?;
    Some(Bytes::from(body.render(|field| values.of(*field))))
}

/// Writes the template's headers: each replaces what was there before under its name. One that would be empty is left out,
/// and what it would have replaced stays.
pub(super) fn write_headers(template: &ErrorTemplate, headers: &mut HeaderMap, values: &Values<'_>) {
    for (name, text) in &template.headers {
        if let Some(value) = text.header(|field| values.of(*field)) {
            headers.insert(name, value);
        }
    }
}

impl<'a> Values<'a> {
    /// RFC 3339, in UTC.
    pub(super) fn renews_at(&self) -> Option<String> {
        let at = Timestamp::from_second(self.verdict.renews_at?).ok()?;
        Some(at.to_string())
    }

    fn of(&self, field: Field) -> Value<'a> {
        let (verdict, facts) = (self.verdict, self.facts);
        match field {
            Field::Code => Value::text(Some(verdict.code)),
            Field::Status => Value::Number(self.status.as_u16().into()),
            Field::Title => Value::text(Some(title(self.status))),
            Field::Detail => Value::text(Some(verdict.detail)),
            Field::RequestId => Value::text(Some(facts.request_id)),
            Field::Time => Value::time(Some(facts.time_unix)),
            Field::Method => Value::text(facts.method),
            Field::Path => Value::text(facts.path),
            Field::Route => Value::text(facts.pattern.filter(|_| verdict.tells_route)),
            Field::RetryAfter => Value::number(verdict.retry_after),
            Field::Window => Value::text(verdict.window.map(|(name, _)| name)),
            Field::Limit => Value::number(verdict.window.map(|(_, limit)| limit)),
            Field::RenewsAt => Value::time(verdict.renews_at),
            Field::KeyId => Value::text(facts.caller.key_id),
            Field::KeyName => Value::text(facts.caller.key_name),
            Field::OrganizationId => Value::text(facts.caller.organization_id),
            Field::OrganizationName => Value::text(facts.caller.organization_name),
            Field::Environment => Value::text(facts.caller.environment),
            Field::Plan => Value::text(facts.caller.plan),
        }
    }
}

/// The status in words.
pub(super) fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}
