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
  For a service that brings events:  keygate admin new-token --name service --egress
  Then use it:      keygate status --token-file admin.token";

/// What admin tokens begin with, so that they are known for what they are where they leak.
const PREFIX: &str = "kga_";
/// And those of services that bring events.
const EGRESS_PREFIX: &str = "kge_";

/// Arguments of `keygate admin new-token`.
#[derive(Args)]
pub(in crate::cli) struct NewToken {
    /// Whose it is, for the configuration and the log.
    #[arg(long)]
    name: String,
    /// What it may do: a viewer looks; an operator also reloads, and revokes, disables and enables keys; an admin does
    /// everything.
    #[arg(long, value_enum, default_value = "viewer", conflicts_with = "egress")]
    role: RoleWord,
    /// For a service that brings events to the listener for them (`egress`), instead of an operator.
    #[arg(long)]
    egress: bool,
    /// Print one JSON object instead of the token alone: name, role (of an operator), token, hash.
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
        let token = generate(if self.egress { EGRESS_PREFIX } else { PREFIX });
        let hash = format!("sha256:{}", hex::encode(Digest::of(token.expose().as_bytes()).0));
        let role = self.role.role();
        if self.json {
            let mut object = json!({ "name": self.name, "token": token.expose(), "hash": hash });
            if !self.egress {
                object["role"] = json!(role.to_string());
            }
            deliver(&format!("{object}\n"))?;
        } else {
            deliver(&format!("{}\n", token.expose()))?;
        }
        let (table, role) = match self.egress {
            true => ("egress", String::new()),
            false => ("admin", format!("role = \"{role}\"\n")),
        };
        tell(format_args!(
            "The token is shown this once. Add to the configuration:\n\n[[{table}.tokens]]\nname = \"{}\"\n{role}hash = \"{hash}\"",
            self.name
        ));
        Ok(ExitCode::SUCCESS)
    }
}
