//! Takes the key out of a request head.
//!
//! A room of its own because "which key is this?" must have one answer, or none: every configured source is read, always,
//! so that the order of the configuration never hides a second key.
//!
//! The rules, closed by default:
//! - A header, parameter or cookie that no source names is never looked at.
//! - A source that is there in its own form must hold one sound key: an empty one, one longer than allowed, or one with
//!   anything else than visible ASCII makes the whole request malformed, whatever the other sources hold. So do a Basic
//!   value and a percent-encoding that do not decode.
//! - Sources that agree are one credential; two that differ are a conflict. The same goes for a source that is repeated.
//! - A header with a scheme word that no source has (`Authorization: Digest …` where keys come as `Bearer`) belongs to
//!   somebody else while another source yields a key; where none does, the caller meant it for us: malformed. The same
//!   goes for a value without the `prefix` that its source demands.
//! - A header that is both a verbatim source and, with a scheme word, another one is read by its scheme where that fits.
//!
//! Forms: the scheme word is compared without case and followed by one or more spaces (RFC 9110 §11.4); verbatim headers
//! lose only the whitespace around them (`+ / =` are part of keys); Basic is strict base64 with padding, and the key is
//! what follows the first colon (RFC 7617 §2); in a query `%41` is decoded and `+` is a plus (RFC 3986); a cookie may
//! stand in double quotes (RFC 6265 §4.1.1).

mod environments;
pub(super) mod fields;
pub(super) mod scan;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

pub use environments::Prefixes;

use self::scan::Reading;
use super::head::ClientHead;
use crate::config::credentials::Source;
use crate::secret::Presented;

/// What the sources hold.
pub enum Extraction<'a> {
    /// None of them is there.
    Missing,
    /// One is there, but not in its form; the word is for the log.
    Malformed(&'static str),
    /// No key, but one is there that holds something of somebody else's; the word is for the log.
    Foreign(&'static str),
    /// Two different keys.
    Conflict,
    /// One key.
    Found {
        /// The key itself.
        key: Presented<'a>,
        /// Where it stood: what must not reach the upstream.
        taken: Taken,
    },
}

/// The sources that carried a key: indices into the configured ones, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken(SmallVec<[u16; 4]>);

impl Taken {
    /// Whether the source with this index carried the key.
    #[must_use]
    pub fn contains(&self, source: usize) -> bool {
        self.indices().any(|index| index == source)
    }

    /// The indices, ascending.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|&index| usize::from(index))
    }

    /// Whether no source carried one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One source.
    #[must_use]
    pub fn only(source: usize) -> Self {
        let mut taken = Self::default();
        taken.add(source);
        taken
    }

    /// The first `count` sources.
    #[must_use]
    pub fn all(count: usize) -> Self {
        let mut taken = Self::default();
        (0..count).for_each(|source| taken.add(source));
        taken
    }

    /// Adds what `other` holds.
    pub(super) fn join(&mut self, other: &Self) {
        if !other.is_empty() {
            self.0.extend_from_slice(&other.0);
            self.0.sort_unstable();
            self.0.dedup();
        }
    }

    fn add(&mut self, source: usize) {
        let source = u16::try_from(source).expect("sources are counted in 16 bits");
        if self.0.last() != Some(&source) {
            self.0.push(source);
        }
    }
}

/// Reads every source of `head` that `counts`. Keys longer than `max_bytes` are malformed. What `is_foreign` says of a
/// source's index and a value in it is not a key, but somebody else's.
#[must_use]
pub fn extract<'a>(
    sources: &[Source],
    counts: impl Fn(usize) -> bool,
    head: &ClientHead<'a>,
    max_bytes: usize,
    is_foreign: impl Fn(usize, &Presented<'_>) -> bool,
) -> Extraction<'a> {
    let mut key: Option<Presented<'a>> = None;
    let mut taken = Taken::default();
    let mut defect = None;
    let mut conflict = false;
    let mut foreign = None;
    for (index, source) in sources.iter().enumerate().filter(|(index, _)| counts(*index)) {
        scan::read(source, sources, head, &mut |reading| match reading {
            Reading::Foreign => foreign = foreign.or(Some("scheme")),
            Reading::Key(presented) if !presented.expose().is_empty() && is_foreign(index, &presented) => {
                foreign = Some("prefix");
            }
            Reading::Broken(reason) => {
                defect.get_or_insert(reason);
            }
            Reading::Key(presented) => {
                taken.add(index);
                match (unsound(&presented, max_bytes), &key) {
                    (Some(reason), _) => {
                        defect.get_or_insert(reason);
                    }
                    (None, None) => key = Some(presented),
                    (None, Some(first)) => conflict = conflict || first.digest() != presented.digest(),
                }
            }
        });
    }
    match (defect, key, foreign) {
        (Some(reason), _, _) => Extraction::Malformed(reason),
        (None, Some(_), _) if conflict => Extraction::Conflict,
        (None, Some(key), _) => Extraction::Found { key, taken },
        (None, None, Some(reason)) => Extraction::Foreign(reason),
        (None, None, None) => Extraction::Missing,
    }
}

/// Every value in one of `sources`, sound or not.
#[must_use]
pub fn values<'a>(source: &Source, sources: &[Source], head: &ClientHead<'a>) -> SmallVec<[Presented<'a>; 2]> {
    let mut values = SmallVec::new();
    scan::read(source, sources, head, &mut |reading| match reading {
        Reading::Foreign | Reading::Broken(_) => {}
        Reading::Key(value) => values.push(value),
    });
    values
}

/// The sources among `of` that carry a live key: what is cut from a request whose caller needs none, or has another.
#[must_use]
pub fn live(
    sources: &[Source],
    of: impl Fn(usize) -> bool,
    head: &ClientHead<'_>,
    is_live: impl Fn(&Presented<'_>) -> bool,
) -> Taken {
    let mut taken = Taken::default();
    for (index, source) in sources.iter().enumerate().filter(|(index, _)| of(*index)) {
        scan::read(source, sources, head, &mut |reading| match reading {
            Reading::Key(key) if is_live(&key) => taken.add(index),
            Reading::Foreign | Reading::Broken(_) | Reading::Key(_) => {}
        });
    }
    taken
}

fn unsound(key: &Presented<'_>, max_bytes: usize) -> Option<&'static str> {
    let bytes = key.expose();
    if bytes.is_empty() {
        Some("empty")
    } else if bytes.len() > max_bytes {
        Some("too_long")
    } else if !bytes.iter().all(u8::is_ascii_graphic) {
        Some("characters")
    } else {
        None
    }
}
