//! The files of a set, read under the lock of the one that will be changed, and written back when what they then say loads.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::error::{EditError, system};
use super::{Place, find, write};
use crate::config::document::{Source, Value};
use crate::config::problem::{Report, Severity};
use crate::config::records::{self, File, Key, Notation, Records, Scope};
use crate::config::sources::Sources;

/// How often a record may turn out to be in another directory than the one that is locked.
const ROUNDS: usize = 4;

/// A set of files, one of which may be changed while the lock is held.
pub(super) struct Locked {
    /// What all files say.
    pub(super) records: Records,
    files: Vec<File>,
    index: usize,
    target: PathBuf,
    directory: PathBuf,
    _lock: fs::File,
}

/// What was written.
pub(super) struct Written {
    /// Where, links followed.
    pub(super) file: PathBuf,
    /// Whether the file was made.
    pub(super) is_new: bool,
    /// What all files say now.
    pub(super) records: Records,
}

/// Reads the set, waits for other writers, and holds the lock of `place.file`, which need not exist.
pub(super) fn lock(place: &Place, scope: &mut Scope) -> Result<Locked, EditError> {
    let target = resolve(&place.file)?;
    let directory = parent(&target);
    let lock = hold(&directory)?;
    let report = Report::new();
    let (files, index) = read_set(place, &target, &report)?;
    let records = records::parse(&files, scope, &report);
    refuse_errors(report)?;
    Ok(Locked {
        records,
        files,
        index,
        target,
        directory,
        _lock: lock,
    })
}

/// Reads the set, waits for other writers, and holds the lock of the file that holds the record of `which`. Says which
/// key it is.
pub(super) fn lock_record(place: &Place, which: &str, scope: &mut Scope) -> Result<(Locked, usize), EditError> {
    let canonical = |path: &Path| fs::canonicalize(path).map_err(system("open", path));
    let named = canonical(&place.file)?;
    let mut directory = if named.is_dir() { named } else { parent(&named) };
    for _ in 0..ROUNDS {
        let lock = hold(&directory)?;
        let (files, records) = read(place, scope)?;
        let position = find::position(&records, which)?;
        let index = find::file_of(&files, place, &records.keys[position])?;
        let target = canonical(&files[index].path)?;
        // The lock belongs beside the file itself: links in a directory may lead out of it.
        if parent(&target) == directory {
            refuse_mounted(&target)?;
            let locked = Locked {
                records,
                files,
                index,
                target,
                directory,
                _lock: lock,
            };
            return Ok((locked, position));
        }
        directory = parent(&target);
    }
    Err(EditError::Restless(place.root.clone()))
}

/// Reads the set as it is, without any lock.
pub(super) fn read(place: &Place, scope: &mut Scope) -> Result<(Vec<File>, Records), EditError> {
    let report = Report::new();
    let files = records::read(&place.root, &mut Sources::default(), &report);
    if report.has_errors() {
        return Err(EditError::Invalid(report.into_problems()));
    }
    let records = records::parse(&files, scope, &report);
    refuse_errors(report)?;
    Ok((files, records))
}

impl Locked {
    /// The file that may be changed.
    pub(super) fn file(&self) -> &File {
        &self.files[self.index]
    }

    /// The place of that file, links followed.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// A key of the set.
    pub(super) fn key(&self, position: usize) -> &Key {
        &self.records.keys[position]
    }

    /// Gives the file this text, when the whole set then loads.
    pub(super) fn commit(mut self, text: String, scope: &mut Scope) -> Result<Written, EditError> {
        let records = self.read_with(text, scope)?;
        let is_new = !self.target.exists();
        let text = &self.files[self.index].text;
        write::replace(&self.target, &self.directory, text.as_bytes()).map_err(system("write", &self.target))?;
        Ok(Written {
            file: self.target,
            is_new,
            records,
        })
    }

    /// As [`Locked::commit`], but nothing is written.
    pub(super) fn rehearse(mut self, text: String, scope: &mut Scope) -> Result<Written, EditError> {
        let records = self.read_with(text, scope)?;
        Ok(Written {
            is_new: !self.target.exists(),
            file: self.target,
            records,
        })
    }

    /// What all files say when the file has this text.
    fn read_with(&mut self, text: String, scope: &mut Scope) -> Result<Records, EditError> {
        let old = std::mem::replace(&mut self.files[self.index].text, text);
        // A large set need not be in memory twice.
        self.records = Records::default();
        let report = Report::new();
        let records = records::parse(&self.files, scope, &report);
        let file = &self.files[self.index];
        if report.has_errors() && Notation::of(&file.path) == Notation::Toml {
            refuse_inline_lists(&file.path, &old)?;
        }
        refuse_errors(report)?;
        Ok(records)
    }
}

fn parent(target: &Path) -> PathBuf {
    target.parent().unwrap_or(Path::new("/")).to_owned()
}

fn hold(directory: &Path) -> Result<fs::File, EditError> {
    let lock = fs::File::open(directory).map_err(system("open", directory))?;
    lock.lock().map_err(system("lock", directory))?;
    Ok(lock)
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
    refuse_mounted(&target)?;
    Ok(target)
}

/// Behind the links that kubelet makes, files are in a directory whose name begins with two dots. It puts another in its
/// place when the Secret or ConfigMap changes, and with it whatever was written here.
fn refuse_mounted(target: &Path) -> Result<(), EditError> {
    let is_kubelets = |part: Component<'_>| match part {
        Component::Normal(name) => name.as_encoded_bytes().starts_with(b".."),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => false,
    };
    if target.components().any(is_kubelets) {
        return Err(EditError::Mounted(target.to_owned()));
    }
    Ok(())
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
