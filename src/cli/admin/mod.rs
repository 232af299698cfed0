//! `keygate admin`: what operators need to talk to a running sidecar.

pub(super) mod client;
mod new_token;

use std::process::ExitCode;

use clap::Subcommand;

/// What to do about the admin listener.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make an admin token: prints it once, and the lines of the configuration that let it in.
    ///
    /// The token is the only thing on standard output, and it is stored nowhere. The lines, on standard error, hold its
    /// SHA-256; they take effect when the configuration is read again.
    #[command(after_help = new_token::EXAMPLES)]
    NewToken(new_token::NewToken),
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::NewToken(new) => new.run(),
        }
    }
}
