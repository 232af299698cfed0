//! What happens to files on disk.

mod adding;
mod changing;
mod properties;
mod rotating;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::config::problem::Report;
use crate::config::records::{self, Records, Scope};
use crate::config::sources::Sources;
use crate::control::mint::NewKey;

const NOW: i64 = 1_768_471_200;

fn key(name: &str) -> NewKey {
    NewKey::mint("kg_", name, "42", NOW).0
}

fn alone(file: &Path) -> Place {
    Place {
        root: file.to_owned(),
        file: file.to_owned(),
    }
}

/// What the loader says about a file or directory.
fn load(root: &Path) -> Records {
    let report = Report::new();
    let records = records::load(root, &mut Scope::open(NOW), &mut Sources::default(), &report);
    assert!(!report.has_errors(), "{}", report.into_problems());
    records
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A file that only its owner may read.
fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What became of a file's text.
struct Outcome<T> {
    text: String,
    done: Result<T, EditError>,
}

/// Gives a new file this text, lets it be changed, and says what is there afterwards.
fn changed<T>(name: &str, text: &str, change: impl FnOnce(&Place, &mut Scope) -> Result<T, EditError>) -> Outcome<T> {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(name);
    write(&file, text);
    let done = change(&alone(&file), &mut Scope::open(NOW));
    assert_eq!(names_in(home.path()), [name]);
    assert_eq!(mode(&file), 0o600);
    load(&file);
    let text = fs::read_to_string(&file).unwrap();
    Outcome { text, done }
}

/// The hash of a short text, as records write it.
fn sha256(text: &str) -> String {
    format!("sha256:{}", hex::encode(crate::secret::Digest::of(text.as_bytes()).0))
}
