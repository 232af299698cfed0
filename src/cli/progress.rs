//! How far a long command has come: on a terminal, when it takes over a second, and nothing anywhere else.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock;

/// What takes less is not worth a word.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often what cannot say how far it is shows that it is alive.
const TICK: Duration = Duration::from_millis(100);
/// What a command says that reads key files.
pub(super) const READING: &str = "reading keys";
/// And one that changes them.
pub(super) const EDITING: &str = "changing the key file";
/// So many steps go by between looks at the clock.
const STRIDE: u64 = 1_024;

/// Does some work that cannot say how far it is.
pub(super) fn patiently<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (working, done) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} {msg} {elapsed}"));
            bar.set_message(what);
            bar.enable_steady_tick(TICK);
            // Ends when the other end is gone, whichever way the work ended.
            let _ = done.recv();
            bar.finish_and_clear();
        });
        let _working = working;
        work()
    })
}

/// How far a command has come that goes through so many bytes.
pub(super) struct Progress {
    bar: ProgressBar,
    /// On the monotonic clock, in nanoseconds.
    began: u64,
    steps: u64,
    is_shown: bool,
}

impl Progress {
    /// Of so many bytes, called by what is done with them.
    pub(super) fn begin(bytes: u64, what: &'static str) -> Self {
        let bar = ProgressBar::hidden();
        bar.set_length(bytes);
        bar.set_style(style("{msg} {bar:40} {percent}% {eta}"));
        bar.set_message(what);
        Self {
            bar,
            began: clock::monotonic(),
            steps: 0,
            is_shown: false,
        }
    }

    /// So many bytes are done.
    pub(super) fn reach(&mut self, bytes: u64) {
        self.steps += 1;
        if self.steps.is_multiple_of(STRIDE) {
            self.bar.set_position(bytes);
            self.show();
        }
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self) {
        let taken = Duration::from_nanos(clock::monotonic().saturating_sub(self.began));
        if !self.is_shown && io::stderr().is_terminal() && taken >= PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.is_shown = true;
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are valid")
}
