//! What a caller may do: names, wildcards, and the sets that operators name.
//!
//! A room of its own because everybody's permissions, a key's and a user's, are made here and nowhere else: sets are opened
//! once per generation, and what routes ask for is looked up in the result on every request.
//!
//! Invariant: more names never allow less.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::config::permissions::{PermissionSet, covers};
use crate::config::routes::Permission;

/// Everything that a caller may do; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions(Arc<Held>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    /// Sorted; wildcards and the names of sets are among them.
    names: Box<[Box<str>]>,
    /// Those of them that have a `*` segment.
    wildcards: Box<[Box<str>]>,
}

/// `[permissions.NAME]`, by name.
#[derive(Debug, Clone, Default)]
pub struct Sets(HashMap<String, Vec<String>>);

impl Sets {
    /// Compiles the sets of a configuration.
    #[must_use]
    pub fn compile(sets: &[PermissionSet]) -> Self {
        Self(
            sets.iter()
                .map(|set| (set.name.clone(), set.includes.clone()))
                .collect(),
        )
    }

    /// What these names come to, with everything that sets among them include, at any depth.
    #[must_use]
    pub fn expand<S: AsRef<str>>(&self, names: &[S]) -> Permissions {
        let mut held: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        while let Some(name) = open.pop() {
            if held.insert(name) {
                let included = self.0.get(name).into_iter().flatten();
                open.extend(included.map(String::as_str));
            }
        }
        let is_wildcard = |name: &&&str| name.split(':').any(|segment| segment == "*");
        Permissions(Arc::new(Held {
            wildcards: held.iter().filter(is_wildcard).map(|&name| name.into()).collect(),
            names: held.iter().map(|&name| name.into()).collect(),
        }))
    }
}

impl Permissions {
    /// Whether exactly this name, or a wildcard that covers it, is held.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let names = &self.0.names;
        names.binary_search_by(|held| (**held).cmp(name)).is_ok()
            || self.0.wildcards.iter().any(|wildcard| covers(wildcard, name))
    }

    /// Whether they are enough for what a route asks for.
    #[must_use]
    pub fn satisfy(&self, demanded: Option<&Permission>) -> bool {
        match demanded {
            None => true,
            Some(Permission::Any(names)) => names.iter().any(|name| self.contains(name)),
            Some(Permission::All(names)) => names.iter().all(|name| self.contains(name)),
        }
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.names.iter().map(|name| &**name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sets(all: &[(&str, &[&str])]) -> Sets {
        let all = all.iter().map(|(name, includes)| PermissionSet {
            name: (*name).to_owned(),
            includes: includes.iter().map(|&name| name.to_owned()).collect(),
        });
        Sets::compile(&all.collect::<Vec<_>>())
    }

    #[test]
    fn sets_hold_their_name_and_what_they_include_at_any_depth() {
        let sets = sets(&[
            ("admin", &["manage", "operator"]),
            ("operator", &["messages:*", "admin"]),
        ]);
        let held = sets.expand(&["admin"]);
        assert_eq!(
            held.iter().collect::<Vec<_>>(),
            ["admin", "manage", "messages:*", "operator"]
        );
        assert!(held.contains("messages:send"));
        assert!(!held.contains("templates:send"));
        assert!(!sets.expand(&["manage"]).contains("messages:send"));
    }

    const WORDS: [&str; 8] = ["read", "send", "a", "b", "a:*", "a:x", "*", "a:x:y"];

    proptest! {
        #[test]
        fn more_names_never_allow_less(
            some in proptest::sample::subsequence(&WORDS[..], 0..WORDS.len()),
            more in proptest::sample::select(&WORDS[..]),
            asked in proptest::sample::select(&WORDS[..]),
        ) {
            let sets = sets(&[("a", &["b", "read"]), ("b", &["send"])]);
            let before = sets.expand(&some).contains(asked);
            let after = sets.expand(&[some, vec![more]].concat()).contains(asked);
            prop_assert!(!before || after);
        }
    }
}
