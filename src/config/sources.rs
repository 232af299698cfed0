//! The files behind a generation: what was read from them, and whether they hold something else now.
//!
//! The content decides, by digest. To look often and cheaply, a file is only read again when its identity on disk (device,
//! inode, size, times) is not what it was: every way to change a file's content changes one of these. Except within one
//! tick of the file system's clock, so that the identity of a file that had just been changed says nothing.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::clock;
use crate::secret::{Digest, Digesting};

/// How long ago a file must have been changed, in seconds, for another change to be sure to have another time. The coarsest
/// file systems count in steps of two seconds.
const TICK: i64 = 3;

/// How large a file may be, in bytes: several times what the records of a million keys need. A file that is larger, or that
/// grows while it is read, would take the memory of everything else.
const LARGEST: u64 = 2 << 30;

/// How much is read in one call: the kernel does not leave one in the middle for those who wait for the processor.
const AT_ONCE: usize = 256 << 10;

/// Files and directories, with what they held when they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    File { identity: Identity, digest: Digest },
    Directory(Vec<PathBuf>),
    Unreadable(io::ErrorKind),
}

/// Everything that the file system changes along with a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Whether the last change was too recent for the times to tell it from the next.
    recent: bool,
}

impl Sources {
    /// Reads a file and remembers what it held, or that it could not be read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let read = read(path);
        let entry = match &read {
            Ok((identity, bytes)) => Entry::File {
                identity: *identity,
                digest: Digest::of(bytes),
            },
            Err(error) => Entry::Unreadable(error.kind()),
        };
        self.0.insert(path.to_owned(), entry);
        read.map(|(_, bytes)| bytes)
    }

    /// Whether the file at `path` holds the bytes with this digest, as it did when `then` was looked at: found out without
    /// reading it, and remembered as if it had been read. When in doubt, no.
    pub fn is_still(&mut self, path: &Path, digest: &Digest, then: &Self) -> bool {
        let (Some(entry), Ok(metadata)) = (then.0.get(path), fs::metadata(path)) else {
            return false;
        };
        let same = entry.is_surely(&metadata) && matches!(entry, Entry::File { digest: known, .. } if known == digest);
        if same {
            self.0.insert(path.to_owned(), entry.clone());
        }
        same
    }

    /// Looks at what is at `path` without reading it, and remembers when there is nothing to look at.
    ///
    /// # Errors
    /// When there is nothing, or it may not be looked at.
    pub fn look(&mut self, path: &Path) -> io::Result<Metadata> {
        let looked = fs::metadata(path);
        if let Err(error) = &looked {
            self.0.insert(path.to_owned(), Entry::Unreadable(error.kind()));
        }
        looked
    }

    /// Lists a directory, sorted, without hidden files (which Kubernetes' `..data` is), and remembers the names.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&mut self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let listed = list(directory);
        let entry = match &listed {
            Ok(names) => Entry::Directory(names.clone()),
            Err(error) => Entry::Unreadable(error.kind()),
        };
        self.0.insert(directory.to_owned(), entry);
        listed
    }

    /// The same files and directories, as they are now.
    #[must_use]
    pub fn look_again(&self) -> Self {
        Self(
            self.0
                .iter()
                .map(|(path, entry)| (path.clone(), entry.look_again(path)))
                .collect(),
        )
    }

    /// Whether both hold the same bytes under the same names, whatever their inodes and times.
    #[must_use]
    pub fn same_bytes(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self
                .0
                .iter()
                .zip(&other.0)
                .all(|((path, entry), (other_path, other))| path == other_path && entry.same_bytes(other))
    }

    /// SHA-256 of all of it: of every name, and what it holds. Two that have the same hold [the same
    /// bytes](Self::same_bytes).
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut all = Vec::new();
        for (path, entry) in &self.0 {
            let (kind, rest) = match entry {
                Entry::File { digest, .. } => (b'f', digest.0.to_vec()),
                Entry::Directory(names) => {
                    let names = names.iter().map(|name| Digest::of(name.as_os_str().as_encoded_bytes()));
                    (b'd', names.flat_map(|name| name.0).collect())
                }
                Entry::Unreadable(why) => (b'u', why.to_string().into_bytes()),
            };
            all.extend(Digest::of(path.as_os_str().as_encoded_bytes()).0);
            all.push(kind);
            all.extend(Digest::of(&rest).0);
        }
        Digest::of(&all)
    }

    /// The files that could be read, each with the SHA-256 of its bytes.
    pub fn digests(&self) -> impl Iterator<Item = (&Path, &Digest)> {
        self.0.iter().filter_map(|(path, entry)| match entry {
            Entry::File { digest, .. } => Some((path.as_path(), digest)),
            Entry::Directory(_) | Entry::Unreadable(_) => None,
        })
    }

    /// As if no file had been changed for some time when it was read.
    #[cfg(test)]
    pub(super) fn long_ago(mut self) -> Self {
        for entry in self.0.values_mut() {
            if let Entry::File { identity, .. } = entry {
                identity.recent = false;
            }
        }
        self
    }

    /// Every file and directory.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

impl Entry {
    fn look_again(&self, path: &Path) -> Self {
        let looked = match self {
            Self::Directory(_) => list(path).map(Self::Directory),
            Self::File { .. } => match fs::metadata(path) {
                Ok(metadata) if self.is_surely(&metadata) => return self.clone(),
                Ok(_) => file(path),
                Err(error) => Err(error),
            },
            Self::Unreadable(_) => file(path).or_else(|_| list(path).map(Self::Directory)),
        };
        looked.unwrap_or_else(|error| Self::Unreadable(error.kind()))
    }

    /// Whether it is the file of this metadata, not written to since it was read.
    fn is_surely(&self, metadata: &Metadata) -> bool {
        match self {
            // One that is not recent any more never becomes recent without another time.
            Self::File { identity, .. } => {
                let now = Identity {
                    recent: false,
                    ..Identity::of(metadata)
                };
                now == *identity
            }
            Self::Directory(_) | Self::Unreadable(_) => false,
        }
    }

    fn same_bytes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { digest, .. }, Self::File { digest: other, .. }) => digest == other,
            (Self::Directory(names), Self::Directory(others)) => names == others,
            (Self::Unreadable(why), Self::Unreadable(other)) => why == other,
            (Self::File { .. } | Self::Directory(_) | Self::Unreadable(_), _) => false,
        }
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            recent: clock::unix() - metadata.ctime() < TICK,
        }
    }
}

fn file(path: &Path) -> io::Result<Entry> {
    let (identity, file) = open(path)?;
    let mut digesting = Digesting::default();
    parts(file, |part| digesting.add(part))?;
    Ok(Entry::File {
        identity,
        digest: digesting.end(),
    })
}

fn read(path: &Path) -> io::Result<(Identity, Vec<u8>)> {
    let (identity, file) = open(path)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(identity.size).unwrap_or(usize::MAX))?;
    parts(file, |part| bytes.extend_from_slice(part))?;
    Ok((identity, bytes))
}

/// All of a file, part by part.
fn parts(mut file: File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut part, mut length) = (vec![0; AT_ONCE], 0);
    loop {
        let read = match file.read(&mut part) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        length += read as u64;
        if length > LARGEST {
            return Err(too_large());
        }
        take(&part[..read]);
    }
}

/// The identity is taken before the bytes, from the same open file: if it is written to meanwhile, the identity on disk is
/// another one afterwards, and the next look reads it again.
///
/// Looked at before it is opened, because opening a device may have effects, and opened without waiting, because it may
/// have become a pipe meanwhile: whatever lies there, reading comes to an end.
fn open(path: &Path) -> io::Result<(Identity, File)> {
    readable(&fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    readable(&metadata)?;
    Ok((Identity::of(&metadata), file))
}

/// Whether what lies there can be read from its beginning to an end.
fn readable(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        let what = "it is a pipe, a socket or a device, not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    if metadata.len() > LARGEST {
        return Err(too_large());
    }
    Ok(())
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 2GiB")
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            names.push(entry.path());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_not_the_inode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        let mut first = Sources::default();
        assert!(first.read(&path).is_err());
        fs::write(&path, "a").unwrap();
        let second = first.look_again();
        assert!(!second.same_bytes(&first), "it was missing");

        fs::write(directory.path().join("next"), "a").unwrap();
        fs::rename(directory.path().join("next"), &path).unwrap();
        let renamed = second.look_again();
        assert_ne!(renamed, second, "another inode");
        assert!(renamed.same_bytes(&second), "the same bytes");

        fs::write(&path, "b").unwrap();
        assert!(!renamed.look_again().same_bytes(&renamed), "same length, other bytes");
    }

    #[test]
    fn a_change_within_one_tick_of_the_clock_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        fs::write(&path, "new").unwrap();
        let mut sources = Sources::default();
        sources.read(&path).unwrap();
        // As if these bytes had been written right after the old ones were read: same size, same times.
        let Some(Entry::File { digest, .. }) = sources.0.get_mut(&path) else {
            panic!("a file was read");
        };
        *digest = Digest::of(b"old");
        assert!(!sources.look_again().same_bytes(&sources));
    }

    #[test]
    fn what_has_no_end_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (pipe, socket, huge) = (
            directory.path().join("pipe"),
            directory.path().join("socket"),
            directory.path().join("huge"),
        );
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        fs::File::create(&huge).unwrap().set_len(LARGEST + 1).unwrap();
        let mut sources = Sources::default();
        for (path, kind) in [
            (pipe.as_path(), io::ErrorKind::InvalidInput),
            (&socket, io::ErrorKind::InvalidInput),
            (Path::new("/dev/zero"), io::ErrorKind::InvalidInput),
            (&huge, io::ErrorKind::FileTooLarge),
            (directory.path(), io::ErrorKind::IsADirectory),
        ] {
            assert_eq!(sources.read(path).unwrap_err().kind(), kind, "{}", path.display());
        }
        assert!(sources.look_again().0.len() == sources.0.len(), "nor does looking wait");
    }

    #[test]
    fn a_directory_changes_with_its_names() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.toml"), "a").unwrap();
        let mut first = Sources::default();
        assert_eq!(first.list(directory.path()).unwrap().len(), 1);
        fs::write(directory.path().join(".swp"), "x").unwrap();
        assert!(first.look_again().same_bytes(&first), "hidden files are not looked at");
        fs::write(directory.path().join("b.toml"), "b").unwrap();
        assert!(!first.look_again().same_bytes(&first));
    }
}
