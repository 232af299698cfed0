//! Problems in an operator's files: where, what, and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
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
    /// Line and column, both from 1; `None` when it concerns the whole file.
    pub position: Option<(usize, usize)>,
    /// The key path, such as `plans.default.limits[0].per`; may be empty.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// What to write instead; may be empty.
    pub help: String,
    /// The offending line, without its line end; secrets are masked.
    pub line: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = (f, Path::new(""));
        Ok(())
    }
}
