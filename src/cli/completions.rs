//! `keygate completions`

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::output;

/// Which shell.
#[derive(Args)]
pub(super) struct Completions {
    /// The shell to complete for.
    shell: Shell,
}

impl Completions {
    pub(super) fn print(self) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Command::command(), "keygate", &mut script);
        output::print(&String::from_utf8_lossy(&script))?;
        Ok(ExitCode::SUCCESS)
    }
}
