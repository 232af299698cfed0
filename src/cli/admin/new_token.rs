//! `keygate admin new-token`

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::failure::BadInput;
use crate::cli::output::{deliver, tell};
use crate::config::admin::Role;
use crate::config::names;
use crate::secret::Digest;
use crate::secret::generated::generate;

pub(super) const EXAMPLES: &str = "\
Examples:
  Into a file:      (umask 077; keygate admin new-token --name ops > admin.token)
  One that may also revoke keys:  keygate admin new-token --name on-call --role operator
  Then use it:      keygate status --token-file admin.token";

/// What admin tokens begin with, so that they are known for what they are where they leak.
const PREFIX: &str = "kga_";

/// Arguments of `keygate admin new-token`.
#[derive(Args)]
pub(in crate::cli) struct NewToken {
    /// Whose it is, for the configuration and the log.
    #[arg(long)]
    name: String,
    /// What it may do: a viewer looks; an operator also reloads, and revokes, disables and enables keys; an admin does
    /// everything.
    #[arg(long, value_enum, default_value = "viewer")]
    role: RoleWord,
    /// Print one JSON object instead of the token alone: name, role, token, hash.
    #[arg(long)]
    json: bool,
}

/// A role, as an argument.
#[derive(Clone, Copy, ValueEnum)]
enum RoleWord {
    Viewer,
    Operator,
    Admin,
}

impl RoleWord {
    fn role(self) -> Role {
        match self {
            Self::Viewer => Role::Viewer,
            Self::Operator => Role::Operator,
            Self::Admin => Role::Admin,
        }
    }
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
        let hash = format!("sha256:{}", hex::encode(Digest::of(token.expose().as_bytes()).0));
        let role = self.role.role();
        if self.json {
            let object = json!({ "name": self.name, "role": role.to_string(), "token": token.expose(), "hash": hash });
            deliver(&format!("{object}\n"))?;
        } else {
            deliver(&format!("{}\n", token.expose()))?;
        }
        tell(format_args!(
            "The token is shown this once. Add to the configuration:\n\n[[admin.tokens]]\nname = \"{}\"\nrole = \"{}\"\nhash = \"{}\"",
            self.name, role, hash
        ));
        Ok(ExitCode::SUCCESS)
    }
}
