//! `keygate webhooks new-secret`

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::output::{deliver, tell};
use crate::secret::webhook::{Encoding, Generated, Kind, generate};

pub(super) const EXAMPLES: &str = "\
Examples:
  Into a file:      (umask 077; keygate webhooks new-secret > acme.secret)
  For a header that carries the secret itself:  keygate webhooks new-secret --scheme text
  A pair, of which receivers get the public key only:  keygate webhooks new-secret --scheme ed25519 --json";

/// Arguments of `keygate webhooks new-secret`.
#[derive(Args)]
pub(in crate::cli) struct NewSecret {
    /// What it is for: standard, 32 bytes as whsec_…, for Standard Webhooks; text, 43 letters and digits, for a header of the
    /// service's own, signed or not; ed25519, a private key as whsk_…, for Standard Webhooks with a public key.
    #[arg(long, value_enum, default_value = "standard")]
    scheme: SchemeWord,
    /// Print one JSON object instead of the secret alone: scheme, encoding, secret and, of a pair, public.
    #[arg(long)]
    json: bool,
}

/// A kind of secret, as an argument.
#[derive(Clone, Copy, ValueEnum)]
enum SchemeWord {
    Standard,
    Text,
    Ed25519,
}

impl SchemeWord {
    fn kind(self) -> Kind {
        match self {
            Self::Standard => Kind::Standard,
            Self::Text => Kind::Text,
            Self::Ed25519 => Kind::Ed25519,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Text => "text",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl NewSecret {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Generated {
            secret,
            encoding,
            public,
        } = generate(self.scheme.kind());
        let encoding = match encoding {
            Encoding::Text => "text",
            Encoding::Whsec => "whsec",
            Encoding::Ed25519 => "ed25519",
        };
        if self.json {
            let mut object = json!({ "scheme": self.scheme.name(), "encoding": encoding, "secret": secret.expose() });
            if let Some(public) = &public {
                object["public"] = json!(public);
            }
            deliver(&format!("{object}\n"))?;
        } else {
            deliver(&format!("{}\n", secret.expose()))?;
        }
        let receivers = match &public {
            Some(public) => format!("Receivers verify with the public key:\n\n{public}"),
            None => "Receivers need the same secret.".to_owned(),
        };
        tell(format_args!(
            "The secret is shown this once. Put it into a file that only Keygate reads, and name that in the webhook's record:\n\n\
             secret = {{ file = \"…\", encoding = \"{encoding}\" }}\n\n{receivers}"
        ));
        Ok(ExitCode::SUCCESS)
    }
}
