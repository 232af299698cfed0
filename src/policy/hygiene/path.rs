//! Paths that Keygate and an upstream could read differently.

use super::Hygiene;
use crate::config::upstreams::{Paths, Upstream};
use crate::policy::credential::fields::hex_pair;

/// What at least one upstream allows: for the check before the route is known.
#[must_use]
pub fn loosest(upstreams: &[Upstream]) -> Paths {
    upstreams
        .iter()
        .map(|upstream| upstream.paths)
        .fold(Paths::default(), |union, paths| Paths {
            allow_dot_segments: union.allow_dot_segments || paths.allow_dot_segments,
            allow_encoded_slashes: union.allow_encoded_slashes || paths.allow_encoded_slashes,
            allow_backslashes: union.allow_backslashes || paths.allow_backslashes,
            allow_empty_segments: union.allow_empty_segments || paths.allow_empty_segments,
        })
}

/// Checks a path in origin-form, or the asterisk that stands for the whole server: once under [`loosest`], and again under the chosen upstream's own `paths`.
///
/// Always refused: what does not begin with `/`, raw controls, spaces and bytes beyond ASCII, percent signs without two
/// hexadecimal digits, encoded controls, and encodings that no UTF-8 has but careless decoders read as ASCII (overlong
/// forms). Refused unless `paths` says otherwise: `.` and `..` segments, encoded or not, with or without path parameters
/// (`..;x`); `%2F` and `%5C`; `\`; empty segments other than a trailing one.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn path_check(path: &str, paths: &Paths) -> Result<(), Hygiene> {
    let mut rest = match path.as_bytes() {
        [b'/', rest @ ..] => rest,
        b"*" => return Ok(()),
        _ => return Err(Hygiene::Syntax),
    };
    let mut segment = Segment::EMPTY;
    let mut previous = None;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let read = match byte {
            b'%' => {
                let (value, tail) = hex_pair(rest).ok_or(Hygiene::PercentEncoding)?;
                rest = tail;
                check_encoded(value, previous, paths)?;
                previous = Some(value);
                value
            }
            _ => {
                check_raw(byte, paths)?;
                previous = None;
                byte
            }
        };
        if matches!(read, b'/' | b'\\') {
            segment.end(paths, false)?;
            segment = Segment::EMPTY;
        } else {
            segment.add(read);
        }
    }
    segment.end(paths, true)
}

fn check_raw(byte: u8, paths: &Paths) -> Result<(), Hygiene> {
    match byte {
        b'\\' if !paths.allow_backslashes => Err(Hygiene::Backslash),
        0x21..=0x7e => Ok(()),
        0x00..=0x20 | 0x7f => Err(Hygiene::ControlCharacter),
        0x80..=0xff => Err(Hygiene::Syntax),
    }
}

/// `previous` is the encoded byte just before, where there is one.
fn check_encoded(value: u8, previous: Option<u8>, paths: &Paths) -> Result<(), Hygiene> {
    match (previous, value) {
        (_, b'/' | b'\\') if !paths.allow_encoded_slashes => Err(Hygiene::EncodedSlash),
        (_, 0x00..=0x1f | 0x7f) => Err(Hygiene::PercentEncoding),
        // Overlong two-byte forms, and bytes beyond what UTF-8 has (RFC 3629 §3).
        (_, 0xc0 | 0xc1 | 0xf5..=0xff) => Err(Hygiene::PercentEncoding),
        // Overlong three- and four-byte forms.
        (Some(0xe0), 0x80..=0x9f) | (Some(0xf0), 0x80..=0x8f) => Err(Hygiene::PercentEncoding),
        (Some(_) | None, _) => Ok(()),
    }
}

/// What a segment turns out to be, its path parameters left aside.
struct Segment {
    length: usize,
    /// How many dots, where there is nothing else.
    dots: Option<usize>,
    parameters: bool,
}

impl Segment {
    const EMPTY: Self = Self {
        length: 0,
        dots: Some(0),
        parameters: false,
    };

    fn add(&mut self, byte: u8) {
        self.length += 1;
        self.parameters |= byte == b';';
        if !self.parameters {
            self.dots = match byte {
                b'.' if self.dots == Some(self.length - 1) => Some(self.length),
                _ => None,
            };
        }
    }

    fn end(&self, paths: &Paths, last: bool) -> Result<(), Hygiene> {
        if self.length == 0 && !last && !paths.allow_empty_segments {
            return Err(Hygiene::EmptySegment);
        }
        if matches!(self.dots, Some(1 | 2)) && !paths.allow_dot_segments {
            return Err(Hygiene::DotSegment);
        }
        Ok(())
    }
}
