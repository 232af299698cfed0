//! What a request head must be, in HTTP/1.1 and HTTP/2 alike, before anything else looks at it.
//!
//! A room of its own because everything behind it relies on one reading of the request: one host, one path, one length,
//! one meaning of `Connection`. What only the raw bytes of an HTTP/1 head show (line ends, folding, fragments) is checked
//! before parsing, elsewhere; everything that a parsed head shows is checked here, also where a parser should have.

pub(super) mod authority;
mod path;
#[cfg(test)]
mod tests;
mod upgrade;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

pub use self::path::{loosest, path_check};

use self::authority::Authority;
use super::credential::fields;
use super::head::ClientHead;
use super::header_law::{HeaderLaw, connection};
use super::refusal::Hygiene;
use crate::config::upstreams::Paths;

/// What a sound head says.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// The one host that the request is for, with its port where it has one, as written.
    pub authority: &'a str,
    /// The protocol that the client asks to upgrade to, where it can be carried: never `h2c`, `HTTP` or `TLS`.
    pub upgrade: Option<&'a HeaderValue>,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
}

impl Checked<'_> {
    /// The authority as a header's value: where it came as `Host`, that very value, which is shared and not copied.
    ///
    /// # Errors
    ///
    /// Never for a head that was checked.
    pub(super) fn host(&self, head: &ClientHead<'_>) -> Result<HeaderValue, Hygiene> {
        match head.headers.get(HOST) {
            Some(host) if host == self.authority => Ok(host.clone()),
            Some(_) | None => HeaderValue::from_str(self.authority).map_err(|_| Hygiene::Host),
        }
    }
}

/// Checks a head. `paths` is [`loosest`] over all upstreams; [`path_check`] comes again once the upstream is known.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check<'a>(head: &ClientHead<'a>, law: &HeaderLaw, paths: &Paths) -> Result<Checked<'a>, Hygiene> {
    check_version_and_method(head)?;
    let authority = authority(head)?;
    check_target(head, paths)?;
    check_length(head)?;
    check_connection(head, law)?;
    Ok(Checked {
        authority,
        upgrade: upgrade::requested(head)?,
        expects_continue: expects_continue(head)?,
    })
}

fn check_version_and_method(head: &ClientHead<'_>) -> Result<(), Hygiene> {
    if ![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2].contains(&head.version) {
        return Err(Hygiene::Version);
    }
    if [Method::TRACE, Method::CONNECT].contains(head.method) {
        return Err(Hygiene::Method);
    }
    Ok(())
}

/// Exactly one valid `Host` (RFC 9112 §3.2; demanded of HTTP/1.0 too) or `:authority` (RFC 9113 §8.3.1); where both are
/// there, or a target in absolute-form, they agree.
fn authority<'a>(head: &ClientHead<'a>) -> Result<&'a str, Hygiene> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next().map(|value| text(value).ok_or(Hygiene::Host)).transpose()?;
    if hosts.next().is_some() {
        return Err(Hygiene::Host);
    }
    let target = head.uri.authority().map(http::uri::Authority::as_str);
    let named = if head.version == Version::HTTP_2 {
        target.or(host)
    } else {
        host
    };
    let named = named.ok_or(Hygiene::Host)?;
    if let (Some(one), Some(other)) = (host, target) {
        let one = Authority::parse(one.as_bytes()).ok_or(Hygiene::Host)?;
        let other = Authority::parse(other.as_bytes()).ok_or(Hygiene::Host)?;
        if !one.agrees(&other, head.uri.scheme_str()) {
            return Err(Hygiene::HostMismatch);
        }
    }
    Authority::parse(named.as_bytes()).map(|_| named).ok_or(Hygiene::Host)
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok().map(str::trim_ascii)
}

/// Origin-form; absolute-form of `http` and `https`; asterisk-form for `OPTIONS` (RFC 9112 §3.2).
fn check_target(head: &ClientHead<'_>, paths: &Paths) -> Result<(), Hygiene> {
    match (head.uri.scheme_str(), head.uri.authority()) {
        (None, None) | (Some("http" | "https"), Some(_)) => {}
        (Some(_), _) | (None, Some(_)) => return Err(Hygiene::AbsoluteForm),
    }
    if head.uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Hygiene::Syntax);
    }
    path_check(head.uri.path(), paths)
}

/// One length or none: never `Content-Length` beside `Transfer-Encoding`, each at most once, the one a number, the other
/// `chunked`, and neither transfer coding in HTTP/1.0 (RFC 9112 §6).
fn check_length(head: &ClientHead<'_>) -> Result<(), Hygiene> {
    let length = only(head.headers, &CONTENT_LENGTH).map_err(|_| Hygiene::ContentLength)?;
    let coding = only(head.headers, &TRANSFER_ENCODING).map_err(|_| Hygiene::TransferEncoding)?;
    if length.is_some() && coding.is_some() {
        return Err(Hygiene::AmbiguousLength);
    }
    if let Some(length) = length {
        let digits = std::str::from_utf8(length)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(Hygiene::ContentLength)?;
    }
    match coding {
        Some(coding) if head.version != Version::HTTP_11 || !coding.eq_ignore_ascii_case(b"chunked") => {
            Err(Hygiene::TransferEncoding)
        }
        Some(_) | None => Ok(()),
    }
}

struct Repeated;

/// The trimmed value of a header that may come once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Repeated> {
    let mut lines = headers.get_all(name).iter();
    let value = lines.next().map(|value| fields::trim(value.as_bytes()));
    match lines.next() {
        Some(_) => Err(Repeated),
        None => Ok(value),
    }
}

/// `Connection` holds tokens and names nothing that others rely on (RFC 9110 §7.6.1); HTTP/2 has none of its kind, and no
/// `TE` but `trailers` (RFC 9113 §8.2.2).
fn check_connection(head: &ClientHead<'_>, law: &HeaderLaw) -> Result<(), Hygiene> {
    if head.version == Version::HTTP_2 {
        let specific = ["connection", "proxy-connection", "keep-alive", "transfer-encoding"];
        let te = head
            .headers
            .get_all(TE)
            .iter()
            .all(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
        if !te || head.headers.contains_key(UPGRADE) || specific.iter().any(|name| head.headers.contains_key(*name)) {
            return Err(Hygiene::Connection);
        }
        return Ok(());
    }
    let options = connection::options(head.headers);
    if options.malformed || options.named.iter().any(|name| law.protects(name)) {
        return Err(Hygiene::Connection);
    }
    Ok(())
}

/// `Expect` (RFC 9110 §10.1.1): `100-continue` or nothing; not heeded in HTTP/1.0.
fn expects_continue(head: &ClientHead<'_>) -> Result<bool, Hygiene> {
    let mut expected = false;
    for value in head.headers.get_all(EXPECT) {
        if !fields::trim(value.as_bytes()).eq_ignore_ascii_case(b"100-continue") {
            return Err(Hygiene::Expectation);
        }
        expected = true;
    }
    Ok(expected && head.version != Version::HTTP_10)
}
