//! Reading what the file tells of webhooks.

use std::collections::BTreeMap;

use rusqlite::Row as Columns;

use super::events::State;
use super::write::moment_millis;
use super::{Reader, Trouble};
use crate::ledger::read::webhooks::{
    ActivityPage, ActivityQuery, AttemptRow, EventRow, EventState, EventsPage, EventsQuery, Paused, Standing,
};

const ATTEMPT: &str = "seq, at, webhook, organization, event_id, event_type, delivery, attempt, is_delivered, status, error, \
                       duration_ms";

impl Reader {
    pub(in crate::ledger) fn activity(&self, query: &ActivityQuery) -> Result<ActivityPage, Trouble> {
        let time = |seconds: i64| moment_millis(seconds.saturating_mul(1_000));
        let mut select = self.0.prepare(&format!(
            "SELECT {ATTEMPT} FROM webhook_attempts
             WHERE (?1 IS NULL OR webhook = ?1) AND (?2 IS NULL OR event_id = ?2) AND (?3 = 0 OR is_delivered = 0)
               AND (?4 IS NULL OR at >= ?4) AND (?5 IS NULL OR at < ?5) AND (?6 IS NULL OR seq < ?6)
             ORDER BY seq DESC LIMIT ?7"
        ))?;
        let rows = select.query_map(
            (
                &query.webhook,
                &query.event,
                query.failed,
                query.since.map(time),
                query.until.map(time),
                query.before,
                i64::from(query.limit) + 1,
            ),
            attempt,
        )?;
        let mut attempts: Vec<AttemptRow> = rows.collect::<Result<_, _>>()?;
        let next = cut(&mut attempts, query.limit, |row| row.seq);
        Ok(ActivityPage { attempts, next })
    }

    pub(in crate::ledger) fn events(&self, query: &EventsQuery) -> Result<EventsPage, Trouble> {
        let mut select = self.0.prepare(
            "SELECT seq, webhook, event_id, organization, event_type, state, accepted_at, due_at, ended_at, attempts, outcome,
                 has_content
             FROM webhook_events
             WHERE (?1 IS NULL OR webhook = ?1) AND (?2 IS NULL OR event_id = ?2) AND (?3 IS NULL OR state = ?3)
               AND (?4 IS NULL OR seq < ?4)
             ORDER BY seq DESC LIMIT ?5",
        )?;
        let rows = select.query_map(
            (
                &query.webhook,
                &query.event,
                query.state.map(word),
                query.before,
                i64::from(query.limit) + 1,
            ),
            event,
        )?;
        let mut events: Vec<EventRow> = rows.collect::<Result<_, _>>()?;
        let next = cut(&mut events, query.limit, |row| row.seq);
        Ok(EventsPage { events, next })
    }

    pub(in crate::ledger) fn standings(&self) -> Result<BTreeMap<String, Standing>, Trouble> {
        let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
        let mut select = self
            .0
            .prepare("SELECT webhook, state, count(*) FROM webhook_events GROUP BY webhook, state")?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            let standing = standings.entry(row.get(0)?).or_default();
            let count = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
            match State::of(row, 1)? {
                State::Waiting => standing.waiting = count,
                State::Delivered => standing.delivered = count,
                State::Dead => standing.dead = count,
            }
        }
        let mut select = self.0.prepare(
            "SELECT webhook, paused_since, pause_reason, paused_by, pause_note, failing_since, failures FROM webhook_states",
        )?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            let standing = standings.entry(row.get(0)?).or_default();
            if let Some(since) = row.get(1)? {
                standing.paused = Some(Paused {
                    since,
                    reason: row.get::<_, Option<String>>(2)?.unwrap_or_default(),
                    by: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
                    note: row.get(4)?,
                });
            }
            standing.failing_since = row.get(5)?;
            standing.failures = row.get(6)?;
        }
        let mut select = self.0.prepare(&format!(
            "SELECT {ATTEMPT} FROM webhook_attempts WHERE seq IN (SELECT max(seq) FROM webhook_attempts GROUP BY webhook)"
        ))?;
        let mut rows = select.query(())?;
        while let Some(row) = rows.next()? {
            let last = attempt(row)?;
            let standing = standings.entry(last.webhook.clone()).or_default();
            standing.last = Some(last);
        }
        Ok(standings)
    }
}

/// Leaves a page of rows; what comes before the next one, if there is one.
fn cut<T>(rows: &mut Vec<T>, limit: u32, seq: impl Fn(&T) -> i64) -> Option<i64> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    rows.last().filter(|_| more).map(seq)
}

fn attempt(row: &Columns<'_>) -> rusqlite::Result<AttemptRow> {
    Ok(AttemptRow {
        seq: row.get(0)?,
        at: row.get(1)?,
        webhook: row.get(2)?,
        organization: row.get(3)?,
        event_id: row.get(4)?,
        event_type: row.get(5)?,
        delivery: row.get(6)?,
        attempt: row.get(7)?,
        delivered: row.get(8)?,
        status: row.get(9)?,
        error: row.get(10)?,
        duration_ms: u64::try_from(row.get::<_, i64>(11)?).unwrap_or_default(),
    })
}

fn event(row: &Columns<'_>) -> rusqlite::Result<EventRow> {
    let state = match State::of(row, 5)? {
        State::Waiting => EventState::Waiting,
        State::Delivered => EventState::Delivered,
        State::Dead => EventState::Dead,
    };
    let due_at = row.get(7)?;
    Ok(EventRow {
        seq: row.get(0)?,
        webhook: row.get(1)?,
        event_id: row.get(2)?,
        organization: row.get(3)?,
        event_type: row.get(4)?,
        state,
        accepted_at: row.get(6)?,
        due_at: (state == EventState::Waiting).then_some(due_at),
        ended_at: row.get(8)?,
        attempts: row.get(9)?,
        outcome: row.get(10)?,
        replayable: state != EventState::Waiting && row.get::<_, bool>(11)?,
    })
}

fn word(state: EventState) -> &'static str {
    match state {
        EventState::Waiting => State::Waiting.word(),
        EventState::Delivered => State::Delivered.word(),
        EventState::Dead => State::Dead.word(),
    }
}
