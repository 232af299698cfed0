//! What the reload knows from one time to the next, and one reload from its first byte to the swap.
//!
//! It lives on the [workshop](super::workshop)'s thread alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::{error, info};

use super::guard::{self, Shrinkage};
use super::requests::{Accept, By, Outcome};
use super::saved::Saved;
use super::{Begun, record, tell};
use crate::clock;
use crate::config::last_good::{StandIn, emptied_file};
use crate::config::problem::{Problem, Problems};
use crate::config::records::{Changes, Known, Records, Tombstone};
use crate::config::sources::Sources;
use crate::config::{self, Config, Loaded};
use crate::control::Control;
use crate::control::fixed::Fixed;
use crate::policy::Policy;
use crate::secret::Digest;
use crate::telemetry::log;

/// What is in force, as it was read.
pub(super) struct Keeper {
    control: Arc<Control>,
    started: Fixed,
    records: Arc<Records>,
    /// What the files held that are in force.
    in_force: Sources,
    /// Where they are kept for the next start.
    saved: Option<Saved>,
    /// Whether they are not there yet.
    unsaved: bool,
    /// Whether the records are from there, and not from the key file.
    stands_in: bool,
    /// Whether it has been told that permissions close.
    stale: bool,
    /// Whether what was read last is valid.
    valid: bool,
    /// Whether it has been told that revocations are gone from the disk.
    journal_lost: bool,
}

/// What is read of it.
pub(super) enum Reading {
    /// Everything.
    All,
    /// What is not as it was at this look.
    Since(Sources),
}

/// What came of a reload.
pub(super) struct Done {
    /// What was read, or tried: the same broken file is told once.
    pub(super) read: Sources,
    pub(super) outcome: Outcome,
}

impl Keeper {
    /// Of the first generation.
    pub(super) fn new(control: Arc<Control>, begun: Begun) -> Self {
        let first = control.current.load();
        let now = clock::unix();
        tell::in_force(&control.metrics, first.generation, now);
        tell::count(&control.metrics, &first, now);
        let started = Fixed::of(&first.config);
        control.reloads.put_in_force(&begun.records, &first.config);
        let state = first.config.state.as_ref();
        let saved = state.map(|state| Saved::at(state.last_good()));
        let mut keeper = Self {
            control,
            started,
            records: begun.records,
            in_force: begun.read,
            saved,
            unsaved: false,
            stands_in: begun.stand_in.is_some(),
            stale: false,
            valid: true,
            journal_lost: false,
        };
        match begun.stand_in {
            None => keeper.freshen(),
            Some(stand_in) => {
                // Nothing of it is in force.
                keeper.in_force = Sources::default();
                keeper.valid = false;
                keeper.stand_in(&stand_in);
            }
        }
        keeper
    }

    /// What nobody waits for at the start.
    pub(super) fn begin(&mut self) {
        if !self.stands_in {
            tell::files(None, &self.records);
            self.unsaved = true;
        }
    }

    /// The start was on other keys than those in the key file.
    fn stand_in(&self, stand_in: &StandIn) {
        let control = &self.control;
        control.metrics.keys_seen.store(stand_in.seen, Ordering::Relaxed);
        control.reloads.stand_in(Some(stand_in.seen));
        tell::stand_in(&control.metrics, stand_in, clock::unix());
        control.audit.record(record::last_good(stand_in));
    }

    /// What nobody waits for: keeps what is in force, and frees what nobody uses any more; whether there is more of that.
    pub(super) fn tidy(&mut self) -> bool {
        if let Some(saved) = self.saved.as_mut().filter(|_| self.unsaved) {
            saved.keep(&self.records, clock::unix());
        }
        self.unsaved = false;
        self.mend_journal();
        self.control.retired.sweep()
    }

    /// What was revoked has to be there at the next start, whatever somebody does to the file.
    fn mend_journal(&mut self) {
        let Some(journal) = &self.control.journal else { return };
        match journal.mend() {
            Ok(false) => self.journal_lost = false,
            Ok(true) => {
                self.journal_lost = false;
                error!(message = "revocations were gone from the disk (removed, or cut): written down anew");
            }
            Err(_) if self.journal_lost => {}
            Err(error) => {
                self.journal_lost = true;
                error!(
                    message = "revocations are gone from the disk, and cannot be written down: the next process will not know of \
                               them unless the key file says so",
                    %error
                );
            }
        }
    }

    /// Looks whether the files hold something else.
    pub(super) fn look_again(&mut self, seen: &Sources) -> Sources {
        let now = seen.look_again();
        if now.same_bytes(seen) && self.valid {
            self.freshen();
        } else {
            self.grow_stale();
        }
        now
    }

    /// A reload that an operator asked for.
    pub(super) fn asked(&mut self, by: &By, accept: Option<&Accept>) -> Done {
        let held = self.control.reloads.held();
        let accept = accept.and_then(|accept| match accept {
            Accept::Held => held.map(|held| held.digest),
            Accept::Exactly(digest) => Some(digest.clone()),
        });
        self.reload(by, Reading::All, Some(accept))
    }

    /// Loads, checks, compiles and swaps. `asked` is there where an operator waits for the answer, with the digest of what may
    /// drop many keys; nothing is swapped then that is in force already.
    pub(super) fn reload(&mut self, by: &By, reading: Reading, asked: Option<Option<String>>) -> Done {
        let mut read = Sources::default();
        let outcome = self
            .try_reload(by, &reading, asked, &mut read)
            .unwrap_or_else(|problems| {
                self.valid = false;
                self.release();
                tell::refused(&self.control.metrics, &self.control.current.load(), &problems);
                self.control.audit.record(record::refused(by, &problems));
                Outcome::Refused {
                    problems: problems.errors().map(ToString::to_string).collect(),
                }
            });
        Done { read, outcome }
    }

    fn try_reload(
        &mut self,
        by: &By,
        reading: &Reading,
        asked: Option<Option<String>>,
        read: &mut Sources,
    ) -> Result<Outcome, Problems> {
        let previous = self.control.current.load();
        let known = match reading {
            Reading::All => None,
            Reading::Since(sources) => Some(Known {
                sources,
                records: &self.records,
            }),
        };
        let Loaded { config, warnings } = config::load_again(&previous.config.file, read, known)?;
        self.refuse_emptied(&config.records)?;
        self.valid = true;
        self.freshen();
        if asked.is_some() && read.same_bytes(&self.in_force) {
            self.release();
            return Ok(Outcome::Unchanged {
                generation: previous.generation,
            });
        }
        let content = read.digest();
        if let Some(held) = self.shrinks(by, &config, content, asked.flatten()) {
            return Ok(held);
        }
        warnings.iter().for_each(log::problem);
        tell::at_the_next_start(self.started.changed(&config));
        let records = Arc::clone(&config.records);
        let next = Policy::next(config, &previous, clock::unix())?;
        drop(previous);
        let generation = self.put_in_force(by, next, records, content);
        self.in_force = read.clone();
        Ok(Outcome::Applied { generation })
    }

    /// Holds what would drop many keys, unless this very content is `accepted`.
    fn shrinks(&self, by: &By, config: &Config, content: Digest, accepted: Option<String>) -> Option<Outcome> {
        let shrinkage = Shrinkage::between(&self.records, &config.records, clock::unix());
        let is_refused = config
            .keys
            .shrink_guard
            .is_some_and(|guard| shrinkage.is_refused(guard));
        let digest = hex::encode(content.0);
        if !is_refused {
            return None;
        }
        if accepted.is_some_and(|accepted| accepted.eq_ignore_ascii_case(&digest)) {
            info!(message = "what was held is accepted", digest);
            self.control.audit.record(record::accepted(by, &digest));
            return None;
        }
        let before = self.control.reloads.held().filter(|held| held.digest == digest);
        let since = before.map_or_else(clock::unix, |held| held.since);
        let held = shrinkage.held(since, content);
        self.control.reloads.hold(Some(held.clone()));
        // The files are valid.
        self.control.metrics.reload_failed.set(0);
        tell::held(&self.control.metrics, &self.control.current.load(), &held);
        self.control.audit.record(record::held(by, &held));
        self.revoke(&guard::revoked(&self.records, &config.records));
        Some(Outcome::Held(held))
    }

    /// Gives the number of the generation.
    fn put_in_force(&mut self, by: &By, next: Policy, records: Arc<Records>, content: Digest) -> u64 {
        let (control, now) = (&self.control, clock::unix());
        // Another may have come meanwhile: one that revokes something.
        let update = control.current.update(|previous| {
            let next = next.after(previous, now);
            // Before the first request can meet it: nobody sees new keys beside an old alarm.
            tell::in_force(&control.metrics, next.generation, now);
            self.release();
            if self.stands_in {
                control.reloads.stand_in(None);
                control.metrics.keys_last_good.set(0);
            }
            Some(next)
        });
        let (before, next) = update.expect("what was compiled is put in force");
        control.retired.add(before);
        control.refetch.reconsider();
        next.balances().forget_ended(now);
        tell::count(&control.metrics, &next, now);
        if self.stands_in {
            info!(message = "the key file is in force again");
        }
        let changes = Changes::between(&self.records, &records);
        tell::applied(&control.metrics, &next, &changes, content);
        tell::files(Some(&self.records), &records);
        control
            .audit
            .record(record::applied(by, next.generation, &changes, content));
        control.reloads.put_in_force(&records, &next.config);
        self.records = records;
        self.unsaved |= self.stands_in || !changes.is_empty();
        self.stands_in = false;
        next.generation
    }

    /// Nothing is held any more.
    fn release(&self) {
        self.control.reloads.hold(None);
        self.control.metrics.reload_held.set(0);
    }

    /// Puts these revocations in force, whatever else waits.
    fn revoke(&self, revoked: &[Tombstone]) {
        let control = &self.control;
        if let Some((before, next)) = control.current.update(|previous| previous.revoking(revoked)) {
            control.retired.add(before);
            tell::revoked(&control.metrics, &next, revoked.len());
        }
    }

    /// The files have been seen, readable and valid.
    fn freshen(&mut self) {
        let (control, now) = (&self.control, clock::unix());
        let policy = control.current.load();
        if std::mem::take(&mut self.stale) {
            let age = policy.freshness().age(now);
            info!(message = "the key files are valid again", age_seconds = age);
            control.audit.record(record::stale(false, age));
        }
        policy.freshness().saw(now);
        control.metrics.keys_seen.store(now, Ordering::Relaxed);
        if let Some(saved) = &mut self.saved {
            saved.seen(now);
        }
    }

    /// They have not. Told once, when the first permission closes for it.
    fn grow_stale(&mut self) {
        let (control, now) = (&self.control, clock::unix());
        let policy = control.current.load();
        let age = policy.freshness().age(now);
        let shortest = policy.config.keys.max_stale.shortest();
        if !self.stale && shortest.is_some_and(|shortest| age > shortest.as_secs()) {
            self.stale = true;
            error!(
                message = "the key files have not been readable and valid for so long that permissions close (keys.max_stale)",
                age_seconds = age
            );
            control.audit.record(record::stale(true, age));
        }
    }

    /// A key file that held something and has no byte left is one that is being written: every plain rewrite begins so.
    fn refuse_emptied(&self, next: &Records) -> Result<(), Problems> {
        let before = &self.records;
        let held_something = |path: &Path| {
            let mut files = before.files.iter();
            // What the key file held that is stood in for, nobody knows.
            self.stands_in && !before.keys.is_empty() || files.any(|file| file.path == path && !file.empty)
        };
        let emptied = next
            .files
            .iter()
            .filter(|file| file.empty && held_something(&file.path));
        let problems: Vec<Problem> = emptied.map(|file| emptied_file(&file.path)).collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Problems(problems))
        }
    }
}
