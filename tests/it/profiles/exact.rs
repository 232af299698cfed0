//! Header lines that are compared byte by byte, with placeholders for what no case can know: where the receiver is, its secret, the
//! time, and signatures, which somebody else verifies.

use std::time::{SystemTime, UNIX_EPOCH};

/// A part of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'l> {
    /// These bytes.
    Text(&'l str),
    /// `{host}`: host and port of the receiver.
    Host,
    /// `{secret}`: the webhook's.
    Secret,
    /// `{seconds}`: the time, in Unix seconds.
    Seconds,
    /// `{milliseconds}`: the time, in Unix milliseconds.
    Milliseconds,
    /// `{hex:64}`: so many lower-case hexadecimal digits.
    Hex(usize),
    /// `{base64:44}`: so many characters of padded base64.
    Base64(usize),
}

impl Piece<'_> {
    /// Whether it shows that the sender knows the secret.
    pub fn proves(&self) -> bool {
        match self {
            Self::Secret | Self::Hex(_) | Self::Base64(_) => true,
            Self::Text(_) | Self::Host | Self::Seconds | Self::Milliseconds => false,
        }
    }
}

/// The pieces of a line.
pub fn parse(line: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some((text, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or("a placeholder does not end")?;
        let count = |digits: &str| digits.parse().map_err(|_| format!("{{{name}}} has no length"));
        pieces.push(Piece::Text(text));
        pieces.push(match name.split_once(':') {
            None if name == "host" => Piece::Host,
            None if name == "secret" => Piece::Secret,
            None if name == "seconds" => Piece::Seconds,
            None if name == "milliseconds" => Piece::Milliseconds,
            Some(("hex", digits)) => Piece::Hex(count(digits)?),
            Some(("base64", digits)) => Piece::Base64(count(digits)?),
            None | Some(_) => return Err(format!("{{{name}}} is not known")),
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

/// Whether a line that has just arrived is this one.
pub fn is_same(pieces: &[Piece<'_>], line: &str, host: &str, secret: &str) -> bool {
    let mut rest = line;
    for piece in pieces {
        let length = match piece {
            Piece::Text(text) => text.len(),
            Piece::Host => host.len(),
            Piece::Secret => secret.len(),
            Piece::Seconds => 10,
            Piece::Milliseconds => 13,
            Piece::Hex(length) | Piece::Base64(length) => *length,
        };
        let Some((found, after)) = rest.split_at_checked(length) else {
            return false;
        };
        let is_right = match piece {
            Piece::Text(text) => found == *text,
            Piece::Host => found == host,
            Piece::Secret => found == secret,
            Piece::Seconds => is_now(found, 1),
            Piece::Milliseconds => is_now(found, 1000),
            Piece::Hex(_) => found.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
            Piece::Base64(_) => {
                let digits = found.trim_end_matches('=');
                let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
                found.len() - digits.len() <= 2 && digits.bytes().all(is_digit)
            }
        };
        if !is_right {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// Whether it is this moment, or less than a minute before.
fn is_now(digits: &str, per_second: u128) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() * per_second / 1000;
    let then: Option<u128> = digits.parse().ok();
    then.is_some_and(|then| (now - 60 * per_second..=now).contains(&then))
}

#[test]
fn a_line_is_the_same_to_the_last_byte() {
    let same = |pattern: &str, line: &str| is_same(&parse(pattern).unwrap(), line, "127.0.0.1:80", "s3");
    assert!(same("host: {host}", "host: 127.0.0.1:80"));
    assert!(same("a: Bearer {secret}", "a: Bearer s3"));
    assert!(same("a: x={hex:4},y={base64:4}.", "a: x=09af,y=Ab+=."));
    for (pattern, line) in [
        ("a: b", "A: b"),
        ("a: b", "a: b "),
        ("a: b", "a:b"),
        ("a: b", "a: bb"),
        ("a: {hex:4}", "a: 09AF"),
        ("a: {hex:4}", "a: 09a"),
        ("a: {hex:4}", "a: 09aff"),
        ("a: {base64:4}", "a: A==="),
        ("a: {secret}", "a: s4"),
        ("a: {seconds}", "a: 1700000000"),
        ("a: {milliseconds}", "a: 1700000000000"),
        ("a: {seconds}", "a: €€€€"),
    ] {
        assert!(!same(pattern, line), "{pattern} {line}");
    }
}
