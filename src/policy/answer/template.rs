//! `[errors.templates.<code>]`: an answer in the operator's own words.
//!
//! Values are escaped for the media type that they go into, so that a key's name or a request id can neither break a
//! document nor speak for Keygate.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Facts, Verdict};
use crate::config::errors::ErrorTemplate;

/// One code's template.
#[derive(Debug)]
pub(super) struct Template {
    /// `None` keeps the code's own.
    pub(super) status: Option<StatusCode>,
    headers: Vec<(HeaderName, Text)>,
    body: Option<Text>,
    /// The body's media type where `headers` names none.
    fallback_type: HeaderValue,
    escape: Escape,
}

/// What placeholders stand for, in one answer.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) verdict: &'a Verdict<'a>,
    pub(super) facts: &'a Facts<'a>,
    /// The status that the answer has.
    pub(super) status: StatusCode,
}

/// Text with placeholders.
#[derive(Debug)]
struct Text(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Literal(String),
    Value(Placeholder),
}

#[derive(Debug, Clone, Copy)]
enum Placeholder {
    Code,
    Status,
    Detail,
    RequestId,
    RetryAfter,
    Window,
    Limit,
    KeyId,
    KeyName,
    Organization,
}

/// What a value needs in order to be only a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    Json,
    /// HTML and XML.
    Markup,
    Plain,
}

impl Template {
    pub(super) fn compile(template: &ErrorTemplate) -> Self {
        let written = template.headers.iter().find(|(name, _)| name == CONTENT_TYPE);
        let body = template.body.as_deref().unwrap_or_default();
        let fallback_type = if body.trim_start().starts_with(['{', '[']) {
            HeaderValue::from_static("application/json")
        } else {
            HeaderValue::from_static("text/plain; charset=utf-8")
        };
        let escape = Escape::of(written.map_or_else(|| fallback_type.as_bytes(), |(_, value)| value.as_bytes()));
        Self {
            status: template.status,
            headers: template
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), Text::parse(value)))
                .collect(),
            body: template.body.as_deref().map(Text::parse),
            fallback_type,
            escape,
        }
    }

    /// The body, with its media type among the headers; `None` keeps the problem document.
    pub(super) fn body(&self, headers: &mut HeaderMap, values: &Values<'_>) -> Option<Bytes> {
        let body = self.body.as_ref()?;
        headers.insert(CONTENT_TYPE, self.fallback_type.clone());
        Some(Bytes::from(body.fill(values, self.escape)))
    }

    /// Writes the template's headers: a name that it holds replaces what was there before, and may stand there several
    /// times. A value that cannot be one is left out, and what it would have replaced stays.
    pub(super) fn write_headers(&self, headers: &mut HeaderMap, values: &Values<'_>) {
        for (index, (name, text)) in self.headers.iter().enumerate() {
            let Ok(value) = HeaderValue::try_from(text.fill(values, Escape::Plain)) else {
                continue;
            };
            if self.headers[..index].iter().any(|(earlier, _)| earlier == name) {
                headers.append(name, value);
            } else {
                headers.insert(name, value);
            }
        }
    }
}

impl Text {
    fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            literal.push_str(&rest[..open]);
            rest = &rest[open..];
            let named = rest
                .find('}')
                .and_then(|close| Some((Placeholder::named(&rest[1..close])?, close + 1)));
            match named {
                Some((placeholder, length)) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Value(placeholder));
                    rest = &rest[length..];
                }
                None => {
                    literal.push('{');
                    rest = &rest[1..];
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Self(pieces)
    }

    fn fill(&self, values: &Values<'_>, escape: Escape) -> String {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Value(placeholder) => escape.push(&mut filled, &values.of(*placeholder)),
            }
        }
        filled
    }
}

impl Values<'_> {
    /// What is not known is empty; a number that is not known is 0, so that a document stays one.
    fn of(&self, placeholder: Placeholder) -> Cow<'_, str> {
        match placeholder {
            Placeholder::Code => Cow::Borrowed(self.verdict.code),
            Placeholder::Status => Cow::Borrowed(self.status.as_str()),
            Placeholder::Detail => Cow::Borrowed(self.verdict.detail),
            Placeholder::RequestId => Cow::Borrowed(self.facts.request_id),
            Placeholder::RetryAfter => Cow::Owned(self.verdict.retry_after.unwrap_or(0).to_string()),
            Placeholder::Window => Cow::Borrowed(self.verdict.window.map_or("", |(name, _)| name)),
            Placeholder::Limit => Cow::Owned(self.verdict.window.map_or(0, |(_, limit)| limit).to_string()),
            Placeholder::KeyId => Cow::Borrowed(self.facts.key_id.unwrap_or_default()),
            Placeholder::KeyName => Cow::Borrowed(self.facts.key_name.unwrap_or_default()),
            Placeholder::Organization => Cow::Borrowed(self.facts.organization.unwrap_or_default()),
        }
    }
}

impl Placeholder {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "code" => Self::Code,
            "status" => Self::Status,
            "detail" => Self::Detail,
            "request_id" => Self::RequestId,
            "retry_after" => Self::RetryAfter,
            "window" => Self::Window,
            "limit" => Self::Limit,
            "key.id" => Self::KeyId,
            "key.name" => Self::KeyName,
            "organization" => Self::Organization,
            _ => return None,
        })
    }
}

impl Escape {
    /// By a `Content-Type`.
    fn of(media_type: &[u8]) -> Self {
        let name = String::from_utf8_lossy(media_type).to_ascii_lowercase();
        let name = name.split(';').next().unwrap_or_default().trim();
        if name.ends_with("/json") || name.ends_with("+json") {
            Self::Json
        } else if name.ends_with("/html") || name.ends_with("/xml") || name.ends_with("+xml") {
            Self::Markup
        } else {
            Self::Plain
        }
    }

    fn push(self, text: &mut String, value: &str) {
        match self {
            Self::Plain => text.push_str(value),
            Self::Json => {
                let quoted = serde_json::to_string(value).expect("text is always JSON");
                text.push_str(&quoted[1..quoted.len() - 1]);
            }
            Self::Markup => {
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
}
