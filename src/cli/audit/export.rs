//! `keygate audit export`

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;

use clap::Args;

use crate::cli::output::tell;
use crate::cli::state_file::StateFile;
use crate::ledger::audit::Link;
use crate::ledger::read;

pub(super) const EXAMPLES: &str = "\
Examples:
  All of it:                         keygate audit export > audit.jsonl
  What came after row 1700:          keygate audit export --after 1700 >> audit.jsonl
  With nothing but a shell, a row:   sed 's/,\"hash\":\"[0-9a-f]*\"}$/}/' row.json | tr -d '\\n' | sha256sum";

/// Arguments of `keygate audit export`.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    place: StateFile,
    /// Only what came after the row with this number.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: i64,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let mut outcome = Ok(());
        let mut rows = 0_u64;
        let mut last: Option<Link> = None;
        let mut gap = None;
        read::export(&self.place.find()?, self.after, |row| {
            outcome = serde_json::to_writer(&mut out, row)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n"));
            rows += 1;
            let expected = last.as_ref().map(|last| last.seq.saturating_add(1));
            gap = gap.or(expected.filter(|expected| *expected != row.seq));
            last = Some(row.link());
            outcome.is_ok()
        })?;
        match outcome.and_then(|()| out.flush()) {
            // Whoever has had enough has not got all of it, and knows.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            outcome => outcome?,
        }
        match last {
            Some(last) => tell(format_args!("rows: {rows}, the last is {}:{}", last.seq, last.hash)),
            None => tell("There is no such entry."),
        }
        if let Some(gap) = gap {
            tell(format_args!(
                "warning: row {gap} is missing, or cannot be read: `keygate audit verify` says more"
            ));
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}
