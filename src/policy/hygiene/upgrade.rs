//! `Upgrade` (RFC 9110 §7.8): which wishes can be carried out.

use http::HeaderValue;
use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};

use super::{ClientHead, Hygiene, connection, fields};
use crate::config::names::is_token_byte;

/// The protocol to upgrade to.
///
/// `None` where there is no such wish, and where it is not heeded: in HTTP/1.0, without `Connection: upgrade` (a proxy in
/// between did not pass the wish on), with an empty `Upgrade`, and where every protocol on the list is `h2c`, `HTTP` or `TLS`. Those would let a client speak past Keygate on a connection that Keygate
/// believes to be a tunnel; common clients offer `h2c` on every cleartext request and go on without it.
///
/// # Errors
///
/// [`Hygiene::Upgrade`]: on several lines, with a body, with something that is not a
/// protocol, or with a protocol that could be carried beside one that must not.
pub(super) fn requested<'a>(head: &ClientHead<'a>) -> Result<Option<&'a HeaderValue>, Hygiene> {
    let mut lines = head.headers.get_all(UPGRADE).iter();
    let is_heeded = head.version == Version::HTTP_11 && connection::options(head.headers).upgrade;
    let Some(value) = lines.next().filter(|_| is_heeded) else {
        return Ok(None);
    };
    let (mut carried, mut ignored) = (0, 0);
    for protocol in fields::entries(value.as_bytes())
        .map(fields::trim)
        .filter(|protocol| !protocol.is_empty())
    {
        let name = name_of(protocol).ok_or(Hygiene::Upgrade)?;
        if [&b"h2c"[..], b"http", b"tls"]
            .iter()
            .any(|never| name.eq_ignore_ascii_case(never))
        {
            ignored += 1;
        } else {
            carried += 1;
        }
    }
    if lines.next().is_some() || (carried > 0 && ignored > 0) {
        return Err(Hygiene::Upgrade);
    }
    if carried == 0 {
        return Ok(None);
    }
    if has_body(head) {
        return Err(Hygiene::Upgrade);
    }
    Ok(Some(value))
}

/// `token [ "/" token ]`
fn name_of(protocol: &[u8]) -> Option<&[u8]> {
    let mut parts = protocol.split(|&byte| byte == b'/');
    let name = parts.next()?;
    let version = parts.next().unwrap_or(b"1");
    let tokens = [name, version]
        .iter()
        .all(|token| !token.is_empty() && token.iter().copied().all(is_token_byte));
    (tokens && parts.next().is_none()).then_some(name)
}

fn has_body(head: &ClientHead<'_>) -> bool {
    let length = head.headers.get(CONTENT_LENGTH);
    head.headers.contains_key(TRANSFER_ENCODING)
        || length.is_some_and(|length| !fields::trim(length.as_bytes()).iter().all(|&byte| byte == b'0'))
}
