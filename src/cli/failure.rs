//! What keeps a command from being done: in words on standard error, and as an exit code.
//!
//! A room of its own because all commands promise the same: 2 where what they were given is at fault (arguments, standard
//! input, the environment, a file), 1 where it failed for another reason or the state of a key does not allow it.

use std::fmt;
use std::process::ExitCode;

use super::output::tell;
use crate::config::problem::Problems;
use crate::control::explain::Unanswerable;
use crate::control::keyfile::EditError;
use crate::ledger::Unavailable;

/// What was asked for cannot be done as asked.
#[derive(Debug)]
pub(super) struct BadInput {
    what: String,
    help: String,
}

impl BadInput {
    /// What is wrong, and what to do instead; the latter may be empty.
    pub(super) fn error(what: impl Into<String>, help: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self {
            what: what.into(),
            help: help.into(),
        })
    }
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for BadInput {}

/// Says what is wrong, with help where there is some; the exit code for it.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    // A chain of causes is one line; problems with files are many.
    let separator = if error.root_cause().is::<Problems>() {
        "\n"
    } else {
        ": "
    };
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    tell(format_args!("keygate: {}", causes.join(separator)));
    let help = help(error);
    if let Some(help) = help.as_ref().filter(|help| !help.is_empty()) {
        tell(format_args!("  help: {help}"));
    }
    let is_conflict = error.downcast_ref::<EditError>().is_some_and(EditError::is_conflict);
    ExitCode::from(if help.is_some() && !is_conflict { 2 } else { 1 })
}

/// What helps against bad input; `None` for everything else.
fn help(error: &anyhow::Error) -> Option<String> {
    if let Some(bad) = error.downcast_ref::<BadInput>() {
        Some(bad.help.clone())
    } else if let Some(edit) = error.downcast_ref::<EditError>() {
        Some(edit.help())
    } else if let Some(state) = error.downcast_ref::<Unavailable>() {
        Some(state.help.clone())
    } else if let Some(question) = error.downcast_ref::<Unanswerable>() {
        Some(question.help.clone())
    } else {
        // These carry their help themselves.
        error.is::<Problems>().then(String::new)
    }
}
