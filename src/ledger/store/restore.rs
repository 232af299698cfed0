//! What a file remembers of the queue, when it is opened.

use std::sync::Arc;

use rusqlite::Row;

use super::events::State;
use super::write::millis;
use super::{Store, Trouble};
use crate::ledger::queue::{Failing, Held, Kept, Pause, Reason, Stand, Waiting};

/// All that is kept in memory of the queue.
pub(in crate::ledger) struct Remembered {
    pub(in crate::ledger) stands: Vec<(Arc<str>, Stand)>,
    /// By webhook and place.
    pub(in crate::ledger) waiting: Vec<(Arc<str>, i64, Waiting)>,
    pub(in crate::ledger) kept: Kept,
    /// The first that is free.
    pub(in crate::ledger) place: i64,
}

impl Store {
    /// Reads what is remembered of the queue.
    pub(in crate::ledger) fn remembered(&self) -> Result<Remembered, Trouble> {
        let place = "SELECT coalesce(max(place), 0) + 1 FROM webhook_events";
        Ok(Remembered {
            stands: self.stands()?,
            waiting: self.waiting()?,
            kept: self.kept()?,
            place: self.database.query_row(place, (), |row| row.get(0))?,
        })
    }

    fn stands(&self) -> Result<Vec<(Arc<str>, Stand)>, Trouble> {
        let mut select = self.database.prepare(
            "SELECT webhook, paused_since, pause_reason, paused_by, pause_note, failing_since, failures FROM webhook_states",
        )?;
        let rows = select.query_map((), |row| {
            let failing = time(row, 5)?;
            let stand = Stand {
                pause: pause(row, 1)?,
                failing: failing.map(|since| Failing {
                    since,
                    attempts: row.get(6).unwrap_or_default(),
                }),
            };
            Ok((Arc::from(row.get::<_, String>(0)?), stand))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn waiting(&self) -> Result<Vec<(Arc<str>, i64, Waiting)>, Trouble> {
        let mut select = self.database.prepare(
            "SELECT webhook, place, seq, event_id, queued_at, due_at, attempts, turns, bytes FROM webhook_events
             WHERE state = 'waiting' ORDER BY seq",
        )?;
        let rows = select.query_map((), |row| {
            let event = Waiting {
                seq: row.get(2)?,
                event_id: Arc::from(row.get::<_, String>(3)?),
                // A time that somebody has made unreadable is any time.
                since: time(row, 4)?.unwrap_or_default(),
                due_at: time(row, 5)?.unwrap_or_default(),
                attempts: row.get(6)?,
                turns: row.get(7)?,
                bytes: row.get(8)?,
            };
            Ok((Arc::from(row.get::<_, String>(0)?), row.get(1)?, event))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn kept(&self) -> Result<Kept, Trouble> {
        let mut select = self
            .database
            .prepare("SELECT webhook, state, count(*), sum(bytes) FROM webhook_events GROUP BY webhook, state")?;
        let mut rows = select.query(())?;
        let mut kept = Kept::default();
        while let Some(row) = rows.next()? {
            let some = Held {
                events: row.get(2)?,
                bytes: row.get(3)?,
            };
            let state = State::of(row, 1)?;
            match state {
                State::Delivered => kept.delivered.add(some),
                State::Waiting => {}
                State::Dead => kept.dead.add(some),
            }
            if state != State::Delivered {
                let webhook = Arc::from(row.get::<_, String>(0)?);
                kept.held.entry(webhook).or_default().add(some);
            }
        }
        Ok(kept)
    }
}

/// A pause, of four columns.
pub(super) fn pause(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Pause>> {
    let Some(since) = time(row, first)? else {
        return Ok(None);
    };
    let word: Option<String> = row.get(first + 1)?;
    let reason = Reason::ALL
        .into_iter()
        .find(|reason| word.as_deref() == Some(reason.word()));
    Ok(Some(Pause {
        since,
        reason: reason.unwrap_or(Reason::Operator),
        by: row.get::<_, Option<String>>(first + 2)?.unwrap_or_default(),
        note: row.get(first + 3)?,
    }))
}

fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<i64>> {
    Ok(row.get::<_, Option<String>>(index)?.as_deref().and_then(millis))
}
