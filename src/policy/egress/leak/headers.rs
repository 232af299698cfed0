//! The headers of a message to a receiver: what is not the service's own goes.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;
use zeroize::Zeroizing;

use super::Leaks;
use super::candidates::is_token;
use super::scanner::Scanner;
use super::search::{HEADER_LENGTH_MIN, Search};
use crate::config::credentials::Source;
use crate::policy::credential::{fields, scan};
use crate::policy::header_law::names::Class;
use crate::policy::header_law::{TRACEPARENT, X_REQUEST_ID, connection, cut};

/// What was removed: a name for each value, in order. Never a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed(SmallVec<[HeaderName; 4]>);

impl Removed {
    /// How many values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everything stayed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, one for each value.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter()
    }
}

/// What happens to all values of one name.
#[derive(Clone, Copy)]
enum Fate {
    Keep,
    Drop,
    /// Where some source stands: what has its form goes.
    Credential,
    /// What holds a key goes.
    Look,
}

impl Leaks {
    /// Removes from the headers that a service sends to a receiver:
    ///
    /// - what belongs to one connection, and every name on `Connection`;
    /// - the sources of credentials (of keys, and of users): a header that is one, whole; a header that is one with a scheme
    ///   word, where the value has that word (`Basic` for passwords); a cookie and a WebSocket protocol entry alone;
    /// - identity headers, `X-Admin-Key`, `X-Egress-Token`, `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, and the names that
    ///   are to be stripped besides, all of them in any spelling that folds to one (as the law of requests has it);
    /// - every value that holds a key, dead or alive, or what may be one with a slow hash ([`Search::holds_key`]); of cookies,
    ///   the pair alone.
    ///
    /// Everything else stays: `X-Request-Id`, `traceparent` and `tracestate`, and an `Authorization` that is in no source's form and
    /// holds no key, since a service may have a token of its customer's. `Host`, `Content-Length` and `Trailer` are left to whoever
    /// writes the message.
    #[must_use]
    pub fn scrub(&self, headers: &mut HeaderMap, search: &Search<'_>) -> Removed {
        let options = connection::options(headers);
        let mut removed = Removed::default();
        let mut kept: SmallVec<[(HeaderName, HeaderValue); 16]> = SmallVec::new();
        let mut current: Option<(HeaderName, Fate)> = None;
        for (name, value) in headers.drain() {
            if let Some(name) = name {
                let fate = if options.names(&name) {
                    Fate::Drop
                } else {
                    self.fate(&name)
                };
                current = Some((name, fate));
            }
            let Some((name, fate)) = &current else { continue };
            let length = value.len();
            let rest = match fate {
                Fate::Keep => Some(value),
                Fate::Drop => None,
                Fate::Credential => self
                    .without_sources(name, value)
                    .and_then(|rest| without_keys(name, rest, search)),
                Fate::Look => without_keys(name, value, search),
            };
            if rest.as_ref().map(HeaderValue::len) != Some(length) {
                removed.0.push(name.clone());
            }
            kept.extend(rest.map(|rest| (name.clone(), rest)));
        }
        for (name, value) in kept {
            headers.append(name, value);
        }
        removed
    }

    fn fate(&self, name: &HeaderName) -> Fate {
        match self.names.class_of(name) {
            Class::Plain | Class::TraceState => Fate::Look,
            Class::Reserved if *name == X_REQUEST_ID || *name == TRACEPARENT => Fate::Look,
            Class::Framing => Fate::Keep,
            Class::Credential => Fate::Credential,
            Class::HopByHop
            | Class::Te
            | Class::Reserved
            | Class::XForwarded
            | Class::Forwarded
            | Class::ClientAddress
            | Class::Misspelled => Fate::Drop,
        }
    }

    /// A value without what has the form of a source.
    fn without_sources(&self, name: &HeaderName, value: HeaderValue) -> Option<HeaderValue> {
        let has_word = |word| scan::after_scheme(fields::trim(value.as_bytes()), word).is_some();
        let is_taken = self.sources.iter().any(|source| match source {
            Source::Header(header) => header == name,
            Source::Scheme { header, scheme } => header == name && has_word(scheme),
            Source::BasicPassword => *name == AUTHORIZATION && has_word("Basic"),
            Source::Query(_) | Source::Cookie(_) | Source::WebSocketProtocol(_) => false,
        });
        if is_taken {
            None
        } else if *name == COOKIE {
            cut::cookies(value, &self.sources, &self.all)
        } else if *name == SEC_WEBSOCKET_PROTOCOL {
            cut::protocols(value, &self.sources, &self.all)
        } else {
            Some(value)
        }
    }
}

impl Search<'_> {
    /// Whether a header's value, or another short text, holds a key, dead or alive, or what may be one with a slow hash: as the
    /// whole, behind a scheme word or a colon, in a list, percent-encoded, or in base64, as the user or the password of
    /// `Basic` is. As in bodies, but from four characters on.
    #[must_use]
    pub fn holds_key(&self, text: &[u8]) -> bool {
        if self.keyring.is_empty() {
            return false;
        }
        let text = fields::trim(text);
        self.is_in(text)
            || text
                .split(|&byte| !is_token(byte))
                .any(|token| self.is_encoded_in(token))
    }

    fn is_encoded_in(&self, token: &[u8]) -> bool {
        // A key in base64 is longer than it.
        let decoded = decode(token).filter(|decoded| decoded.len() >= HEADER_LENGTH_MIN);
        decoded.is_some_and(|decoded| decoded.iter().all(u8::is_ascii_graphic) && self.is_in(&decoded))
    }

    fn is_in(&self, text: &[u8]) -> bool {
        let known = |part: &[u8]| !part.is_empty() && self.know(part).is_some();
        let mut scanner = Scanner::from(self.leaks, HEADER_LENGTH_MIN);
        known(text)
            || behind(text, b' ').is_some_and(known)
            || behind(text, b':').is_some_and(known)
            || scanner.feed(text, self).is_break()
            || !scanner.end(self).is_clean()
    }
}

fn without_keys(name: &HeaderName, value: HeaderValue, search: &Search<'_>) -> Option<HeaderValue> {
    if *name == COOKIE {
        return cut::without(value, b';', |pair| search.holds_key(pair));
    }
    (!search.holds_key(value.as_bytes())).then_some(value)
}

/// What follows the first `separator`, without the spaces around it.
fn behind(text: &[u8], separator: u8) -> Option<&[u8]> {
    let at = memchr::memchr(separator, text)?;
    Some(fields::trim(&text[at + 1..]))
}

/// Base64 of either alphabet, with its padding or without.
fn decode(token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let decoded = STANDARD.decode(token).or_else(|_| URL_SAFE.decode(token));
    decoded.ok().map(Zeroizing::new)
}
