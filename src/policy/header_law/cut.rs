//! Cuts a key out of a value that holds other things too: the rest stays byte for byte.

use bytes::Bytes;
use http::header::COOKIE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};

use crate::config::credentials::Source;
use crate::policy::credential::{Taken, fields};

/// A Cookie value without the cookies that carried the key. `None`: nothing is left.
pub(crate) fn cookies(value: HeaderValue, sources: &[Source], taken: &Taken) -> Option<HeaderValue> {
    without(value, b';', |pair| {
        taken.indices().any(|index| match &sources[index] {
            Source::Cookie(name) => fields::cookie_value(pair, name).is_some(),
            Source::Scheme { .. }
            | Source::Header(_)
            | Source::BasicPassword
            | Source::Query(_)
            | Source::WebSocketProtocol(_) => false,
        })
    })
}

/// Makes one Cookie line out of several.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1 {
        let joined = HeaderValue::from_bytes(&lines.join(&b"; "[..])).expect("made of valid values");
        headers.insert(COOKIE, joined);
    }
}

/// A Sec-WebSocket-Protocol value without the entries that carried the key. `None`: nothing is left.
pub(crate) fn protocols(value: HeaderValue, sources: &[Source], taken: &Taken) -> Option<HeaderValue> {
    without(value, b',', |entry| {
        taken.indices().any(|index| match &sources[index] {
            Source::WebSocketProtocol(prefix) => fields::trim(entry).starts_with(prefix.as_bytes()),
            Source::Scheme { .. }
            | Source::Header(_)
            | Source::BasicPassword
            | Source::Query(_)
            | Source::Cookie(_) => false,
        })
    })
}

/// The target's path and query without the parameters that are sources, whether or not a key was found there.
pub(super) fn target(uri: &Uri, sources: &[Source]) -> PathAndQuery {
    let is_source = |part: &str| {
        sources.iter().any(|source| match source {
            Source::Query(name) => fields::is_parameter(part, name),
            Source::Scheme { .. }
            | Source::Header(_)
            | Source::BasicPassword
            | Source::Cookie(_)
            | Source::WebSocketProtocol(_) => false,
        })
    };
    let Some(query) = uri.query().filter(|query| fields::query(query).any(is_source)) else {
        let whole = uri.path_and_query().cloned();
        return whole.unwrap_or_else(|| PathAndQuery::from_static("/"));
    };
    let mut target = String::with_capacity(uri.path().len() + 1 + query.len());
    target.push_str(uri.path());
    let mut separator = '?';
    for part in fields::query(query).filter(|part| !is_source(part)) {
        target.push(separator);
        target.push_str(part);
        separator = '&';
    }
    if target.ends_with('?') {
        target.pop();
    }
    PathAndQuery::from_maybe_shared(Bytes::from(target)).expect("part of a valid target is a valid target")
}

/// `value` without the parts for which `cut` holds. The separators between the others stay as they are.
pub(crate) fn without(value: HeaderValue, separator: u8, cut: impl Fn(&[u8]) -> bool) -> Option<HeaderValue> {
    let parts = || value.as_bytes().split(|&byte| byte == separator);
    if !parts().any(&cut) {
        return Some(value);
    }
    let kept: Vec<&[u8]> = parts().filter(|part| !cut(part)).collect();
    if kept.iter().all(|part| part.trim_ascii().is_empty()) {
        return None;
    }
    let joined = kept.join(&separator);
    let mut rest = HeaderValue::from_bytes(joined.trim_ascii()).expect("part of a valid value is a valid value");
    rest.set_sensitive(value.is_sensitive());
    Some(rest)
}
