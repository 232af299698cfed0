//! Which request ids and trace contexts of clients are kept.

use http::{HeaderMap, HeaderValue};

use super::{TRACEPARENT, X_REQUEST_ID};
use crate::policy::credential::fields::trim;

/// The client's `X-Request-Id`, where its sender is trusted and it is one line of 1 to 128 characters of visible ASCII
/// without quotes, commas, angle brackets and backslashes. `None`: make one.
#[must_use]
pub fn kept_request_id(headers: &HeaderMap, trusted: bool) -> Option<HeaderValue> {
    let value = only(headers, trusted, &X_REQUEST_ID)?;
    let allowed = |byte: &u8| byte.is_ascii_graphic() && !b"\"'`,<>\\".contains(byte);
    let id = value.as_bytes();
    (matches!(id.len(), 1..=128) && id.iter().all(allowed)).then(|| value.clone())
}

/// The client's `traceparent`, where its sender is trusted and it is valid (W3C Trace Context §3.2.2 and, for later
/// versions, §4.3). `None`: make one.
#[must_use]
pub fn kept_traceparent(headers: &HeaderMap, trusted: bool) -> Option<HeaderValue> {
    let value = only(headers, trusted, &TRACEPARENT)?;
    is_traceparent(value.as_bytes()).then(|| value.clone())
}

fn only<'a>(headers: &'a HeaderMap, trusted: bool, name: &http::HeaderName) -> Option<&'a HeaderValue> {
    if !trusted {
        return None;
    }
    let mut lines = headers.get_all(name).iter();
    let value = lines
        .next()
        .filter(|value| trim(value.as_bytes()) == value.as_bytes())?;
    lines.next().is_none().then_some(value)
}

/// `version "-" 32 hex "-" 16 hex "-" 2 hex`, all lower-case, neither id all zero, version not `ff`; a later version than
/// `00` may go on after another `-`.
fn is_traceparent(value: &[u8]) -> bool {
    let Some((known, rest)) = value.split_at_checked(55) else {
        return false;
    };
    let mut fields = known.split(|&byte| byte == b'-');
    let mut hex = |length: usize| {
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        fields
            .next()
            .filter(|field| field.len() == length && field.iter().all(is_hex))
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (hex(2), hex(32), hex(16), hex(2)) else {
        return false;
    };
    let zero = |id: &[u8]| id.iter().all(|&byte| byte == b'0');
    let ends_well = rest.is_empty() || (version != b"00" && rest.first() == Some(&b'-'));
    version != b"ff" && !zero(trace) && !zero(parent) && ends_well
}
