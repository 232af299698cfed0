//! Changes to single fields of a record: every byte that is not named stays, comments, order and line ends included.

use std::ops::Range;

use super::render::Setting;
use crate::config::document::Span;
use crate::config::records::{Field, Located, Shape};

/// Changes to one record, collected, then made at once.
pub(super) struct Patch<'t> {
    text: &'t str,
    record: &'t Located,
    edits: Vec<(Range<usize>, String)>,
    removed: Vec<usize>,
    added: Vec<(&'static str, Setting)>,
}

impl<'t> Patch<'t> {
    /// For a record in the text of its file.
    pub(super) fn new(text: &'t str, record: &'t Located) -> Self {
        Self {
            text,
            record,
            edits: Vec::new(),
            removed: Vec::new(),
            added: Vec::new(),
        }
    }

    /// Gives a field this value; it goes behind the others where it is not there yet.
    pub(super) fn set(&mut self, name: &'static str, setting: Setting) {
        self.replace(&[name], name, setting);
    }

    /// Takes a field out.
    pub(super) fn remove(&mut self, name: &str) {
        let fields = &self.record.fields;
        self.removed.extend(fields.iter().position(|field| field.name == name));
    }

    /// Puts a field in the place of those that say the same in other ways.
    pub(super) fn replace(&mut self, names: &[&str], name: &'static str, setting: Setting) {
        let fields = &self.record.fields;
        let others = (0..fields.len()).filter(|&at| names.contains(&fields[at].name.as_str()));
        let mut others: Vec<usize> = others.collect();
        // One that is null says nothing, but its place is as good as any.
        let first = others
            .iter()
            .position(|&at| fields[at].value.is_some() && !self.is_null(&fields[at]));
        let first = first.or_else(|| others.iter().position(|&at| fields[at].value.is_some()));
        match first.map(|at| others.remove(at)) {
            Some(kept) => {
                let field = &fields[kept];
                let value = field.value.unwrap_or(field.key);
                if field.name != name {
                    self.edits.push((range(field.key), self.name(name)));
                }
                self.edits.push((range(value), self.value(&setting)));
            }
            None => self.added.push((name, setting)),
        }
        self.removed.extend(others);
    }

    /// The file's text with all changes.
    pub(super) fn apply(mut self) -> String {
        for &at in &self.removed {
            self.edits.extend(self.removal(at));
        }
        self.edits.extend(self.insertion());
        // From the end, so that what is before stays where it is; where two begin together, the one that inserts is last.
        self.edits
            .sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
        let mut text = self.text.to_owned();
        for (range, with) in self.edits {
            text.replace_range(range, &with);
        }
        text
    }

    fn is_null(&self, field: &Field) -> bool {
        self.record.shape == Shape::Line && field.value.is_some_and(|value| &self.text[range(value)] == "null")
    }

    fn removal(&self, at: usize) -> Vec<(Range<usize>, String)> {
        let fields = &self.record.fields;
        let field = &fields[at];
        let end = |field: &Field| field.value.unwrap_or(field.key).end;
        let gone = |range| (range, String::new());
        match self.record.shape {
            Shape::Section if field.sections.is_empty() => vec![gone(self.lines(field.key.start..end(field)))],
            Shape::Section => field
                .sections
                .iter()
                .map(|section| gone(self.with_blank_lines(self.lines(range(*section)))))
                .collect(),
            // With the comma before it, or, where it is the first, the one behind it.
            Shape::Inline | Shape::Line => match (0..at).any(|before| !self.removed.contains(&before)) {
                true => vec![gone(end(&fields[at - 1])..end(field))],
                false => {
                    let next = fields.get(at + 1).map_or(end(field), |next| next.key.start);
                    vec![gone(field.key.start..next)]
                }
            },
        }
    }

    fn insertion(&self) -> Option<(Range<usize>, String)> {
        if self.added.is_empty() {
            return None;
        }
        let last = self
            .record
            .fields
            .iter()
            .filter_map(|field| Some((field.value?.end, field)))
            .max_by_key(|(end, _)| *end);
        let (end, field) = last?;
        let assignments = self
            .added
            .iter()
            .map(|(name, setting)| format!("{}{}{}", self.name(name), self.colon(), self.value(setting)));
        Some(match self.record.shape {
            Shape::Section => {
                let line_end = self.text[end..].find('\n').map_or(self.text.len(), |at| end + at + 1);
                // The last line of a file may have no end of its own.
                let newline = match self.text[..line_end].rfind('\n') {
                    Some(at) if self.text[..at].ends_with('\r') => "\r\n",
                    Some(_) | None => "\n",
                };
                let start = self.text[..field.key.start].rfind('\n').map_or(0, |at| at + 1);
                let margin = &self.text[start..field.key.start];
                let margin = &margin[..margin.len() - margin.trim_start_matches([' ', '\t']).len()];
                let first = if self.text[..line_end].ends_with('\n') {
                    ""
                } else {
                    newline
                };
                let lines: String = assignments.map(|line| format!("{margin}{line}{newline}")).collect();
                (line_end..line_end, format!("{first}{lines}"))
            }
            Shape::Inline | Shape::Line => {
                let comma = self.comma();
                let members: String = assignments.map(|member| format!("{comma}{member}")).collect();
                (end..end, members)
            }
        })
    }

    fn name(&self, name: &str) -> String {
        match self.record.shape {
            Shape::Section | Shape::Inline => name.to_owned(),
            Shape::Line => format!("\"{name}\""),
        }
    }

    fn value(&self, setting: &Setting) -> String {
        match self.record.shape {
            Shape::Section | Shape::Inline => setting.toml(),
            Shape::Line => setting.json(),
        }
    }

    /// What stands between a name and its value, and between members: as the line has it.
    fn colon(&self) -> &'static str {
        match self.record.shape {
            Shape::Section | Shape::Inline => " = ",
            Shape::Line if self.is_spaced() => ": ",
            Shape::Line => ":",
        }
    }

    fn comma(&self) -> &'static str {
        match self.record.shape {
            Shape::Section | Shape::Inline => ", ",
            Shape::Line if self.is_spaced() => ", ",
            Shape::Line => ",",
        }
    }

    fn is_spaced(&self) -> bool {
        let first = self.record.fields.first();
        first
            .and_then(|field| self.text.get(field.key.end..field.value?.start))
            .is_some_and(|between| between.ends_with(' '))
    }

    /// The lines that a range is on, with their ends.
    fn lines(&self, range: Range<usize>) -> Range<usize> {
        let start = self.text[..range.start].rfind('\n').map_or(0, |at| at + 1);
        let end = self.text[range.end..]
            .find('\n')
            .map_or(self.text.len(), |at| range.end + at + 1);
        start..end
    }

    fn with_blank_lines(&self, lines: Range<usize>) -> Range<usize> {
        let mut end = lines.end;
        for line in self.text[lines.end..].split_inclusive('\n') {
            if !line.trim().is_empty() {
                break;
            }
            end += line.len();
        }
        lines.start..end
    }
}

fn range(span: Span) -> Range<usize> {
    span.start..span.end
}
