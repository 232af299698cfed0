//! Reload: what an operator changed on disk becomes the next generation, whole or not at all.
//!
//! Looked at when the kernel says that something changed, every `keys.refresh`, on `SIGHUP`, and when an operator asks.
//! Reading, checking, compiling and freeing happen on a thread of its own (`workshop`); the data path notices one swapped
//! pointer. Broken files change nothing but a log line for every problem and `keygate_reload_failed`. A file that is being
//! written is broken, too, even where what is there so far would parse: changes are taken up when they have come to rest,
//! and a key file that has lost all of its bytes is refused. A change that would drop a large share of the keys is *held*
//! until somebody says that it is meant (`guard`).

mod guard;
mod keeper;
mod record;
mod requests;
mod retired;
mod saved;
mod tell;
mod workshop;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tracing::error;

use self::guard::Shrinkage;
use self::keeper::{Keeper, Reading};
use self::requests::Request;
use self::workshop::Workshop;
use super::Control;
use super::watch::Watch;
use crate::clock;
use crate::config::last_good::{StandIn, Start};
use crate::config::records::Records;
use crate::config::sources::Sources;

pub use self::requests::{By, Held, InForce, Outcome, Reloads};
pub use self::retired::Retired;

/// A burst of changes (an editor's, a volume's) is taken as one: how long it must have been quiet.
const SETTLE: Duration = Duration::from_millis(50);
/// And for how long that is waited for. Under a storm of changes the state of now is looked at; the next change rings again.
const STORM: Duration = Duration::from_millis(500);

/// What the first generation was made of.
#[derive(Debug)]
pub struct Begun {
    /// The files, as they were read.
    pub read: Sources,
    /// The records that are in force.
    pub records: Arc<Records>,
    /// Where they are not those of the key file.
    pub stand_in: Option<StandIn>,
}

/// What to start on: as a reload would be, a start that would drop a large share of the keys that were last in force is held.
#[must_use]
pub fn guarded(start: Start) -> Start {
    start.unless(|kept, next| {
        let guard = next.keys.shrink_guard?;
        let shrinkage = Shrinkage::between(&kept.records, &next.records, clock::unix());
        let is_refused = shrinkage.is_refused(guard);
        is_refused.then(|| shrinkage.problem(&next.keys.file))
    })
}

/// Why the files are looked at.
enum Reason {
    /// The start was on the keys that were last in force, and not on theirs.
    Held,
    /// `SIGHUP`: they are read, changed or not.
    HangUp,
    /// An operator wants it, and waits for what comes of it.
    Asked(Request),
    /// The kernel said that something changed, and that it came to rest.
    Noticed,
    /// It is time, or something may have changed before anybody listened.
    Due,
}

/// Keeps the generation in force what the files say.
///
/// # Errors
/// When the thread that does the work cannot be had.
pub(super) fn spawn(control: Arc<Control>, hangups: Rc<Notify>, begun: Begun) -> io::Result<()> {
    let mut seen = begun.read.clone();
    let is_held = begun.stand_in.as_ref().is_some_and(|stand_in| stand_in.held);
    let workshop = Workshop::start(Keeper::new(Arc::clone(&control), begun))?;
    spawn_local(control.vital().keep(async move {
        let mut watch = Watch::new();
        if is_held {
            seen = look(&control, &workshop, seen, Reason::Held).await;
        }
        loop {
            let reason = if watch.follow(seen.paths()) {
                Reason::Due
            } else {
                next_look(&control, &watch, &hangups).await
            };
            seen = look(&control, &workshop, seen, reason).await;
        }
    }));
    Ok(())
}

/// Waits for a reason to look again.
async fn next_look(control: &Control, watch: &Watch, hangups: &Notify) -> Reason {
    let refresh = control.current.load().config.keys.refresh;
    tokio::select! {
        () = hangups.notified() => Reason::HangUp,
        request = control.reloads.next() => Reason::Asked(request),
        () = watch.changed() => {
            let quiet = async { while timeout(SETTLE, watch.changed()).await.is_ok() {} };
            tokio::select! {
                () = hangups.notified() => Reason::HangUp,
                request = control.reloads.next() => Reason::Asked(request),
                _ = timeout(STORM, quiet) => Reason::Noticed,
            }
        }
        () = sleep(refresh) => Reason::Due,
    }
}

/// Looks at the files and applies what they say, if it is new or asked for. Gives back what was seen.
async fn look(control: &Control, workshop: &Workshop, seen: Sources, reason: Reason) -> Sources {
    let before = seen.clone();
    look_at(workshop, seen, reason).await.unwrap_or_else(|| {
        error!(message = "the reload ended by a bug");
        control.metrics.reload_failed.set(1);
        before
    })
}

/// As [`look`]; `None` where it ended by a bug.
async fn look_at(workshop: &Workshop, seen: Sources, reason: Reason) -> Option<Sources> {
    let now = match reason {
        Reason::Held => {
            let done = workshop
                .run(|keeper| keeper.reload(&By::FILE, Reading::All, None))
                .await?;
            return Some(done.read);
        }
        Reason::HangUp => {
            let done = workshop
                .run(|keeper| keeper.reload(&By::SIGNAL, Reading::All, None))
                .await?;
            return Some(done.read);
        }
        Reason::Asked(request) => {
            let Request { by, accept, reply } = request;
            let done = workshop.run(move |keeper| keeper.asked(&by, accept.as_ref())).await?;
            // Whoever asked may have gone.
            drop(reply.send(done.outcome));
            return Some(done.read);
        }
        Reason::Noticed | Reason::Due => {
            let before = seen.clone();
            let now = workshop.run(move |keeper| keeper.look_again(&before)).await?;
            if now.same_bytes(&seen) {
                return Some(now);
            }
            match reason {
                Reason::Due => come_to_rest(workshop, now).await?,
                Reason::Held | Reason::HangUp | Reason::Asked(_) | Reason::Noticed => now,
            }
        }
    };
    let done = workshop
        .run(move |keeper| keeper.reload(&By::FILE, Reading::Since(now), None))
        .await?;
    Some(done.read)
}

/// Returns when the files, of which nobody says that they are being written, are twice the same.
async fn come_to_rest(workshop: &Workshop, mut now: Sources) -> Option<Sources> {
    let end = sleep(STORM);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => return Some(now),
            () = sleep(SETTLE) => {}
        }
        let before = now.clone();
        let again = workshop.run(move |_| before.look_again()).await?;
        if again.same_bytes(&now) {
            return Some(again);
        }
        now = again;
    }
}
