//! `[errors.templates.<code>]`: an answer in the operator's own words.
//!
//! Values are escaped for the media type that they go into, so that a key's name or a request id can neither break a
//! document nor speak for Keygate.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::{Facts, Verdict};
use crate::config::errors::{ErrorTemplate, Escape, Field, Piece, Template};

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
    Some(Bytes::from(fill(body, values, template.escape)))
}

/// Writes the template's headers: each replaces what was there before under its name. A value that no header can have is
/// left out, and what it would have replaced stays.
pub(super) fn write_headers(template: &ErrorTemplate, headers: &mut HeaderMap, values: &Values<'_>) {
    for (name, text) in &template.headers {
        if let Ok(value) = HeaderValue::try_from(fill(text, values, Escape::None)) {
            headers.insert(name, value);
        }
    }
}

fn fill(template: &Template, values: &Values<'_>, escape: Escape) -> String {
    let mut filled = String::new();
    for piece in &template.0 {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Field(field) => push(&mut filled, &values.of(*field), escape),
        }
    }
    filled
}

fn push(text: &mut String, value: &str, escape: Escape) {
    match escape {
        Escape::None => text.push_str(value),
        Escape::Json => {
            let quoted = serde_json::to_string(value).expect("text is always JSON");
            text.push_str(&quoted[1..quoted.len() - 1]);
        }
        Escape::Markup => {
            for character in value.chars() {
                match character {
                    '&' => text.push_str("&amp;"),
                    '<' => text.push_str("&lt;"),
                    '>' => text.push_str("&gt;"),
                    '"' => text.push_str("&quot;"),
                    '\'' => text.push_str("&#39;"),
                    other => text.push(other),
                }
            }
        }
    }
}

impl Values<'_> {
    /// RFC 3339, in UTC.
    pub(super) fn renews_at(&self) -> Option<String> {
        let at = Timestamp::from_second(self.verdict.renews_at?).ok()?;
        Some(at.to_string())
    }

    /// What has no value in this answer is empty.
    fn of(&self, field: Field) -> Cow<'_, str> {
        let text = |value: Option<u64>| value.map_or(Cow::Borrowed(""), |value| Cow::Owned(value.to_string()));
        match field {
            Field::Code => Cow::Borrowed(self.verdict.code),
            Field::Status => Cow::Borrowed(self.status.as_str()),
            Field::Detail => Cow::Borrowed(self.verdict.detail),
            Field::RequestId => Cow::Borrowed(self.facts.request_id),
            Field::RetryAfter => text(self.verdict.retry_after),
            Field::Window => Cow::Borrowed(self.verdict.window.map_or("", |(name, _)| name)),
            Field::Limit => text(self.verdict.window.map(|(_, limit)| limit)),
            Field::RenewsAt => Cow::Owned(self.renews_at().unwrap_or_default()),
            Field::KeyId => Cow::Borrowed(self.facts.key_id.unwrap_or_default()),
            Field::KeyName => Cow::Borrowed(self.facts.key_name.unwrap_or_default()),
            Field::Organization => Cow::Borrowed(self.facts.organization.unwrap_or_default()),
        }
    }
}
