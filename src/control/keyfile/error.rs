//! Why a key file was not changed, and what helps.

use std::fmt;
use std::io;
use std::path::PathBuf;

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
            Self::System { verb, path, .. } => write!(f, "cannot {verb} {}", path.display()),
        }
    }
}

impl std::error::Error for EditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(problems) => Some(problems),
            Self::System { source, .. } => Some(source),
            Self::Directory(_) | Self::Stranger(_) => None,
        }
    }
}
