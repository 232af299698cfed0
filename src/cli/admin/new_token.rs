//! `keygate admin new-token`

use std::process::ExitCode;

use clap::Args;

use crate::cli::failure::BadInput;
use crate::cli::output::{deliver, tell};
use crate::config::names;
use crate::secret::Digest;
use crate::secret::generated::generate;

pub(super) const EXAMPLES: &str = "\
Examples:
  Into a file:      (umask 077; keygate admin new-token --name ops > admin.token)
  Then use it:      keygate status --token-file admin.token";

/// What admin tokens begin with, so that they are known for what they are where they leak.
const PREFIX: &str = "kga_";

/// Arguments of `keygate admin new-token`.
#[derive(Args)]
pub(in crate::cli) struct NewToken {
    /// Whose it is, for the configuration and the log.
    #[arg(long)]
    name: String,
}

impl NewToken {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if !names::is_name(&self.name) {
            return Err(BadInput::error(
                "this cannot be a token's name",
                "use 1 to 64 letters, digits, `-`, `_` or `.`",
            ));
        }
        let token = generate(PREFIX);
        let digest = Digest::of(token.expose().as_bytes());
        deliver(&format!("{}\n", token.expose()))?;
        tell(format_args!(
            "The token is shown this once. Add to the configuration:\n\n[[admin.tokens]]\nname = \"{}\"\nhash = \"sha256:{}\"",
            self.name,
            hex::encode(digest.0)
        ));
        Ok(ExitCode::SUCCESS)
    }
}
