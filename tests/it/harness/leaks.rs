//! Looks for keys in plain text, byte by byte, in everything that a test leaves behind: every file in its directory, the state
//! and its companions included, and all that the gate has written to its standard streams.
//!
//! Found are the keys that the tests know, and everything that has the form of a generated key: enough random characters that
//! end in the checksum of all before them. What a test itself has written into a file may be there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use keygate::secret::generated::checksum_ok;

use super::{ALPHA, BETA, GAMMA};

/// The shortest generated key, without a prefix.
const SHORTEST: usize = 38;
/// Longer words are no keys.
const LONGEST: usize = 256;

/// What tests wrote into files themselves, by file.
pub type Told = BTreeMap<PathBuf, BTreeSet<Vec<u8>>>;

/// The keys in a text.
pub fn keys_in(text: &[u8]) -> BTreeSet<Vec<u8>> {
    let known = [ALPHA, BETA, GAMMA].map(str::as_bytes);
    let is_there = |key: &&[u8]| text.windows(key.len()).any(|window| window == *key);
    let mut found: BTreeSet<Vec<u8>> = known.into_iter().filter(is_there).map(<[u8]>::to_vec).collect();
    let is_of_a_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let words = text.split(|byte| !is_of_a_word(byte));
    for word in words.filter(|word| (SHORTEST..=LONGEST).contains(&word.len())) {
        let starts = 0..=word.len() - SHORTEST;
        found.extend(
            starts
                .map(|start| &word[start..])
                .find(|rest| checksum_ok(rest))
                .map(<[u8]>::to_vec),
        );
    }
    found
}

/// Panics where a file below `directory` holds a key that the test did not write into it.
pub fn refuse_in_files(directory: &Path, told: &Told) {
    for file in files_below(directory) {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let allowed = told.get(&file);
        let leaked = keys_in(&bytes)
            .into_iter()
            .any(|key| allowed.is_none_or(|allowed| !allowed.contains(&key)));
        assert!(!leaked, "{} holds a key in plain text", file.display());
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => left.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
    }
    files
}

#[test]
fn a_key_is_found_wherever_it_stands() {
    let generated = keygate::secret::generated::generate("kg_live_");
    for key in [ALPHA, generated.expose()] {
        for text in [
            key.to_owned(),
            format!("\0\u{1}{key}\0"),
            format!("\"secret\":\"{key}\","),
            format!("a-word-before-{key} "),
        ] {
            assert_eq!(keys_in(text.as_bytes()).len(), 1, "{text:?}");
        }
    }
    let digest = super::sha256(generated.expose());
    assert!(keys_in(digest.as_bytes()).is_empty());
}
