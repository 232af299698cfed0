//! Queued events, in the file: what one transaction does to them.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, Row, Transaction, TransactionBehavior};

use super::write::{millis, moment_millis};
use super::{Store, Trouble, attempts};
use crate::ledger::activity::{Delivery, Line};
use crate::ledger::queue::{After, Content, Event, Failing, Held, Pause, ROW_BYTES, Settlement, headers_of};

/// How many delivered events give way at once.
const WAY: i64 = 64;

/// A transaction on the queue: all of what is done in it, or nothing, once it is committed.
pub(in crate::ledger) struct Book<'a>(Transaction<'a>);

/// A row as it is, as far as it matters to whoever asks for it again.
pub(in crate::ledger) struct Found {
    pub(in crate::ledger) seq: i64,
    pub(in crate::ledger) state: State,
    pub(in crate::ledger) has_content: bool,
    pub(in crate::ledger) bytes: i64,
    pub(in crate::ledger) attempts: u32,
}

/// What a row's `state` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum State {
    Waiting,
    Delivered,
    Dead,
}

/// What an attempt led to.
pub(in crate::ledger) struct Settled {
    /// What it took, and takes now.
    pub(in crate::ledger) bytes: (i64, i64),
    pub(in crate::ledger) failing: Option<Failing>,
}

impl Store {
    /// Begins a transaction on the queue.
    pub(in crate::ledger) fn book(&mut self) -> Result<Book<'_>, Trouble> {
        // The lock comes first: other processes append to the audit trail.
        let begin = TransactionBehavior::Immediate;
        Ok(Book(self.database.transaction_with_behavior(begin)?))
    }

    /// What a claimed event consists of.
    pub(in crate::ledger) fn content(
        &self,
        seq: i64,
        webhook: &str,
        event_id: &str,
    ) -> Result<Option<Content>, Trouble> {
        let found = self.database.query_row(
            "SELECT organization, event_type, accepted_at, headers, body FROM webhook_events JOIN webhook_event_contents USING (seq)
             WHERE seq = ?1 AND webhook = ?2 AND event_id = ?3",
            (seq, webhook, event_id),
            |row| {
                Ok(Content {
                    organization: row.get(0)?,
                    event_type: row.get(1)?,
                    accepted_at: millis(&row.get::<_, String>(2)?).unwrap_or_default(),
                    headers: headers_of(row.get_ref(3)?.as_blob()?),
                    body: Bytes::from(row.get::<_, Vec<u8>>(4)?),
                })
            },
        );
        Ok(found.optional()?)
    }
}

impl Book<'_> {
    /// Everything that was done is on disk when this returns.
    pub(in crate::ledger) fn commit(self) -> Result<(), Trouble> {
        Ok(self.0.commit()?)
    }

    /// Whether it is there, as whatever.
    pub(in crate::ledger) fn knows(&self, webhook: &str, event_id: &str) -> Result<bool, Trouble> {
        Ok(self.find(webhook, event_id)?.is_some())
    }

    pub(in crate::ledger) fn find(&self, webhook: &str, event_id: &str) -> Result<Option<Found>, Trouble> {
        let found = self.0.query_row(
            "SELECT seq, state, has_content, bytes, attempts FROM webhook_events WHERE event_id = ?1 AND webhook = ?2",
            (event_id, webhook),
            |row| {
                Ok(Found {
                    seq: row.get(0)?,
                    state: State::of(row, 1)?,
                    has_content: row.get(2)?,
                    bytes: row.get(3)?,
                    attempts: row.get(4)?,
                })
            },
        );
        Ok(found.optional()?)
    }

    /// Adds one that is not there; gives its number.
    pub(in crate::ledger) fn add(&self, event: &Event, headers: &[u8], place: i64, bytes: i64) -> Result<i64, Trouble> {
        let seq = self.0.query_row(
            "INSERT INTO webhook_events (webhook, event_id, organization, event_type, state, place, accepted_at, queued_at, due_at,
                 attempts, turns, bytes, has_content)
             VALUES (?1, ?2, ?3, ?4, 'waiting', ?5, ?6, ?6, ?6, 0, 0, ?7, 1) RETURNING seq",
            (
                &*event.webhook,
                &*event.event_id,
                &*event.organization,
                &*event.event_type,
                place,
                moment_millis(event.accepted_at),
                bytes,
            ),
            |row| row.get(0),
        )?;
        self.0.execute(
            "INSERT INTO webhook_event_contents (seq, headers, body) VALUES (?1, ?2, ?3)",
            (seq, headers, &*event.body),
        )?;
        Ok(seq)
    }

    /// Writes down an attempt and what it leads to; `None` where the event does not wait any more. `keeps` says whether what was
    /// delivered keeps its content.
    pub(in crate::ledger) fn settle(&self, settlement: &Settlement, keeps: bool) -> Result<Option<Settled>, Trouble> {
        let (claim, attempt) = (&settlement.claim, &settlement.attempt);
        let now = moment_millis(
            attempt
                .at
                .saturating_add(i64::try_from(attempt.duration.as_millis()).unwrap_or(0)),
        );
        let (state, due_at, ended_at) = match settlement.after {
            After::Delivered => ("delivered", &now, Some(&now)),
            After::Dead => ("dead", &now, Some(&now)),
            After::Again(due_at) => ("waiting", &moment_millis(due_at), None),
        };
        let outcome = attempt.error.map(str::to_owned);
        let outcome = outcome.or_else(|| attempt.status.map(|status| status.to_string()));
        let updated = self.0.query_row(
            "UPDATE webhook_events SET state = ?4, due_at = ?5, ended_at = ?6, attempts = attempts + 1, turns = turns + 1, outcome = ?7
             WHERE seq = ?1 AND webhook = ?2 AND event_id = ?3 AND state = 'waiting'
             RETURNING organization, event_type, attempts, bytes",
            (claim.seq(), &**claim.webhook(), &**claim.event_id(), state, due_at, ended_at, outcome),
            |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?)),
        );
        let Some((organization, event_type, number, bytes)) = updated.optional()? else {
            return Ok(None);
        };
        let of = attempts::Of {
            webhook: claim.webhook(),
            organization: &organization,
            event_id: claim.event_id(),
            event_type: &event_type,
            number,
        };
        attempts::add(&self.0, &of, Delivery::Queued, attempt)?;
        let failing = self.note(claim.webhook(), attempt.is_delivered, attempt.at)?;
        if let Some(pause) = &settlement.pause {
            self.pause(claim.webhook(), pause)?;
        }
        let is_delivered = settlement.after == After::Delivered;
        let left = if is_delivered && !keeps { ROW_BYTES } else { bytes };
        if is_delivered && !keeps {
            self.empty(claim.seq())?;
        }
        Ok(Some(Settled {
            bytes: (bytes, left),
            failing,
        }))
    }

    /// A webhook was reached, or not; for how long it has not been.
    fn note(&self, webhook: &str, is_delivered: bool, at: i64) -> Result<Option<Failing>, Trouble> {
        if is_delivered {
            self.0.execute(
                "UPDATE webhook_states SET failing_since = NULL, failures = 0 WHERE webhook = ?1 AND failures > 0",
                [webhook],
            )?;
            return Ok(None);
        }
        let failing = self.0.query_row(
            "INSERT INTO webhook_states (webhook, failing_since, failures) VALUES (?1, ?2, 1)
             ON CONFLICT (webhook) DO UPDATE SET failing_since = coalesce(failing_since, excluded.failing_since),
                 failures = failures + 1
             RETURNING failing_since, failures",
            (webhook, moment_millis(at)),
            |row| {
                Ok(Failing {
                    since: millis(&row.get::<_, String>(0)?).unwrap_or(at),
                    attempts: row.get(1)?,
                })
            },
        )?;
        Ok(Some(failing))
    }

    /// Pauses a webhook; whether it was not before. One that is, stays so as it is.
    pub(in crate::ledger) fn pause(&self, webhook: &str, pause: &Pause) -> Result<bool, Trouble> {
        let changed = self.0.execute(
            "INSERT INTO webhook_states (webhook, paused_since, pause_reason, paused_by, pause_note) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (webhook) DO UPDATE SET paused_since = excluded.paused_since, pause_reason = excluded.pause_reason,
                 paused_by = excluded.paused_by, pause_note = excluded.pause_note
             WHERE paused_since IS NULL",
            (webhook, moment_millis(pause.since), pause.reason.word(), &*pause.by, &pause.note),
        )?;
        Ok(changed > 0)
    }

    /// Goes on with a webhook, and forgets that it failed; whether it was paused.
    pub(in crate::ledger) fn resume(&self, webhook: &str) -> Result<bool, Trouble> {
        let delete = "DELETE FROM webhook_states WHERE webhook = ?1 RETURNING paused_since IS NOT NULL";
        let was_paused = self.0.query_row(delete, [webhook], |row| row.get(0)).optional()?;
        Ok(was_paused.unwrap_or(false))
    }

    /// An event that has ended waits again, at a new place, with its schedule from the beginning.
    pub(in crate::ledger) fn queue_again(&self, seq: i64, place: i64, at: i64) -> Result<(), Trouble> {
        self.0.execute(
            "UPDATE webhook_events SET state = 'waiting', place = ?2, queued_at = ?3, due_at = ?3, ended_at = NULL, turns = 0
             WHERE seq = ?1",
            (seq, place, moment_millis(at)),
        )?;
        Ok(())
    }

    /// Gives up an event that waits; what it takes, if it did wait.
    pub(in crate::ledger) fn bury(&self, seq: i64, reason: &str, at: i64) -> Result<Option<i64>, Trouble> {
        let update = "UPDATE webhook_events SET state = 'dead', ended_at = ?3, outcome = ?2
             WHERE seq = ?1 AND state = 'waiting' RETURNING bytes";
        let row = (seq, reason, moment_millis(at));
        Ok(self.0.query_row(update, row, |row| row.get(0)).optional()?)
    }

    /// Has delivered events give way, until they take so many bytes less, the oldest first: all contents before the first
    /// row. Gives what they took.
    pub(in crate::ledger) fn make_way(&self, bytes: i64) -> Result<Held, Trouble> {
        let mut gone = Held::default();
        while gone.bytes < bytes {
            let full = self.oldest(1)?;
            for (seq, bytes) in &full {
                self.empty(*seq)?;
                gone.bytes += bytes - ROW_BYTES;
            }
            if !full.is_empty() {
                continue;
            }
            let empty = self.oldest(0)?;
            if empty.is_empty() {
                break;
            }
            for (seq, bytes) in empty {
                self.0.execute("DELETE FROM webhook_events WHERE seq = ?1", [seq])?;
                gone.add(Held::one(bytes));
            }
        }
        Ok(gone)
    }

    /// Some of the delivered events that ended first, with or without content.
    fn oldest(&self, has_content: i64) -> Result<Vec<(i64, i64)>, Trouble> {
        let mut select = self.0.prepare(
            "SELECT seq, bytes FROM webhook_events WHERE state = 'delivered' AND has_content = ?1 AND ended_at IS NOT NULL
             ORDER BY ended_at LIMIT ?2",
        )?;
        let rows = select.query_map((has_content, WAY), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn empty(&self, seq: i64) -> Result<(), Trouble> {
        self.0
            .execute("DELETE FROM webhook_event_contents WHERE seq = ?1", [seq])?;
        let update = "UPDATE webhook_events SET has_content = 0, bytes = ?2 WHERE seq = ?1";
        self.0.execute(update, (seq, ROW_BYTES))?;
        Ok(())
    }

    /// Removes up to `limit` events of a state that ended before `moment`; what they took, by webhook.
    pub(in crate::ledger) fn prune(
        &self,
        state: State,
        moment: &str,
        limit: usize,
    ) -> Result<Vec<(Arc<str>, i64)>, Trouble> {
        let mut delete = self.0.prepare(
            "DELETE FROM webhook_events WHERE seq IN (
                 SELECT seq FROM webhook_events WHERE state = ?1 AND has_content IN (0, 1) AND ended_at < ?2 LIMIT ?3)
             RETURNING seq, webhook, bytes",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = delete.query_map((state.word(), moment, limit), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get(2)?))
        })?;
        let mut gone = Vec::new();
        for row in rows {
            let (seq, webhook, bytes) = row?;
            self.0
                .execute("DELETE FROM webhook_event_contents WHERE seq = ?1", [seq])?;
            gone.push((Arc::from(webhook), bytes));
        }
        Ok(gone)
    }

    /// Adds attempts in requests.
    pub(in crate::ledger) fn add_lines(&self, lines: &[Line]) -> Result<(), Trouble> {
        attempts::add_lines(&self.0, lines)
    }

    /// Removes some of the oldest attempts; whether all are gone that should be.
    pub(in crate::ledger) fn prune_attempts(&self, moment: &str, rows_max: i64) -> Result<bool, Trouble> {
        attempts::prune(&self.0, moment, rows_max)
    }
}

impl State {
    pub(in crate::ledger) const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Dead];

    pub(in crate::ledger) fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    pub(super) fn of(row: &Row<'_>, index: usize) -> rusqlite::Result<Self> {
        let word = row.get_ref(index)?.as_str()?;
        let state = Self::ALL.into_iter().find(|state| state.word() == word);
        state.ok_or(rusqlite::Error::InvalidQuery)
    }
}
