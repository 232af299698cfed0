//! Key files → [`Records`]: finding them, reading them, and going through their records.
//!
//! A key source is one file or a directory. In a directory, `*.toml` and `*.jsonl` are read in the order of their names;
//! hidden entries are skipped, and with them the `..data` links and directories that Kubernetes keeps beside the links
//! that are read. All files together are one set: ids and hashes are unique in it, and a key in one file may belong to
//! an organization in another.
//!
//! In JSON Lines, every line is one record with the same fields as in TOML. A line with one of the fields
//! `organization`, `hash` and `secrets` is a key; another without an `id` that says `revoked_at` is a tombstone; another
//! with a plain `key` is a key; any other line is an organization. Empty lines are skipped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::gather::Gathering;
use super::jsonl;
use super::record;
use super::{Origin, Records, Scope};
use crate::config::document::{Node, Source, Value};
use crate::config::files;
use crate::config::problem::{Problem, Report, Severity};
use crate::config::reader::Table;
use crate::config::sources::Sources;

/// The fields that only keys have; beside them, a `key` in plain text, which in a tombstone is an id.
const KEY_FIELDS: [&str; 3] = ["organization", "hash", "secrets"];

/// A key file that has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub text: String,
}

/// What was read before: files that are as they were then need not be read again.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    /// How the files were when they were last looked at.
    pub sources: &'k Sources,
    /// What was read from them.
    pub records: &'k Records,
}

/// A file of a set.
enum Part<'k> {
    Read(File),
    /// It holds what it held before.
    Known(&'k Origin),
}

/// How records are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// `[[organizations]]`, `[[keys]]` and `[[tombstones]]`.
    Toml,
    /// One JSON object per line.
    JsonLines,
}

impl Notation {
    /// The notation of a file, by its name: `*.jsonl`, or else TOML.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            Self::JsonLines
        } else {
            Self::Toml
        }
    }
}

/// Reads the key file or directory `root`. Everything that is wrong goes to `report`; what comes back is only to be used
/// when that holds no errors.
#[must_use]
pub fn load(root: &Path, scope: &mut Scope, sources: &mut Sources, report: &Report) -> Records {
    load_again(root, scope, sources, None, report)
}

/// As [`load`], without reading what is as it was when `known` was read. Nothing more is said about that.
#[must_use]
pub fn load_again(
    root: &Path,
    scope: &mut Scope,
    sources: &mut Sources,
    known: Option<Known<'_>>,
    report: &Report,
) -> Records {
    let started = Arc::new(scope.clone());
    let known = known.filter(|known| {
        let then = known.records.scope.as_ref();
        then.is_some_and(|then| then.reads_as(scope))
    });
    let paths = paths(root, sources, report);
    let parts: Vec<Part<'_>> = paths
        .iter()
        .filter_map(|path| read_part(path, sources, known, report))
        .collect();
    let some_unread = parts.iter().any(|part| matches!(part, Part::Known(_)));
    let records = if some_unread {
        let (mut trial, said) = (scope.clone(), Report::new());
        let records = parse_parts(&parts, known.map(|known| known.records), &mut trial, &said);
        // Where something clashes with what has not been read, all of it is, to say where that stands.
        records.inspect(|_| {
            said.into_problems()
                .0
                .into_iter()
                .for_each(|problem| report.push(problem))
        })
    } else {
        None
    };
    let records = records.unwrap_or_else(|| {
        let files = parts.into_iter().filter_map(|part| match part {
            Part::Read(file) => Some(file),
            Part::Known(origin) => read_file(origin.path.clone(), sources, report),
        });
        parse(&files.collect::<Vec<_>>(), scope, report)
    });
    Records {
        scope: Some(started),
        ..records
    }
}

/// The files that `root` stands for, in the order in which they are read. A file stands for itself.
///
/// # Errors
///
/// When `root` does not exist or cannot be listed.
pub fn files(root: &Path, sources: &mut Sources) -> io::Result<Vec<PathBuf>> {
    if !sources.look(root)?.is_dir() {
        return Ok(vec![root.to_owned()]);
    }
    Ok(entries(root, sources)?
        .into_iter()
        .filter(|path| is_key_file(path))
        .collect())
}

/// The files that `root` stands for. Reports when there are none, and what lies beside them.
fn paths(root: &Path, sources: &mut Sources, report: &Report) -> Vec<PathBuf> {
    let paths = match files(root, sources) {
        Ok(paths) => paths,
        Err(error) => {
            unreadable(root, &error, report);
            return Vec::new();
        }
    };
    if paths.is_empty() {
        let help = "put a keys.toml or keys.jsonl into it; `keygate keys new --file` makes one";
        report.push(Problem::of_file(
            Severity::Error,
            root,
            "holds no *.toml and no *.jsonl file",
            help,
        ));
    }
    warn_of_strangers(root, &paths, sources, report);
    paths
}

/// Reads one file, unless it is known what it holds.
fn read_part<'k>(path: &Path, sources: &mut Sources, known: Option<Known<'k>>, report: &Report) -> Option<Part<'k>> {
    let origin = known.and_then(|known| {
        let origin = known.records.files.iter().find(|origin| origin.path == path)?;
        let is_same = sources.is_still(path, &origin.digest, known.sources);
        is_same.then_some(origin)
    });
    match origin {
        Some(origin) => Some(Part::Known(origin)),
        None => read_file(path.to_owned(), sources, report).map(Part::Read),
    }
}

/// Reads the files that `root` stands for, unparsed. Reports what cannot be read, and what others may read too.
#[must_use]
pub fn read(root: &Path, sources: &mut Sources, report: &Report) -> Vec<File> {
    let paths = paths(root, sources, report).into_iter();
    paths.filter_map(|path| read_file(path, sources, report)).collect()
}

/// Reads one file, unparsed. Reports when it cannot be read, and when others may read it too.
#[must_use]
pub fn read_file(path: PathBuf, sources: &mut Sources, report: &Report) -> Option<File> {
    match sources.read(&path) {
        Ok(bytes) => checked(path, bytes, report),
        Err(error) => {
            unreadable(&path, &error, report);
            None
        }
    }
}

/// Reads all records of `files`, which are one set. Everything that is wrong goes to `report`; what comes back is only
/// to be used when that holds no errors.
#[must_use]
pub fn parse(files: &[File], scope: &mut Scope, report: &Report) -> Records {
    let sources: Vec<Source<'_>> = files.iter().map(|file| Source::new(&file.path, &file.text)).collect();
    let mut gathering = Gathering::new(&sources, report, scope);
    for (index, source) in sources.iter().enumerate() {
        gathering.begin(index);
        parse_file(index, source, &mut gathering, scope, report);
        gathering.end();
    }
    with_remembered(gathering.finish().unwrap_or_default(), scope)
}

/// As [`parse`], with records of `known` in place of files that have not been read; `None` where one of these records is part
/// of a problem.
fn parse_parts(parts: &[Part<'_>], known: Option<&Records>, scope: &mut Scope, report: &Report) -> Option<Records> {
    let sources: Vec<Source<'_>> = parts
        .iter()
        .map(|part| match part {
            Part::Read(file) => Source::new(&file.path, &file.text),
            Part::Known(origin) => Source::new(&origin.path, ""),
        })
        .collect();
    let mut gathering = Gathering::new(&sources, report, scope);
    for (index, (part, source)) in parts.iter().zip(&sources).enumerate() {
        gathering.begin(index);
        match (part, known) {
            (Part::Read(_), _) => parse_file(index, source, &mut gathering, scope, report),
            (Part::Known(origin), Some(known)) => gathering.add_known(index, known, origin),
            (Part::Known(_), None) => {}
        }
        gathering.end();
    }
    gathering.finish().map(|records| with_remembered(records, scope))
}

/// What is remembered stands behind what the files say.
fn with_remembered(mut records: Records, scope: &Scope) -> Records {
    records.tombstones.extend(scope.remembered.iter().cloned());
    records
}

fn parse_file(index: usize, source: &Source<'_>, gathering: &mut Gathering<'_>, scope: &mut Scope, report: &Report) {
    match Notation::of(source.file()) {
        Notation::Toml => parse_toml(index, source, gathering, scope, report),
        Notation::JsonLines => parse_json_lines(index, source, gathering, scope, report),
    }
}

fn parse_toml(index: usize, source: &Source<'_>, gathering: &mut Gathering<'_>, scope: &mut Scope, report: &Report) {
    let document = source.parse_toml(report);
    let root = Table::root(source, &document, report);
    let organizations = root.get("organizations");
    let keys = root.get("keys");
    let tombstones = root.get("tombstones");
    for table in tombstones.and_then(|item| item.tables()).unwrap_or_default() {
        gathering.add_tombstone(index, record::read_tombstone(&table, scope));
    }
    for table in organizations.and_then(|item| item.tables()).unwrap_or_default() {
        gathering.add_organization(index, record::read_organization(&table, scope));
    }
    let mut keys = keys.and_then(|item| item.tables()).unwrap_or_default().into_iter();
    while let Some(table) = keys.next() {
        if !gathering.has_room(index) {
            // Unread, but not unknown.
            table.ignore_rest();
            keys.for_each(|table| table.ignore_rest());
            return;
        }
        gathering.add_key(index, record::read_key(&table, scope));
    }
}

fn parse_json_lines(
    index: usize,
    source: &Source<'_>,
    gathering: &mut Gathering<'_>,
    scope: &mut Scope,
    report: &Report,
) {
    let mut offset = 0;
    for line in source.text().split_inclusive('\n') {
        if !line.trim().is_empty() {
            match jsonl::parse_line(line, offset) {
                Err(syntax) => source.report_syntax(syntax.span, &syntax.message, report),
                Ok(node) => {
                    let table = Table::root(source, &node, report);
                    match Kind::of(&node) {
                        Kind::Key if !gathering.has_room(index) => {
                            table.ignore_rest();
                            return;
                        }
                        Kind::Key => gathering.add_key(index, record::read_key(&table, scope)),
                        Kind::Tombstone => gathering.add_tombstone(index, record::read_tombstone(&table, scope)),
                        Kind::Organization => {
                            gathering.add_organization(index, record::read_organization(&table, scope));
                        }
                    }
                }
            }
            if !report.has_room() {
                return;
            }
        }
        offset += line.len();
    }
}

/// Whether a line is the record of a key.
pub(super) fn is_key_record(node: &Node<'_>) -> bool {
    matches!(Kind::of(node), Kind::Key)
}

/// What a line is a record of.
enum Kind {
    Key,
    Organization,
    Tombstone,
}

impl Kind {
    fn of(node: &Node<'_>) -> Self {
        let Value::Table(entries) = &node.value else {
            return Self::Organization;
        };
        let has = |field: &str| entries.iter().any(|entry| entry.key == field);
        let is_key = KEY_FIELDS.iter().any(|field| has(field));
        if !is_key && has("revoked_at") && !has("id") {
            Self::Tombstone
        } else if is_key || has("key") {
            Self::Key
        } else {
            Self::Organization
        }
    }
}

/// A directory's visible regular files (and links to some), sorted by name.
fn entries(directory: &Path, sources: &mut Sources) -> io::Result<Vec<PathBuf>> {
    let mut paths = sources.list(directory)?;
    // Through links: a link to a directory is not a key file, and one to nowhere is an error when it is read.
    paths.retain(|path| !path.is_dir());
    Ok(paths)
}

fn is_key_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "toml" || extension == "jsonl")
}

fn warn_of_strangers(root: &Path, read: &[PathBuf], sources: &mut Sources, report: &Report) {
    if read.first().is_some_and(|first| first == root) {
        return;
    }
    for path in entries(root, sources)
        .unwrap_or_default()
        .iter()
        .filter(|path| !is_key_file(path))
    {
        report.push(Problem::of_file(
            Severity::Warning,
            path,
            "is not read: key files are called *.toml or *.jsonl",
            "rename it, or move it out of the key directory",
        ));
    }
}

/// The file's text, after a look at who may read and change it.
fn checked(path: PathBuf, bytes: Vec<u8>, report: &Report) -> Option<File> {
    files::warn_of_others(&path, report);
    match String::from_utf8(bytes) {
        Ok(text) => Some(File { path, text }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = &error.as_bytes()[..valid];
            let line = 1 + memchr::memchr_iter(b'\n', before).count();
            report.push(Problem::of_file(
                Severity::Error,
                &path,
                format!("is not UTF-8 text: line {line} holds other bytes"),
                "save it as UTF-8",
            ));
            None
        }
    }
}

fn unreadable(path: &Path, error: &io::Error, report: &Report) {
    let (what, help) = match error.kind() {
        io::ErrorKind::NotFound => (
            "does not exist".to_owned(),
            "`keygate keys new --name … --organization …` makes it with its first key",
        ),
        io::ErrorKind::PermissionDenied => (
            "may not be read".to_owned(),
            "let the user that runs Keygate read it: ls -l shows whose it is",
        ),
        _ => (
            format!("cannot be read: {error}"),
            "put a regular file there, or a directory of *.toml and *.jsonl files",
        ),
    };
    report.push(Problem::of_file(Severity::Error, path, what, help));
}
