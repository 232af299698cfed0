//! `keygate keys import`: the keys of another gateway, as it exports them.

mod columns;
mod row;
mod rows;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use self::columns::{Columns, Mapping};
use self::row::Defaults;
use self::rows::{Fault, Format, Row, Rows};
use super::store::Store;
use super::{Where, arguments, trail};
use crate::cli::failure::BadInput;
use crate::cli::output::{print, tell};
use crate::cli::progress::{Progress, patiently};
use crate::clock;
use crate::config::problem::{Problem, Report, Severity};
use crate::control::keyfile::{Fate, Import as Run, Imported};
use crate::ledger::audit::Action;

pub(super) const EXAMPLES: &str = "\
Examples:
  What would become of an export:    keygate keys import keys.csv --organization acme --dry-run
  Columns with names of their own:   keygate keys import dump.csv --map consumer_ref=organization --map note=-
  bcrypt, found by a prefix column:  keygate keys import export.jsonl --map visible_part=lead --lead-length 8
  From a pipe:                       psql -c \"COPY keys TO STDOUT CSV HEADER\" | keygate keys import - --format csv";

/// Arguments of `keygate keys import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The export: *.csv, *.jsonl or *.ndjson; - is standard input.
    #[arg(value_name = "EXPORT")]
    export: PathBuf,
    #[command(flatten)]
    place: Where,
    /// How the export is written, where its name does not say.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// What a column holds, where its name does not say; several times. The field - passes the column over.
    #[arg(long = "map", value_name = "COLUMN=FIELD", value_parser = columns::mapping)]
    mappings: Vec<Mapping>,
    /// The organization of keys that name none. Organizations get a record where they have none.
    #[arg(long, value_name = "ID", value_parser = arguments::word)]
    organization: Option<String>,
    /// What keys may do that say nothing about it; several times, or separated by commas.
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',', value_parser = arguments::word)]
    permissions: Vec<String>,
    /// The environment of keys that name none.
    #[arg(long)]
    environment: Option<String>,
    /// The plan of keys that name none.
    #[arg(long)]
    plan: Option<String>,
    /// What plaintext keys begin with: their hints show it, and four characters of their end.
    #[arg(long, value_parser = arguments::prefix)]
    prefix: Option<String>,
    /// How many characters of the lead column slow hashes are found by, 4 to 32 [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(4..=32))]
    lead_length: Option<u8>,
    /// Check everything and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object: rows, added, known, revoked, outlived (the lines of keys that are good here and revoked in the
    /// export), passed_over, file, dry_run.
    #[arg(long)]
    json: bool,
}

/// What became of the rows.
#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    added: u64,
    known: u64,
    dead: u64,
    /// The lines of keys that are good here, and revoked in the export.
    outlived: Vec<u64>,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let now = clock::unix();
        let mut store = Store::open(&self.place, now)?;
        let format = self.format()?;
        let text = self.read()?;
        let columns = Columns::new(&self.mappings);
        let report = Report::new();

        let mut progress = Progress::begin(text.len() as u64, "reading");
        let (mut rows, mut passed_over) =
            Rows::begin(&text, format, &columns).map_err(|fault| self.refuse(vec![fault]))?;
        let mut scope = store.scope.clone();
        let mut run = patiently("reading the key file", || Run::begin(&store.place(), &mut scope))?;
        let mut tally = Tally::default();
        let defaults = self.defaults(&store, now);
        for row in &mut rows {
            tally.rows += 1;
            if let Ok(row) = &row {
                progress.reach(row.end);
            }
            self.take(row, &defaults, &mut run, &mut scope, &mut tally, &report);
            if !report.has_room() {
                break;
            }
        }
        passed_over.extend(rows.passed_over());
        // The export holds keys: it is not needed any more.
        drop(text);
        progress.end();
        if report.has_errors() {
            tell("Nothing was imported:");
            return Err(report.into_problems().into());
        }
        let done = patiently("checking and writing", || run.finish(self.dry_run, &mut scope))?;
        store.scope = scope;
        if !self.dry_run && tally.added > 0 {
            let detail = json!({ "added": tally.added, "known": tally.known, "rows": tally.rows });
            trail::append(&store, Action::KeyImport, None, detail, now);
        }
        self.say(&tally, &passed_over, &done)?;
        Ok(ExitCode::SUCCESS)
    }

    fn take(
        &self,
        row: Result<Row, Fault>,
        defaults: &Defaults<'_>,
        run: &mut Run,
        scope: &mut crate::config::records::Scope,
        tally: &mut Tally,
        report: &Report,
    ) {
        let read = row.map_err(|fault| vec![fault]).and_then(|row| {
            let line = row.line;
            row::read(row, defaults).map(|key| (line, key))
        });
        let (line, key) = match read {
            Ok(read) => read,
            Err(faults) => {
                for fault in faults {
                    report.push(self.problem(fault));
                }
                return;
            }
        };
        match run.add(&key, line, scope) {
            Ok(Fate::Added) => tally.added += 1,
            Ok(Fate::Known) => tally.known += 1,
            Ok(Fate::Outlived) => {
                tally.known += 1;
                tally.outlived.push(line);
            }
            Ok(Fate::Dead) => tally.dead += 1,
            Err(problems) => {
                for problem in problems {
                    report.push(Problem {
                        file: self.export.clone(),
                        position: Some((usize::try_from(line).unwrap_or(usize::MAX), 1)),
                        line: None,
                        ..problem
                    });
                }
            }
        }
    }

    fn defaults<'a>(&'a self, store: &'a Store, now: i64) -> Defaults<'a> {
        Defaults {
            organization: self.organization.as_deref(),
            permissions: &self.permissions,
            environment: self.environment.as_deref(),
            plan: self.plan.as_deref(),
            prefix: self.prefix.as_deref(),
            environments: store.prefixes().environments,
            lead_length: self.lead_length.map(usize::from),
            now,
        }
    }

    fn format(&self) -> anyhow::Result<Format> {
        let by_name = || match self.export.extension()?.to_str()? {
            "csv" => Some(Format::Csv),
            "jsonl" | "ndjson" => Some(Format::Jsonl),
            _ => None,
        };
        self.format.or_else(by_name).ok_or_else(|| {
            BadInput::error(
                "the name of the export does not say how it is written",
                "say --format csv or --format jsonl",
            )
        })
    }

    fn read(&self) -> anyhow::Result<Zeroizing<Vec<u8>>> {
        let mut text = Zeroizing::new(Vec::new());
        if self.export == Path::new("-") {
            io::stdin()
                .read_to_end(&mut text)
                .context("cannot read standard input")?;
            return Ok(text);
        }
        match fs::read(&self.export) {
            Ok(bytes) => Ok(Zeroizing::new(bytes)),
            Err(error) => Err(BadInput::error(
                format!("cannot read {}: {error}", self.export.display()),
                "name a file that is there, or - for standard input",
            )),
        }
    }

    fn problem(&self, fault: Fault) -> Problem {
        Problem {
            position: Some((usize::try_from(fault.line).unwrap_or(usize::MAX), 1)),
            path: fault.field.to_owned(),
            ..Problem::of_file(Severity::Error, &self.export, fault.what, fault.help)
        }
    }

    fn refuse(&self, faults: Vec<Fault>) -> anyhow::Error {
        let report = Report::new();
        for fault in faults {
            report.push(self.problem(fault));
        }
        report.into_problems().into()
    }

    fn say(&self, tally: &Tally, passed_over: &[String], done: &Imported) -> anyhow::Result<()> {
        let Tally {
            rows,
            added,
            known,
            dead,
            outlived,
        } = tally;
        if self.json {
            let object = json!({
                "rows": rows,
                "added": added,
                "known": known,
                "revoked": dead,
                "outlived": outlived,
                "passed_over": passed_over,
                "file": done.file.display().to_string(),
                "dry_run": self.dry_run,
            });
            print(&format!("{object}\n"))?;
            return Ok(());
        }
        if let Some(first) = outlived.first() {
            let more = match outlived.len() {
                1 => String::new(),
                count => format!(", and {} more", count - 1),
            };
            tell(format_args!(
                "warning: the export says that the key in line {first} is revoked{more}, and here it is good: \
                 `keygate keys revoke` ends it"
            ));
        }
        let would = if self.dry_run { "would be " } else { "" };
        print(&format!("{added} {would}added, {known} already there\n"))?;
        let made = match (done.is_new, self.dry_run) {
            (true, true) => " (would be made)",
            (true, false) => " (made, readable by its owner only)",
            (false, _) => "",
        };
        tell(format_args!("file   {}{made}", done.file.display()));
        tell(format_args!("keys   {}", done.keys));
        if *dead > 0 {
            tell(format_args!(
                "note: {dead} are revoked for good by tombstones in the key file, and stay so"
            ));
        }
        if !passed_over.is_empty() {
            tell(format_args!(
                "note: these columns were passed over: {}; --map COLUMN=FIELD says what one holds",
                passed_over.join(", ")
            ));
        }
        Ok(())
    }
}
