//! Why a key file was not changed, as an answer.

use http::StatusCode;

use super::shelf::invalid;
use crate::control::admin::problem::Problem;
use crate::control::keyfile::EditError;

/// What the caller is told.
pub(super) fn refused(error: &EditError) -> Problem {
    if error.is_read_only() {
        return read_only(error);
    }
    let told = || format!("{error}: {}.", error.help());
    match error {
        EditError::Invalid(problems) => invalid(problems),
        EditError::Unknown { .. } | EditError::Secret => Problem::new(StatusCode::NOT_FOUND, "key_unknown", told()),
        EditError::Ambiguous { .. } => Problem::conflict("key_ambiguous", told()),
        EditError::Revoked { .. } => Problem::conflict("key_revoked", told()),
        EditError::Expired { .. } => Problem::conflict("key_expired", told()),
        EditError::Directory(_) | EditError::Stranger(_) | EditError::Elsewhere { .. } => {
            Problem::conflict("key_file_unfit", told())
        }
        EditError::Mounted(_) | EditError::Restless(_) | EditError::System { .. } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "key_file_unavailable",
            format!("{error}. Nothing was changed."),
        ),
    }
}

fn read_only(error: &EditError) -> Problem {
    Problem::conflict(
        "key_file_read_only",
        format!(
            "{error}. Change it where it comes from (a Kubernetes Secret, a configuration repository): the gate takes it up \
             when it is mounted. A revocation needs no file: POST /admin/v1/keys/ID/revoke is in force at once."
        ),
    )
}
