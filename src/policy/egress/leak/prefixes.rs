//! What keys are known to begin with, found wherever it stands.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;

use super::candidates::is_word;
use crate::config::Config;
use crate::config::records::Records;

/// With more different beginnings than this, hints show parts of keys, and no prefixes.
const HINTED_MAX: usize = 256;
/// What a hint shows less of is no prefix.
const HINTED_LENGTH_MIN: usize = 3;

/// Every known prefix, and the automaton that finds them.
#[derive(Debug, Clone)]
pub(super) struct Prefixes {
    /// `None` where no prefix is known.
    automaton: Option<AhoCorasick>,
    /// By the automaton's pattern: whether keys with it have a checksum, always.
    checksum: Box<[bool]>,
}

/// Where a prefix stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefixed {
    pub(super) start: usize,
    /// Behind the prefix.
    pub(super) rest: usize,
    /// Whether keys with this prefix have a checksum, always.
    pub(super) checksum: bool,
}

impl Prefixes {
    /// Those of environments, of sources and of new keys, and those that hints show.
    pub(super) fn compile(config: &Config) -> Self {
        let mut known: BTreeMap<&str, bool> = hinted(&config.records).into_iter().map(|text| (text, false)).collect();
        let of_sources = config.credentials.prefixes.iter().flatten();
        for prefix in of_sources.chain([&config.keys.prefix]) {
            known.insert(prefix, false);
        }
        for environment in &config.environments {
            for prefix in &environment.prefixes {
                known.insert(prefix, environment.checksum);
            }
        }
        known.remove("");
        Self::of(&known)
    }

    fn of(known: &BTreeMap<&str, bool>) -> Self {
        let automaton = (!known.is_empty()).then(|| AhoCorasick::new(known.keys()));
        Self {
            automaton: automaton.map(|built| built.expect("some hundred short prefixes fit into an automaton")),
            checksum: known.values().copied().collect(),
        }
    }

    /// Every prefix in `text`, in the order of their ends; those within others too.
    pub(super) fn find<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = Prefixed> + 't {
        let automaton = self.automaton.iter();
        let matches = automaton.flat_map(move |automaton| automaton.find_overlapping_iter(text));
        matches.map(|found| Prefixed {
            start: found.start(),
            rest: found.end(),
            checksum: self.checksum[found.pattern().as_usize()],
        })
    }
}

/// What stands before the `…` of hints, in whatever form people write that.
fn hinted(records: &Records) -> BTreeSet<&str> {
    let mut hinted = BTreeSet::new();
    for hint in records.keys.iter().filter_map(|key| key.hint.as_deref()) {
        let end = hint.bytes().position(|byte| !is_word(byte)).unwrap_or(hint.len());
        let (shown, hidden) = hint.split_at(end);
        if shown.len() >= HINTED_LENGTH_MIN && hidden.starts_with(['…', '.', '*']) {
            hinted.insert(shown);
        }
        if hinted.len() > HINTED_MAX {
            return BTreeSet::new();
        }
    }
    hinted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::records::Key;

    fn found(known: &[(&str, bool)], text: &str) -> Vec<(usize, usize, bool)> {
        let prefixes = Prefixes::of(&known.iter().copied().collect());
        let found = prefixes.find(text.as_bytes());
        found.map(|at| (at.start, at.rest, at.checksum)).collect()
    }

    #[test]
    fn every_prefix_is_found_within_others_too() {
        assert_eq!(found(&[], "kg_live_x"), vec![]);
        let known = [("kg_", false), ("kg_live_", true), ("_kg", false)];
        let expected = vec![(1, 4, false), (0, 3, false), (1, 9, true)];
        let mut both = found(&known, "_kg_live_x");
        both.sort_by_key(|at| at.1);
        let mut expected = expected;
        expected.sort_by_key(|at| at.1);
        assert_eq!(both, expected);
    }

    #[test]
    fn hints_show_prefixes_unless_each_shows_another() {
        let key = |hint: &str| crate::policy::egress::leak::tests::key("id", hint, Vec::new());
        let of = |keys: Vec<Key>| Records {
            keys: keys.into_iter().map(std::sync::Arc::new).collect(),
            ..Records::default()
        };
        let hints = [
            "kg_live_…x7Qd",
            "…x7Qd",
            "kx_...",
            "sk-****",
            "the old one",
            "whole",
            "ab…",
        ];
        let records = of(hints.map(key).to_vec());
        assert_eq!(hinted(&records), BTreeSet::from(["kg_live_", "kx_", "sk-"]));
        let records = of((0..300).map(|number| key(&format!("{number:04}…"))).collect());
        assert_eq!(hinted(&records), BTreeSet::new());
    }
}
