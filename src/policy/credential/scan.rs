//! How each kind of source is read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use zeroize::Zeroize;

use super::fields::{self, Decoded};
use crate::config::credentials::Source;
use crate::policy::head::ClientHead;
use crate::secret::Presented;

/// What one occurrence of a source holds.
pub(super) enum Reading<'a> {
    /// The source's header, with another scheme word.
    Foreign,
    /// In the source's form, but it does not decode.
    Broken(&'static str),
    /// A key, not yet judged; may be empty.
    Key(Presented<'a>),
}

/// Tells `visit` every occurrence of `source`, which is one of `sources`.
pub(super) fn read<'a>(
    source: &Source,
    sources: &[Source],
    head: &ClientHead<'a>,
    visit: &mut impl FnMut(Reading<'a>),
) {
    match source {
        Source::Scheme { header, scheme } => {
            for value in lines(head, header) {
                visit(match after_scheme(value, scheme) {
                    Some(key) => Reading::Key(Presented::borrowed(key)),
                    None => Reading::Foreign,
                });
            }
        }
        Source::Header(header) => {
            for value in lines(head, header).filter(|value| !has_scheme(sources, header, value)) {
                visit(Reading::Key(Presented::borrowed(value)));
            }
        }
        Source::BasicPassword => {
            for value in lines(head, &AUTHORIZATION) {
                visit(after_scheme(value, "Basic").map_or(Reading::Foreign, password));
            }
        }
        Source::Query(name) => {
            for pair in fields::query(head.uri.query().unwrap_or_default()) {
                if fields::is_parameter(pair, name) {
                    visit(parameter(pair));
                }
            }
        }
        Source::Cookie(name) => {
            for value in lines(head, &COOKIE) {
                for pair in fields::cookies(value) {
                    if let Some(key) = fields::cookie_value(pair, name) {
                        visit(Reading::Key(Presented::borrowed(key)));
                    }
                }
            }
        }
        Source::WebSocketProtocol(prefix) => {
            for value in lines(head, &SEC_WEBSOCKET_PROTOCOL) {
                for entry in fields::entries(value) {
                    if let Some(key) = fields::trim(entry).strip_prefix(prefix.as_bytes()) {
                        visit(Reading::Key(Presented::borrowed(key)));
                    }
                }
            }
        }
    }
}

fn lines<'a>(head: &ClientHead<'a>, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    head.headers
        .get_all(name)
        .iter()
        .map(|value| fields::trim(value.as_bytes()))
}

/// What follows the scheme word and its spaces; empty where nothing follows. `None`: another word.
pub(crate) fn after_scheme<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let end = memchr::memchr(b' ', value).unwrap_or(value.len());
    let (word, mut rest) = value.split_at(end);
    if !word.eq_ignore_ascii_case(scheme.as_bytes()) {
        return None;
    }
    while let [b' ', tail @ ..] = rest {
        rest = tail;
    }
    Some(rest)
}

/// Whether another source reads this value by its scheme word.
fn has_scheme(sources: &[Source], name: &HeaderName, value: &[u8]) -> bool {
    sources.iter().any(|source| match source {
        Source::Scheme { header, scheme } => header == name && after_scheme(value, scheme).is_some(),
        Source::BasicPassword => *name == AUTHORIZATION && after_scheme(value, "Basic").is_some(),
        Source::Header(_) | Source::Query(_) | Source::Cookie(_) | Source::WebSocketProtocol(_) => false,
    })
}

/// The token in the value of an `Authorization` or `Proxy-Authorization`: after `Bearer`, or the password after `Basic`.
pub(in crate::policy) fn token(value: &[u8]) -> Option<Presented<'_>> {
    let value = fields::trim(value);
    if let Some(token) = after_scheme(value, "Bearer") {
        return Some(Presented::borrowed(token));
    }
    match password(after_scheme(value, "Basic")?) {
        Reading::Key(password) => Some(password),
        Reading::Foreign | Reading::Broken(_) => None,
    }
}

fn password<'a>(encoded: &[u8]) -> Reading<'a> {
    let Ok(mut decoded) = STANDARD.decode(encoded) else {
        return Reading::Broken("basic");
    };
    let Some(colon) = memchr::memchr(b':', &decoded) else {
        decoded.zeroize();
        return Reading::Broken("basic");
    };
    decoded.drain(..=colon);
    Reading::Key(Presented::decoded(decoded))
}

fn parameter(pair: &str) -> Reading<'_> {
    match fields::decode(fields::parameter_value(pair)) {
        Some(Decoded::Verbatim(key)) => Reading::Key(Presented::borrowed(key)),
        Some(Decoded::Owned(key)) => Reading::Key(Presented::decoded(key)),
        None => Reading::Broken("percent_encoding"),
    }
}
