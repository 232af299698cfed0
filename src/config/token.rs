//! Tokens that others show: a name for the log, and the SHA-256 of what is shown.
//!
//! A room of its own because operators (`[[admin.tokens]]`) and services (`[[egress.tokens]]`) are let in by the same kind.

use super::names;
use super::reader::{Item, Table};
use super::records;
use crate::secret::Digest;

/// Reads `name` and `hash`. `kind` is what it is in the words of problems, `is_taken` whether another has this name, `help` how
/// to make one.
pub(super) fn read(
    table: &Table<'_>,
    kind: &str,
    help: &str,
    is_taken: impl Fn(&str) -> bool,
) -> Option<(String, Digest)> {
    let (name, hash) = (table.require("name", help), table.require("hash", help));
    let name = name.and_then(|item| read_name(&item, kind, is_taken));
    let digest = hash.and_then(|item| records::read_sha256(&item, help));
    Some((name?, digest?))
}

fn read_name(item: &Item<'_>, kind: &str, is_taken: impl Fn(&str) -> bool) -> Option<String> {
    let name = item.text()?;
    names::check(kind, name, item);
    if is_taken(name) {
        item.error(
            format!("there is already {kind} named {name:?}"),
            "give each a name of its own",
        );
    }
    Some(name.to_owned())
}
