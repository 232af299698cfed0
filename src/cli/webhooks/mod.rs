//! `keygate webhooks`: the return path, for operators.

mod new_secret;

use std::process::ExitCode;

use clap::Subcommand;

/// What to do about webhooks.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a secret to sign webhooks with: prints it once, and the lines of the webhook's record that name it.
    ///
    /// The secret is the only thing on standard output, and it is stored nowhere. Of a pair of keys that is the private one;
    /// the public one, which receivers verify with, is on standard error beside the lines.
    #[command(after_help = new_secret::EXAMPLES)]
    NewSecret(new_secret::NewSecret),
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::NewSecret(new) => new.run(),
        }
    }
}
