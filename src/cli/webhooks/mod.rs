//! `keygate webhooks`: the return path, for operators.

mod activity;
mod ask;
mod change;
mod list;
mod new_secret;
mod test;
mod text;

use std::process::ExitCode;

use clap::Subcommand;

/// What to do about webhooks.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a secret to sign webhooks with: prints it once, and the lines of the webhook's record that name it.
    ///
    /// The secret is the only thing on standard output, and it is stored nowhere. Of a pair of keys that is the private one;
    /// the public one, which receivers verify with, is on standard error beside the lines.
    #[command(after_help = new_secret::EXAMPLES)]
    NewSecret(new_secret::NewSecret),
    /// List webhooks, and how each stands.
    ///
    /// Asks the running sidecar; where none answers, reads the configuration and the state file. A table on a terminal. Elsewhere one
    /// line per webhook, its columns separated by tabs and without a heading: id, organization, URL (its origin), events, schemes,
    /// delivery, state, events that wait, dead events, last attempt. Secrets are in neither.
    #[command(after_help = list::LIST_EXAMPLES)]
    List(list::List),
    /// Show one webhook: where it goes, how it is signed, whether it is paused, and how far a rotation has come.
    #[command(after_help = list::SHOW_EXAMPLES)]
    Show(list::Show),
    /// Send a sample event now, and say what came of it.
    ///
    /// It goes the way of every event, in one attempt, whether the webhook is paused or not. It says that it is a test: in the header
    /// X-Webhook-Test, and in its body, unless that is another. Prints the headers that were sent, secrets masked, the receiver's
    /// status, how long it took and, where it was not taken, why. Over TCP, or from another user, this needs an admin token with
    /// the role operator, and so do pause, resume and replay.
    #[command(after_help = test::EXAMPLES)]
    Test(test::Test),
    /// Say what was sent to webhooks: every attempt, the newest first.
    ///
    /// Asks the running sidecar; where none answers, reads the state file. A table on a terminal. Elsewhere one line per attempt, its
    /// columns separated by tabs and without a heading: time, webhook, event, type, number, delivery, result, milliseconds.
    #[command(after_help = activity::ACTIVITY_EXAMPLES)]
    Activity(activity::Activity),
    /// List queued events, the dead letters among them, without what is in them.
    ///
    /// Asks and prints as `activity` does: time, webhook, event, type, state, attempts, last result, when it is due or ended.
    #[command(after_help = activity::EVENTS_EXAMPLES)]
    Events(activity::Events),
    /// Send an event again, with the same id: one that is dead, or was delivered and is kept.
    #[command(after_help = change::REPLAY_EXAMPLES)]
    Replay(change::Replay),
    /// Send nothing to a webhook for now: queued events wait, others are refused.
    #[command(after_help = change::PAUSE_EXAMPLES)]
    Pause(change::Pause),
    /// Go on sending to a webhook that was paused: by somebody, by a 410, or because it kept failing.
    #[command(after_help = change::PAUSE_EXAMPLES)]
    Resume(change::Target),
}

impl Command {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::NewSecret(new) => new.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Test(test) => test.run(),
            Self::Activity(activity) => activity.run(),
            Self::Events(events) => events.run(),
            Self::Replay(replay) => replay.run(),
            Self::Pause(pause) => pause.run(),
            Self::Resume(target) => target.resume(),
        }
    }
}
