//! The audit trail in the file: rows at its end, and the oldest away.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row as Columns, Transaction, TransactionBehavior};

use super::{Trouble, connect};
use crate::ledger::audit::Entry;
use crate::ledger::audit::chain::{Link, Row};
use crate::ledger::audit::verify::{Checker, Verdict};

/// How long a command waits for others who write.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many rows of others are read at once, to be logged.
const HEARD_MAX: i64 = 1_000;
const COLUMNS: &str = "seq, previous, at, actor, source, action, target, detail, hash";
const PUT_META: &str =
    "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// The name of the trail's last row in `meta`.
pub(super) const HEAD: &str = "audit_head";
/// The name of the last row that was removed in `meta`.
pub(super) const ANCHOR: &str = "audit_anchor";

/// What came of removing the oldest rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Pruned {
    /// They are gone, if there were any.
    Done,
    /// They are not whole, and stay.
    Broken,
}

/// A row that cannot be read as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct Unreadable {
    pub(in crate::ledger) seq: i64,
    pub(in crate::ledger) column: &'static str,
}

/// Appends one entry, from whatever process.
pub(super) fn append_alone(path: &Path, entry: &Entry) -> Result<Link, Trouble> {
    let mut database = connect::to_write(path, PATIENCE, false)?;
    let links = append(&mut database, &[entry])?;
    // What cannot be folded in now is folded in by the next who opens it.
    let _ = database.close();
    links
        .into_iter()
        .next()
        .ok_or_else(|| Trouble::Damaged("nothing was appended".to_owned()))
}

/// Appends entries, all of them or none.
pub(super) fn append(database: &mut Connection, entries: &[&Entry]) -> Result<Vec<Link>, Trouble> {
    // The lock comes before the head is read: whoever else appends has finished, or waits.
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut last = end(&transaction)?;
    let mut links = Vec::with_capacity(entries.len());
    {
        let mut insert = transaction.prepare(&format!(
            "INSERT INTO audit ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ))?;
        for entry in entries {
            let row = Row::after(&last, entry);
            insert.execute((
                row.seq,
                &row.previous,
                &row.at,
                &row.actor,
                &row.source,
                &row.action,
                &row.target,
                &row.detail,
                &row.hash,
            ))?;
            last = row.link();
            links.push(last.clone());
        }
    }
    transaction.execute(PUT_META, (HEAD, last.to_string()))?;
    transaction.commit()?;
    Ok(links)
}

/// What the next row follows. Where somebody has removed the head, the next row follows nothing, and so says that there was
/// a break, for ever.
fn end(transaction: &Transaction<'_>) -> Result<Link, Trouble> {
    let last: i64 = transaction.query_row("SELECT coalesce(max(seq), 0) FROM audit", (), |row| row.get(0))?;
    let head = place(transaction, HEAD)?.unwrap_or_else(Link::origin);
    Ok(if head.seq >= last {
        head
    } else {
        Link {
            seq: last,
            ..Link::origin()
        }
    })
}

/// A place that `meta` knows; `None` where it is not there, or is none.
pub(super) fn place(database: &Connection, name: &str) -> Result<Option<Link>, Trouble> {
    let found = database
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| {
            Ok(text(row, 0).and_then(|text| Link::parse(&text)))
        })
        .optional()?;
    Ok(found.flatten())
}

/// Rows behind `seq`, in order, until `each` has had enough.
pub(super) fn walk(
    database: &Connection,
    after: i64,
    mut each: impl FnMut(Result<Row, Unreadable>) -> bool,
) -> Result<(), Trouble> {
    let mut select = database.prepare(&format!("SELECT {COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq"))?;
    let mut rows = select.query([after])?;
    while let Some(columns) = rows.next()? {
        if !each(row(columns)) {
            break;
        }
    }
    Ok(())
}

/// Removes the oldest rows, up to the first from `moment` on. Where what would go is not whole, it stays as evidence.
pub(super) fn prune(database: &mut Connection, moment: &str) -> Result<Pruned, Trouble> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let anchor = place(&transaction, ANCHOR)?;
    let first: Option<i64> =
        transaction.query_row("SELECT min(seq) FROM audit WHERE at >= ?1", [moment], |row| row.get(0))?;
    let mut checker = Checker::new(anchor.clone(), &[]);
    walk(&transaction, i64::MIN, |row| {
        let seq = row.as_ref().map_or_else(|row| row.seq, |row| row.seq);
        let goes = first.is_none_or(|first| seq < first);
        if goes {
            check(&mut checker, &row);
        }
        goes
    })?;
    let verdict = checker.verdict();
    let (Some(anchor), true) = (anchor, verdict.whole) else {
        return Ok(Pruned::Broken);
    };
    let last = verdict.head.unwrap_or_else(|| anchor.clone());
    if last != anchor {
        transaction.execute(PUT_META, (ANCHOR, last.to_string()))?;
        transaction.execute("DELETE FROM audit WHERE seq <= ?1", [last.seq])?;
        transaction.commit()?;
    }
    Ok(Pruned::Done)
}

/// Verifies the trail as a whole.
pub(super) fn verify(database: &Connection, witnesses: &[Link]) -> Result<Verdict, Trouble> {
    let anchor = place(database, ANCHOR)?;
    let mut checker = Checker::new(anchor.clone(), witnesses);
    if anchor.is_none() {
        checker.flaw(0, "nothing says any more where the trail begins");
    }
    walk(database, i64::MIN, |row| {
        check(&mut checker, &row);
        true
    })?;
    checker.ends_at(place(database, HEAD)?.as_ref());
    Ok(checker.verdict())
}

fn check(checker: &mut Checker<'_>, row: &Result<Row, Unreadable>) {
    match row {
        Ok(row) => checker.row(row),
        Err(unreadable) => checker.unreadable(unreadable.seq, &format!("has no readable {}", unreadable.column)),
    }
}

/// Rows behind `seq` up to `last`, or to the end, as far as they can be read; and the number of the last of them.
pub(super) fn between(database: &Connection, seq: i64, last: Option<i64>) -> Result<(Vec<Row>, i64), Trouble> {
    let last = match last {
        Some(last) => last,
        None => place(database, HEAD)?.map_or(seq, |head| head.seq),
    };
    let mut rows = Vec::new();
    if last > seq {
        let first = seq.max(last.saturating_sub(HEARD_MAX));
        walk(database, first, |row| {
            let is_between = row.as_ref().map_or_else(|row| row.seq, |row| row.seq) <= last;
            rows.extend(row.ok().filter(|_| is_between));
            is_between
        })?;
    }
    Ok((rows, last))
}

/// Whether a row is there as it was, or was removed because of its age.
pub(super) fn knows(database: &Connection, link: &Link) -> Result<bool, Trouble> {
    if place(database, ANCHOR)?.is_some_and(|anchor| anchor.seq >= link.seq) {
        return Ok(true);
    }
    let hash = database
        .query_row("SELECT hash FROM audit WHERE seq = ?1", [link.seq], |row| {
            Ok(text(row, 0))
        })
        .optional()?;
    Ok(hash.flatten().as_deref() == Some(&*link.hash))
}

pub(super) fn row(columns: &Columns<'_>) -> Result<Row, Unreadable> {
    let seq = columns.get(0).unwrap_or_default();
    let needed = |index, column| text(columns, index).ok_or(Unreadable { seq, column });
    Ok(Row {
        seq,
        previous: needed(1, "previous")?,
        at: needed(2, "at")?,
        actor: needed(3, "actor")?,
        source: needed(4, "source")?,
        action: needed(5, "action")?,
        target: match columns.get_ref(6) {
            Ok(ValueRef::Null) => None,
            Ok(_) | Err(_) => Some(needed(6, "target")?),
        },
        detail: needed(7, "detail")?,
        hash: needed(8, "hash")?,
    })
}

/// A column that is text, and UTF-8.
fn text(columns: &Columns<'_>, index: usize) -> Option<String> {
    match columns.get_ref(index) {
        Ok(ValueRef::Text(bytes)) => std::str::from_utf8(bytes).ok().map(str::to_owned),
        Ok(_) | Err(_) => None,
    }
}
