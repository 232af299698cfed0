//! `keygate completions`

use std::io;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Which shell.
#[derive(Args)]
pub(super) struct Completions {
    /// The shell to complete for.
    shell: Shell,
}

impl Completions {
    pub(super) fn print(self) -> anyhow::Result<ExitCode> {
        clap_complete::generate(self.shell, &mut super::Command::command(), "keygate", &mut io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}
