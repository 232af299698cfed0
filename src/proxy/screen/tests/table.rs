//! Raw heads and their verdicts, whole and cut at every byte.

use super::LIMITS;
use crate::config::names::is_token_byte;
use crate::policy::refusal::Hygiene;
use crate::proxy::screen::follow::{Follower, Stop};
use crate::proxy::screen::judge::Body;
use crate::proxy::screen::judge::{Framing, judge};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Passes, and is followed by another head.
    Pass,
    /// Passes, and then the screen waits for the service.
    Upgrade,
    /// Passes, and a body follows.
    Body,
    Refused(Hygiene),
    Incomplete,
}

use Verdict::{Incomplete, Pass, Refused, Upgrade};

/// The verdict over a head that arrives in parts.
fn verdict<'b>(parts: impl IntoIterator<Item = &'b [u8]>) -> Verdict {
    let mut follower = Follower::new(LIMITS);
    let mut held = Vec::new();
    for part in parts {
        held.extend_from_slice(part);
        let step = follower.advance(&held);
        held.drain(..step.passed);
        match step.stop {
            Stop::Nothing | Stop::Incomplete => {}
            Stop::Upgrade => return Upgrade,
            Stop::Refused(hygiene) => return Refused(hygiene),
            Stop::Broken => panic!("a head has no chunks"),
        }
    }
    match (follower.heads(), follower.in_body()) {
        (0, _) => Incomplete,
        (_, true) => Verdict::Body,
        (_, false) => Pass,
    }
}

fn check(head: &[u8], expected: Verdict, reference: &str) {
    let text = String::from_utf8_lossy(head);
    assert_eq!(verdict([head]), expected, "{text:?} ({reference})");
    let bytewise = head.chunks(1);
    assert_eq!(verdict(bytewise), expected, "{text:?} byte by byte ({reference})");
    for at in 1..head.len() {
        let (left, right) = head.split_at(at);
        assert_eq!(verdict([left, right]), expected, "{text:?} cut at {at} ({reference})");
    }
}

/// Raw head, verdict, reference.
#[rustfmt::skip]
const HEADS: &[(&str, Verdict, &str)] = &[
    // What everybody reads alike.
    ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Pass, "RFC 9112 §3"),
    (
        "GET /a/b?c=d&e HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\n\r\n",
        Pass,
        "RFC 9112 §3.2.1",
    ),
    ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", Pass, "RFC 9112 §2.3"),
    ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Pass, "RFC 9112 §3.2.4"),
    (
        "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        Pass,
        "RFC 9112 §3.2.2; which host is judged later",
    ),
    (
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        Pass,
        "RFC 9112 §3.2.3; the method is judged later",
    ),
    ("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", Pass, "RFC 9110 §9.1"),
    ("GET / HTTP/1.1\r\nhOsT:a\r\n\r\n", Pass, "RFC 9110 §5.1"),
    ("GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n", Pass, "RFC 9112 §5.1"),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e9}\r\n\r\n",
        Pass,
        "RFC 9110 §5.5, obs-text",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\tc\r\n\r\n",
        Pass,
        "RFC 9110 §5.5, tab",
    ),
    ("GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", Pass, "RFC 9110 §5.5, empty"),
    ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Pass, "RFC 3986 §3.2.2"),
    (
        "GET /{\"a\":1} HTTP/1.1\r\nHost: a\r\n\r\n",
        Pass,
        "RFC 3986 §3.3, as http::Uri takes it",
    ),
    (
        "GET /a%20b%2Fc HTTP/1.1\r\nHost: a\r\n\r\n",
        Pass,
        "RFC 3986 §2.1; slashes are judged later",
    ),
    ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Pass, "RFC 9112 §2.2"),
    (
        "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Pass,
        "RFC 9112 §2.2",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        Pass,
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        Verdict::Body,
        "RFC 9112 §6.2",
    ),
    (
        "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        Verdict::Body,
        "RFC 9112 §6.2",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\n",
        Verdict::Body,
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        Verdict::Body,
        "RFC 9112 §7.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\n\r\n",
        Verdict::Body,
        "RFC 9112 §7",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        Upgrade,
        "RFC 9110 §7.8",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: a\r\nConnection: b, upgrade\r\n\r\n",
        Upgrade,
        "RFC 9110 §7.6.1",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        Pass,
        "RFC 9110 §7.8",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
        Pass,
        "RFC 9110 §7.8",
    ),
    (
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        Pass,
        "RFC 9110 §7.8",
    ),
    // Not complete.
    ("", Incomplete, "RFC 9112 §2.2"),
    ("\r\n", Incomplete, "RFC 9112 §2.2"),
    ("GET / HTTP/1.1\r\nHost: a\r\n", Incomplete, "RFC 9112 §2.2"),
    // The request line.
    (
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §3",
    ),
    (
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §3",
    ),
    (
        "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §3",
    ),
    (
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §3.2",
    ),
    (
        "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §3",
    ),
    (
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §2.2",
    ),
    (
        "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9110 §9.1",
    ),
    (
        "GET / http/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §2.3",
    ),
    (
        "GET / HTTP/1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §2.3",
    ),
    (
        "GET / HTTP/11.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §2.3",
    ),
    (
        "GET / ICY/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §2.3",
    ),
    ("GET /\r\n", Refused(Hygiene::Syntax), "RFC 9112 §2.3, HTTP/0.9"),
    (
        "GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 3986 §3.3",
    ),
    (
        "GET /?a=\"b\" HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 3986 §3.4",
    ),
    (
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 3986 §2",
    ),
    (
        "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9110 §4.2.1",
    ),
    (
        "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §3.2",
    ),
    (
        "\u{16}\u{3}\u{1}\u{2}",
        Refused(Hygiene::Syntax),
        "RFC 9112 §2.2, a TLS handshake",
    ),
    (
        "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §2.2",
    ),
    (
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Version),
        "RFC 9110 §15.6.6",
    ),
    (
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Version),
        "RFC 9110 §15.6.6",
    ),
    (
        "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Version),
        "RFC 9110 §15.6.6",
    ),
    (
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        Refused(Hygiene::Version),
        "RFC 9113 §3.4",
    ),
    (
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Fragment),
        "RFC 9112 §3.2",
    ),
    (
        "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Fragment),
        "RFC 9112 §3.2",
    ),
    (
        "GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Fragment),
        "RFC 9112 §3.2",
    ),
    (
        "GET #a HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Fragment),
        "RFC 9112 §3.2",
    ),
    // Lines.
    (
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n",
        Refused(Hygiene::LineEnding),
        "RFC 9112 §2.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        Refused(Hygiene::ObsoleteFolding),
        "RFC 9112 §5.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n\tX: b\r\n\r\n",
        Refused(Hygiene::ObsoleteFolding),
        "RFC 9112 §5.2",
    ),
    (
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §2.2, space before the first header",
    ),
    (
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §5.1",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §5",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9112 §5",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n",
        Refused(Hygiene::Syntax),
        "RFC 9110 §5.6.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
        Refused(Hygiene::ControlCharacter),
        "RFC 9110 §5.5",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\u{7f}\r\n\r\n",
        Refused(Hygiene::ControlCharacter),
        "RFC 9110 §5.5",
    ),
    (
        "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::ControlCharacter),
        "RFC 9112 §3.2",
    ),
    (
        "GET /a\u{b}b HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused(Hygiene::ControlCharacter),
        "RFC 9112 §3.2",
    ),
    // Host.
    ("GET / HTTP/1.1\r\n\r\n", Refused(Hygiene::Host), "RFC 9112 §3.2"),
    (
        "GET / HTTP/1.0\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 9112 §3.2, for HTTP/1.0 as well",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 9112 §3.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a\r\nHOST: b\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 9112 §3.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 9110 §4.2.1",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 9112 §3.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 9112 §3.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 9110 §4.2.4",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 9112 §3.2",
    ),
    (
        "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        Refused(Hygiene::Host),
        "RFC 3986 §3.2.3",
    ),
    // The body's length.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refused(Hygiene::AmbiguousLength),
        "RFC 9112 §6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nContent-Length: 5\r\n\r\n",
        Refused(Hygiene::AmbiguousLength),
        "RFC 9112 §6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9112 §6.3",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9112 §6.3",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9112 §6.3",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n",
        Refused(Hygiene::ContentLength),
        "RFC 9110 §8.6",
    ),
    (
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §6.3",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §6.3",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §6.3",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9110 §5.6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9110 §5.6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §7.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §7",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
        Refused(Hygiene::TransferEncoding),
        "RFC 9112 §6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        Refused(Hygiene::UnknownTransferCoding),
        "RFC 9112 §6.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x;q=1 , Chunked\r\n\r\n",
        Refused(Hygiene::UnknownTransferCoding),
        "RFC 9112 §7",
    ),
];

#[test]
fn every_head_gets_its_verdict_wherever_it_is_cut() {
    for &(head, verdict, reference) in HEADS {
        check(head.as_bytes(), verdict, reference);
    }
}

#[test]
fn limits_are_enforced_at_the_byte_that_passes_them() {
    let head = |target: usize, padding: usize| {
        let line = format!("GET /{} HTTP/1.1\r\nHost: a\r\nX: ", "t".repeat(target - 1));
        let fill = "v".repeat(padding.saturating_sub(line.len() + 4));
        format!("{line}{fill}\r\n\r\n")
    };
    check(
        head(10, LIMITS.head_bytes).as_bytes(),
        Pass,
        "431 begins above head_bytes",
    );
    check(
        head(10, LIMITS.head_bytes + 1).as_bytes(),
        Refused(Hygiene::HeadTooLarge),
        "RFC 6585 §5",
    );
    check(
        head(LIMITS.target_bytes, 0).as_bytes(),
        Pass,
        "414 begins above target_bytes",
    );
    check(
        head(LIMITS.target_bytes + 1, 0).as_bytes(),
        Refused(Hygiene::TargetTooLong),
        "RFC 9110 §15.5.15",
    );

    let endless = "GET /".to_owned() + &"t".repeat(LIMITS.target_bytes);
    check(
        endless.as_bytes(),
        Refused(Hygiene::TargetTooLong),
        "without waiting for the end of the line",
    );
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "v".repeat(LIMITS.head_bytes));
    check(
        endless.as_bytes(),
        Refused(Hygiene::HeadTooLarge),
        "without waiting for the end of the head",
    );
    let endless = "G".repeat(LIMITS.head_bytes + 1);
    check(
        endless.as_bytes(),
        Refused(Hygiene::HeadTooLarge),
        "a method without end",
    );

    let lines = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    check(
        lines(LIMITS.header_count).as_bytes(),
        Pass,
        "431 begins above header_count",
    );
    check(
        lines(LIMITS.header_count + 1).as_bytes(),
        Refused(Hygiene::HeadTooLarge),
        "RFC 6585 §5",
    );
}

#[test]
fn many_headers_are_judged_like_few() {
    for count in [127, 128, 129, 1000] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        let framing = Framing {
            body: Body::None,
            upgrade: false,
        };
        assert_eq!(judge(head.as_bytes(), count), Ok(framing), "{count}");
    }
}

#[test]
fn what_passes_can_be_held_by_the_types_that_hyper_uses() {
    for byte in 0..=255_u8 {
        let target = [b"/a", &[byte][..], b"?b", &[byte]].concat();
        let head = [b"GET ", &target[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        if verdict([&head[..]]) == Pass {
            assert_eq!(
                http::Uri::try_from(&target[..]).unwrap().to_string().as_bytes(),
                target,
                "{byte:#x}"
            );
        }
        let head = [
            b"G",
            &[byte][..],
            b" / HTTP/1.1\r\nHost: a\r\nX",
            &[byte],
            b": y\r\n\r\n",
        ]
        .concat();
        assert_eq!(verdict([&head[..]]) == Pass, is_token_byte(byte), "{byte:#x}");
        if is_token_byte(byte) {
            assert!(http::Method::from_bytes(&[b'G', byte]).is_ok(), "{byte:#x}");
            assert!(http::HeaderName::from_bytes(&[b'x', byte]).is_ok(), "{byte:#x}");
        }
        let head = [b"GET / HTTP/1.1\r\nHost: a\r\nX: y", &[byte][..], b"z\r\n\r\n"].concat();
        if verdict([&head[..]]) == Pass {
            assert!(http::HeaderValue::from_bytes(&[b'y', byte, b'z']).is_ok(), "{byte:#x}");
        }
    }
}

#[test]
fn a_long_head_that_drips_in_is_not_read_again_for_every_byte() {
    // 64 KiB byte by byte: looking at all of it each time would be 2 GiB, and would take seconds.
    let limits = super::super::HeadLimits {
        head_bytes: 1 << 17,
        ..LIMITS
    };
    let mut follower = Follower::new(limits);
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "v".repeat(1 << 16));
    for end in 1..head.len() {
        assert_eq!(follower.advance(&head.as_bytes()[..end]).stop, Stop::Incomplete);
    }
    assert_eq!(follower.advance(head.as_bytes()).stop, Stop::Nothing);
}
