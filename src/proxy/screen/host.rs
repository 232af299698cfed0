//! A valid `Host` value (RFC 9112 §3.2, RFC 3986 §3.2.2): a name or an address, and perhaps a port.
//!
//! Narrower than the grammar where it only helps those who want two readers to see two hosts: no percent-encoding, no
//! `sub-delims` (a comma would be two merged lines), no empty name, no `IPvFuture`, no zone.

use std::net::Ipv6Addr;

/// Whether a `Host` value names one host.
pub(super) fn is_valid(value: &[u8]) -> bool {
    let (host_is_valid, port) = if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', rest) else {
            return false;
        };
        (is_ipv6(&rest[..end]), &rest[end + 1..])
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        (is_name(&value[..end]), &value[end..])
    };
    host_is_valid && is_port(port)
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte))
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Nothing, or a colon and digits; RFC 3986 §3.2.3 allows none.
fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits
                    .iter()
                    .fold(0_u32, |port, digit| port * 10 + u32::from(digit - b'0'))
                    <= 65_535
        }
        [_, ..] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn hosts_that_name_one_host_are_valid() {
        for host in [
            "example.com",
            "EXAMPLE.com.",
            "a",
            "a_b.internal",
            "10.0.0.1",
            "10.0.0.1:8080",
            "[::1]",
            "[2001:db8::1]:443",
            "example.com:",
            "example.com:0",
            "example.com:65535",
            "xn--bcher-kva.example",
            "~user",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for host in [
            "",
            ":80",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "user:pw@a",
            "a:80:81",
            "a:65536",
            "a:000080",
            "a:+80",
            "a:8o",
            "[::1",
            "::1",
            "[::1]80",
            "[::1%25eth0]",
            "[v1.a]",
            "[]",
            "[10.0.0.1]",
            "a%2Eb",
            "a\\b",
            "a?b",
            "a#b",
            "a\u{e9}",
            "a\tb",
            "(a)",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }
}
