//! The verdict over one complete request head: does it mean the same to everybody, and where does its body end?
//!
//! `httparse`, the parser that hyper uses as well, knows the grammar. What hyper lets pass, repairs silently, or would answer
//! with a bare 400 of its own is refused here first.
//!
//! Invariant: a head that passes is accepted by hyper, which gives its body the same framing.

use std::mem::MaybeUninit;

use http::Uri;

use super::host;
use crate::config::limits::Limits;
use crate::config::names::is_token_byte;
use crate::policy::refusal::Hygiene;

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Request line and header lines, in bytes, with the empty line at the end.
    pub head_bytes: usize,
    /// Header lines.
    pub header_count: usize,
    /// The request target, in bytes.
    pub target_bytes: usize,
}

impl HeadLimits {
    /// The configured limits.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            head_bytes: limits.head_bytes,
            header_count: limits.header_count,
            target_bytes: limits.target_bytes,
        }
    }

    /// No more than hyper's own types can hold.
    pub(super) fn within_hyper(self) -> Self {
        Self {
            head_bytes: self.head_bytes,
            header_count: self.header_count.min(MOST_HEADERS),
            target_bytes: self.target_bytes.min(LONGEST_TARGET),
        }
    }
}

/// `http::HeaderMap` holds 24,576 entries and panics beyond.
const MOST_HEADERS: usize = 16_384;
/// `http::Uri` refuses more.
const LONGEST_TARGET: usize = 65_534;
/// hyper refuses more.
const LONGEST_NAME: usize = 65_535;
/// Header lines that are parsed without allocating.
const FEW_HEADERS: usize = 128;

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// The body.
    pub body: Body,
    /// The client asks to speak another protocol after this message (RFC 9110 §7.8).
    pub upgrade: bool,
}

/// How long a body is (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Judges one complete head, from the first byte of its request line to the last of its empty line.
///
/// Its lines have been through the search for its end: each ends in CR LF, the request line in a version, and size, count and
/// target are within the limits.
///
/// # Errors
/// What is wrong with it; where several things are, one of them.
pub fn judge(head: &[u8], header_lines: usize) -> Result<Framing, Hygiene> {
    let mut few = [const { MaybeUninit::uninit() }; FEW_HEADERS];
    let mut many = Vec::new();
    let room = if header_lines <= FEW_HEADERS {
        &mut few[..header_lines]
    } else {
        many.resize_with(header_lines, MaybeUninit::uninit);
        &mut many[..]
    };
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, room) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Hygiene::Syntax),
        Err(_) => return Err(diagnose(head)),
    }
    let (Some(target), Some(version)) = (request.path, request.version) else {
        return Err(Hygiene::Syntax);
    };
    check_target(target.as_bytes())?;
    let fields = Fields::collect(request.headers)?;
    let body = fields.body(version)?;
    fields.check_host()?;
    Ok(Framing {
        body,
        upgrade: version == 1 && fields.upgrade && fields.connection_upgrade,
    })
}

/// Whether a byte may be part of a header value (RFC 9110 §5.5).
pub(super) fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Says why a head did not parse. Only for heads that did not.
#[cold]
pub(super) fn diagnose(head: &[u8]) -> Hygiene {
    let mut line = 0;
    for (at, &byte) in head.iter().enumerate() {
        let next = head.get(at + 1).copied();
        match byte {
            b'\n' => {
                line += 1;
                if line > 1 && matches!(next, Some(b' ' | b'\t')) {
                    return Hygiene::ObsoleteFolding;
                }
            }
            b'\r' if next != Some(b'\n') => return Hygiene::LineEnding,
            b'\r' | b'\t' => {}
            0..=0x1f | 0x7f => return Hygiene::ControlCharacter,
            b' '..=0x7e | 0x80.. => {}
        }
    }
    Hygiene::Syntax
}

/// The header lines that decide about framing and authority.
#[derive(Default)]
struct Fields<'h> {
    hosts: usize,
    host: &'h [u8],
    lengths: usize,
    length: &'h [u8],
    encodings: usize,
    encoding: &'h [u8],
    upgrade: bool,
    connection_upgrade: bool,
}

impl<'h> Fields<'h> {
    fn collect(headers: &[httparse::Header<'h>]) -> Result<Self, Hygiene> {
        let mut fields = Self::default();
        for header in headers {
            let name = header.name;
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    fields.hosts += 1;
                    fields.host = header.value;
                }
                7 if name.eq_ignore_ascii_case("upgrade") => fields.upgrade = true,
                10 if name.eq_ignore_ascii_case("connection") => {
                    fields.connection_upgrade |=
                        tokens(header.value).any(|token| token.eq_ignore_ascii_case(b"upgrade"));
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    fields.lengths += 1;
                    fields.length = header.value;
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    fields.encodings += 1;
                    fields.encoding = header.value;
                }
                length if length > LONGEST_NAME => return Err(Hygiene::HeadTooLarge),
                _ => {}
            }
        }
        Ok(fields)
    }

    /// RFC 9112 §6.3, with everything refused that it lets a server repair.
    fn body(&self, version: u8) -> Result<Body, Hygiene> {
        match (self.encodings, self.lengths) {
            (0, 0) => Ok(Body::None),
            (0, 1) => match content_length(self.length) {
                Some(0) => Ok(Body::None),
                Some(length) => Ok(Body::Length(length)),
                None => Err(Hygiene::ContentLength),
            },
            (0, _) => Err(Hygiene::ContentLength),
            (1, 0) if version == 1 => {
                transfer_encoding(self.encoding)?;
                Ok(Body::Chunked)
            }
            (_, 0) => Err(Hygiene::TransferEncoding),
            (_, _) => Err(Hygiene::AmbiguousLength),
        }
    }

    fn check_host(&self) -> Result<(), Hygiene> {
        if self.hosts == 1 && host::is_valid(self.host) {
            Ok(())
        } else {
            Err(Hygiene::Host)
        }
    }
}

/// One decimal number that fits (RFC 9110 §8.6): no sign, no list.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let length = value.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })?;
    i64::try_from(length).is_ok().then_some(length)
}

/// Exactly `chunked` (RFC 9112 §6.1, §7.1).
fn transfer_encoding(value: &[u8]) -> Result<(), Hygiene> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = tokens(value).rev();
    let last = codings.next().unwrap_or_default();
    let well_formed = last.eq_ignore_ascii_case(b"chunked")
        && codings.all(|coding| {
            let name = coding.split(|&byte| byte == b';').next().unwrap_or_default();
            let name = name.trim_ascii_end();
            !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte)) && !name.eq_ignore_ascii_case(b"chunked")
        });
    // `gzip, chunked` has a known end, but a content that nobody here understands: 501.
    Err(if well_formed {
        Hygiene::UnknownTransferCoding
    } else {
        Hygiene::TransferEncoding
    })
}

fn tokens(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// A target that `http::Uri` takes as it is, without dropping a fragment. Which forms and paths are allowed is decided
/// later, for all protocol versions alike.
fn check_target(target: &[u8]) -> Result<(), Hygiene> {
    let mut rest = target.iter();
    if target.first() != Some(&b'/') {
        // Rare: the absolute form, `*`, or the authority form (RFC 9112 §3.2).
        if target.contains(&b'#') {
            return Err(Hygiene::Fragment);
        }
        return if target.is_ascii() && Uri::try_from(target).is_ok() {
            Ok(())
        } else {
            Err(Hygiene::Syntax)
        };
    }
    for &byte in rest.by_ref() {
        match TARGET[usize::from(byte)] {
            Class::Both | Class::Path => {}
            Class::Question => break,
            Class::Query | Class::Never => return Err(Hygiene::Syntax),
            Class::Fragment => return Err(Hygiene::Fragment),
        }
    }
    for &byte in rest {
        match TARGET[usize::from(byte)] {
            Class::Both | Class::Query | Class::Question => {}
            Class::Path | Class::Never => return Err(Hygiene::Syntax),
            Class::Fragment => return Err(Hygiene::Fragment),
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Class {
    /// In a path and in a query.
    Both,
    /// In a path only.
    Path,
    /// In a query only.
    Query,
    /// `?`
    Question,
    /// `#`
    Fragment,
    Never,
}

/// What `http::Uri` takes in ASCII: RFC 3986 §3.3 and §3.4, and a few characters more that clients send as they are.
static TARGET: [Class; 256] = {
    let mut classes = [Class::Never; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        classes[byte as usize] = match byte {
            b'?' => Class::Question,
            b'#' => Class::Fragment,
            b'<' | b'>' => Class::Never,
            b'"' => Class::Path,
            b'`' => Class::Query,
            _ => Class::Both,
        };
        byte += 1;
    }
    classes
};
