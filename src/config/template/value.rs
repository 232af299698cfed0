//! Values, and how each is written so that it stays within its place.

use std::borrow::Cow;

use serde_json::Map;

/// What a placeholder stands for at the time.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Nothing: empty, and `null` where JSON expects a value.
    Absent,
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number.
    Number(u64),
    /// Several texts: separated by spaces, and an array where JSON expects a value.
    List(Vec<&'a str>),
    /// Anything: a text or a number as such, everything else as JSON.
    Json(&'a serde_json::Value),
    /// A table of anything, as JSON.
    Table(&'a Map<String, serde_json::Value>),
}

/// Where values stand, and so what may not stand there as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// JSON. Within quotes, a text with JSON's escapes (RFC 8259 §7); outside of them a whole JSON value: a text in quotes
    /// of its own, a number, an array, `null` for nothing.
    Json,
    /// HTML and XML: `&`, `<`, `>` and quotes.
    Markup,
    /// The value of a header: `%` and everything beyond visible ASCII is percent-encoded UTF-8, so that decoding gives back
    /// exactly the text. A space stays a space, except within one entry of a list and at either end of a text, where
    /// whoever reads the header would lose it and take the text for another.
    Header,
    /// Plain text: nothing.
    None,
}

impl Escape {
    /// What the body of a media type (RFC 9110 §8.3.1) asks for. Parameters and case make no difference.
    #[must_use]
    pub fn for_content_type(content_type: &str) -> Self {
        let essence = content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match &*essence {
            "application/json" | "text/json" => Self::Json,
            "text/html" | "text/xml" | "application/xml" => Self::Markup,
            other if other.ends_with("+json") => Self::Json,
            other if other.ends_with("+xml") => Self::Markup,
            _ => Self::None,
        }
    }

    /// Appends `value`. `is_bare` counts in JSON only.
    pub(super) fn write(self, value: &Value<'_>, is_bare: bool, out: &mut String) {
        match (self, value) {
            (Self::Json, _) if is_bare => write_json(value, out),
            (Self::Header, Value::List(entries)) => {
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    percent_encode(entry, |byte| byte.is_ascii_graphic(), out);
                }
            }
            (_, Value::Absent) => {}
            (_, value) => self.write_text(&text_of(value), out),
        }
    }

    fn write_text(self, text: &str, out: &mut String) {
        match self {
            Self::None => out.push_str(text),
            Self::Json => {
                let quoted = json(text);
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
            Self::Header => {
                let inner = text.trim_matches(' ');
                let (before, after) = text.split_once(inner).unwrap_or_default();
                percent_encode(before, |_| false, out);
                percent_encode(inner, |byte| matches!(byte, 0x20..=0x7e), out);
                percent_encode(after, |_| false, out);
            }
            Self::Markup => {
                for character in text.chars() {
                    match character {
                        '&' => out.push_str("&amp;"),
                        '<' => out.push_str("&lt;"),
                        '>' => out.push_str("&gt;"),
                        '"' => out.push_str("&quot;"),
                        '\'' => out.push_str("&#39;"),
                        other => out.push(other),
                    }
                }
            }
        }
    }
}

impl<'a> Value<'a> {
    /// A text that may not be there.
    #[must_use]
    pub fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, |text| Self::Text(Cow::Borrowed(text)))
    }

    /// A number that may not be there.
    #[must_use]
    pub fn number(number: Option<u64>) -> Self {
        number.map_or(Self::Absent, Self::Number)
    }

    /// A moment in Unix seconds, as RFC 3339 writes it: `2026-01-15T10:00:00Z`.
    #[must_use]
    pub fn time(unix: Option<i64>) -> Self {
        let moment = unix.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        moment.map_or(Self::Absent, |moment| Self::Text(Cow::Owned(moment.to_string())))
    }
}

/// As a whole JSON value.
fn write_json(value: &Value<'_>, out: &mut String) {
    match value {
        Value::Absent => out.push_str("null"),
        Value::Text(text) => out.push_str(&json(&**text)),
        Value::Number(number) => out.push_str(itoa::Buffer::new().format(*number)),
        Value::List(entries) => out.push_str(&json(entries)),
        Value::Json(value) => out.push_str(&json(value)),
        Value::Table(table) => out.push_str(&json(table)),
    }
}

/// As a text, not escaped.
fn text_of<'a>(value: &'a Value<'_>) -> Cow<'a, str> {
    match value {
        Value::Absent | Value::Json(serde_json::Value::Null) => Cow::Borrowed(""),
        Value::Text(text) => Cow::Borrowed(text),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::List(entries) => Cow::Owned(entries.join(" ")),
        Value::Json(serde_json::Value::String(text)) => Cow::Borrowed(text),
        Value::Json(value) => Cow::Owned(json(value)),
        Value::Table(table) => Cow::Owned(json(table)),
    }
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("texts, numbers, lists and tables of them are always JSON")
}

fn percent_encode(text: &str, stays: fn(u8) -> bool, out: &mut String) {
    for byte in text.bytes() {
        if stays(byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
}
