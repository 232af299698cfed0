//! Adding records to a key file that people edit too.
//!
//! A room of its own because it keeps four promises at once: nothing that stands in the file changes by a byte; what is
//! written loads (the whole set is read again, by the same loader that the gate uses, before anything is written);
//! writers do not lose each other's records (each holds a lock on the directory, which leaves no file behind); and a
//! reader sees the old file or the new one, whole. Mode and owner stay, a link is followed.

mod error;
mod render;
mod write;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::document::{Source, Value};
use crate::config::problem::{Report, Severity};
use crate::config::records::{self, File, Notation, Records, Scope};
use crate::config::sources::Sources;
use crate::control::mint::NewKey;

pub use error::EditError;
pub use render::NewOrganization;

/// Which file is changed, and which set it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What the gate reads: the file itself, or a directory that holds it.
    pub root: PathBuf,
    /// The file that is changed.
    pub file: PathBuf,
}

/// What was done.
#[derive(Debug)]
pub struct Added {
    /// The file that was written, links followed.
    pub file: PathBuf,
    /// Whether it was made.
    pub is_new: bool,
    /// Whether the organization was added to it too.
    pub organization_added: bool,
    /// How many other keys of the organization have the same name.
    pub namesakes: usize,
}

/// Adds `key`, and its organization where that is in no file of the set. Waits for other writers.
///
/// # Errors
///
/// See [`EditError`]; no file has been changed then.
pub fn add(
    place: &Place,
    key: &NewKey,
    organization_name: Option<&str>,
    scope: &mut Scope,
) -> Result<Added, EditError> {
    let target = resolve(&place.file)?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    let lock = fs::File::open(directory).map_err(system("open", directory))?;
    lock.lock().map_err(system("lock", directory))?;

    let report = Report::new();
    let (mut files, index) = read_set(place, &target, &report)?;
    let before = records::parse(&files, scope, &report);
    refuse_errors(report)?;

    let organization = NewOrganization {
        id: key.organization.clone(),
        name: organization_name.map(str::to_owned),
    };
    let missing = !before.organizations.iter().any(|known| known.id == organization.id);
    let file = &mut files[index];
    let old = file.text.clone();
    let notation = Notation::of(&file.path);
    file.text
        .push_str(&render::addition(notation, &old, missing.then_some(&organization), key));

    let report = Report::new();
    // Only whether it loads counts.
    let _ = records::parse(&files, scope, &report);
    if report.has_errors() && notation == Notation::Toml {
        refuse_inline_lists(&files[index].path, &old)?;
    }
    refuse_errors(report)?;

    let is_new = !target.exists();
    write::replace(&target, directory, files[index].text.as_bytes()).map_err(system("write", &target))?;
    drop(lock);
    Ok(Added {
        file: target,
        is_new,
        organization_added: missing,
        namesakes: namesakes(&before, key),
    })
}

/// The file behind links; where there is none yet, its place in a directory that exists.
fn resolve(file: &Path) -> Result<PathBuf, EditError> {
    let target = match fs::canonicalize(file) {
        Ok(target) => target,
        // A link to nowhere is no new file: what it should have led to is not ours to make.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !file.is_symlink() => {
            let parent = match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                Some(_) | None => Path::new("."),
            };
            let name = file.file_name().unwrap_or_default();
            fs::canonicalize(parent).map_err(system("find", parent))?.join(name)
        }
        Err(error) => return Err(system("open", file)(error)),
    };
    if target.is_dir() {
        return Err(EditError::Directory(file.to_owned()));
    }
    Ok(target)
}

/// All files of the set, and which of them is the target. It is added, empty, where it does not exist yet.
fn read_set(place: &Place, target: &Path, report: &Report) -> Result<(Vec<File>, usize), EditError> {
    let mut sources = Sources::default();
    let paths = match records::files(&place.root, &mut sources) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound && place.root == place.file => Vec::new(),
        Err(error) => return Err(system("read", &place.root)(error)),
    };
    let mut files: Vec<File> = Vec::with_capacity(paths.len() + 1);
    let mut index = None;
    for path in paths {
        if fs::canonicalize(&path).is_ok_and(|path| path == target) {
            index = Some(files.len());
        }
        files.extend(records::read_file(path, &mut sources, report));
    }
    if report.has_errors() {
        return Ok((files, 0));
    }
    if let Some(index) = index {
        return Ok((files, index));
    }
    if target.exists() || !would_be_read(place, target) {
        return Err(EditError::Stranger(place.clone()));
    }
    files.push(File {
        path: place.file.clone(),
        text: String::new(),
    });
    let index = files.len() - 1;
    Ok((files, index))
}

/// Whether the gate will read a file that does not exist yet.
fn would_be_read(place: &Place, target: &Path) -> bool {
    if place.root == place.file {
        return true;
    }
    let name = target.file_name().unwrap_or_default().as_encoded_bytes();
    fs::canonicalize(&place.root).is_ok_and(|root| target.parent() == Some(&root))
        && !name.starts_with(b".")
        && (name.ends_with(b".toml") || name.ends_with(b".jsonl"))
}

fn namesakes(records: &Records, key: &NewKey) -> usize {
    records
        .keys
        .iter()
        .filter(|other| {
            let organization = records.organizations.get(other.organization as usize);
            other.name == key.name && organization.is_some_and(|organization| organization.id == key.organization)
        })
        .count()
}

fn refuse_errors(report: Report) -> Result<(), EditError> {
    if report.has_errors() {
        return Err(EditError::Invalid(report.into_problems()));
    }
    Ok(())
}

/// Says it in the operator's terms when a record cannot go to the end of the file because the list that it belongs to
/// has been closed: `keys = [ … ]`.
fn refuse_inline_lists(path: &Path, text: &str) -> Result<(), EditError> {
    let report = Report::new();
    let source = Source::new(path, text);
    let document = source.parse_toml(&report);
    let Value::Table(entries) = &document.value else {
        return Ok(());
    };
    for entry in entries {
        let Value::List(items) = &entry.node.value else {
            continue;
        };
        let first = items.first().map_or("", |item| &text[item.span.start..]);
        if !first.starts_with("[[") {
            report.push(source.problem(
                Severity::Error,
                entry.span,
                entry.key.clone().into_owned(),
                format!("is written as {} = […], to which nothing can be added", entry.key),
                if items.is_empty() {
                    "remove it: a list that is not there is empty".to_owned()
                } else {
                    format!(
                        "write each of its records as a section of its own, under [[{}]]",
                        entry.key
                    )
                },
            ));
        }
    }
    refuse_errors(report)
}

fn system(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EditError {
    let path = path.to_owned();
    move |source| EditError::System { verb, path, source }
}
