//! Reload: what an operator changed on disk becomes the next generation, whole or not at all.
//!
//! Looked at when the kernel says that something changed, every `keys.refresh`, and on `SIGHUP`. Reading, checking and
//! compiling happen on a blocking thread; the data path notices one swapped pointer. Broken files change nothing but a log
//! line for every problem and `keygate_reload_failed`. A file that is being written is broken, too, even where what is there
//! so far would parse: changes are taken up when they have come to rest, and a key file that has lost all of its bytes is
//! refused.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{JoinError, spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::Control;
use super::fixed::Fixed;
use super::watch::Watch;
use crate::clock;
use crate::config::problem::{Problem, Problems, Severity};
use crate::config::records::Records;
use crate::config::sources::Sources;
use crate::config::{self, Loaded};
use crate::policy::Policy;
use crate::telemetry::log;
use crate::telemetry::metrics::{Metrics, Outcome, State};

/// A burst of changes (an editor's, a volume's) is taken as one: how long it must have been quiet.
const SETTLE: Duration = Duration::from_millis(50);
/// And for how long that is waited for. Under a storm of changes the state of now is looked at; the next change rings again.
const STORM: Duration = Duration::from_millis(500);

/// Why the files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// An operator wants it: they are read, changed or not.
    Asked,
    /// The kernel said that something changed, and that it came to rest.
    Noticed,
    /// It is time.
    Due,
}

/// Keeps the generation in force what the files say.
pub(super) fn spawn(control: Arc<Control>, hangups: Rc<Notify>, read: Sources) {
    spawn_local(control.vital().keep(async move {
        let started = {
            let first = control.current.load();
            tell(&control.metrics, &first);
            Arc::new(Fixed::of(&first.config))
        };
        let mut seen = read;
        let mut watch = Watch::new();
        loop {
            watch.follow(seen.paths());
            let reason = next_look(&control, &watch, &hangups).await;
            seen = look(&control, &started, seen, reason).await;
        }
    }));
}

/// Waits for a reason to look again.
async fn next_look(control: &Control, watch: &Watch, hangups: &Notify) -> Reason {
    let refresh = control.current.load().config.keys.refresh;
    tokio::select! {
        () = hangups.notified() => Reason::Asked,
        () = watch.changed() => {
            let quiet = async { while timeout(SETTLE, watch.changed()).await.is_ok() {} };
            tokio::select! {
                () = hangups.notified() => Reason::Asked,
                _ = timeout(STORM, quiet) => Reason::Noticed,
            }
        }
        () = sleep(refresh) => Reason::Due,
    }
}

/// Looks at the files and applies what they say, if it is new or asked for. Gives back what was seen.
async fn look(control: &Arc<Control>, started: &Arc<Fixed>, seen: Sources, reason: Reason) -> Sources {
    let outcome = look_at(control, started, &seen, reason).await;
    outcome.unwrap_or_else(|failed| {
        error!(message = "the reload ended by a bug", error = %failed);
        control.metrics.reload_failed.set(1);
        seen
    })
}

async fn look_at(
    control: &Arc<Control>,
    started: &Arc<Fixed>,
    seen: &Sources,
    reason: Reason,
) -> Result<Sources, JoinError> {
    if reason != Reason::Asked {
        let now = look_again(seen).await?;
        if now.same_bytes(seen) {
            return Ok(now);
        }
        if reason == Reason::Due {
            come_to_rest(now).await?;
        }
    }
    let (control, started) = (Arc::clone(control), Arc::clone(started));
    spawn_blocking(move || apply(&control, &started)).await
}

async fn look_again(seen: &Sources) -> Result<Sources, JoinError> {
    let seen = seen.clone();
    spawn_blocking(move || seen.look_again()).await
}

/// Returns when the files, of which nobody says that they are being written, are twice the same.
async fn come_to_rest(mut now: Sources) -> Result<(), JoinError> {
    let rest = async {
        loop {
            sleep(SETTLE).await;
            let again = look_again(&now).await?;
            if again.same_bytes(&now) {
                return Ok(());
            }
            now = again;
        }
    };
    timeout(STORM, rest).await.unwrap_or(Ok(()))
}

/// Loads, checks, compiles and swaps. Gives back what was read, so that the same broken file is told once.
fn apply(control: &Control, started: &Fixed) -> Sources {
    let previous = control.current.load();
    let mut read = Sources::default();
    match next(&previous, started, &mut read) {
        Ok(next) => {
            let now = clock::unix();
            let Some((_, next)) = control.current.update(|previous| Some(next.after(previous, now))) else {
                return read;
            };
            control.refetch.reconsider();
            control
                .metrics
                .reloads
                .get_or_create(&Outcome { result: "applied" })
                .inc();
            next.balances().forget_ended(now);
            tell(&control.metrics, &next);
            info!(
                message = "reloaded",
                generation = next.generation,
                keys = next.keyring().len(),
                organizations = next.keyring().organizations().len()
            );
        }
        Err(problems) => tell_refusal(control, &previous, &problems),
    }
    read
}

/// The generation that the files make.
fn next(previous: &Policy, started: &Fixed, read: &mut Sources) -> Result<Policy, Problems> {
    let Loaded { config, warnings } = config::load(&previous.config.file, read)?;
    refuse_emptied(&previous.config.records, &config.records)?;
    warnings.iter().for_each(log::problem);
    for option in started.changed(&config) {
        warn!(
            message = "this option takes effect at the next start; the rest of the file is in force",
            option
        );
    }
    Policy::next(config, previous, clock::unix())
}

/// A key file that held something and has no byte left is one that is being written: every plain rewrite begins so.
fn refuse_emptied(previous: &Records, next: &Records) -> Result<(), Problems> {
    let emptied = next
        .empty
        .iter()
        .filter(|file| previous.files.contains(file) && !previous.empty.contains(file));
    let problems: Vec<Problem> = emptied
        .map(|file| {
            Problem::of_file(
                Severity::Error,
                file,
                "is empty now, as if somebody were just writing it",
                "if it is to hold no keys, write an empty line into it",
            )
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Problems(problems))
    }
}

fn tell_refusal(control: &Control, previous: &Policy, problems: &Problems) {
    control
        .metrics
        .reloads
        .get_or_create(&Outcome { result: "refused" })
        .inc();
    control.metrics.reload_failed.set(1);
    problems.0.iter().for_each(log::problem);
    error!(
        message = "reload refused, the last good generation stays in force",
        generation = previous.generation,
        problems = problems.0.len()
    );
}

fn tell(metrics: &Metrics, policy: &Policy) {
    let now = clock::unix();
    metrics
        .generation
        .set(i64::try_from(policy.generation).unwrap_or(i64::MAX));
    metrics.reload_failed.set(0);
    metrics.last_reload.set(now);
    for (state, count) in policy.keyring().count_by_state(policy.revocations(), now) {
        metrics
            .keys
            .get_or_create(&State { state: state.word() })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
