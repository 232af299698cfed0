//! `keygate keys`: making, listing, changing and verifying keys.
//!
//! Keys are found through the configuration, or in a key file that is named. What a command was asked for goes to standard
//! output, everything else to standard error. Exit codes: 0 done, 1 it is not so, 2 bad input.

pub(super) mod arguments;
mod change;
mod import;
mod list;
mod new;
mod push;
mod rotate;
mod show;
mod store;
mod trail;
mod unused;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::records::write::date_time;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key: prints the secret once, and adds its record to the key file.
    ///
    /// The secret is the only thing on standard output, and it is stored nowhere: the key file gets its SHA-256. The record
    /// goes to the end of the file; everything else in the file stays as it is, comments included. Where the organization
    /// has no record yet, it gets one.
    #[command(after_help = new::EXAMPLES)]
    New(Box<new::New>),
    /// List keys, without their secrets.
    ///
    /// A table on a terminal. Elsewhere one line per key, its columns separated by tabs and without a heading: id, name,
    /// organization, environment, permissions, state, expires, hint, last use (where the state remembers it).
    #[command(after_help = list::EXAMPLES)]
    List(list::List),
    /// Show one key, without its secret.
    #[command(after_help = show::EXAMPLES)]
    Show(Target),
    /// Revoke a key for good.
    ///
    /// Goes two ways, and says how long each took. A running sidecar is told through its admin listener: it refuses the key at
    /// once, ends what is open under it, remembers that in its state, and answers when nothing goes on. And the key file: the
    /// record stays and says so, and a tombstone behind it keeps the key's id and its secrets from ever being accepted again,
    /// even where somebody puts an older record back. One of the two is enough to exit 0; where the file is read-only, as a
    /// mounted Secret is, the sidecar is told all the same. Revoking a revoked key changes nothing and exits 0.
    #[command(after_help = change::REVOKE_EXAMPLES)]
    Revoke(change::Revoke),
    /// Turn a key off until it is enabled again.
    #[command(after_help = change::DISABLE_EXAMPLES)]
    Disable(Target),
    /// Turn a disabled key on again. A revoked key stays off: that exits 1.
    #[command(after_help = change::DISABLE_EXAMPLES)]
    Enable(Target),
    /// Give a key a new secret: prints it once. The key stays the same, with its id, its permissions and its end.
    ///
    /// The new secret is the only thing on standard output, and it is stored nowhere. A rotation never makes a key live
    /// longer; one that has expired or is revoked is not rotated: that exits 1.
    #[command(after_help = rotate::EXAMPLES)]
    Rotate(rotate::Rotate),
    /// Take over keys that another gateway exported, in plain text or hashed.
    ///
    /// CSV with a heading, or a JSON object in each line. A plaintext key is hashed at once and written nowhere; SHA-256 in
    /// hexadecimal digits, argon2id and bcrypt are taken as they are, the slow ones with a `lead`: the key's public first
    /// characters. Columns are known by the names that they usually have: key, api_key, hash, name, consumer, tenant, scopes,
    /// expires_at and so on. All rows are checked first, and all are written or none; a key that is there already is passed
    /// over, so that an import may be run again.
    #[command(after_help = import::EXAMPLES)]
    Import(Box<import::Import>),
    /// Read a key on standard input and say which record it is, and whether it is accepted.
    ///
    /// Exits 0 only when the key would be accepted now; 1 when it is unknown, or known but not good: expired, disabled,
    /// revoked, not yet valid, or of another environment than its prefix says. Where a caller may come from, and what it may
    /// do, are not looked at.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Verify),
    /// List keys that were not used for a while, and those that may do more than they were used for.
    ///
    /// Looks at keys that are accepted now, and at what the state remembers of their use. A table on a terminal. Elsewhere one
    /// line per key, its columns separated by tabs and without a heading: id, name, organization, last used (or never), age
    /// (young: made since then), and the permissions of its record that no route asked it for.
    #[command(after_help = unused::EXAMPLES)]
    Unused(unused::Unused),
}

/// Where keys are.
#[derive(Debug, Args)]
struct Where {
    /// The configuration that names the key file [default: ./config.toml].
    #[arg(long, value_name = "FILE", env = "KEYGATE_CONFIG")]
    config: Option<PathBuf>,
    /// The key file itself (*.toml or *.jsonl). Without --config, no configuration is read then. When the configuration
    /// names a directory, this says which file in it is meant.
    #[arg(long, value_name = "KEYFILE")]
    file: Option<PathBuf>,
}

/// Which key is meant.
#[derive(Debug, Args)]
pub struct Target {
    /// The key's id, or its name where no other key has it.
    #[arg(value_name = "ID|NAME")]
    key: String,
    #[command(flatten)]
    place: Where,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// When arguments, files or standard input are wrong, and when standard output fails.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::New(new) => new.run(),
            Self::List(list) => list.run(),
            Self::Show(target) => target.show(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Disable(target) => target.disable(),
            Self::Enable(target) => target.enable(),
            Self::Rotate(rotate) => rotate.run(),
            Self::Import(import) => import.run(),
            Self::Verify(verify) => verify.run(),
            Self::Unused(unused) => unused.run(),
        }
    }
}
