//! The end of a request head: line by line, each byte looked at once, whatever the reads cut it into.
//!
//! Everything that can be decided before the head is complete is decided here, at a fixed byte position, so that the
//! verdict is the same for one read and for many: an endless head, a bare LF and a wrong version are answered at once
//! instead of at the head timeout.

use memchr::memchr;

use super::judge::{self, HeadLimits};
use crate::config::names::is_token_byte;
use crate::policy::refusal::Hygiene;

/// Empty lines that are tolerated before a request line (RFC 9112 §2.2).
const EMPTY_LINES: u8 = 4;

/// Where the search for the end of one head stands. Positions count from the first byte after the previous message.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// No line feed is left before this position.
    scanned: usize,
    /// Where the request line begins, after tolerated empty lines.
    begin: usize,
    /// Where the line that is being read begins.
    line: usize,
    /// Complete lines: the request line and header lines.
    lines: usize,
    empty_lines: u8,
    /// Whether more than empty lines has been seen.
    begun: bool,
}

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The head is complete: it lies in `begin..end` and has so many header lines.
    Complete {
        begin: usize,
        end: usize,
        header_lines: usize,
    },
    /// More bytes are needed.
    Incomplete,
    /// No further byte can save it.
    Refused(Hygiene),
}

impl Search {
    /// Whether a part of a head has been seen, and not only empty lines.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// Goes on searching. `bytes` are all bytes since the end of the previous message: those of the call before, and more.
    pub(super) fn find(&mut self, bytes: &[u8], limits: &HeadLimits) -> Found {
        loop {
            if self.lines == 0
                && let Some(&first) = bytes.get(self.begin)
                && first != b'\r'
                && first != b'\n'
                && !is_token_byte(first)
            {
                // Not HTTP at all, such as a TLS handshake: no line end may ever come.
                return Found::Refused(Hygiene::Syntax);
            }
            let Some(offset) = memchr(b'\n', &bytes[self.scanned..]) else {
                self.scanned = bytes.len();
                self.begun = self.lines > 0 || !matches!(bytes[self.begin..], [] | [b'\r']);
                return match self.excess(bytes, limits) {
                    Some(hygiene) => Found::Refused(hygiene),
                    None => Found::Incomplete,
                };
            };
            let feed = self.scanned + offset;
            if let Some(hygiene) = self.excess(&bytes[..=feed], limits) {
                return Found::Refused(hygiene);
            }
            if feed == self.line || bytes[feed - 1] != b'\r' {
                return Found::Refused(Hygiene::LineEnding);
            }
            let line = &bytes[self.line..feed - 1];
            self.scanned = feed + 1;
            self.line = feed + 1;
            if line.is_empty() && self.lines > 0 {
                return Found::Complete {
                    begin: self.begin,
                    end: feed + 1,
                    header_lines: self.lines - 1,
                };
            }
            if let Err(hygiene) = self.line_ended(line, limits) {
                return Found::Refused(hygiene);
            }
        }
    }

    fn line_ended(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), Hygiene> {
        if line.is_empty() {
            self.begin = self.line;
            self.empty_lines += 1;
            return if self.empty_lines > EMPTY_LINES {
                Err(Hygiene::Syntax)
            } else {
                Ok(())
            };
        }
        self.lines += 1;
        if self.lines == 1 {
            version(line)
        } else if self.lines - 1 > limits.header_count {
            Err(Hygiene::HeadTooLarge)
        } else {
            Ok(())
        }
    }

    /// Whether `bytes` pass a limit; where they pass both, the one that is passed first.
    fn excess(&self, bytes: &[u8], limits: &HeadLimits) -> Option<Hygiene> {
        let length = bytes.len() - self.begin;
        let head = (length > limits.head_bytes).then_some(limits.head_bytes);
        let target = if self.lines == 0 && length > limits.target_bytes {
            target_excess(&bytes[self.begin..], limits.target_bytes)
        } else {
            None
        };
        match (head, target) {
            (None, None) => None,
            (Some(head), Some(target)) if head < target => Some(Hygiene::HeadTooLarge),
            (_, Some(_)) => Some(Hygiene::TargetTooLong),
            (Some(_), None) => Some(Hygiene::HeadTooLarge),
        }
    }
}

/// The position of the first byte of the target that is one too many.
fn target_excess(line: &[u8], target_bytes: usize) -> Option<usize> {
    let start = memchr(b' ', line)? + 1;
    let target = &line[start..];
    let length = memchr(b' ', target).unwrap_or(target.len());
    (length > target_bytes).then_some(start + target_bytes)
}

/// Judges how the request line ends: with a space and `HTTP/` DIGIT `.` DIGIT (RFC 9112 §2.3, §3).
fn version(line: &[u8]) -> Result<(), Hygiene> {
    let Some(&[b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]) = line.last_chunk::<9>() else {
        return Err(judge::diagnose(line));
    };
    match (major, minor) {
        (b'1', b'0' | b'1') => Ok(()),
        (b'0'..=b'9', b'0'..=b'9') => Err(Hygiene::Version),
        (_, _) => Err(Hygiene::Syntax),
    }
}
