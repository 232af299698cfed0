//! What was revoked, on disk: so that a revocation survives whatever happens to the process and to the key file.
//!
//! A room of its own because it must be there when nothing else is. It is a text file beside the state, one JSON object a line,
//! appended and on disk (`fsync`) before anybody is told that a revocation will last; not in the database, which may be damaged,
//! locked, or moved aside. It only grows: a revocation is for good.
//!
//! Invariants: a line that cannot be read keeps the sidecar from starting, since a key that was revoked would come back to life;
//! except a last line without its end, which was never confirmed to anybody. Where there is no directory for it, nothing can
//! have been remembered there, and the sidecar starts; a revocation is then in force, and not remembered, and says so.
//!
//! # Security
//! It holds ids and digests, never a key, and belongs to its owner (mode 0600).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::records::Tombstone;
use crate::config::sources::Sources;
use crate::config::state::State;
use crate::policy::revocations::Revocations;
use crate::secret::Digest;

/// The journal of revocations.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    held: Mutex<Held>,
}

/// What the journal holds.
#[derive(Debug, Default)]
struct Held {
    revocations: Revocations,
    /// Of how many bytes the file is, at least.
    length: u64,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fingerprints: Vec<String>,
    revoked_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Who said so: `file`, or as the audit trail writes it.
    by: String,
}

/// Why a journal cannot be used.
#[derive(Debug)]
pub enum JournalError {
    /// It cannot be opened or read.
    File(PathBuf, io::Error),
    /// A line of it cannot be understood.
    Line(PathBuf, usize),
}

impl Journal {
    /// Reads the journal beside the state; what it holds comes back.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn open(state: &State) -> Result<(Self, Vec<Tombstone>), JournalError> {
        let path = state.revocations();
        let refused = |error| JournalError::File(path.clone(), error);
        let text = bytes(&path).map_err(refused)?;
        let whole = whole_lines(&text);
        if whole < text.len() {
            let file = OpenOptions::new().write(true).open(&path).map_err(refused)?;
            file.set_len(whole as u64).map_err(refused)?;
            file.sync_all().map_err(refused)?;
        }
        let tombstones = read_lines(&path, &text[..whole])?;
        let mut held = Held {
            length: whole as u64,
            ..Held::default()
        };
        tombstones.iter().for_each(|tombstone| held.revocations.add(tombstone));
        let journal = Self {
            path,
            held: Mutex::new(held),
        };
        Ok((journal, tombstones))
    }

    /// Writes down what it does not hold yet; when this returns, it is on disk. Waits for the disk.
    ///
    /// # Errors
    /// What the system says; nothing may be taken for remembered then.
    pub fn remember(&self, tombstones: &[Tombstone], by: &str) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        self.restore(&mut held).map_err(told)?;
        let news = tombstones
            .iter()
            .filter(|tombstone| !held.revocations.covers(tombstone));
        let news: Vec<Tombstone> = news.cloned().collect();
        if news.is_empty() {
            return Ok(());
        }
        self.append(&mut held, &news, by).map_err(told)?;
        news.iter().for_each(|tombstone| held.revocations.add(tombstone));
        Ok(())
    }

    /// Writes the file anew where it was removed, or cut, since it was last written to; whether it was.
    ///
    /// # Errors
    /// What the system says.
    pub fn mend(&self) -> io::Result<bool> {
        self.restore(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn restore(&self, held: &mut Held) -> io::Result<bool> {
        if self.length()? >= held.length {
            return Ok(false);
        }
        let left = bytes(&self.path)?;
        // Somebody else's lines may be among them.
        let mut text = left[..whole_lines(&left)].to_vec();
        let all = held
            .revocations
            .news_since((&Revocations::default(), i64::MIN), i64::MAX);
        text.extend(lines(&all, "journal")?);
        let directory = self.directory();
        let mut temporary = tempfile::Builder::new()
            .prefix(".keygate-")
            .suffix(".tmp")
            .tempfile_in(directory)?;
        temporary.write_all(&text)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&self.path).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()?;
        held.length = text.len() as u64;
        Ok(true)
    }

    /// On disk when it returns, or else not there.
    fn append(&self, held: &mut Held, tombstones: &[Tombstone], by: &str) -> io::Result<()> {
        let text = lines(tombstones, by)?;
        let is_new = !self.path.exists();
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)?;
        let before = file.metadata()?.len();
        let written = file.write_all(&text).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a line would keep the next start from reading what follows it.
            let _ = file.set_len(before);
            return Err(error);
        }
        if is_new {
            File::open(self.directory())?.sync_all()?;
        }
        held.length = before + text.len() as u64;
        Ok(())
    }

    /// Of how many bytes the file is now.
    fn length(&self) -> io::Result<u64> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn directory(&self) -> &Path {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new("."))
    }
}

/// What is remembered beside the state, for a command that only looks.
///
/// # Errors
/// See [`JournalError`].
pub fn read(state: &State) -> Result<Vec<Tombstone>, JournalError> {
    let path = state.revocations();
    let text = bytes(&path).map_err(|error| JournalError::File(path.clone(), error))?;
    read_lines(&path, &text[..whole_lines(&text)])
}

/// Nothing, where there is no file.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    match Sources::default().read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn read_lines(path: &Path, text: &[u8]) -> Result<Vec<Tombstone>, JournalError> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let read = (1..).zip(lines).filter(|(_, line)| !line.trim_ascii().is_empty());
    read.map(|(number, line)| read_line(line).ok_or_else(|| JournalError::Line(path.to_owned(), number)))
        .collect()
}

/// How much of it is whole lines.
fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

fn lines(tombstones: &[Tombstone], by: &str) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for tombstone in tombstones {
        serde_json::to_writer(&mut text, &Line::of(tombstone, by))?;
        text.push(b'\n');
    }
    Ok(text)
}

impl Line {
    fn of(tombstone: &Tombstone, by: &str) -> Self {
        Self {
            key: tombstone.key.clone(),
            fingerprints: tombstone.hashes.iter().map(|digest| hex::encode(digest.0)).collect(),
            revoked_at: Timestamp::from_second(tombstone.revoked_at).unwrap_or(Timestamp::MIN),
            reason: tombstone.reason.clone(),
            by: by.to_owned(),
        }
    }
}

fn read_line(bytes: &[u8]) -> Option<Tombstone> {
    let line: Line = serde_json::from_slice(bytes).ok()?;
    let digest = |text: &String| {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(Digest(digest))
    };
    Some(Tombstone {
        key: line.key,
        hashes: line.fingerprints.iter().map(digest).collect::<Option<_>>()?,
        revoked_at: line.revoked_at.as_second(),
        reason: line.reason,
    })
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(
                f,
                "cannot read the revocations in {}: {error}; without them, revoked keys could come back to life",
                path.display()
            ),
            Self::Line(path, number) => write!(
                f,
                "line {number} of {} is not a revocation; restore the file, or remove the line if you know that it is none",
                path.display()
            ),
        }
    }
}

impl std::error::Error for JournalError {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn state(directory: &Path) -> State {
        State {
            path: directory.join("keygate.db"),
            ..State::default()
        }
    }

    fn tombstone(key: &str) -> Tombstone {
        Tombstone {
            key: Some(key.to_owned()),
            hashes: vec![Digest::of(key.as_bytes())],
            revoked_at: 1_768_471_200,
            reason: Some("leaked".to_owned()),
        }
    }

    #[test]
    fn what_is_remembered_is_there_at_the_next_start_once_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, nothing) = Journal::open(&state(directory.path())).unwrap();
        assert!(nothing.is_empty());
        journal
            .remember(&[tombstone("a"), tombstone("b")], "token:ops")
            .unwrap();
        journal.remember(&[tombstone("b"), tombstone("c")], "file").unwrap();
        let (_, remembered) = Journal::open(&state(directory.path())).unwrap();
        assert_eq!(remembered, [tombstone("a"), tombstone("b"), tombstone("c")]);
        let mode = std::fs::metadata(&journal.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn half_a_last_line_is_given_up_and_any_other_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(&state(directory.path())).unwrap();
        journal.remember(&[tombstone("a")], "file").unwrap();
        let whole = std::fs::read(&journal.path).unwrap();
        for cut in 0..whole.len() {
            let text = [&whole[..], &whole[..cut]].concat();
            std::fs::write(&journal.path, &text).unwrap();
            let (again, remembered) = Journal::open(&state(directory.path())).unwrap();
            assert_eq!(remembered, [tombstone("a")], "cut at {cut}");
            again.remember(&[tombstone("b")], "file").unwrap();
            let (_, remembered) = Journal::open(&state(directory.path())).unwrap();
            assert_eq!(remembered, [tombstone("a"), tombstone("b")], "cut at {cut}");
        }
        std::fs::write(&journal.path, [b"{}\n", &whole[..]].concat()).unwrap();
        let error = Journal::open(&state(directory.path())).unwrap_err();
        assert!(error.to_string().contains("line 1 "), "{error}");
    }

    #[test]
    fn a_journal_that_is_removed_or_cut_is_written_anew_with_all_that_it_held() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(&state(directory.path())).unwrap();
        journal.remember(&[tombstone("a"), tombstone("b")], "file").unwrap();
        assert!(!journal.mend().unwrap());
        let whole = std::fs::read(&journal.path).unwrap();
        let again = || Journal::open(&state(directory.path())).unwrap().0;
        let knows = |key: &str| again().held.lock().unwrap().revocations.covers(&tombstone(key));
        for left in [None, Some(0), Some(10), Some(whole.len() - 1)] {
            match left {
                None => std::fs::remove_file(&journal.path).unwrap(),
                Some(left) => std::fs::write(&journal.path, &whole[..left]).unwrap(),
            }
            assert!(journal.mend().unwrap(), "{left:?}");
            assert!(knows("a") && knows("b"), "{left:?}");
        }
        std::fs::remove_file(&journal.path).unwrap();
        journal.remember(&[tombstone("c")], "file").unwrap();
        assert!(["a", "b", "c"].into_iter().all(knows));
        std::fs::remove_file(&journal.path).unwrap();
        journal.remember(&[tombstone("a")], "file").unwrap();
        assert!(knows("a"), "what it has told already is there, too");
    }

    #[test]
    fn a_directory_that_is_not_there_remembers_nothing_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, remembered) = Journal::open(&state(&directory.path().join("gone"))).unwrap();
        assert!(remembered.is_empty());
        journal.remember(&[tombstone("a")], "file").unwrap_err();
        std::fs::create_dir(directory.path().join("gone")).unwrap();
        journal.remember(&[tombstone("a")], "file").unwrap();
    }
}
