//! Adding records to a key file that people edit too, and changing those that are there.
//!
//! A room of its own because it keeps four promises at once: nothing else that stands in the file changes by a byte; what
//! is written loads (the whole set is read again, by the same loader that the gate uses, before anything is written);
//! writers do not lose each other's records (each holds a lock on the directory, which leaves no file behind); and a
//! reader sees the old file or the new one, whole. Mode and owner stay, a link is followed.
//!
//! A key that is to be changed is named by its id or its name. What was done is handed back, masked; nothing is printed,
//! and no clock is read.

mod add;
mod change;
mod error;
mod find;
mod import;
mod patch;
mod render;
mod rotate;
mod set;
mod write;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use add::{Added, add};
pub use change::{Changed, disable, enable, revoke};
pub use error::EditError;
pub use find::{Found, find};
pub use import::{Fate, ForeignKey, Import, Imported};
pub use render::NewOrganization;
pub use rotate::{Rotated, Rotation, rotate};

/// Which file is changed, and which set it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What the gate reads: the file itself, or a directory that holds it.
    pub root: PathBuf,
    /// The file that is changed. The same as `root` where a record in any file of a directory may be.
    pub file: PathBuf,
}
