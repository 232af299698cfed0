//! `keygate audit verify`

use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::cli::failure::BadInput;
use crate::cli::output::print;
use crate::cli::state_file::StateFile;
use crate::ledger::audit::Link;
use crate::ledger::audit::verify::{Verdict, verify_export};
use crate::ledger::read;

pub(super) const EXAMPLES: &str = "\
Examples:
  The trail of this configuration:   keygate audit verify
  And that it goes on from there:    keygate audit verify --expect 17:9f86d081…
  An export:                         keygate audit verify --file export.jsonl";

/// Arguments of `keygate audit verify`.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    place: StateFile,
    /// Verify an export instead; - is standard input.
    #[arg(long, value_name = "EXPORT", conflicts_with_all = ["config", "state"])]
    file: Option<PathBuf>,
    /// A row that has to be there, with its hash; may be given several times.
    #[arg(long, value_name = "SEQ:HASH", value_parser = link)]
    expect: Vec<Link>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let verdict = match &self.file {
            Some(file) => of_export(file, &self.expect)?,
            None => read::verify(&self.place.find()?, &self.expect)?,
        };
        let text = if self.json {
            format!("{:#}\n", serde_json::to_value(&verdict)?)
        } else {
            summary(&verdict)
        };
        print(&text)?;
        Ok(ExitCode::from(u8::from(!verdict.whole)))
    }
}

fn of_export(file: &Path, expected: &[Link]) -> anyhow::Result<Verdict> {
    let unreadable = |error| {
        let what = format!("{}: {error}", file.display());
        BadInput::error(what, "name a file that `keygate audit export` wrote")
    };
    let verdict = if file == Path::new("-") {
        verify_export(stdin().lock(), expected)
    } else {
        let open = File::open(file).map_err(unreadable)?;
        verify_export(&mut BufReader::new(open) as &mut dyn BufRead, expected)
    };
    let verdict = verdict.map_err(unreadable)?;
    if verdict.rows == 0 {
        return Err(unreadable(std::io::Error::other("there is no entry in it")));
    }
    Ok(verdict)
}

fn summary(verdict: &Verdict) -> String {
    let mut text: String = verdict
        .flaws
        .iter()
        .map(|flaw| format!("row {}: {}\n", flaw.seq, flaw.what))
        .collect();
    if verdict.more_flaws > 0 {
        text += &format!("and {} more\n", verdict.more_flaws);
    }
    let word = if verdict.whole { "whole" } else { "broken" };
    text += &match verdict.rows {
        1 => format!("{word}: 1 row"),
        rows => format!("{word}: {rows} rows"),
    };
    if let Some(head) = &verdict.head {
        text += &format!(", the last is {}:{}", head.seq, head.hash);
    }
    text + "\n"
}

/// `17:<64 hexadecimal digits>`
fn link(text: &str) -> Result<Link, String> {
    let help = "write a row's number and its hash: 17:9f86d081…, with all 64 digits";
    let (seq, hash) = text.split_once(':').ok_or(help)?;
    let seq = seq.parse().map_err(|_| help)?;
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(help.to_owned());
    }
    Ok(Link {
        seq,
        hash: hash.to_ascii_lowercase(),
    })
}
