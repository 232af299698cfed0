//! Attempts to deliver events, in the file.

use rusqlite::{Connection, Transaction};

use super::Trouble;
use super::write::moment_millis;
use crate::ledger::activity::{Delivery, Line};
use crate::ledger::queue::Attempt;

/// How many rows are removed at once: whoever waits for the disk does not wait long.
const AT_ONCE: i64 = 5_000;

/// Which event an attempt was for.
pub(super) struct Of<'a> {
    pub(super) webhook: &'a str,
    pub(super) organization: &'a str,
    pub(super) event_id: &'a str,
    pub(super) event_type: &'a str,
    pub(super) number: i64,
}

/// Adds attempts in requests.
pub(super) fn add_lines(transaction: &Transaction<'_>, lines: &[Line]) -> Result<(), Trouble> {
    for line in lines {
        let of = Of {
            webhook: &line.webhook,
            organization: &line.organization,
            event_id: &line.event_id,
            event_type: &line.event_type,
            number: i64::from(line.number),
        };
        add(transaction, &of, Delivery::Request, &line.attempt)?;
    }
    Ok(())
}

/// Adds an attempt.
pub(super) fn add(
    transaction: &Transaction<'_>,
    of: &Of<'_>,
    delivery: Delivery,
    attempt: &Attempt,
) -> Result<(), Trouble> {
    transaction.execute(
        "INSERT INTO webhook_attempts (at, webhook, organization, event_id, event_type, delivery, attempt, is_delivered,
             status, error, duration_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        (
            moment_millis(attempt.at),
            of.webhook,
            of.organization,
            of.event_id,
            of.event_type,
            delivery.word(),
            of.number,
            attempt.is_delivered,
            attempt.status,
            attempt.error,
            i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
        ),
    )?;
    Ok(())
}

/// Removes some of the oldest rows: those before `moment`, and those that are too many; whether all of them are gone.
pub(super) fn prune(database: &Connection, moment: &str, rows_max: i64) -> Result<bool, Trouble> {
    let (first, last): (i64, i64) = database.query_row(
        "SELECT coalesce((SELECT min(seq) FROM webhook_attempts), 0), coalesce((SELECT max(seq) FROM webhook_attempts), 0)",
        (),
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let kept: i64 = database.query_row(
        "SELECT coalesce((SELECT seq FROM webhook_attempts WHERE at >= ?1 ORDER BY seq LIMIT 1), ?2 + 1)",
        (moment, last),
        |row| row.get(0),
    )?;
    let kept = kept.max(last.saturating_sub(rows_max).saturating_add(1));
    let now = kept.min(first.saturating_add(AT_ONCE));
    database.execute("DELETE FROM webhook_attempts WHERE seq < ?1", [now])?;
    Ok(now == kept)
}
