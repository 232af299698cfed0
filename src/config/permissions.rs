//! `[permissions.NAME]`: sets of permissions under one name.

use super::names;
use super::reader::{Item, Place, Table};
use super::routes::read_permission_name;

/// A name that stands for several permissions besides itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionSet {
    /// Its name, which keys, claims and other sets may hold.
    pub name: String,
    /// `includes`: names, sets and wildcards (`messages:*`) that come with it.
    pub includes: Vec<String>,
}

/// Reads `[permissions.NAME]`, each with its place.
pub(super) fn read<'d>(root: &Table<'d>) -> Vec<(PermissionSet, Place<'d>)> {
    let section = root.section("permissions");
    let mut sets = Vec::new();
    for (name, item) in section.names() {
        if !names::is_word(name) || name.split(':').any(|segment| segment == "*") {
            item.key_place().error(
                format!("{name:?} cannot be the name of a set"),
                "visible ASCII without spaces, and without a `*` segment",
            );
        }
        let Some(table) = item.table() else { continue };
        let includes = table.require("includes", "for example includes = [\"read\", \"send\"]");
        let items = includes.and_then(|item| item.list_or_one()).unwrap_or_default();
        let included = items.iter().filter_map(|item| read_included(name, item)).collect();
        let set = PermissionSet {
            name: name.to_owned(),
            includes: included,
        };
        sets.push((set, item.key_place()));
    }
    sets
}

fn read_included(set: &str, item: &Item<'_>) -> Option<String> {
    let name = read_permission_name(item)?;
    if name == set {
        item.error("is the set itself", "remove it: a set always holds its own name");
        return None;
    }
    Some(name)
}

/// Whether a permission, which may be a wildcard, stands for another: `*` is one segment, and at the end all that follow.
#[must_use]
pub fn covers(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.split(':').peekable(), name.split(':'));
    loop {
        match (pattern.next(), name.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) if pattern.peek().is_none() => return true,
            (Some(one), Some(other)) if one == "*" || one == other => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_star_is_one_segment_and_at_the_end_all_that_follow() {
        let cases = [
            ("send", "send", true),
            ("send", "sends", false),
            ("*", "send", true),
            ("*", "messages:send", true),
            ("messages:*", "messages:send", true),
            ("messages:*", "messages:send:bulk", true),
            ("messages:*", "messages", false),
            ("messages:*", "templates:send", false),
            ("*:send", "messages:send", true),
            ("*:send", "messages:read", false),
            ("*:send", "a:b:send", false),
            ("a:*:c", "a:b:c", true),
            ("a:*:c", "a:b:d", false),
            ("mess*", "messages", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(covers(pattern, name), expected, "{pattern} {name}");
        }
    }
}
