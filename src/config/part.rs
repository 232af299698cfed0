//! Reading some sections of a configuration without the rest.
//!
//! A room of its own because commands need parts of a configuration where the whole cannot be read: before the key file exists,
//! and on machines without the gate's certificates. What is not asked for is passed over.

use std::path::Path;

use super::document::Source;
use super::files::{self, Files};
use super::problem::{Problem, Problems, Report, Severity};
use super::reader::Table;
use super::sources::Sources;

/// What `read` makes of the configuration in the file at `path`; `None` where it makes nothing of it.
///
/// # Errors
/// Every problem that was met, when at least one of them is an error.
pub(super) fn load<T>(path: &Path, read: impl FnOnce(&Table<'_>, &Files) -> Option<T>) -> Result<Option<T>, Problems> {
    load_reporting(path, |root, files, _| read(root, files))
}

/// As [`load`], where `read` opens other files and reports what is wrong with them.
///
/// # Errors
/// As [`load`].
pub(super) fn load_reporting<T>(
    path: &Path,
    read: impl FnOnce(&Table<'_>, &Files, &Report) -> Option<T>,
) -> Result<Option<T>, Problems> {
    let whole_file = |what: &str, help: &str| Problems(vec![Problem::of_file(Severity::Error, path, what, help)]);
    let bytes = Sources::default().read(path).map_err(|error| {
        let (what, help) = files::unreadable(&error);
        whole_file(&what, &help)
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|_| whole_file("is not UTF-8 text", "save it as UTF-8"))?;
    let report = Report::new();
    let part = part(path, text, &report, read);
    if report.has_errors() {
        Err(report.into_problems())
    } else {
        Ok(part)
    }
}

fn part<T>(
    path: &Path,
    text: &str,
    report: &Report,
    read: impl FnOnce(&Table<'_>, &Files, &Report) -> Option<T>,
) -> Option<T> {
    let source = Source::new(path, text);
    let document = source.parse_toml(report);
    let root = Table::root(&source, &document, report);
    let part = read(&root, &Files::beside(path, Sources::default()), report);
    root.ignore_rest();
    part
}
