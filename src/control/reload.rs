//! Reload: what an operator changed on disk becomes the next generation, whole or not at all.
//!
//! Looked at when the kernel says that something changed, every `keys.refresh`, and on `SIGHUP`. Reading, checking and
//! compiling happen on a blocking thread; the data path notices one swapped pointer. Broken files change nothing but a log
//! line for every problem and `keygate_reload_failed`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{spawn_blocking, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::Control;
use super::watch::Watch;
use crate::clock;
use crate::config::problem::Problems;
use crate::config::sources::Sources;
use crate::config::{self, Config, Loaded};
use crate::policy::Policy;
use crate::telemetry::log;
use crate::telemetry::metrics::{Metrics, Outcome, State};

/// A burst of changes (an editor's, a volume's) is taken as one: how long it must have been quiet.
const SETTLE: Duration = Duration::from_millis(50);

/// Keeps the generation in force what the files say.
pub(super) fn spawn(control: Arc<Control>, hangups: Rc<Notify>, read: Sources) {
    spawn_local(control.vital().keep(async move {
        tell(&control.metrics, &control.current.load());
        let mut seen = read;
        let mut watch = Watch::new();
        loop {
            watch.follow(seen.paths());
            let asked = next_look(&control, &watch, &hangups).await;
            seen = look(&control, seen, asked).await;
        }
    }));
}

/// Waits for a reason to look again; true when an operator asked for it.
async fn next_look(control: &Control, watch: &Watch, hangups: &Notify) -> bool {
    let refresh = control.current.load().config.keys.refresh;
    tokio::select! {
        () = hangups.notified() => true,
        () = watch.changed() => {
            // Bounded: under a storm of changes the state of now is looked at, and the next change rings again.
            let _ = timeout(refresh, async { while timeout(SETTLE, watch.changed()).await.is_ok() {} }).await;
            false
        }
        () = sleep(refresh) => false,
    }
}

/// Looks at the files and applies what they say, if it is new or `asked` for. Gives back what was seen.
async fn look(control: &Arc<Control>, seen: Sources, asked: bool) -> Sources {
    let worker = Arc::clone(control);
    let before = seen.clone();
    let looked = spawn_blocking(move || {
        let now = seen.look_again();
        if asked || !now.same_bytes(&seen) {
            apply(&worker)
        } else {
            now
        }
    });
    looked.await.unwrap_or_else(|failed| {
        error!(message = "the reload ended by a bug", error = %failed);
        control.metrics.reload_failed.set(1);
        before
    })
}

/// Loads, checks, compiles and swaps. Gives back what was read, so that the same broken file is told once.
fn apply(control: &Control) -> Sources {
    let previous = control.current.load();
    let mut read = Sources::default();
    match next(&previous, &mut read) {
        Ok(next) => {
            let next = Arc::new(next);
            control.current.swap(Arc::clone(&next));
            control
                .metrics
                .reloads
                .get_or_create(&Outcome { result: "applied" })
                .inc();
            tell(&control.metrics, &next);
            info!(
                message = "reloaded",
                generation = next.generation,
                keys = next.config.records.keys.len(),
                organizations = next.config.records.organizations.len()
            );
        }
        Err(problems) => tell_refusal(control, &previous, &problems),
    }
    read
}

/// The generation that the files make.
fn next(previous: &Policy, read: &mut Sources) -> Result<Policy, Problems> {
    let Loaded { config, warnings } = config::load(&previous.config.file, read)?;
    warnings.iter().for_each(log::problem);
    tell_what_needs_a_restart(&previous.config, &config);
    Policy::next(config, previous)
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

fn tell_what_needs_a_restart(previous: &Config, next: &Config) {
    let changed = [
        ("ingress.listen", previous.ingress.listen != next.ingress.listen),
        ("ingress.workers", previous.ingress.workers != next.ingress.workers),
        ("admin.listen", previous.admin.listen != next.admin.listen),
        (
            "keys.argon2_concurrency",
            previous.keys.argon2_concurrency != next.keys.argon2_concurrency,
        ),
        (
            "telemetry.log_format",
            previous.telemetry.format != next.telemetry.format,
        ),
        ("telemetry.log_level", previous.telemetry.level != next.telemetry.level),
    ];
    for (option, _) in changed.iter().filter(|(_, changed)| *changed) {
        warn!(
            message = "this option takes effect at the next start; the rest of the file is in force",
            option
        );
    }
}

fn tell(metrics: &Metrics, policy: &Policy) {
    let now = clock::unix();
    metrics
        .generation
        .set(i64::try_from(policy.generation).unwrap_or(i64::MAX));
    metrics.reload_failed.set(0);
    metrics.last_reload.set(now);
    for (state, count) in policy.config.records.count_by_state(now) {
        metrics
            .keys
            .get_or_create(&State { state: state.word() })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
