//! Whether a trail is whole: every row follows the one before it and says what was hashed, from the anchor to the head.
//!
//! # Security
//! A chain shows what was changed by somebody who did not make all hashes after it anew. Against somebody who did, a place that
//! was seen earlier counts as a witness: a log event's, or the one that an earlier verification told.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::chain::{Link, Row};

/// Flaws that are told one by one; the rest is counted.
const TOLD: usize = 100;

/// What came of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether nothing is wrong.
    pub whole: bool,
    /// How many rows there are.
    pub rows: u64,
    /// The last row before the first one that is here: what retention has removed ends there.
    pub anchor: Option<Link>,
    /// The last row.
    pub head: Option<Link>,
    /// What is wrong, in order, as far as it is told.
    pub flaws: Vec<Flaw>,
    /// How many more flaws there are.
    pub more_flaws: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// With or at this row.
    pub seq: i64,
    /// What.
    pub what: String,
}

/// Goes along the rows.
#[derive(Debug)]
pub(in crate::ledger) struct Checker<'w> {
    verdict: Verdict,
    /// What the next row has to follow; `None` where nobody says.
    last: Option<Link>,
    witnesses: &'w [Link],
    /// Which of them were met.
    met: Vec<bool>,
}

/// A line of an export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    seq: i64,
    previous: String,
    at: String,
    actor: String,
    source: String,
    action: String,
    target: Option<String>,
    #[serde(borrow)]
    detail: &'a RawValue,
    hash: String,
}

impl<'w> Checker<'w> {
    /// Begins after `anchor`; `None` takes the first row as it is.
    pub(in crate::ledger) fn new(anchor: Option<Link>, witnesses: &'w [Link]) -> Self {
        Self {
            verdict: Verdict {
                whole: true,
                rows: 0,
                anchor: anchor.clone(),
                head: None,
                flaws: Vec::new(),
                more_flaws: 0,
            },
            met: witnesses
                .iter()
                .map(|witness| anchor.as_ref() == Some(witness))
                .collect(),
            last: anchor,
            witnesses,
        }
    }

    /// The next row.
    pub(in crate::ledger) fn row(&mut self, row: &Row) {
        self.verdict.rows += 1;
        match self.last.take() {
            Some(last) => self.follows(&last, row),
            None if row.seq == 1 => self.follows(&Link::origin(), row),
            None => {}
        }
        if row.computed_hash() != row.hash {
            self.flaw(row.seq, "says something else than what was hashed");
        }
        for (witness, met) in self.witnesses.iter().zip(&mut self.met) {
            *met |= witness.seq == row.seq && witness.hash == row.hash;
        }
        self.last = Some(row.link());
    }

    /// A row that is none.
    pub(in crate::ledger) fn unreadable(&mut self, seq: i64, what: &str) {
        self.verdict.rows += 1;
        self.flaw(seq, what);
        // Whatever its hash was, the next row says so, and is not to blame.
        self.last = None;
    }

    /// Something else that is wrong.
    pub(in crate::ledger) fn flaw(&mut self, seq: i64, what: impl Into<String>) {
        self.verdict.whole = false;
        if self.verdict.flaws.len() < TOLD {
            self.verdict.flaws.push(Flaw { seq, what: what.into() });
        } else {
            self.verdict.more_flaws += 1;
        }
    }

    /// All rows were there; the file says that `head` is the last.
    pub(in crate::ledger) fn ends_at(&mut self, head: Option<&Link>) {
        let last = self.last.clone();
        match (head, last) {
            (None, last) => {
                let seq = last.map_or(0, |last| last.seq);
                self.flaw(seq, "nothing says any more which row is the last");
            }
            // The last row could not be read, which was told.
            (Some(_), None) => {}
            (Some(head), Some(last)) if *head == last => {}
            (Some(head), Some(last)) if head.seq > last.seq => {
                self.flaw(last.seq + 1, missing(last.seq + 1, head.seq));
            }
            (Some(head), Some(last)) => {
                let what = format!("does not end the trail as it was written, which ends at {}", head.seq);
                self.flaw(last.seq, what);
            }
        }
    }

    /// What came of it.
    pub(in crate::ledger) fn verdict(mut self) -> Verdict {
        let unmet: Vec<Link> = self
            .witnesses
            .iter()
            .zip(&self.met)
            .filter(|(_, met)| !**met)
            .map(|(witness, _)| witness.clone())
            .collect();
        for witness in unmet {
            self.flaw(witness.seq, format!("is not here with the hash {}", witness.hash));
        }
        self.verdict.head = self.last;
        self.verdict
    }

    fn follows(&mut self, last: &Link, row: &Row) {
        let expected = last.seq.saturating_add(1);
        if row.seq > expected {
            self.flaw(expected, missing(expected, row.seq - 1));
        } else if row.seq < expected {
            self.flaw(row.seq, format!("stands behind row {}", last.seq));
        } else if row.previous != last.hash {
            self.flaw(row.seq, format!("does not follow row {} as it is", last.seq));
        }
    }
}

/// Verifies an export. Its first row is taken as it is, unless it is the first of all; that its end is the trail's end, only a
/// witness can say.
///
/// # Errors
/// When it cannot be read.
pub fn verify_export(export: impl BufRead, witnesses: &[Link]) -> io::Result<Verdict> {
    let mut checker = Checker::new(None, witnesses);
    for line in export.split(b'\n') {
        let line = line?;
        let seq = checker.last.as_ref().map_or(0, |last| last.seq).saturating_add(1);
        match std::str::from_utf8(&line).ok().and_then(parsed) {
            Some(row) => checker.row(&row),
            None => checker.unreadable(seq, "is not a line as an export writes it"),
        }
    }
    Ok(checker.verdict())
}

/// A line, where it is written exactly as an export writes it.
fn parsed(text: &str) -> Option<Row> {
    let line: Line<'_> = serde_json::from_str(text).ok()?;
    let row = Row {
        seq: line.seq,
        previous: line.previous,
        at: line.at,
        actor: line.actor,
        source: line.source,
        action: line.action,
        target: line.target,
        detail: line.detail.get().to_owned(),
        hash: line.hash,
    };
    (serde_json::to_string(&row).ok()? == text).then_some(row)
}

fn missing(first: i64, last: i64) -> String {
    if first == last {
        "is missing".to_owned()
    } else {
        format!("and what follows up to {last} is missing")
    }
}
