//! `keygate keys`: making, listing and verifying keys.
//!
//! Keys are found through the configuration, or in a key file that is named. What a command was asked for goes to standard
//! output, everything else to standard error. Exit codes: 0 done, 1 it is not so, 2 bad input.

mod arguments;
mod list;
mod new;
mod store;
mod unused;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

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
    /// organization, environment, permissions, state, expires, hint, last use (where [state] remembers it).
    #[command(after_help = list::EXAMPLES)]
    List(list::List),
    /// Read a key on standard input and say which record it is, and whether it is accepted.
    ///
    /// Exits 0 only when the key would be accepted now; 1 when it is unknown, or known but not good: expired, disabled,
    /// revoked, not yet valid, or of another environment than its prefix says. Where a caller may come from, and what it may
    /// do, are not looked at.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Verify),
    /// List keys that were not used for a while, and those that may do more than they were used for.
    ///
    /// Looks at keys that are accepted now, and at what [state] remembers of their use. A table on a terminal. Elsewhere one
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

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// When arguments, files or standard input are wrong, and when standard output fails.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::New(new) => new.run(),
            Self::List(list) => list.run(),
            Self::Verify(verify) => verify.run(),
            Self::Unused(unused) => unused.run(),
        }
    }
}

/// RFC 3339, in UTC.
fn date_time(unix: i64) -> String {
    jiff::Timestamp::from_second(unix)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}
