//! A profile is configuration only: the program knows no gateway by name, and no gateway's keys by their prefix.

use super::profiles;
use crate::docs::{project, read};
use crate::rooms::rust_files;

/// What keys of the profiles' gateways begin with.
fn prefixes(profile: &str) -> Vec<String> {
    let config: toml::Table = toml::from_str(&read(format!("deploy/profiles/{profile}/config.toml"))).unwrap();
    let environments = config.get("environments").and_then(toml::Value::as_table);
    let declared = environments.into_iter().flat_map(|all| all.values());
    let sources = config.get("credentials").and_then(toml::Value::as_array);
    let from_sources = sources.into_iter().flatten().filter_map(|source| source.get("prefix"));
    declared
        .filter_map(|environment| environment.get("prefixes")?.as_array())
        .flatten()
        .chain(from_sources)
        .map(|prefix| prefix.as_str().unwrap().to_ascii_lowercase())
        .collect()
}

#[test]
fn the_program_knows_no_gateway() {
    let mut known = Vec::new();
    for profile in profiles() {
        let mut words = prefixes(&profile);
        words.push(profile.clone());
        words.push(profile.replace('-', "_"));
        for file in rust_files(&project().join("src")) {
            let text = read(&file).to_ascii_lowercase();
            let shown = file.display();
            let named = words.iter().filter(|word| names(&text, word));
            known.extend(named.map(|word| format!("{shown} names {word}")));
        }
    }
    assert_eq!(known, [""; 0]);
}

/// Whether the word stands there, not only as the end of another.
fn names(text: &str, word: &str) -> bool {
    let before = |at: usize| text[..at].chars().next_back();
    text.match_indices(word)
        .any(|(at, _)| !before(at).is_some_and(char::is_alphanumeric))
}
