//! How far a long command has come: a bar on a terminal, from the second second on, and nothing anywhere else.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock;

/// What takes less is not worth a bar; in milliseconds.
const PATIENCE: i64 = 1_000;
/// So many steps go by between looks at the clock.
const STRIDE: u64 = 1_024;

/// How far a command has come.
pub(super) struct Progress {
    bar: ProgressBar,
    began: i64,
    steps: u64,
    is_shown: bool,
}

impl Progress {
    /// Of so many bytes, called by what is done with them.
    pub(super) fn begin(bytes: u64, what: &'static str) -> Self {
        let bar = ProgressBar::hidden();
        bar.set_length(bytes);
        let style = ProgressStyle::with_template("{msg} {bar:40} {percent}% {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Self {
            bar,
            began: clock::unix_millis(),
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

    /// What comes now cannot say how far it is.
    pub(super) fn wait_for(&mut self, what: &'static str) {
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        self.bar
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        self.bar.set_message(what);
        self.show();
        if self.is_shown {
            self.bar.enable_steady_tick(Duration::from_millis(100));
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self) {
        if !self.is_shown && io::stderr().is_terminal() && clock::unix_millis() - self.began >= PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.is_shown = true;
        }
    }
}
