//! Problems in an operator's files: where, what, and what to write instead.
//!
//! A room of its own because every reader of files, for the configuration and for key records, speaks through it, and
//! because what it prints is a contract: `file:line:column: error: key.path: what is wrong`, the offending line with a
//! marker, and help. Problems accumulate in a [`Report`]; nothing stops at the first one. No secret is ever in one:
//! whoever writes `what` and `help` does not quote secrets, and lines are masked where they are cut out of the file.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// How many problems are kept; the rest is counted.
const KEPT: usize = 1_000;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As a warning, for whoever asks: a running sidecar says it by other means, when it is time.
    Advice,
    /// Works, but probably not as meant.
    Warning,
    /// Refused.
    Error,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// In which file.
    pub file: PathBuf,
    /// Line and column, both from 1, in characters; `None` when it concerns the whole file.
    pub position: Option<(usize, usize)>,
    /// The key path, such as `plans.default.limits[0].per`; may be empty.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead; may be empty.
    pub help: String,
    /// The offending line, without its line end; secrets are masked.
    pub line: Option<Line>,
}

/// The offending line, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The line, with secrets masked and long ones cut.
    pub text: String,
    /// Where in `text` the marker begins, in characters from 0.
    pub marker: usize,
    /// How many characters it marks; at least 1.
    pub width: usize,
}

impl Problem {
    /// A problem with a file as a whole.
    #[must_use]
    pub fn of_file(severity: Severity, file: &Path, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            severity,
            file: file.to_owned(),
            position: None,
            path: String::new(),
            what: what.into(),
            help: help.into(),
            line: None,
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Advice | Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Several lines without a line end after the last.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}: ", self.severity)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        if let Some(line) = &self.line {
            let indent: String = line
                .text
                .chars()
                .take(line.marker)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n  {}\n  {indent}{}", line.text, "^".repeat(line.width.max(1)))?;
        }
        if !self.help.is_empty() {
            write!(f, "\n  help: {}", self.help)?;
        }
        Ok(())
    }
}

/// All problems of all files, sorted by file and position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Those that something was refused for.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter().filter(|problem| is_error(problem))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Where problems accumulate while files are read. Shared by reference among all readers of one load.
#[derive(Debug, Default)]
pub struct Report {
    problems: RefCell<Vec<Problem>>,
    dropped: Cell<usize>,
    cut_short: Cell<bool>,
    errors: Cell<bool>,
    options: Option<RefCell<BTreeSet<String>>>,
}

impl Report {
    /// Without problems.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`Report::new`], and remembers every option that readers ask for: see [`Report::options`].
    #[cfg(test)]
    pub fn recording() -> Self {
        Self {
            options: Some(RefCell::default()),
            ..Self::default()
        }
    }

    /// Adds a problem.
    pub fn push(&self, problem: Problem) {
        if problem.severity == Severity::Error {
            self.errors.set(true);
        }
        let mut problems = self.problems.borrow_mut();
        if problems.len() < KEPT || problem.severity == Severity::Error && !problems.iter().any(is_error) {
            problems.push(problem);
        } else {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    /// Whether anything was refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors.get()
    }

    /// Whether another problem would still be kept: readers of very large files may stop looking when not.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let room = self.problems.borrow().len() < KEPT;
        if !room {
            self.cut_short.set(true);
        }
        room
    }

    /// The paths of all options that were asked for, with `*` for names and `[]` for indices; empty unless
    /// [`Report::recording`].
    #[cfg(test)]
    pub fn options(&self) -> BTreeSet<String> {
        self.options
            .as_ref()
            .map_or_else(BTreeSet::new, |set| set.borrow().clone())
    }

    /// Remembers that an option was asked for.
    pub(super) fn asked(&self, path: impl FnOnce() -> String) {
        if let Some(options) = &self.options {
            options.borrow_mut().insert(path());
        }
    }

    /// All problems, sorted by file and position.
    #[must_use]
    pub fn into_problems(self) -> Problems {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
        let rest = match (self.dropped.get(), self.cut_short.get()) {
            (0, false) => None,
            (0, true) => Some("and perhaps more, which were not looked for".to_owned()),
            (dropped, false) => Some(format!("and {dropped} more problems")),
            (dropped, true) => Some(format!(
                "and {dropped} more problems, and perhaps others, which were not looked for"
            )),
        };
        if let (Some(last), Some(rest)) = (problems.last(), rest) {
            let rest = Problem::of_file(
                if self.errors.get() {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                &last.file.clone(),
                rest,
                "mend these first",
            );
            problems.push(rest);
        }
        Problems(problems)
    }
}

fn is_error(problem: &Problem) -> bool {
    problem.severity == Severity::Error
}
