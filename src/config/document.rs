//! One file's text and what was parsed from it: a tree of values that know where they stand.
//!
//! A room of its own so that the reader does not care where a value came from: a TOML document, a part of one, or a
//! record in another notation. Spans are byte ranges of the whole file's text, whatever part of it was parsed. Tables
//! keep the order of the file.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::mask;
use super::problem::{Problem, Report, Severity};

/// Syntax errors behind which the parser gives up, or takes the following lines for something else.
const ENDS_PARSING: &[&str] = &[
    "key with no value",
    "missing value for key",
    "invalid key-value pair",
    "missing table open",
    "unclosed table",
    "unclosed array table",
];
/// How often a text is parsed again without the lines that do not parse.
const MENDED_ROUNDS: usize = 20;
/// From this size on, in bytes, only once.
const LARGE: usize = 1 << 20;

/// A byte range of a file's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Node<'d> {
    /// Where it stands. Of a table with a header: the header.
    pub span: Span,
    /// The value.
    pub value: Value<'d>,
}

/// A parsed value.
#[derive(Debug, Clone)]
pub enum Value<'d> {
    /// Text.
    String(Cow<'d, str>),
    /// A whole number; saturated where it is out of range, so that a range check refuses it.
    Integer(i128),
    /// Another number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A TOML date, time, or both, as written in RFC 3339.
    Datetime(String),
    /// `[…]`
    List(Vec<Node<'d>>),
    /// `{…}` or a section.
    Table(Vec<Entry<'d>>),
}

/// A key of a table with its value.
#[derive(Debug, Clone)]
pub struct Entry<'d> {
    /// The key.
    pub key: Cow<'d, str>,
    /// Where the key stands.
    pub span: Span,
    /// Its value.
    pub node: Node<'d>,
}

/// A file's name and text.
#[derive(Debug)]
pub struct Source<'d> {
    file: &'d Path,
    text: &'d str,
    line_starts: OnceCell<Vec<usize>>,
    damaged: RefCell<Vec<usize>>,
    /// The line from which on everything was read as part of a list that is not closed.
    swallowed_from: Cell<Option<usize>>,
}

impl<'d> Source<'d> {
    /// A file that has been read.
    #[must_use]
    pub fn new(file: &'d Path, text: &'d str) -> Self {
        Self {
            file,
            text,
            line_starts: OnceCell::new(),
            damaged: RefCell::default(),
            swallowed_from: Cell::new(None),
        }
    }

    /// The file's name, as it is shown.
    #[must_use]
    pub fn file(&self) -> &'d Path {
        self.file
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> &'d str {
        self.text
    }

    /// Parses the whole text as TOML. Syntax errors are reported; what could be understood comes back.
    #[must_use]
    pub fn parse_toml(&self, report: &Report) -> Node<'d> {
        self.parse_toml_part(0..self.text.len(), report)
    }

    /// Parses a part of the text as a TOML document of its own. `part` must lie on character boundaries.
    #[must_use]
    pub fn parse_toml_part(&self, part: Range<usize>, report: &Report) -> Node<'d> {
        let text = &self.text[part.clone()];
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut entries = convert_table(table.into_inner(), part.start, &|text| text);
        let mut mended = self.report_syntax_errors(&errors, text.to_owned(), part.start, report);
        let rounds = if text.len() > LARGE { 1 } else { MENDED_ROUNDS };
        for _ in 0..rounds {
            let Some(text) = mended.take() else { break };
            let (table, errors) = DeTable::parse_recoverable(&text);
            entries = convert_table(table.into_inner(), part.start, &|text| Cow::Owned(text.into_owned()));
            mended = self.report_syntax_errors(&errors, text.clone(), part.start, report);
        }
        Node {
            span: Span {
                start: part.start,
                end: part.start,
            },
            value: Value::Table(entries),
        }
    }

    /// Reports what is new among `errors`. Where the parser cannot go on behind an error, gives the text without that
    /// line, every byte else in its place.
    fn report_syntax_errors(
        &self,
        errors: &[toml::de::Error],
        mut text: String,
        offset: usize,
        report: &Report,
    ) -> Option<String> {
        let mut changed = false;
        for error in errors {
            let span = shifted(error.span().unwrap_or(0..0), offset);
            if self.is_damaged(self.line_index(span.start)) {
                continue;
            }
            self.report_syntax(span, error.message(), report);
            if ENDS_PARSING.iter().any(|message| error.message().starts_with(message)) {
                mend(&mut text, span.start - offset);
                changed = true;
            }
        }
        changed.then_some(text)
    }

    /// Reports that the text at `span` does not parse. Later problems on the same line are taken for its consequences.
    pub fn report_syntax(&self, span: Span, message: &str, report: &Report) {
        let line = self.line_index(span.start);
        if self.is_damaged(line) {
            return;
        }
        self.damaged.borrow_mut().push(line);
        let (what, help) = match message {
            _ if message.contains("array") && self.begins_something_new(line) => {
                self.swallowed_from.set(Some(line));
                (
                    "comes while a list above it is still open".to_owned(),
                    "close that list with `]`",
                )
            }
            "duplicate key" => {
                let word = self.text.get(span.start..span.end).unwrap_or_default();
                (format!("`{word}` is set twice"), "keep one of the two")
            }
            message => (format!("does not parse: {message}"), ""),
        };
        report.push(self.problem(Severity::Error, span, String::new(), what, help.to_owned()));
    }

    /// A problem at `span`, with its position and its line.
    #[must_use]
    pub fn problem(&self, severity: Severity, span: Span, path: String, what: String, help: String) -> Problem {
        let (line, marked) = self.marked(span);
        let column = line[..marked.start].chars().count() + 1;
        Problem {
            severity,
            file: self.file.to_owned(),
            position: Some((self.line_index(span.start) + 1, column)),
            line: Some(mask::shown_line(line, marked, &path)),
            path,
            what,
            help,
        }
    }

    /// A name at `span` that nobody asked for; `hides` says whether what stands behind it is masked.
    #[must_use]
    pub fn unknown_option(&self, span: Span, path: String, help: String, hides: bool) -> Problem {
        let what = "is not a known option".to_owned();
        let problem = self.problem(Severity::Error, span, path, what, help);
        if !hides {
            return problem;
        }
        let (line, marked) = self.marked(span);
        let line = Some(mask::shown_unknown(line, marked, &problem.path));
        Problem { line, ..problem }
    }

    /// The line at a span, and what of it the span marks.
    fn marked(&self, span: Span) -> (&str, Range<usize>) {
        let start = self.line_starts()[self.line_index(span.start)];
        let line = self.text[start..].lines().next().unwrap_or_default();
        let first = floor(line, span.start - start);
        let last = floor(line, span.end.saturating_sub(start)).max(first);
        (line, first..last)
    }

    /// Line and column of a byte, both from 1.
    #[must_use]
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let index = self.line_index(byte);
        let start = self.line_starts()[index];
        let byte = floor(self.text, byte).max(start);
        (index + 1, self.text[start..byte].chars().count() + 1)
    }

    /// Whether a syntax error was reported anywhere: what seems to be missing may only have been misread.
    #[must_use]
    pub fn has_syntax_errors(&self) -> bool {
        !self.damaged.borrow().is_empty()
    }

    /// Whether a syntax error was reported on the line of `span`.
    #[must_use]
    pub fn is_damaged_at(&self, span: Span) -> bool {
        self.has_syntax_errors() && self.is_damaged(self.line_index(span.start))
    }

    /// Whether a line looks like a section or an option, which cannot be inside of a list.
    fn begins_something_new(&self, line: usize) -> bool {
        let line = self.text[self.line_starts()[line]..]
            .lines()
            .next()
            .unwrap_or_default()
            .trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let header = line.trim_start_matches('[');
        let name_end = header.find(|c| !is_name(c)).unwrap_or(header.len());
        let behind = header[name_end..].trim_start();
        header.starts_with(|c: char| c.is_ascii_alphabetic())
            && behind.starts_with(if line.starts_with('[') { ']' } else { '=' })
    }

    fn is_damaged(&self, line: usize) -> bool {
        self.swallowed_from.get().is_some_and(|from| line >= from) || self.damaged.borrow().contains(&line)
    }

    fn line_index(&self, byte: usize) -> usize {
        self.line_starts()
            .partition_point(|&start| start <= byte)
            .saturating_sub(1)
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            std::iter::once(0)
                .chain(memchr::memchr_iter(b'\n', self.text.as_bytes()).map(|end| end + 1))
                .collect()
        })
    }
}

/// The nearest character boundary at or before `byte`.
fn floor(text: &str, byte: usize) -> usize {
    text.floor_char_boundary(byte)
}

/// Blanks the line at `byte`. What was a section's header becomes one that nobody asks for, so that its options are not
/// taken for the section's before it.
fn mend(text: &mut String, byte: usize) {
    let byte = floor(text, byte);
    let start = text[..byte].rfind('\n').map_or(0, |end| end + 1);
    let end = text[byte..].find('\n').map_or(text.len(), |end| byte + end);
    let header = format!("[_{start}]");
    let is_header = text[start..end].trim_start().starts_with('[') && header.len() <= end - start;
    let kept = if is_header { &*header } else { "" };
    let blank = format!("{kept:<width$}", width = end - start);
    text.replace_range(start..end, &blank);
}

fn convert_table<'i, 'd>(
    table: DeTable<'i>,
    offset: usize,
    keep: &impl Fn(Cow<'i, str>) -> Cow<'d, str>,
) -> Vec<Entry<'d>> {
    let mut entries: Vec<Entry<'d>> = table
        .into_iter()
        .map(|(key, value)| Entry {
            span: shifted(key.span(), offset),
            key: keep(key.into_inner()),
            node: convert(value, offset, keep),
        })
        .collect();
    entries.sort_by_key(|entry| entry.span.start);
    entries
}

fn convert<'i, 'd>(
    value: toml::Spanned<DeValue<'i>>,
    offset: usize,
    keep: &impl Fn(Cow<'i, str>) -> Cow<'d, str>,
) -> Node<'d> {
    let span = shifted(value.span(), offset);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::String(keep(text)),
        DeValue::Integer(number) => Value::Integer(integer(number.as_str(), number.radix())),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Datetime(value) => Value::Datetime(value.to_string()),
        DeValue::Array(items) => Value::List(items.into_iter().map(|item| convert(item, offset, keep)).collect()),
        DeValue::Table(table) => Value::Table(convert_table(table, offset, keep)),
    };
    Node { span, value }
}

fn integer(digits: &str, radix: u32) -> i128 {
    i128::from_str_radix(digits, radix).unwrap_or(if digits.starts_with('-') { i128::MIN } else { i128::MAX })
}

fn shifted(span: Range<usize>, offset: usize) -> Span {
    Span {
        start: span.start + offset,
        end: span.end + offset,
    }
}
