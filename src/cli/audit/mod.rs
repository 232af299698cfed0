//! `keygate audit`: what was done, by whom, and whether the record of it is whole.
//!
//! Exit codes: 0 done, 1 the trail is broken, 2 bad input: arguments, configuration, or a state file that cannot be read.

mod export;
mod list;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say whether the audit trail is whole.
    ///
    /// Each row is chained to the one before it by its hash. A row that was changed, or is missing at the beginning, in the
    /// middle or at the end, is told by its number. Exits 0 when the trail is whole, 1 when it is not, 2 when it cannot be read.
    ///
    /// Whoever may write to the file can make all hashes anew. Against that, --expect names a place in the chain that was seen
    /// earlier: in a log line, or told by an earlier verification.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Verify),
    /// List what was done, the newest first.
    ///
    /// A table on a terminal. Elsewhere one line per entry, its columns separated by tabs and without a heading: number, time,
    /// action, subject, actor, source, detail.
    #[command(after_help = list::EXAMPLES)]
    List(list::List),
    /// Print the whole trail as JSON Lines, which `audit verify --file` can verify elsewhere.
    #[command(after_help = export::EXAMPLES)]
    Export(export::Export),
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::List(list) => list.run(),
            Self::Export(export) => export.run(),
        }
    }
}
