//! How else a path could be read, and what is equal about patterns.

use percent_encoding::{AsciiSet, utf8_percent_encode};
use smallvec::SmallVec;

use crate::policy::credential::fields::hex_pair;

/// The readings of `path` that differ from it: percent-decoded, once and, as a chain of servers does it, twice; decoded and
/// without path parameters; and each without a trailing slash, unless the matched pattern says the slash itself (`slash`).
/// Empty for the common path.
pub(super) fn of(path: &str, slash: bool) -> SmallVec<[String; 4]> {
    let mut readings: SmallVec<[String; 4]> = SmallVec::new();
    if path.contains('%') {
        let once = decoded(path);
        let twice = once.contains('%').then(|| decoded(&once));
        readings.push(once);
        readings.extend(twice.filter(|twice| *twice != readings[0]));
    }
    if path.contains(';') || readings.iter().any(|reading| reading.contains(';')) {
        let plain = if readings.is_empty() {
            &[path.to_owned()]
        } else {
            &*readings
        };
        let named: SmallVec<[String; 4]> = plain.iter().map(|reading| without_parameters(reading)).collect();
        readings.extend(named);
    }
    if !slash {
        let all = std::iter::once(path).chain(readings.iter().map(String::as_str));
        let trimmed = all
            .filter_map(|reading| reading.strip_suffix('/'))
            .filter(|reading| !reading.is_empty());
        let trimmed: SmallVec<[String; 4]> = trimmed.map(str::to_owned).collect();
        readings.extend(trimmed);
    }
    readings
}

/// Slashes and backslashes stay encoded: decoding them would change the number of segments. So does what is not UTF-8.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match hex_pair(tail) {
            Some((value, tail)) if byte == b'%' && !matches!(value, b'/' | b'\\') => {
                bytes.push(value);
                rest = tail;
            }
            Some(_) | None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn without_parameters(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| segment.split_once(';').map_or(segment, |(name, _)| name));
    segments.collect::<Vec<_>>().join("/")
}

/// Other ways to write a pattern that lead to the same door.
pub(in crate::policy) fn equivalents(pattern: &str) -> impl Iterator<Item = String> {
    let bare = pattern
        .rsplit_once("{*")
        .map(|(before, _)| before)
        .filter(|before| before.ends_with('/'));
    // Servers that take no notice of a slash at the end serve `/x` as `/x/`.
    let without_slash = bare
        .and_then(|bare| bare.strip_suffix('/'))
        .filter(|path| !path.is_empty());
    let decoded = pattern.contains('%').then(|| decoded(pattern));
    let encoded = (!pattern.is_ascii()).then(|| utf8_percent_encode(pattern, &AsciiSet::EMPTY).to_string());
    let plain = [bare, without_slash].into_iter().flatten().map(str::to_owned);
    plain.chain(decoded).chain(encoded)
}
