//! Where the queue meets the file: all that was asked for since the last time goes into one transaction, and memory follows
//! what is on disk.

use std::sync::Arc;
use std::time::Duration;

use tracing::error;

use super::Queue;
use super::books::Books;
use super::handle::Shared;
use super::job::Job;
use super::room::{Change, Held};
use crate::config::state::State;
use crate::ledger::activity::{Activity, ROWS_MAX};
use crate::ledger::store::{Row, Store, Trouble, moment_millis};
use crate::telemetry::metrics::Metrics;

/// How many events are removed at once: whoever waits for the disk does not wait long.
const PRUNED_AT_ONCE: usize = 1_000;

/// The queue's side of the thread that writes.
pub(in crate::ledger) struct Desk {
    shared: Arc<Shared>,
    activity: Activity,
    jobs: Vec<Job>,
    books: Books,
    kept: Retention,
    /// The last hour in which all that is old was removed.
    pruned: i64,
    metrics: Arc<Metrics>,
}

struct Retention {
    events: Duration,
    activity: Duration,
}

impl Desk {
    /// `None` where nothing can be queued.
    pub(in crate::ledger) fn new(
        queue: &Queue,
        activity: &Activity,
        state: &State,
        metrics: &Arc<Metrics>,
    ) -> Option<Self> {
        Some(Self {
            shared: Arc::clone(queue.shared()?),
            activity: activity.clone(),
            jobs: Vec::new(),
            books: Books::new(state),
            kept: Retention {
                events: state.event_retention,
                activity: state.activity_retention,
            },
            pruned: i64::MIN,
            metrics: Arc::clone(metrics),
        })
    }

    /// A file was opened: memory follows it.
    pub(in crate::ledger) fn restore(&mut self, store: &Store) -> Result<(), Trouble> {
        let remembered = store.remembered()?;
        let (before, now) = (self.shared.lanes().waiting().0, remembered.waiting.len());
        if now < before {
            error!(
                message = "queued events that waited are not in the state file any more; they will not be delivered",
                events = before - now
            );
        }
        self.books.room.restore(remembered.kept);
        self.books.place = self.books.place.max(remembered.place);
        self.shared
            .change(|lanes| lanes.restore(remembered.stands, remembered.waiting));
        Ok(())
    }

    /// Whether there is anything to do.
    pub(in crate::ledger) fn has_work(&self) -> bool {
        self.shared.has_jobs()
    }

    /// Does all that there is to do, or, where that fails, nothing of it.
    pub(in crate::ledger) fn work(&mut self, store: &mut Store) -> Result<(), Trouble> {
        self.jobs.extend(self.shared.take_jobs());
        self.load(store)?;
        if self.jobs.is_empty() {
            return Ok(());
        }
        let effects = self.books.carry_out(&self.shared, &mut self.jobs, store)?;
        self.shared
            .change(|lanes| effects.into_iter().for_each(|effect| lanes.follow(effect)));
        std::mem::take(&mut self.jobs).into_iter().for_each(Job::tell);
        Ok(())
    }

    /// The file cannot be had: whoever waits is told so. How attempts went is kept until it can be.
    pub(in crate::ledger) fn give_up(&mut self) {
        self.jobs.extend(self.shared.take_jobs());
        self.jobs.retain(Job::is_patient);
    }

    /// What does not wait for anybody: activity of requests, and what is too old.
    pub(in crate::ledger) fn flush(&mut self, store: &mut Store, now_unix: i64) -> Result<(), Trouble> {
        self.tell(now_unix);
        let lines = self.activity.take();
        let written = if lines.is_empty() {
            Ok(())
        } else {
            store.book().and_then(|book| {
                book.add_lines(&lines)?;
                book.prune_attempts("", ROWS_MAX)?;
                book.commit()
            })
        };
        if let Err(trouble) = written {
            self.activity.give_back(lines);
            return Err(trouble);
        }
        if self.pruned != now_unix / 3_600 && self.prune(store, now_unix)? {
            self.pruned = now_unix / 3_600;
        }
        Ok(())
    }

    /// Removes some of what is older than it is kept; whether that is all of it.
    fn prune(&mut self, store: &mut Store, now_unix: i64) -> Result<bool, Trouble> {
        let before = |kept: Duration| {
            let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
            moment_millis(now_unix.saturating_mul(1_000).saturating_sub(kept))
        };
        let moment = before(self.kept.events);
        let book = store.book()?;
        let room = &mut self.books.room;
        let mut pruned = || {
            let delivered = book.prune(Row::Delivered, &moment, PRUNED_AT_ONCE)?;
            for (_, bytes) in &delivered {
                room.change(Change::Delivered(Held::one(*bytes).times(-1)));
            }
            let dead = book.prune(Row::Dead, &moment, PRUNED_AT_ONCE)?;
            for (webhook, bytes) in &dead {
                let less = Held::one(*bytes).times(-1);
                room.change(Change::Held(Arc::clone(webhook), less));
                room.change(Change::Dead(less));
            }
            let attempts = book.prune_attempts(&before(self.kept.activity), ROWS_MAX)?;
            Ok(attempts && delivered.len() < PRUNED_AT_ONCE && dead.len() < PRUNED_AT_ONCE)
        };
        let outcome = pruned().and_then(|is_all| book.commit().map(|()| is_all));
        match outcome {
            Ok(_) => self.books.room.commit(),
            Err(_) => self.books.room.take_back(),
        }
        outcome
    }

    /// Answers whoever wants to read something.
    fn load(&mut self, store: &Store) -> Result<(), Trouble> {
        let mut failed = None;
        for job in std::mem::take(&mut self.jobs) {
            match job {
                Job::Load {
                    webhook,
                    event_id,
                    seq,
                    mut reply,
                } if failed.is_none() => match store.content(seq, &webhook, &event_id) {
                    Ok(content) => {
                        reply.note(content);
                        reply.tell();
                    }
                    Err(trouble) => failed = Some(trouble),
                },
                Job::Load { .. }
                | Job::Accept { .. }
                | Job::Settle(_)
                | Job::Pause { .. }
                | Job::Replay { .. }
                | Job::Bury { .. } => self.jobs.push(job),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn tell(&self, now_unix: i64) {
        let (waiting, oldest) = self.shared.lanes().waiting();
        let (dead, delivered, bytes) = self.books.room.told();
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.metrics.webhooks.queue([waiting, dead, delivered], bytes);
        let age = oldest.map_or(0, |oldest| now_unix.saturating_sub(oldest / 1_000).max(0));
        self.metrics.webhooks.queue_oldest.set(age);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shared.close();
    }
}
