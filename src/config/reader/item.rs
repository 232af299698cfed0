//! A single value, and every type that it can be read as.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::words::{nearest, quoted};
use super::{Place, Segment, Table};
use crate::config::document::{Node, Span, Value};
use crate::config::units;

/// A value that is being read.
#[derive(Debug, Clone)]
pub struct Item<'d> {
    pub(super) key: Span,
    pub(super) place: Place<'d>,
    pub(super) node: &'d Node<'d>,
}

impl<'d> Item<'d> {
    /// Text.
    #[must_use]
    pub fn string(&self) -> Option<&'d str> {
        let Value::String(text) = &self.node.value else {
            return self.wrong("a string", "put it in quotes");
        };
        Some(text)
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
        let Value::Boolean(value) = self.node.value else {
            return self.wrong("`true` or `false`", "write true or false, without quotes");
        };
        Some(value)
    }

    /// The value that `read` finds, or `None` where it is `false`: how an option that has a value is turned off.
    #[must_use]
    pub fn or_off<T>(&self, read: impl FnOnce(&Self) -> Option<T>) -> Option<T> {
        if matches!(self.node.value, Value::Boolean(false)) {
            return None;
        }
        if let Value::String(word) = &self.node.value
            && matches!(&**word, "off" | "none" | "never" | "unlimited")
        {
            self.error(
                format!("is {word:?}, expected `false` or a value"),
                "write false, without quotes",
            );
            return None;
        }
        read(self)
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
        let help = format!("from {} to {}", range.start(), range.end());
        let number = if let Value::Float(number) = self.node.value {
            number
        } else if let Value::Integer(number) = self.node.value {
            #[allow(clippy::cast_precision_loss)] // compared with small bounds
            let number = number as f64;
            number
        } else {
            return self.wrong("a number", &help);
        };
        if range.contains(&number) {
            return Some(number);
        }
        self.error("is out of range", help);
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
        let bytes = if let Value::String(text) = &self.node.value {
            units::parse_size(text)
        } else if let Value::Integer(bytes) = self.node.value {
            u64::try_from(bytes).ok()
        } else {
            return self.wrong(EXPECTED, HELP);
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
        let text: &str = if let Value::Datetime(text) = &self.node.value {
            text
        } else if let Value::String(text) = &self.node.value {
            text
        } else {
            return self.wrong(EXPECTED, "write it as in RFC 3339: 2026-01-15T10:00:00Z");
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

    /// A point in time, in Unix seconds: as [`Self::datetime`], or a day alone, which is its beginning in UTC.
    #[must_use]
    pub fn day_or_time(&self) -> Option<i64> {
        let text = match &self.node.value {
            Value::Datetime(text) => Some(text.as_ref()),
            Value::String(text) => Some(text.as_ref()),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::List(_) | Value::Table(_) => None,
        };
        let is_day = |text: &&str| text.len() == "2026-01-15".len();
        let day = text
            .filter(is_day)
            .and_then(|text| text.parse::<jiff::civil::Date>().ok());
        match day.map(|day| day.to_zoned(jiff::tz::TimeZone::UTC)) {
            Some(Ok(midnight)) => Some(midnight.timestamp().as_second()),
            Some(Err(_)) | None => self.datetime(),
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
        let Value::List(nodes) = &self.node.value else {
            return self.wrong("a list", "put it in brackets: […]");
        };
        Some(self.elements(nodes))
    }

    /// The elements of a list, or the item itself where it is a single string.
    #[must_use]
    pub fn list_or_one(&self) -> Option<Vec<Item<'d>>> {
        if let Value::List(nodes) = &self.node.value {
            Some(self.elements(nodes))
        } else if let Value::String(_) = self.node.value {
            Some(vec![self.clone()])
        } else {
            self.wrong("a string or a list of strings", "for example [\"a\", \"b\"]")
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
        let Value::Table(entries) = &self.node.value else {
            return self.wrong("a table", "write it as a section or as { … }");
        };
        Some(Table::new(self.place.clone(), entries))
    }

    /// Whether it is a table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }

    /// A list of tables, as `[[…]]` makes one.
    #[must_use]
    pub fn tables(&self) -> Option<Vec<Table<'d>>> {
        let Value::List(nodes) = &self.node.value else {
            let name = self.place.path();
            return self.wrong("a list of tables", &format!("begin each one with [[{name}]]"));
        };
        Some(self.elements(nodes).iter().filter_map(Item::table).collect())
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
        self.place.with_span(self.key)
    }

    /// Reports an error with the value.
    pub fn error(&self, what: impl Into<String>, help: impl Into<String>) {
        self.place.error(what, help);
    }

    /// Reports a warning with the value.
    pub fn warning(&self, what: impl Into<String>, help: impl Into<String>) {
        self.place.warning(what, help);
    }

    /// Reports something that only whoever asks wants to hear.
    pub fn advice(&self, what: impl Into<String>, help: impl Into<String>) {
        self.place.advice(what, help);
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

fn between(low: i128, high: i128) -> String {
    format!("from {low} to {high}")
}
