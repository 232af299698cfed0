//! Which parts of a span could be a key.
//!
//! Runs of one kind do not overlap, so that each kind costs each byte once. Everything that may overlap is counted: from
//! eight separators and sixteen prefixes of a span at most, however long it is. A span is at most two keys
//! long (`scanner`), so that a byte is hashed at most 86 times, and mostly less than three
//! times.

use std::ops::{ControlFlow, RangeInclusive};

use smallvec::SmallVec;

use super::prefixes::Prefixes;
use crate::secret::generated;

/// How many separators of a span are looked behind, to its end.
const SEPARATORS_MAX: usize = 8;
/// How many prefixes in a span are followed to where a key of any form could end.
const PREFIXES_MAX: usize = 16;
/// The shortest key with a known prefix.
pub(super) const PREFIXED_LENGTH_MIN: usize = 8;
/// What the limits above come to: three kinds of runs, each twice; behind separators, two ends; behind prefixes, four.
#[cfg(test)]
pub(super) const HASHED_PER_BYTE_MAX: usize = 3 * 2 + SEPARATORS_MAX * 2 + PREFIXES_MAX * 4;

/// Shows `visit` every part of `span` that may be a key, until it breaks. Parts that no known prefix begins have one of
/// `lengths`.
pub(super) fn visit<B>(
    span: &[u8],
    prefixes: &Prefixes,
    lengths: &RangeInclusive<usize>,
    mut visit: impl FnMut(&[u8]) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if span.len() >= *lengths.start() {
        let mut plausible = |part: &[u8]| match lengths.contains(&part.len()) {
            true => visit(part),
            false => ControlFlow::Continue(()),
        };
        runs(span, &mut plausible)?;
        behind_separators(span, &mut plausible)?;
    }
    with_prefix(span, prefixes, *lengths.end(), visit)
}

/// Letters, digits, `_` and `-`: what a word is made of, and what most keys are.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// What base64 and tokens are made of besides.
pub(super) fn is_token(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'+' | b'/' | b'=' | b'.' | b'~')
}

fn runs<B>(span: &[u8], visit: &mut impl FnMut(&[u8]) -> ControlFlow<B>) -> ControlFlow<B> {
    with_bare(span, visit)?;
    for token in span.split(|&byte| !is_token(byte)) {
        if token.len() < span.len() {
            with_bare(token, visit)?;
        }
        for word in token.split(|&byte| !is_word(byte)) {
            if word.len() < token.len() {
                with_bare(word, visit)?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// A run, and the same without the punctuation around it.
fn with_bare<B>(run: &[u8], visit: &mut impl FnMut(&[u8]) -> ControlFlow<B>) -> ControlFlow<B> {
    visit(run)?;
    let bare = bare(run);
    if bare.len() < run.len() {
        visit(bare)?;
    }
    ControlFlow::Continue(())
}

fn bare(run: &[u8]) -> &[u8] {
    let start = run.iter().position(u8::is_ascii_alphanumeric).unwrap_or(run.len());
    let end = run
        .iter()
        .rposition(u8::is_ascii_alphanumeric)
        .map_or(start, |at| at + 1);
    &run[start..end]
}

fn behind_separators<B>(span: &[u8], visit: &mut impl FnMut(&[u8]) -> ControlFlow<B>) -> ControlFlow<B> {
    let separators = span.iter().enumerate().filter(|(_, byte)| !is_word(**byte));
    for (at, _) in separators.take(SEPARATORS_MAX) {
        let start = at + 1;
        visit(&span[start..])?;
        let end = end_of(span, start, is_token);
        if end < span.len() {
            visit(&span[start..end])?;
        }
    }
    ControlFlow::Continue(())
}

fn with_prefix<B>(
    span: &[u8],
    prefixes: &Prefixes,
    longest: usize,
    mut visit: impl FnMut(&[u8]) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut followed = 0;
    for prefixed in prefixes.find(span) {
        let generated = span.get(prefixed.start..prefixed.rest + generated::BEHIND_PREFIX);
        if let Some(key) = generated.filter(|key| generated::checksum_ok(key)) {
            visit(key)?;
        }
        if followed < PREFIXES_MAX {
            followed += 1;
            for part in ends(span, prefixed.rest)
                .into_iter()
                .map(|end| &span[prefixed.start..end])
            {
                let fits = (PREFIXED_LENGTH_MIN..=longest).contains(&part.len());
                if fits && (!prefixed.checksum || generated::checksum_ok(part)) {
                    visit(part)?;
                }
            }
        }
    }
    ControlFlow::Continue(())
}

/// Where a key could end that goes on at `from`: each end once.
fn ends(span: &[u8], from: usize) -> SmallVec<[usize; 4]> {
    let token = end_of(span, from, is_token);
    let bare = from + bare_end(&span[from..token]);
    let mut ends = SmallVec::from_iter([end_of(span, from, is_word), bare, token, span.len()]);
    ends.retain(|end| *end > from);
    ends.dedup();
    ends
}

fn bare_end(run: &[u8]) -> usize {
    run.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |at| at + 1)
}

fn end_of(span: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let run = span[from..].iter().position(|&byte| !belongs(byte));
    run.map_or(span.len(), |length| from + length)
}
