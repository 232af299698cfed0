//! JSON Lines: one line of a `*.jsonl` key file → the same tree of values that TOML gives.
//!
//! A room of its own so that there is one reader of records: this one only knows notation. Every value and every name
//! keeps its place in the file. `null` means that the option is not set.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::document::{Entry, Node, Span, Value};

/// How deep values may be nested; records need three levels, free-form metadata some more.
const DEPTH_MAX: usize = 16;

/// Why a line does not parse, and where in the file.
pub(super) struct Syntax {
    pub(super) span: Span,
    pub(super) message: String,
}

/// Parses the line that stands at `offset` of the file; it must be an object.
pub(super) fn parse_line(line: &str, offset: usize) -> Result<Node<'_>, Syntax> {
    let reader = Reader { line, offset };
    let text = line.trim();
    if !text.starts_with('{') {
        return Err(reader.syntax(text, "a line is one record: a JSON object in braces"));
    }
    // The whole line once: what the parts are cut out of is then known to be valid.
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| reader.at_error(text, &error))?;
    let node = reader.node(raw.get(), 0)?;
    node.ok_or_else(|| reader.syntax(text, "a line is one record: a JSON object in braces"))
}

/// The members of the object in a line that parses, those that are `null` included: name, where the name stands, and
/// where its value stands in the file.
pub(super) fn members(line: &str, offset: usize) -> Vec<(Cow<'_, str>, Span, Span)> {
    let reader = Reader { line, offset };
    let text = line.trim();
    let members = serde_json::Deserializer::from_str(text)
        .deserialize_map(Members)
        .unwrap_or_default();
    let mut behind = reader.span(text).start;
    members
        .into_iter()
        .map(|(name, value)| {
            let value = reader.span(value.get());
            let name_span = reader.name_span(behind, value.start);
            behind = value.end;
            (name, name_span, value)
        })
        .collect()
}

struct Reader<'d> {
    line: &'d str,
    offset: usize,
}

impl<'d> Reader<'d> {
    /// `None` is `null`.
    fn node(&self, raw: &'d str, depth: usize) -> Result<Option<Node<'d>>, Syntax> {
        if depth > DEPTH_MAX {
            return Err(self.syntax(raw, "is nested too deeply"));
        }
        let value = match raw.as_bytes().first() {
            Some(b'n') => return Ok(None),
            Some(b't') => Value::Boolean(true),
            Some(b'f') => Value::Boolean(false),
            Some(b'"') => Value::String(self.string(raw)?),
            Some(b'[') => Value::List(self.list(raw, depth)?),
            Some(b'{') => Value::Table(self.table(raw, depth)?),
            Some(_) | None => self.number(raw)?,
        };
        let span = self.span(raw);
        Ok(Some(Node { span, value }))
    }

    fn string(&self, raw: &'d str) -> Result<Cow<'d, str>, Syntax> {
        match raw.get(1..raw.len() - 1) {
            Some(text) if !text.contains('\\') => Ok(Cow::Borrowed(text)),
            Some(_) | None => serde_json::from_str(raw)
                .map(Cow::Owned)
                .map_err(|error| self.at_error(raw, &error)),
        }
    }

    fn number(&self, raw: &'d str) -> Result<Value<'d>, Syntax> {
        if let Ok(number) = raw.parse::<i128>() {
            return Ok(Value::Integer(number));
        }
        raw.parse::<f64>()
            .map(Value::Float)
            .map_err(|_| self.syntax(raw, "is not a number"))
    }

    fn list(&self, raw: &'d str, depth: usize) -> Result<Vec<Node<'d>>, Syntax> {
        let items: Vec<&'d RawValue> = serde_json::from_str(raw).map_err(|error| self.at_error(raw, &error))?;
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            let node = self.node(item.get(), depth + 1)?;
            nodes.push(node.ok_or_else(|| self.syntax(item.get(), "null cannot stand in a list"))?);
        }
        Ok(nodes)
    }

    fn table(&self, raw: &'d str, depth: usize) -> Result<Vec<Entry<'d>>, Syntax> {
        let mut deserializer = serde_json::Deserializer::from_str(raw);
        let members = deserializer
            .deserialize_map(Members)
            .map_err(|error| self.at_error(raw, &error))?;
        let mut entries: Vec<Entry<'d>> = Vec::with_capacity(members.len());
        // A name stands between the end of the value before it and its own value.
        let mut behind = self.span(raw).start;
        for (key, value) in members {
            let value_span = self.span(value.get());
            let span = self.name_span(behind, value_span.start);
            behind = value_span.end;
            if entries.iter().any(|entry| entry.key == key) {
                return Err(Syntax {
                    span,
                    message: "duplicate key".to_owned(),
                });
            }
            if let Some(node) = self.node(value.get(), depth + 1)? {
                entries.push(Entry { key, span, node });
            }
        }
        Ok(entries)
    }

    /// Where the quoted name in a byte range of the file stands.
    fn name_span(&self, start: usize, end: usize) -> Span {
        let between = &self.line[start - self.offset..end - self.offset];
        match (between.find('"'), between.rfind('"')) {
            (Some(first), Some(last)) if first < last => Span {
                start: start + first,
                end: start + last + 1,
            },
            _ => Span { start, end },
        }
    }

    /// Where a part of the line stands in the file.
    fn span(&self, part: &str) -> Span {
        let start = self.offset + (part.as_ptr().addr() - self.line.as_ptr().addr());
        Span {
            start,
            end: start + part.len(),
        }
    }

    fn syntax(&self, part: &str, message: &str) -> Syntax {
        Syntax {
            span: self.span(part),
            message: message.to_owned(),
        }
    }

    /// The parser's own words and position; its words quote nothing from the line.
    fn at_error(&self, part: &str, error: &serde_json::Error) -> Syntax {
        let start = self.span(part).start + error.column().saturating_sub(1).min(part.len());
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        Syntax {
            span: Span { start, end: start + 1 },
            message: message.to_owned(),
        }
    }
}

/// Collects an object's members in order, values unparsed.
struct Members;

impl<'d> Visitor<'d> for Members {
    type Value = Vec<(Cow<'d, str>, &'d RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(16);
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// A member's name: borrowed where it holds no escape.
#[derive(serde::Deserialize)]
struct Name<'d>(#[serde(borrow)] Cow<'d, str>);
