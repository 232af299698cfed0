//! One record by itself: what can be judged of it without the others, before it goes into a file.

use std::path::Path;

use super::{Key, Scope, jsonl, record};
use crate::config::document::Source;
use crate::config::problem::{Problem, Report, Severity};
use crate::config::reader::Table;

/// Reads a key's record that stands alone in a line of JSON. Its organization is not looked for.
///
/// # Errors
/// What is wrong with it. Files and positions in there mean nothing.
pub fn read_line(line: &str, scope: &mut Scope) -> Result<Key, Vec<Problem>> {
    let source = Source::new(Path::new(""), line);
    let report = Report::new();
    let key = match jsonl::parse_line(line, 0) {
        Ok(node) => record::read_key(&Table::root(&source, &node, &report), scope).key,
        Err(syntax) => {
            source.report_syntax(syntax.span, &syntax.message, &report);
            None
        }
    };
    match key {
        Some(key) if !report.has_errors() => Ok(key),
        Some(_) | None => {
            let mut problems = report.into_problems().0;
            problems.retain(|problem| problem.severity == Severity::Error);
            Err(problems)
        }
    }
}
