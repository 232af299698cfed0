//! Patterns of paths, found by the path: the most specific one wins.
//!
//! A room of its own because matchit's tree, which does the work, holds no parameter beside a `{*rest}` at the same place,
//! although a parameter is more specific. Patterns that one tree cannot hold together go into the next; a path is looked up in
//! all of them, of which there is one as a rule, and the most specific of what they find is the answer.
//!
//! Patterns are compared segment by segment from the left: text goes before text with a parameter in it, that before a
//! parameter, and that before a `{*rest}`.

use matchit::{InsertError, Params, Router};

/// What stands in a segment, the most specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Text,
    PartlyText,
    Parameter,
    Rest,
}

/// Patterns, each with what it leads to.
#[derive(Debug, Clone)]
pub struct Tree<T> {
    layers: Vec<Router<(Box<[Kind]>, T)>>,
}

/// What a path leads to.
pub struct Found<'t, 'p, T> {
    /// What stands at the pattern.
    pub value: &'t T,
    /// The pattern's parameters, as they stand in the path.
    pub params: Params<'t, 'p>,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { layers: Vec::new() }
    }
}

impl<T: Clone> Tree<T> {
    /// Adds a pattern.
    ///
    /// # Errors
    /// When it does not parse, or when some path fits both it and an earlier one and neither is more specific.
    pub fn insert(&mut self, pattern: impl Into<String>, value: T) -> Result<(), InsertError> {
        let pattern = pattern.into();
        let kinds = kinds(&pattern);
        for layer in &mut self.layers {
            match layer.insert(pattern.as_str(), (kinds.clone(), value.clone())) {
                Err(InsertError::Conflict { with }) if self::kinds(&with) != kinds => {}
                outcome => return outcome,
            }
        }
        let mut layer = Router::new();
        layer.insert(pattern, (kinds, value))?;
        self.layers.push(layer);
        Ok(())
    }

    /// What the most specific pattern that has this path leads to.
    #[must_use]
    pub fn at<'t, 'p>(&'t self, path: &'p str) -> Option<Found<'t, 'p, T>> {
        let found = self.layers.iter().filter_map(|layer| layer.at(path).ok());
        let best = found.min_by(|a, b| a.value.0.cmp(&b.value.0))?;
        Some(Found {
            value: &best.value.1,
            params: best.params,
        })
    }
}

fn kinds(pattern: &str) -> Box<[Kind]> {
    let kind = |segment: &str| {
        // Doubled braces are text.
        let bare = segment.replace("{{", "").replace("}}", "");
        match bare.find('{') {
            None => Kind::Text,
            Some(_) if bare.contains("{*") => Kind::Rest,
            Some(0) if bare.find('}') == Some(bare.len() - 1) && segment.len() == bare.len() => Kind::Parameter,
            Some(_) => Kind::PartlyText,
        }
    };
    pattern.split('/').map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn the_most_specific_pattern_wins_whatever_was_there_first() {
        let patterns = [
            "/v1/{*rest}",
            "/v1/{org}/messages",
            "/v1/{org}",
            "/v1/{org}/files/{*rest}",
            "/v1/{org}/{kind}",
            "/v1/acme/{*rest}",
            "/v1/a{x}/messages",
            "/{*all}",
            "/{{v1}}/{id}",
        ];
        let cases = [
            ("/v1/acme", 2),
            ("/v1/acme/", 0),
            ("/v1/acme/x", 5),
            ("/v1/abc/messages", 6),
            ("/v1/other/messages", 1),
            ("/v1/other/things", 4),
            ("/v1/other/files/a/b", 3),
            ("/v1/other/things/more", 0),
            ("/v2/other", 7),
            ("/{v1}/7", 8),
        ];
        let forwards: Vec<usize> = (0..patterns.len()).collect();
        let backwards: Vec<usize> = (0..patterns.len()).rev().collect();
        for order in [forwards, backwards] {
            let mut tree = Tree::default();
            for &index in &order {
                tree.insert(patterns[index], index).unwrap();
            }
            for (path, expected) in cases {
                assert_eq!(
                    tree.at(path).map(|found| *found.value),
                    Some(expected),
                    "{path}, {order:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_equally_specific_cannot_stand_together() {
        let mut tree = Tree::default();
        tree.insert("/v1/{*rest}", ()).unwrap();
        tree.insert("/v1/{org}/x", ()).unwrap();
        assert!(tree.insert("/v1/{id}/x", ()).is_err());
        assert!(tree.insert("/v1/{*all}", ()).is_err());
        tree.insert("/v2/{a}x", ()).unwrap();
        assert!(tree.insert("/v2/y{b}", ()).is_err());
        assert!(tree.insert("/v3/{a", ()).is_err());
    }
}
