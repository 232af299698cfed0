//! The files that a configuration names: found, read, and remembered for the watcher.
//!
//! A room of its own so that every option that names a file resolves it in the same way (relative to the file that names
//! it) and fails with the same words.

use std::cell::{RefCell, RefMut};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::problem::{Problem, Report, Severity};
use super::reader::Item;
use super::sources::Sources;

/// How large a certificate, key or pepper file may be.
const LARGEST: u64 = 1 << 20;

/// Reads files and remembers which.
#[derive(Debug)]
pub(super) struct Files {
    base: PathBuf,
    sources: RefCell<Sources>,
}

impl Files {
    /// For the options of `file`; `sources` is what was read so far.
    pub(super) fn beside(file: &Path, sources: Sources) -> Self {
        Self {
            base: file.parent().map(Path::to_owned).unwrap_or_default(),
            sources: RefCell::new(sources),
        }
    }

    /// The path that an option means.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// Reads the small file that `item` names; reports when that is not possible.
    pub(super) fn read(&self, item: &Item<'_>) -> Option<(PathBuf, Vec<u8>)> {
        let path = self.resolve(item.text()?);
        match read_small(&path, &mut self.sources()) {
            Ok(bytes) => Some((path, bytes)),
            Err((what, help)) => {
                item.error(format!("{} {what}", path.display()), help);
                None
            }
        }
    }

    /// Where reading is remembered.
    pub(super) fn sources(&self) -> RefMut<'_, Sources> {
        self.sources.borrow_mut()
    }

    /// Everything that was read, or tried.
    pub(super) fn into_sources(self) -> Sources {
        self.sources.into_inner()
    }
}

/// The contents of a regular file of bounded size, or what is wrong and what helps.
fn read_small(path: &Path, sources: &mut Sources) -> Result<Vec<u8>, (String, String)> {
    let metadata = sources.look(path).map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(("is not a file".to_owned(), "name a regular file".to_owned()));
    }
    if metadata.len() > LARGEST {
        return Err(("is larger than 1MiB".to_owned(), "is it the right file?".to_owned()));
    }
    sources.read(path).map_err(|error| unreadable(&error))
}

/// Warns about a file with what is nobody else's business, where others may read or change it.
pub(super) fn warn_of_others(path: &Path, report: &Report) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o006 != 0 {
        let verb = if mode & 0o002 == 0 { "read" } else { "changed" };
        report.push(Problem::of_file(
            Severity::Warning,
            path,
            format!("can be {verb} by every user of this machine"),
            format!("chmod o-rwx {}", path.display()),
        ));
    }
}

/// What to say about a file that cannot be read: what is wrong, and what helps.
pub(super) fn unreadable(error: &std::io::Error) -> (String, String) {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => (
            "does not exist".to_owned(),
            "make it, or correct the path; relative paths begin where this file is".to_owned(),
        ),
        ErrorKind::PermissionDenied => (
            "may not be read".to_owned(),
            "let the user that runs Keygate read it".to_owned(),
        ),
        _ => (format!("cannot be read: {error}"), "is it the right file?".to_owned()),
    }
}
