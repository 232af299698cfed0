//! Following a chunked body to its end (RFC 9112 §7.1), without touching its content.
//!
//! Invariant: stricter than hyper's decoder. Whatever passes here, hyper reads with the same end; so the two can never
//! disagree on where the next request begins. In particular: CR LF and nothing else ends a line, a size has at most 16
//! digits and fits, extensions and trailers hold no control character and are bounded below hyper's own bounds, and a
//! trailer cannot carry framing, routing or connection fields (RFC 9110 §6.5.1).

use super::judge::is_value;
use crate::config::names::is_token_byte;

/// Chunk extensions over a whole body; hyper gives up at 16 KiB.
const EXTENSION_BYTES: u32 = 8 * 1024;
/// The trailer section; hyper gives up at 16 KiB.
const TRAILER_BYTES: u32 = 8 * 1024;
/// Trailer lines; hyper gives up at 100.
const TRAILER_LINES: u32 = 64;
/// The longest forbidden trailer name, `transfer-encoding`.
const NAME_BYTES: usize = 17;

/// Fields that decide about framing, routing and the connection.
const FORBIDDEN_TRAILERS: [&[u8]; 10] = [
    b"connection",
    b"content-length",
    b"expect",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// How far a chunked body has come.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    extension_bytes: u32,
    trailer_bytes: u32,
    trailer_lines: u32,
    name: [u8; NAME_BYTES],
    name_bytes: usize,
}

/// The framing is broken: nobody can say what is body and what is not.
#[derive(Debug)]
struct Broken;

/// How far a body was followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Followed {
    /// All the bytes belong to it, and more is to come.
    On,
    /// It ends after so many bytes.
    Ended(usize),
    /// It is broken after so many bytes.
    Broken(usize),
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size {
        digits: u8,
        size: u64,
    },
    /// White space that only an extension may follow.
    BeforeExtension {
        size: u64,
    },
    Extension {
        size: u64,
    },
    SizeFeed {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataFeed,
    TrailerLine,
    TrailerName,
    TrailerValue,
    TrailerFeed,
    EndFeed,
    End,
}

impl Chunked {
    /// At the first byte of a body.
    pub(super) fn new() -> Self {
        Self {
            state: State::Size { digits: 0, size: 0 },
            extension_bytes: 0,
            trailer_bytes: 0,
            trailer_lines: 0,
            name: [0; NAME_BYTES],
            name_bytes: 0,
        }
    }

    /// Follows the body through `bytes`.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Followed {
        let mut at = 0;
        while at < bytes.len() {
            if let State::Data { left } = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += here;
                let left = left - here as u64;
                self.state = if left == 0 {
                    State::DataReturn
                } else {
                    State::Data { left }
                };
                continue;
            }
            match self.step(bytes[at]) {
                Ok(State::End) => return Followed::Ended(at + 1),
                Ok(state) => self.state = state,
                Err(Broken) => return Followed::Broken(at),
            }
            at += 1;
        }
        Followed::On
    }

    fn step(&mut self, byte: u8) -> Result<State, Broken> {
        match (self.state, byte) {
            (State::Size { digits, size }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == 16 {
                    return Err(Broken);
                }
                let digit = char::from(byte).to_digit(16).ok_or(Broken)?;
                Ok(State::Size {
                    digits: digits + 1,
                    size: size << 4 | u64::from(digit),
                })
            }
            (State::Size { digits: 0, .. }, _) => Err(Broken),
            (State::Size { size, .. }, b'\r') => Ok(State::SizeFeed { size }),
            (State::Size { size, .. }, b' ' | b'\t') => self.extension(State::BeforeExtension { size }),
            (State::Size { size, .. } | State::BeforeExtension { size }, b';') => {
                self.extension(State::Extension { size })
            }
            (State::BeforeExtension { size }, b' ' | b'\t') => self.extension(State::BeforeExtension { size }),
            (State::Extension { size }, b'\r') => Ok(State::SizeFeed { size }),
            (State::Extension { size }, byte) if is_value(byte) => self.extension(State::Extension { size }),
            (State::SizeFeed { size: 0 }, b'\n') => Ok(State::TrailerLine),
            (State::SizeFeed { size }, b'\n') => Ok(State::Data { left: size }),
            (State::DataReturn, b'\r') => Ok(State::DataFeed),
            (State::DataFeed, b'\n') => Ok(State::Size { digits: 0, size: 0 }),
            (State::TrailerLine, b'\r') => Ok(State::EndFeed),
            (State::TrailerLine, byte) if is_token_byte(byte) => {
                self.trailer_lines += 1;
                self.name_bytes = 0;
                self.trailer_name(byte)
            }
            (State::TrailerName, b':') => self.trailer_value(),
            (State::TrailerName, byte) if is_token_byte(byte) => self.trailer_name(byte),
            (State::TrailerValue, b'\r') => self.trailer(State::TrailerFeed),
            (State::TrailerValue, byte) if is_value(byte) => self.trailer(State::TrailerValue),
            (State::TrailerFeed, b'\n') => self.trailer(State::TrailerLine),
            (State::EndFeed, b'\n') => Ok(State::End),
            (
                State::Size { .. }
                | State::BeforeExtension { .. }
                | State::Extension { .. }
                | State::SizeFeed { .. }
                | State::Data { .. }
                | State::DataReturn
                | State::DataFeed
                | State::TrailerLine
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerFeed
                | State::EndFeed
                | State::End,
                _,
            ) => Err(Broken),
        }
    }

    fn extension(&mut self, next: State) -> Result<State, Broken> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES {
            Err(Broken)
        } else {
            Ok(next)
        }
    }

    fn trailer(&mut self, next: State) -> Result<State, Broken> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES || self.trailer_lines > TRAILER_LINES {
            Err(Broken)
        } else {
            Ok(next)
        }
    }

    fn trailer_name(&mut self, byte: u8) -> Result<State, Broken> {
        if let Some(place) = self.name.get_mut(self.name_bytes) {
            *place = byte.to_ascii_lowercase();
        }
        self.name_bytes += 1;
        self.trailer(State::TrailerName)
    }

    fn trailer_value(&mut self) -> Result<State, Broken> {
        let forbidden = self
            .name
            .get(..self.name_bytes)
            .is_some_and(|name| FORBIDDEN_TRAILERS.contains(&name));
        if forbidden {
            Err(Broken)
        } else {
            self.trailer(State::TrailerValue)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of a whole stream the body takes; `None` where it is broken or not complete.
    fn length(bytes: &[u8]) -> Option<usize> {
        let mut body = Chunked::new();
        match body.follow(bytes) {
            Followed::Ended(length) => Some(length),
            Followed::On | Followed::Broken(_) => None,
        }
    }

    #[test]
    fn well_formed_bodies_end_where_they_end() {
        let long_extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(8000));
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
            "0000000000000005\r\nhello\r\n000\r\n\r\n",
            "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "5;name\r\nhello\r\n0;last=\"a b\"\r\n\r\n",
            "5 \t;name = value\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nDigest: x\r\n\r\n",
            "0\r\nA:\r\nB: \t b \r\n\r\n",
            "2\r\n\r\n\r\n0\r\n\r\n",
            &long_extension,
        ] {
            let mut stream = body.as_bytes().to_vec();
            stream.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
            assert_eq!(length(&stream), Some(body.len()), "{body:?}");
        }
    }

    #[test]
    fn broken_bodies_are_broken_however_they_are_cut() {
        let many_digits = format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(16));
        let much_extension = "1;eeeeeeeeeeeeee\r\nx\r\n".repeat(600);
        let long_trailer = format!("0\r\nA: {}\r\n\r\n", "v".repeat(9000));
        let many_trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(65));
        for body in [
            "\r\n",
            "x\r\n",
            "+5\r\nhello\r\n",
            "-1\r\n",
            " 5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5 5\r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\r\n",
            "5\rhello\r\n",
            "5;a\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "5;a\0\r\nhello\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "10000000000000000\r\n",
            "0\r\n\n",
            "0\r\n\r\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\nA: b\rc\r\n\r\n",
            "0\r\nA: \0\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\nNo colon\r\n\r\n",
            "0\r\nContent-Length: 5\r\n\r\n",
            "0\r\ntransfer-encoding: chunked\r\n\r\n",
            "0\r\nTRAILER: a\r\n\r\n",
            "0\r\nA: b\r\nHost: a\r\n\r\n",
            &many_digits,
            &much_extension,
            &long_trailer,
            &many_trailers,
        ] {
            let Followed::Broken(at) = Chunked::new().follow(body.as_bytes()) else {
                panic!("{body:?} is not broken");
            };
            let mut bytewise = Chunked::new();
            let broken = body
                .bytes()
                .position(|byte| bytewise.follow(&[byte]) == Followed::Broken(0));
            assert_eq!(broken, Some(at), "byte by byte: {body:?}");
        }
    }
}
