//! Why a key file was not changed, and what helps.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::Place;
use crate::config::problem::Problems;

/// Why nothing was changed.
#[derive(Debug)]
pub enum EditError {
    /// The files are not valid, before or after the change; each problem says where.
    Invalid(Problems),
    /// The file is a directory.
    Directory(PathBuf),
    /// The file is not one of those that the gate reads.
    Stranger(Place),
    /// No key has this id or name.
    Unknown {
        /// What was asked for.
        which: String,
        /// What was probably meant.
        near: Option<String>,
    },
    /// Several keys have this name.
    Ambiguous {
        /// What was asked for.
        name: String,
        /// How many keys have it.
        count: usize,
        /// The ids of the first of them.
        ids: Vec<String>,
    },
    /// What was given in place of an id is a key itself. It is not repeated.
    Secret,
    /// The key's record is in another file than the one that was named.
    Elsewhere {
        /// The key.
        id: String,
        /// Where it is.
        file: PathBuf,
    },
    /// The key is revoked, which is for good.
    Revoked {
        /// The key.
        id: String,
    },
    /// The key has ended.
    Expired {
        /// The key.
        id: String,
    },
    /// The file is put there by kubelet, from a Secret or a ConfigMap.
    Mounted(PathBuf),
    /// The files changed again and again while they were read.
    Restless(PathBuf),
    /// The system refused.
    System {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl EditError {
    /// Whether the key is in a state that does not allow the change: no fault of the question.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Revoked { .. } | Self::Expired { .. } => true,
            Self::Invalid(_)
            | Self::Directory(_)
            | Self::Stranger(_)
            | Self::Unknown { .. }
            | Self::Ambiguous { .. }
            | Self::Secret
            | Self::Elsewhere { .. }
            | Self::Mounted(_)
            | Self::Restless(_)
            | Self::System { .. } => false,
        }
    }

    /// Whether the file cannot be changed here at all, but only where it comes from.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Mounted(_) => true,
            Self::System { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied | io::ErrorKind::ResourceBusy
            ),
            Self::Invalid(_)
            | Self::Directory(_)
            | Self::Stranger(_)
            | Self::Unknown { .. }
            | Self::Ambiguous { .. }
            | Self::Secret
            | Self::Elsewhere { .. }
            | Self::Revoked { .. }
            | Self::Expired { .. }
            | Self::Restless(_) => false,
        }
    }

    /// What helps; may be empty.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Invalid(_) => String::new(),
            Self::Directory(path) => format!(
                "name the file in it that the record goes into, for example --file {}",
                path.join("keys.toml").display()
            ),
            Self::Stranger(place) => format!(
                "choose a *.toml or *.jsonl file in {}, or change keys.file in the configuration",
                place.root.display()
            ),
            Self::Unknown { near: Some(near), .. } => format!("did you mean {near}?"),
            Self::Unknown { near: None, .. } => "`keygate keys list` shows all keys".to_owned(),
            Self::Ambiguous { count, ids, .. } => {
                let more = if *count > ids.len() { ", …" } else { "" };
                format!("name it by its id: {}{more}", ids.join(", "))
            }
            Self::Secret => {
                "name the key by its id or name; `keygate keys verify` finds both from the key on standard input. This one \
                 may stand in the shell's history now: consider it exposed"
                    .to_owned()
            }
            Self::Elsewhere { file, .. } => format!("leave out --file, or write --file {}", file.display()),
            Self::Revoked { .. } => "make a new key with `keygate keys new`".to_owned(),
            Self::Expired { .. } => {
                "make a new key with `keygate keys new`, or write a later `expires_at` first: a rotation never extends it"
                    .to_owned()
            }
            Self::Mounted(_) => {
                "change the Secret or ConfigMap itself: make the change on a copy with --file, and apply that".to_owned()
            }
            Self::Restless(_) => "try again".to_owned(),
            Self::System { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "make its directory first, or correct the path",
                io::ErrorKind::PermissionDenied => {
                    "run this as the user whom the file belongs to; its directory must be writable too, since the file is \
                     replaced as a whole"
                }
                io::ErrorKind::ReadOnlyFilesystem => {
                    "the file is mounted read-only, as from a Kubernetes Secret: change it where it comes from, with \
                     --file on a copy"
                }
                io::ErrorKind::ResourceBusy => {
                    "the file is mounted by itself and cannot be replaced: mount its directory instead"
                }
                _ => "",
            }
            .to_owned(),
        }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(_) => f.write_str("nothing was changed, since the key files are not valid"),
            Self::Directory(path) => write!(f, "{} is a directory", path.display()),
            Self::Stranger(place) => write!(
                f,
                "{} is not one of the key files in {}",
                place.file.display(),
                place.root.display()
            ),
            Self::Unknown { which, .. } => write!(f, "there is no key with the id or name {}", which.escape_debug()),
            Self::Ambiguous { name, count, .. } => write!(f, "{count} keys have the name {name}"),
            Self::Secret => f.write_str("there is no key with this id or name: it looks like a key itself"),
            Self::Elsewhere { id, file } => write!(f, "the record of {id} is in {}", file.display()),
            Self::Revoked { id } => write!(f, "{id} is revoked, which is for good"),
            Self::Expired { id } => write!(f, "{id} has expired"),
            Self::Mounted(path) => write!(
                f,
                "{} is put there by kubelet, which replaces whatever is changed in it",
                path.display()
            ),
            Self::Restless(path) => write!(f, "the key files in {} changed while they were read", path.display()),
            Self::System { verb, path, .. } => write!(f, "cannot {verb} {}", path.display()),
        }
    }
}

impl std::error::Error for EditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(problems) => Some(problems),
            Self::System { source, .. } => Some(source),
            Self::Directory(_)
            | Self::Stranger(_)
            | Self::Unknown { .. }
            | Self::Ambiguous { .. }
            | Self::Secret
            | Self::Elsewhere { .. }
            | Self::Revoked { .. }
            | Self::Expired { .. }
            | Self::Mounted(_)
            | Self::Restless(_) => None,
        }
    }
}

pub(super) fn system(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EditError {
    let path = path.to_owned();
    move |source| EditError::System { verb, path, source }
}
