//! Typed access to a parsed file that accumulates problems instead of stopping at the first.
//!
//! A room of its own because every section and every key record is read through it, in the same words. A [`Table`]
//! gives [`Item`]s by key; an item gives a value of the type that is asked for, or reports what is wrong and gives
//! `None`. **When a table goes out of scope it reports every key that nobody asked for.** So a reader of a section asks
//! for all keys of its table first, and only then judges them; and it opens each table once.
//!
//! Secrets: nothing here quotes a value, except words that are not in a list of allowed ones ([`Item::word`]).

use std::cell::RefCell;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::time::Duration;

use smallvec::SmallVec;

use super::document::{Entry, Node, Source, Span, Value};
use super::problem::{Problem, Report, Severity};
use super::units;

/// Where something stands: a file, a span, and a key path. Keep it to report problems later.
#[derive(Debug, Clone)]
pub struct Place<'d> {
    source: &'d Source<'d>,
    report: &'d Report,
    span: Option<Span>,
    path: SmallVec<[Segment<'d>; 6]>,
}

/// One step of a key path.
#[derive(Debug, Clone, Copy)]
enum Segment<'d> {
    Key(&'d str),
    /// A key that the operator chose, such as a plan's name.
    Name(&'d str),
    Index(usize),
}

impl<'d> Place<'d> {
    /// A whole document or record; without a span, its problems concern the file as a whole.
    #[must_use]
    pub fn root(source: &'d Source<'d>, report: &'d Report, span: Option<Span>) -> Self {
        Self {
            source,
            report,
            span,
            path: SmallVec::new(),
        }
    }

    /// Reports an error here.
    pub fn error(&self, what: impl Into<String>, help: impl Into<String>) {
        self.say(Severity::Error, what.into(), help.into());
    }

    /// Reports a warning here.
    pub fn warning(&self, what: impl Into<String>, help: impl Into<String>) {
        self.say(Severity::Warning, what.into(), help.into());
    }

    /// Reports that something is not there. Says nothing in a file with syntax errors, where it may only have been
    /// misread.
    pub fn missing(&self, what: impl Into<String>, help: impl Into<String>) {
        if !self.source.has_syntax_errors() {
            self.error(what, help);
        }
    }

    /// The file that this stands in.
    #[must_use]
    pub fn file(&self) -> &'d std::path::Path {
        self.source.file()
    }

    /// The byte range of the file's text; empty at its beginning where this is the whole file.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.unwrap_or_default()
    }

    /// Where all problems go.
    #[must_use]
    pub fn report(&self) -> &'d Report {
        self.report
    }

    /// Line and column, both from 1; `None` where it is the file as a whole.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.span.map(|span| self.source.position(span.start))
    }

    /// `file:line:column`, to point to another place in help.
    #[must_use]
    pub fn location(&self) -> String {
        let file = self.source.file().display();
        match self.position() {
            Some((line, column)) => format!("{file}:{line}:{column}"),
            None => file.to_string(),
        }
    }

    /// The key path, such as `plans.default.limits[0].per`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut text = String::new();
        for segment in &self.path {
            match segment {
                Segment::Key(key) | Segment::Name(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    if is_bare(key) {
                        text.push_str(key);
                    } else {
                        let _ = write!(text, "{key:?}");
                    }
                }
                Segment::Index(index) => {
                    let _ = write!(text, "[{index}]");
                }
            }
        }
        text
    }

    /// The key path as documentation writes it: `plans.*.limits[].per`.
    fn option(&self) -> String {
        let mut text = String::new();
        for segment in &self.path {
            let word = match segment {
                Segment::Key(key) => key,
                Segment::Name(_) => "*",
                Segment::Index(_) => {
                    text.push_str("[]");
                    continue;
                }
            };
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(word);
        }
        text
    }

    fn say(&self, severity: Severity, what: String, help: String) {
        match self.span {
            Some(span) if self.source.is_damaged_at(span) => {}
            Some(span) => {
                let problem = self.source.problem(severity, span, self.path(), what, help);
                self.report.push(problem);
            }
            None => self.report.push(Problem {
                path: self.path(),
                ..Problem::of_file(severity, self.source.file(), what, help)
            }),
        }
    }

    fn at(&self, segment: Segment<'d>, span: Option<Span>) -> Self {
        let mut path = self.path.clone();
        path.push(segment);
        Self { span, path, ..*self }
    }
}

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
            .report
            .asked(|| self.place.at(Segment::Key(key), self.place.span).option());
        self.asked.borrow_mut().push(key);
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
            let help = match nearest(&entry.key, &free) {
                Some(near) => format!("did you mean `{near}`?"),
                None if free.is_empty() => "remove it".to_owned(),
                None => format!("remove it; also known here: {}", list(&free)),
            };
            self.place
                .at(Segment::Key(&entry.key), Some(entry.span))
                .error("is not a known option", help);
        }
    }
}

/// A value that is being read.
#[derive(Debug, Clone)]
pub struct Item<'d> {
    key: Span,
    place: Place<'d>,
    node: &'d Node<'d>,
}

impl<'d> Item<'d> {
    /// Text.
    #[must_use]
    pub fn string(&self) -> Option<&'d str> {
        match &self.node.value {
            Value::String(text) => Some(text),
            _ => self.wrong("a string", "put it in quotes"),
        }
    }

    /// Text that is not empty.
    #[must_use]
    pub fn text(&self) -> Option<&'d str> {
        let text = self.string()?;
        if text.trim().is_empty() {
            self.error("is empty", "write a text, or remove the option");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`.
    #[must_use]
    pub fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Boolean(value) => Some(value),
            _ => self.wrong("`true` or `false`", "write true or false, without quotes"),
        }
    }

    /// The value that `read` finds, or `None` where it is `false`: how an option that has a value is turned off.
    #[must_use]
    pub fn or_off<T>(&self, read: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        match &self.node.value {
            Value::Boolean(false) => None,
            Value::String(word) if matches!(&**word, "off" | "none" | "never" | "unlimited") => {
                self.error(
                    format!("is {word:?}, expected `false` or a value"),
                    "write false, without quotes",
                );
                None
            }
            _ => read(self),
        }
    }

    /// A whole number within `range`.
    #[must_use]
    pub fn integer<N>(&self, range: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i128> + Into<i128> + PartialOrd + Copy,
    {
        let (low, high): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
        let Value::Integer(number) = self.node.value else {
            return self.wrong("a whole number", &between(low, high));
        };
        match N::try_from(number) {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                self.error("is out of range", between(low, high));
                None
            }
        }
    }

    /// A whole number within `range`, for counts in memory.
    #[must_use]
    pub fn count(&self, range: RangeInclusive<u32>) -> Option<usize> {
        self.integer(range).map(|count| count as usize)
    }

    /// A number within `range`.
    #[must_use]
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = match self.node.value {
            Value::Float(number) => number,
            #[allow(clippy::cast_precision_loss)] // compared with small bounds
            Value::Integer(number) => number as f64,
            _ => return self.wrong("a number", &format!("from {} to {}", range.start(), range.end())),
        };
        if range.contains(&number) {
            return Some(number);
        }
        self.error("is out of range", format!("from {} to {}", range.start(), range.end()));
        None
    }

    /// A duration such as `"10s"`, at least one millisecond.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.duration_within(Duration::from_millis(1)..=units::LONGEST)
    }

    /// A duration such as `"10s"`, within `range`.
    #[must_use]
    pub fn duration_within(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        const EXPECTED: &str = "a duration such as \"10s\"";
        const HELP: &str = "whole numbers with a unit: ms, s, m, h, d; for example \"500ms\", \"10s\", \"1h30m\"";
        let Value::String(text) = &self.node.value else {
            return self.wrong(EXPECTED, HELP);
        };
        let Some(duration) = units::parse_duration(text) else {
            self.error(format!("is not {EXPECTED}"), HELP);
            return None;
        };
        if range.contains(&duration) {
            return Some(duration);
        }
        self.error(
            "is out of range",
            format!(
                "from \"{}\" to \"{}\"",
                units::format_duration(*range.start()),
                units::format_duration(*range.end())
            ),
        );
        None
    }

    /// A size such as `"16MiB"`, or a number of bytes, within `range`; in bytes.
    #[must_use]
    pub fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        const EXPECTED: &str = "a size such as \"16MiB\"";
        const HELP: &str = "a whole number with a unit: B, KiB, MiB, GiB; for example \"64KiB\"";
        let bytes = match &self.node.value {
            Value::String(text) => units::parse_size(text),
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            _ => return self.wrong(EXPECTED, HELP),
        };
        let Some(bytes) = bytes else {
            self.error(format!("is not {EXPECTED}"), HELP);
            return None;
        };
        if range.contains(&bytes) {
            return Some(bytes);
        }
        self.error(
            "is out of range",
            format!(
                "from \"{}\" to \"{}\"",
                units::format_size(*range.start()),
                units::format_size(*range.end())
            ),
        );
        None
    }

    /// A point in time, in Unix seconds: a TOML date-time or an RFC 3339 string, with its offset from UTC.
    #[must_use]
    pub fn datetime(&self) -> Option<i64> {
        const EXPECTED: &str = "a date and time with an offset, such as 2026-01-15T10:00:00Z";
        let text = match &self.node.value {
            Value::Datetime(text) => text.clone(),
            Value::String(text) => text.clone().into_owned(),
            _ => return self.wrong(EXPECTED, "write it as in RFC 3339: 2026-01-15T10:00:00Z"),
        };
        match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => Some(timestamp.as_second()),
            Err(_) => {
                self.error(
                    format!("is not {EXPECTED}"),
                    "write it as in RFC 3339: 2026-01-15T10:00:00Z, or …+02:00",
                );
                None
            }
        }
    }

    /// One of a few words.
    #[must_use]
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let one_of = match &*names {
            [only] => format!("write \"{only}\""),
            names => format!("one of {}", quoted(names)),
        };
        let Value::String(text) = &self.node.value else {
            return self.wrong("a string", &one_of);
        };
        if let Some((_, value)) = words.iter().find(|(name, _)| name == text) {
            return Some(*value);
        }
        let help = match nearest(text, &names) {
            Some(near) => format!("did you mean \"{near}\"? Known: {}", quoted(&names)),
            None => one_of,
        };
        self.error(format!("{text:?} is not known here"), help);
        None
    }

    /// The index of the name in `names` that it is. `kind` is what the names are of: "plan".
    #[must_use]
    pub fn reference(&self, kind: &str, names: &[impl AsRef<str>]) -> Option<u16> {
        let name = self.text()?;
        let found = names.iter().position(|known| known.as_ref() == name);
        if found.is_none() {
            let names: Vec<&str> = names.iter().map(AsRef::as_ref).take(20).collect();
            let help = match nearest(name, &names) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if names.is_empty() => format!("there is no {kind} at all; add [{kind}s.{name}]"),
                None => format!("known: {}", quoted(&names)),
            };
            self.place.missing(format!("there is no {kind} named {name:?}"), help);
        }
        found.and_then(|index| u16::try_from(index).ok())
    }

    /// The elements of a list.
    #[must_use]
    pub fn list(&self) -> Option<Vec<Item<'d>>> {
        match &self.node.value {
            Value::List(nodes) => Some(self.elements(nodes)),
            _ => self.wrong("a list", "put it in brackets: […]"),
        }
    }

    /// The elements of a list, or the item itself where it is a single string.
    #[must_use]
    pub fn list_or_one(&self) -> Option<Vec<Item<'d>>> {
        match &self.node.value {
            Value::List(nodes) => Some(self.elements(nodes)),
            Value::String(_) => Some(vec![self.clone()]),
            _ => self.wrong("a string or a list of strings", "for example [\"a\", \"b\"]"),
        }
    }

    /// A list of texts, none of them empty. Wrong elements are reported and left out.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<&'d str>> {
        Some(self.list()?.iter().filter_map(Item::text).collect())
    }

    /// A table.
    #[must_use]
    pub fn table(&self) -> Option<Table<'d>> {
        match &self.node.value {
            Value::Table(entries) => Some(Table::new(self.place.clone(), entries)),
            _ => self.wrong("a table", "write it as a section or as { … }"),
        }
    }

    /// Whether it is a table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }

    /// A list of tables, as `[[…]]` makes one.
    #[must_use]
    pub fn tables(&self) -> Option<Vec<Table<'d>>> {
        match &self.node.value {
            Value::List(nodes) => Some(self.elements(nodes).iter().filter_map(Item::table).collect()),
            _ => {
                let name = self.place.path();
                self.wrong("a list of tables", &format!("begin each one with [[{name}]]"))
            }
        }
    }

    /// The value itself, for free-form data.
    #[must_use]
    pub fn value(&self) -> &'d Value<'d> {
        &self.node.value
    }

    /// Where the value stands.
    #[must_use]
    pub fn place(&self) -> &Place<'d> {
        &self.place
    }

    /// Where its key stands; for an element of a list, where it stands itself.
    #[must_use]
    pub fn key_place(&self) -> Place<'d> {
        Place {
            span: Some(self.key),
            ..self.place.clone()
        }
    }

    /// Reports an error with the value.
    pub fn error(&self, what: impl Into<String>, help: impl Into<String>) {
        self.place.error(what, help);
    }

    /// Reports a warning with the value.
    pub fn warning(&self, what: impl Into<String>, help: impl Into<String>) {
        self.place.warning(what, help);
    }

    fn elements(&self, nodes: &'d [Node<'d>]) -> Vec<Item<'d>> {
        nodes
            .iter()
            .enumerate()
            .map(|(index, node)| Item {
                key: node.span,
                place: self.place.at(Segment::Index(index), Some(node.span)),
                node,
            })
            .collect()
    }

    fn wrong<T>(&self, expected: &str, help: &str) -> Option<T> {
        let found = match self.node.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date or time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        };
        self.error(format!("is {found}, expected {expected}"), help);
        None
    }
}

/// Whether TOML lets a key stand without quotes.
fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn between(low: i128, high: i128) -> String {
    format!("from {low} to {high}")
}

/// `` `a`, `b`, `c` ``
#[must_use]
pub fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// `"a", "b", "c"`
#[must_use]
pub fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(", ")
}

/// The word of `known` that `word` is probably a slip for.
#[must_use]
pub fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let allowed = (word.chars().count() / 3).clamp(1, 4);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, without regard to case and with `-` taken for `_`.
fn distance(a: &str, b: &str) -> usize {
    let folded = |text: &str| -> Vec<char> {
        text.chars()
            .map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() })
            .collect()
    };
    let (a, b) = (folded(a), folded(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
