//! Why a key file was not changed, as an answer.

use http::StatusCode;

use super::unknown;
use crate::config::problem::Problems;
use crate::control::admin::problem::Problem;
use crate::control::keyfile::EditError;

/// What the caller is told.
pub(super) fn refused(error: &EditError) -> Problem {
    if error.is_read_only() {
        return read_only(error);
    }
    match error {
        EditError::Invalid(problems) => invalid(problems),
        EditError::Unknown { .. } | EditError::Ambiguous { .. } | EditError::Secret => unknown(),
        EditError::Revoked { .. } => Problem::conflict("key_revoked", said(error)),
        EditError::Expired { .. } => Problem::conflict("key_expired", said(error)),
        EditError::Restless(_) => Problem::conflict("key_files_changing", said(error)),
        EditError::Directory(_) | EditError::Stranger(_) | EditError::Elsewhere { .. } | EditError::Mounted(_) => {
            Problem::conflict("key_file_unfit", said(error))
        }
        EditError::System { source, .. } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "key_file_unavailable",
            format!("{error}: {source}. Nothing was changed."),
        ),
    }
}

fn read_only(error: &EditError) -> Problem {
    let cause = std::error::Error::source(error).map_or_else(String::new, |source| format!(" ({source})"));
    Problem::conflict(
        "key_file_read_only",
        format!(
            "{error}{cause}. Change it where it comes from (a Kubernetes Secret, a configuration repository): the gate takes it \
             up as soon as it is there. To revoke works all the same: it is pushed."
        ),
    )
}

fn said(error: &EditError) -> String {
    let help = error.help();
    match help.is_empty() {
        true => format!("{error}."),
        false => format!("{error}: {help}."),
    }
}

/// 409: the configuration or the key files do not load.
pub(super) fn invalid(problems: &Problems) -> Problem {
    Problem::files(
        "key_files_invalid",
        "The files are not valid as they are; nothing was changed.",
        problems,
    )
}
