//! Secrets that the configuration needs and must not hold: it names a file, or an environment variable.
//!
//! A room of its own so that every such secret is found in the same two ways, and refused with the same words.

use super::files::Files;
use super::reader::{Item, Table};
use crate::secret::Secret;

/// What is sought, in the words of its problems.
pub(super) struct Sought {
    /// `a pepper`
    pub(super) what: &'static str,
    /// `for example the output of …`
    pub(super) example: &'static str,
}

/// Reads `file` or `env` of a table, without the end of a last line; gives the option that named it, too.
pub(super) fn read<'d>(table: &Table<'d>, files: &Files, sought: &Sought) -> Option<(Secret, Item<'d>)> {
    match (table.get("file"), table.get("env")) {
        (Some(file), None) => Some((at_file(&file, files, sought)?, file)),
        (None, Some(variable)) => Some((at_variable(&variable)?, variable)),
        (Some(_), Some(variable)) => {
            variable
                .key_place()
                .error("stands beside `file`", "keep one of the two");
            None
        }
        (None, None) => {
            let what = sought.what;
            let help = format!("write file = \"…\" or env = \"…\"; {what} does not stand in this file");
            table.place().missing("says neither `file` nor `env`", help);
            None
        }
    }
}

/// Reads the file that an option names, without the end of its last line.
pub(super) fn at_file(item: &Item<'_>, files: &Files, sought: &Sought) -> Option<Secret> {
    in_file(item, files, sought).map(whole_lines)
}

/// Reads the environment variable that an option names, without the end of its last line.
pub(super) fn at_variable(item: &Item<'_>) -> Option<Secret> {
    in_environment(item).map(whole_lines)
}

fn in_file(item: &Item<'_>, files: &Files, sought: &Sought) -> Option<Secret> {
    let (path, bytes) = files.read(item)?;
    match String::from_utf8(bytes) {
        Ok(text) => Some(Secret::new(text)),
        Err(_) => {
            item.error(format!("{} is not text", path.display()), sought.example);
            None
        }
    }
}

fn in_environment(item: &Item<'_>) -> Option<Secret> {
    let name = item.text()?;
    match std::env::var(name) {
        Ok(text) => Some(Secret::new(text)),
        Err(std::env::VarError::NotPresent) => {
            item.error(
                format!("the environment variable {name} is not set"),
                "set it where Keygate is started",
            );
            None
        }
        Err(std::env::VarError::NotUnicode(_)) => {
            item.error(
                format!("the environment variable {name} is not text"),
                "set it to visible characters",
            );
            None
        }
    }
}

fn whole_lines(secret: Secret) -> Secret {
    Secret::new(secret.expose().trim_end_matches(['\n', '\r']).to_owned())
}
