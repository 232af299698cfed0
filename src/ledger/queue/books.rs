//! What one transaction does: all jobs, or none.

use std::sync::Arc;

use super::event::Event;
use super::handle::Shared;
use super::job::{Job, Settlement};
use super::lanes::Effect;
use super::room::{Change, Held, ROW_BYTES, Room};
use super::{Accepted, After, Pause, Replayed, Waiting};
use crate::config::state::State;
use crate::ledger::store::{Book, Row, Store, Trouble};

/// What is known of the file without asking it.
pub(super) struct Books {
    pub(super) room: Room,
    /// The next place that is free.
    pub(super) place: i64,
    /// Whether what was delivered keeps its content.
    keeps_contents: bool,
    /// Of this transaction.
    effects: Vec<Effect>,
}

impl Books {
    pub(super) fn new(state: &State) -> Self {
        Self {
            room: Room::new(state),
            place: 1,
            keeps_contents: state.delivered_contents,
            effects: Vec::new(),
        }
    }

    /// Carries out all jobs, and notes in them what came of it; gives what memory has to follow. Where that fails, nothing was
    /// done.
    pub(super) fn carry_out(
        &mut self,
        shared: &Shared,
        jobs: &mut [Job],
        store: &mut Store,
    ) -> Result<Vec<Effect>, Trouble> {
        let done = store.book().and_then(|book| {
            for job in jobs {
                self.one(shared, &book, job)?;
            }
            book.commit()
        });
        let effects = std::mem::take(&mut self.effects);
        match done {
            Ok(()) => {
                self.room.commit();
                Ok(effects)
            }
            Err(trouble) => {
                self.room.take_back();
                Err(trouble)
            }
        }
    }

    fn one(&mut self, shared: &Shared, book: &Book<'_>, job: &mut Job) -> Result<(), Trouble> {
        match job {
            Job::Accept { event, reply } => reply.note(self.accept(book, event)?),
            Job::Settle(settlement) => self.settle(book, settlement)?,
            Job::Pause { webhook, pause, reply } => reply.note(self.pause(book, webhook, pause.as_ref())?),
            Job::Replay {
                webhook,
                event_id,
                at,
                reply,
            } => reply.note(self.replay(book, webhook, event_id, *at)?),
            Job::Bury {
                webhook,
                reason,
                at,
                reply,
            } => reply.note(self.bury(shared, book, webhook, (reason, *at))?),
            // Read already.
            Job::Load { .. } => {}
        }
        Ok(())
    }

    fn accept(&mut self, book: &Book<'_>, event: &Event) -> Result<Accepted, Trouble> {
        if book.knows(&event.webhook, &event.event_id)? {
            return Ok(Accepted::Known);
        }
        let headers = event.header_lines();
        let bytes = i64::try_from(headers.len() + event.body.len()).unwrap_or(i64::MAX);
        let bytes = bytes.saturating_add(ROW_BYTES);
        if !self.room.has_for(&event.webhook, bytes) {
            return Ok(Accepted::Full);
        }
        let lack = self.room.lacks(bytes);
        if lack > 0 {
            let gone = book.make_way(lack)?;
            self.room.change(Change::Delivered(gone.times(-1)));
        }
        let place = self.next_place();
        let waiting = Waiting {
            seq: book.add(event, &headers, place, bytes)?,
            event_id: Arc::clone(&event.event_id),
            since: event.accepted_at,
            due_at: event.accepted_at,
            attempts: 0,
            turns: 0,
            bytes,
        };
        self.room
            .change(Change::Held(Arc::clone(&event.webhook), Held::one(bytes)));
        self.effects
            .push(Effect::Put(Arc::clone(&event.webhook), place, waiting));
        Ok(Accepted::New)
    }

    fn settle(&mut self, book: &Book<'_>, settlement: &Settlement) -> Result<(), Trouble> {
        let (webhook, place) = (settlement.claim.webhook(), settlement.claim.place());
        let settled = book.settle(settlement, self.keeps_contents)?;
        let Some(settled) = settled else {
            // Somebody has removed or buried it meanwhile.
            self.effects.push(Effect::Remove(Arc::clone(webhook), place));
            return Ok(());
        };
        let (before, after) = settled.bytes;
        let remove = || Effect::Remove(Arc::clone(webhook), place);
        self.effects.push(match settlement.after {
            After::Again(due_at) => Effect::Release(Arc::clone(webhook), place, due_at),
            After::Dead => {
                self.room.change(Change::Dead(Held::one(before)));
                remove()
            }
            After::Delivered => {
                let less = Held::one(before).times(-1);
                self.room.change(Change::Held(Arc::clone(webhook), less));
                self.room.change(Change::Delivered(Held::one(after)));
                remove()
            }
        });
        self.effects.push(Effect::Failing(Arc::clone(webhook), settled.failing));
        if let Some(pause) = &settlement.pause {
            self.effects
                .push(Effect::Pause(Arc::clone(webhook), Some(pause.clone())));
        }
        Ok(())
    }

    fn pause(&mut self, book: &Book<'_>, webhook: &Arc<str>, pause: Option<&Pause>) -> Result<bool, Trouble> {
        let changed = match pause {
            Some(pause) => book.pause(webhook, pause)?,
            None => {
                self.effects.push(Effect::Failing(Arc::clone(webhook), None));
                book.resume(webhook)?
            }
        };
        self.effects.push(Effect::Pause(Arc::clone(webhook), pause.cloned()));
        Ok(changed)
    }

    fn replay(
        &mut self,
        book: &Book<'_>,
        webhook: &Arc<str>,
        event_id: &Arc<str>,
        at: i64,
    ) -> Result<Replayed, Trouble> {
        let Some(found) = book.find(webhook, event_id)? else {
            return Ok(Replayed::Unknown);
        };
        let one = Held::one(found.bytes);
        match found.state {
            Row::Waiting => return Ok(Replayed::Waits),
            Row::Dead | Row::Delivered if !found.has_content => return Ok(Replayed::Emptied),
            Row::Dead => self.room.change(Change::Dead(one.times(-1))),
            Row::Delivered if !self.room.has_for(webhook, found.bytes) => return Ok(Replayed::Full),
            Row::Delivered => {
                self.room.change(Change::Delivered(one.times(-1)));
                self.room.change(Change::Held(Arc::clone(webhook), one));
            }
        }
        let place = self.next_place();
        book.queue_again(found.seq, place, at)?;
        let waiting = Waiting {
            seq: found.seq,
            event_id: Arc::clone(event_id),
            since: at,
            due_at: at,
            attempts: found.attempts,
            turns: 0,
            bytes: found.bytes,
        };
        self.effects.push(Effect::Put(Arc::clone(webhook), place, waiting));
        Ok(Replayed::Due)
    }

    fn bury(
        &mut self,
        shared: &Shared,
        book: &Book<'_>,
        webhook: &Arc<str>,
        (reason, at): (&str, i64),
    ) -> Result<u64, Trouble> {
        let idle: Vec<(i64, i64)> = {
            let lanes = shared.lanes();
            let lane = lanes.get(webhook);
            lane.map(|lane| lane.idle().map(|(place, event)| (place, event.seq)).collect())
                .unwrap_or_default()
        };
        let mut buried = 0;
        for place in idle {
            if let Some(bytes) = book.bury(place.1, reason, at)? {
                self.room.change(Change::Dead(Held::one(bytes)));
                self.effects.push(Effect::Remove(Arc::clone(webhook), place));
                buried += 1;
            }
        }
        Ok(buried)
    }

    /// A place is never taken twice, not even where what took it was taken back.
    fn next_place(&mut self) -> i64 {
        self.place += 1;
        self.place - 1
    }
}
