//! Where something stands, and what can be said about it there.
//!
//! A room of its own because places outlive the values that stood there: what only shows later, between sections, is
//! reported at them.

use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::config::document::{Source, Span};
use crate::config::problem::{Problem, Report, Severity};

/// Where something stands: a file, a span, and a key path. Keep it to report problems later.
#[derive(Debug, Clone)]
pub struct Place<'d> {
    source: &'d Source<'d>,
    report: &'d Report,
    pub(super) span: Option<Span>,
    path: SmallVec<[Segment<'d>; 6]>,
}

/// One step of a key path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Segment<'d> {
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

    /// Reports something that only whoever asks wants to hear.
    pub fn advice(&self, what: impl Into<String>, help: impl Into<String>) {
        self.say(Severity::Advice, what.into(), help.into());
    }

    /// Reports that something is not there. Says nothing in a file with syntax errors, where it may only have been
    /// misread.
    pub fn missing(&self, what: impl Into<String>, help: impl Into<String>) {
        if !self.source.has_syntax_errors() {
            self.error(what, help);
        }
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
    pub(super) fn option(&self) -> String {
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

    /// Reports that nobody knows the name that stands here; `hides` says whether what stands behind it may be a secret.
    pub(super) fn unknown(&self, help: String, hides: bool) {
        match self.span {
            Some(span) if !self.source.is_damaged_at(span) => {
                let problem = self.source.unknown_option(span, self.path(), help, hides);
                self.report.push(problem);
            }
            Some(_) | None => {}
        }
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

    /// The same path, elsewhere in the text.
    pub(super) fn with_span(&self, span: Span) -> Self {
        Self {
            span: Some(span),
            ..self.clone()
        }
    }

    /// One step further.
    pub(super) fn at(&self, segment: Segment<'d>, span: Option<Span>) -> Self {
        let mut path = self.path.clone();
        path.push(segment);
        Self { span, path, ..*self }
    }
}

/// Whether TOML lets a key stand without quotes.
fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
