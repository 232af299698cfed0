//! An answer in the operator's words: headers and a body with placeholders.

use http::{HeaderName, HeaderValue, header};
use serde::de::IgnoredAny;

use super::{Escape, Field, Template, Value};
use crate::config::names;
use crate::config::reader::{Item, Table};

/// What a body gets when the operator names no `Content-Type`.
const JSON: &str = "application/json";

/// A text that breaks out of wherever nothing keeps it in.
pub(in crate::config) const NASTY: &str = "\"}\\";

/// One way to fill in a text, to see what comes of it.
pub(in crate::config) struct Sample<'a, F> {
    /// What is wrong when it fails, up to the parser's own words: `"is not JSON when …"`.
    pub(in crate::config) what: String,
    /// The values.
    pub(in crate::config) value: Box<dyn Fn(&F) -> Value<'static> + 'a>,
}

/// Reads a table of headers. Names are unique.
pub(in crate::config) fn read_headers<F: Field>(table: &Table<'_>) -> Vec<(HeaderName, Template<F>)> {
    let mut headers: Vec<(HeaderName, Template<F>)> = Vec::new();
    for (key, item) in table.names() {
        let (Some(name), Some(text)) = (names::header_key(key, &item), item.string()) else {
            continue;
        };
        let value = Template::<F>::read(text, Escape::Header, &item);
        if HeaderValue::from_str(text).is_err() {
            item.error(
                "cannot be the value of a header",
                "visible characters only, on one line",
            );
        } else if name == header::CONTENT_TYPE && value.constant().is_none() {
            item.error(
                "has a placeholder, but decides how the body is escaped",
                "write it without placeholders",
            );
        } else if name == header::CONTENT_TYPE && !is_media_type(text) {
            item.error("is not a media type", format!("for example \"{JSON}\""));
        } else if headers.iter().any(|(other, _)| *other == name) {
            item.key_place()
                .error("names a header for the second time", "case makes no difference");
        } else {
            headers.push((name, value));
        }
    }
    headers
}

/// Reads a body, escaped as the `Content-Type` among `headers` asks for; it is added where it is not among them. What would
/// not be JSON, though it says so, is reported.
pub(in crate::config) fn read_body<F: Field>(
    item: &Item<'_>,
    headers: &mut Vec<(HeaderName, Template<F>)>,
    samples: &[Sample<'_, F>],
) -> Option<Template<F>> {
    let escape = escape_of(headers);
    let mut is_known = true;
    let body = Template::parse(item.string()?, escape, |name| {
        is_known = false;
        super::report_unknown::<F>(name, item);
    });
    if is_known && escape == Escape::Json {
        check_json(&body, item, samples);
    }
    Some(body)
}

/// What the `Content-Type` among `headers` asks for; it is added where it is not among them.
pub(in crate::config) fn escape_of<F: Field>(headers: &mut Vec<(HeaderName, Template<F>)>) -> Escape {
    let named = headers.iter().find(|(name, _)| *name == header::CONTENT_TYPE);
    if let Some((_, value)) = named {
        return Escape::for_content_type(value.constant().unwrap_or_default());
    }
    headers.push((header::CONTENT_TYPE, Template::of(JSON, Escape::Header)));
    Escape::Json
}

fn check_json<F: Field>(body: &Template<F>, item: &Item<'_>, samples: &[Sample<'_, F>]) {
    for sample in samples {
        let Err(error) = serde_json::from_str::<IgnoredAny>(&body.render(&sample.value)) else {
            continue;
        };
        // The position would be one of the filled-in text, not of the file.
        let error = error.to_string();
        let why = error.split(" at line ").next().unwrap_or_default();
        item.error(
            format!("{}: {why}", sample.what),
            "mend it, or name another Content-Type in `headers`; outside of quotes a placeholder is a whole JSON value",
        );
        return;
    }
}

/// RFC 9110 §8.3.1: `type "/" subtype`, then parameters.
fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence
        .split_once('/')
        .is_some_and(|(kind, subtype)| names::is_token(kind) && names::is_token(subtype))
}
