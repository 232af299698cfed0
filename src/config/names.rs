//! What names may look like, and which header fields may not be touched.
//!
//! A room of its own because several sections share these rules.

use http::HeaderName;

use super::reader::Item;

/// How long the name of a plan, an environment or an upstream may be.
const LONGEST: usize = 64;

/// Header fields that frame a message or belong to one connection (RFC 9110 §7.6.1, RFC 9112 §6): Keygate writes these
/// itself, and no configuration may name them.
const OWN: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reports a name of an operator's own that could not stand in headers, logs and metrics as it is.
pub(super) fn check(kind: &str, name: &str, item: &Item<'_>) {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(fits) {
        item.key_place().error(
            format!("{name:?} cannot be the name of {kind}"),
            format!("1 to {LONGEST} letters, digits, `-`, `_` or `.`"),
        );
    }
}

/// A header name that may be read or written by configuration.
pub(super) fn header(item: &Item<'_>) -> Option<HeaderName> {
    let text = item.text()?;
    let (name, problem) = header_name(text);
    if let Some((what, help)) = problem {
        item.error(what, help);
    }
    name
}

/// As [`header`], for a name that is a key.
pub(super) fn header_key(text: &str, item: &Item<'_>) -> Option<HeaderName> {
    let (name, problem) = header_name(text);
    if let Some((what, help)) = problem {
        item.key_place().error(what, help);
    }
    name
}

fn header_name(text: &str) -> (Option<HeaderName>, Option<(String, &'static str)>) {
    match HeaderName::from_bytes(text.as_bytes()) {
        Err(_) => (
            None,
            Some((
                format!("{text:?} is not a header name"),
                "letters, digits and `-`, for example X-API-Key",
            )),
        ),
        Ok(name) if OWN.contains(&name.as_str()) => (
            None,
            Some((
                format!("`{text}` belongs to the connection or frames the message"),
                "choose another header",
            )),
        ),
        Ok(name) => (Some(name), None),
    }
}

/// A name that becomes part of header names: a token.
pub(super) fn token(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    if is_token(name) {
        return Some(name.to_owned());
    }
    item.error(
        "cannot stand in a header name",
        "letters, digits, `-` and `_`, for example \"sec\"",
    );
    None
}

/// Whether `text` is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// Whether a byte may be part of a token, such as a method or a header name (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `text` is visible ASCII without spaces, so that it can stand in a space-separated list in a header.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}
