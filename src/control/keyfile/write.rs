//! Replacing a file's contents so that every reader sees the old ones or the new ones, whole.
//!
//! A room of its own because the order of the steps is the promise: temporary file beside the target, mode and owner of
//! the old one, contents to disk, rename, directory to disk.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

/// Replaces `target` (not a link), or makes it with mode 0600.
///
/// # Errors
///
/// What the system says; `target` is then as it was.
pub(super) fn replace(target: &Path, directory: &Path, contents: &[u8]) -> io::Result<()> {
    // The name begins with a dot: a directory of key files skips it.
    let mut temporary = tempfile::Builder::new()
        .prefix(".keygate-")
        .suffix(".tmp")
        .tempfile_in(directory)?;
    temporary.write_all(contents)?;
    match fs::metadata(target) {
        Ok(old) => {
            let new = temporary.as_file().metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()))?;
            }
            let mode = old.permissions().mode() & 0o7777;
            temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    temporary.as_file().sync_all()?;
    temporary.persist(target).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}
