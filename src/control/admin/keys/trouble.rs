//! Why a key file was not changed, as an answer.

use std::io::ErrorKind;

use http::StatusCode;

use super::shelf::invalid;
use crate::control::admin::problem::Problem;
use crate::control::keyfile::EditError;

/// What the caller is told.
pub(super) fn refused(error: &EditError) -> Problem {
    match error {
        EditError::Invalid(problems) => invalid(problems),
        EditError::Directory(_) | EditError::Stranger(_) => {
            Problem::conflict("key_file_unfit", format!("{error}: {}.", error.help()))
        }
        EditError::System { path, source, .. } => match source.kind() {
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::ResourceBusy => Problem::conflict(
                "key_file_read_only",
                format!(
                    "{} cannot be changed from here ({source}). Change it where it comes from (a Kubernetes Secret, a \
                     configuration repository): the gate takes it up when it is mounted.",
                    path.display()
                ),
            ),
            _ => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "key_file_unavailable",
                format!("{error}: {source}. Nothing was changed."),
            ),
        },
    }
}
