//! What may stand in `Host` and `:authority`.

use std::net::Ipv6Addr;

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), closed: a name or IPv4 address of unreserved characters (RFC 3986 §2.3), or an
/// IPv6 address in brackets. Percent-encodings and sub-delimiters, which RFC 3986 would let into a registered name, are
/// refused: no host has them, and a comma or a quote would change the meaning of the forwarded headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authority<'a> {
    host: &'a [u8],
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses it; `None` where it is not valid.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let (host, rest) = match text {
            [b'[', ..] => {
                let end = memchr::memchr(b']', text)?;
                let literal = std::str::from_utf8(&text[1..end]).ok()?;
                literal.parse::<Ipv6Addr>().ok()?;
                text.split_at(end + 1)
            }
            _ => {
                let end = memchr::memchr(b':', text).unwrap_or(text.len());
                let (name, rest) = text.split_at(end);
                let unreserved = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
                if name.is_empty() || !name.iter().all(unreserved) {
                    return None;
                }
                (name, rest)
            }
        };
        let port = match rest {
            [] => None,
            [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
                Some(std::str::from_utf8(digits).ok()?.parse().ok()?)
            }
            _ => return None,
        };
        Some(Self { host, port })
    }

    /// Whether both name the same origin under `scheme`: without case, and a missing port being the scheme's own.
    pub(super) fn agrees(&self, other: &Self, scheme: Option<&str>) -> bool {
        let default = match scheme {
            Some("https") => Some(443),
            Some("http") => Some(80),
            Some(_) | None => None,
        };
        self.host.eq_ignore_ascii_case(other.host) && self.port.or(default) == other.port.or(default)
    }
}
