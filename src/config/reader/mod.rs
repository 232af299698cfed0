//! Typed access to a parsed file that accumulates problems instead of stopping at the first.
//!
//! A room of its own because every section and every key record is read through it, in the same words. A [`Table`]
//! gives [`Item`]s by key; an item gives a value of the type that is asked for, or reports what is wrong and gives
//! `None`. **When a table goes out of scope it reports every key that nobody asked for.** So a reader of a section asks
//! for all keys of its table first, and only then judges them; and it opens each table once.
//!
//! Secrets: nothing here quotes a value, except words that are not in a list of allowed ones ([`Item::word`]).

mod item;
mod place;
mod words;

use std::cell::RefCell;

use smallvec::SmallVec;

pub use item::Item;
pub use place::Place;
pub use words::{list, nearest, quoted};

use super::document::{Entry, Node, Source, Value};
use super::mask;
use super::problem::Report;
use place::Segment;

/// A table that is being read.
#[derive(Debug)]
pub struct Table<'d> {
    place: Place<'d>,
    entries: &'d [Entry<'d>],
    asked: RefCell<SmallVec<[&'d str; 16]>>,
}

impl<'d> Table<'d> {
    /// The table at the root of a parsed document or record.
    #[must_use]
    pub fn root(source: &'d Source<'d>, node: &'d Node<'d>, report: &'d Report) -> Self {
        let entries = match &node.value {
            Value::Table(entries) => entries.as_slice(),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::List(_) => &[],
        };
        let span = (node.span.start < node.span.end).then_some(node.span);
        Self::new(Place::root(source, report, span), entries)
    }

    fn new(place: Place<'d>, entries: &'d [Entry<'d>]) -> Self {
        Self {
            place,
            entries,
            asked: RefCell::default(),
        }
    }

    /// The value of `key`, if it is set.
    #[must_use]
    pub fn get(&self, key: &'d str) -> Option<Item<'d>> {
        self.place
            .report()
            .asked(|| self.place.at(Segment::Key(key), self.place.span).option());
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        drop(asked);
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| self.item(Segment::Key(key), entry))
    }

    /// The value of `key`; reports when it is not set. `help` says what to write.
    #[must_use]
    pub fn require(&self, key: &'d str, help: &str) -> Option<Item<'d>> {
        let item = self.get(key);
        if item.is_none() {
            self.place.missing(format!("`{key}` is missing"), help);
        }
        item
    }

    /// The table at `key`; an empty one where it is not set, or not a table.
    #[must_use]
    pub fn section(&self, key: &'d str) -> Table<'d> {
        self.get(key)
            .and_then(|item| item.table())
            .unwrap_or_else(|| Self::new(self.place.at(Segment::Key(key), None), &[]))
    }

    /// Reports `old`, which is now called `new`, when it is set.
    pub fn renamed(&self, old: &'d str, new: &str) {
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == old) {
            self.asked.borrow_mut().push(old);
            self.place
                .at(Segment::Key(old), Some(entry.span))
                .error(format!("is now called `{new}`"), format!("write `{new}` instead"));
        }
    }

    /// All entries whose keys are the operator's own names, in the order of the file, with their names.
    pub fn names(&self) -> impl Iterator<Item = (&'d str, Item<'d>)> + use<'_, 'd> {
        self.entries.iter().map(|entry| {
            self.asked.borrow_mut().push(&entry.key);
            (&*entry.key, self.item(Segment::Name(&entry.key), entry))
        })
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> &Place<'d> {
        &self.place
    }

    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes every key as known, without a look: for free-form tables, and after a problem that makes the rest moot.
    pub fn ignore_rest(&self) {
        let mut asked = self.asked.borrow_mut();
        asked.extend(self.entries.iter().map(|entry| &*entry.key));
    }

    fn item(&self, segment: Segment<'d>, entry: &'d Entry<'d>) -> Item<'d> {
        Item {
            key: entry.span,
            place: self.place.at(segment, Some(entry.node.span)),
            node: &entry.node,
        }
    }
}

/// Reports the keys that nobody asked for.
impl Drop for Table<'_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        for entry in self.entries {
            if asked.iter().any(|known| *known == entry.key) {
                continue;
            }
            let free: Vec<&str> = asked
                .iter()
                .copied()
                .filter(|known| !self.entries.iter().any(|entry| entry.key == *known))
                .collect();
            let near = nearest(&entry.key, &free);
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if free.is_empty() => "remove it".to_owned(),
                None => format!("remove it; also known here: {}", list(&free)),
            };
            // It may be a secret under a misspelt name, unless it is plainly something else.
            let hides = near.is_none_or(|near| mask::is_secret_path(&self.place.at(Segment::Key(near), None).path()));
            self.place
                .at(Segment::Key(&entry.key), Some(entry.span))
                .unknown(help, hides);
        }
    }
}

#[cfg(test)]
mod tests;
