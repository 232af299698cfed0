//! The tour, taken by the program itself: each step is done for real, each promise is compared with what came.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::client::Client;
use super::fact::{Answer, Fact, Verdict};
use super::paint::Paint;
use super::receiver::Receiver;
use super::steps::{Action, Step};
use crate::clock;

/// How long a change to the key file may take to count before the check gives up.
const RELOAD: Duration = Duration::from_secs(10);

/// How often it looks.
const POLL: Duration = Duration::from_millis(50);

/// What takes the tour.
pub struct Taking<'a> {
    /// Sends the requests.
    pub client: Client,
    /// The key file that is changed.
    pub key_file: &'a Path,
    /// Whose lines are printed.
    pub receiver: Option<&'a mut Receiver>,
}

/// Takes the tour, and prints each promise as kept (`✓`) or not (`✗`). Returns how many steps differ.
///
/// # Errors
/// When `out` cannot be written to. A step that cannot be done is a difference.
pub async fn check(steps: &[Step], mut taking: Taking<'_>, paint: Paint, out: &mut impl Write) -> io::Result<usize> {
    let mut different = 0;
    for (number, step) in (1..).zip(steps) {
        writeln!(out, "{}", paint.bold(format_args!("{number:>2}  {}", step.title)))?;
        match take(step, taking.client, taking.key_file).await {
            Ok((answer, waited)) => {
                different += usize::from(!compare(&step.facts, &answer, paint, out)?);
                if let Some(waited) = waited {
                    let note = format!("after {:.1} s", waited.as_secs_f64());
                    writeln!(out, "      {}", paint.dim(note))?;
                }
            }
            Err(error) => {
                writeln!(out, "    {} could not be done: {error:#}", paint.red("✗"))?;
                different += 1;
            }
        }
        // What it tells of an event, it tells before it answers.
        while let Some(line) = taking
            .receiver
            .as_mut()
            .and_then(|receiver| receiver.lines.try_recv().ok())
        {
            writeln!(out, "      {}", paint.dim(format_args!("receiver: {line}")))?;
        }
        out.flush()?;
    }
    let total = steps.len();
    match different {
        0 => writeln!(
            out,
            "\n{}",
            paint.green(format_args!("All {total} steps are as promised."))
        )?,
        _ => writeln!(
            out,
            "\n{}",
            paint.red(format_args!("{different} of {total} steps are not as promised."))
        )?,
    }
    Ok(different)
}

/// Does what the step does. A change to the key file is waited for; how long, is told.
async fn take(step: &Step, client: Client, key_file: &Path) -> anyhow::Result<(Answer, Option<Duration>)> {
    let answer = match &step.action {
        Action::Call(call) | Action::Stream(call) => client.call(call).await?,
        Action::Burst { first, call } => client.burst(*first, call).await?,
        Action::Socket(call) => client.socket(call).await?,
        Action::Switch { switch, call } => {
            switch.apply(key_file)?;
            let start = clock::monotonic();
            loop {
                let answer = client.call(call).await?;
                let waited = Duration::from_nanos(clock::monotonic().saturating_sub(start));
                if waited > RELOAD || step.facts.iter().all(|fact| fact.judge(&answer).holds) {
                    return Ok((answer, Some(waited)));
                }
                tokio::time::sleep(POLL).await;
            }
        }
    };
    Ok((answer, None))
}

/// Prints what was expected and what came; whether all of it is the same.
fn compare(facts: &[Fact], answer: &Answer, paint: Paint, out: &mut impl Write) -> io::Result<bool> {
    let mut same = true;
    for fact in facts {
        let Verdict { holds, came } = fact.judge(answer);
        if holds && fact.to_string().ends_with(&came) {
            writeln!(out, "    {} {fact}", paint.green("✓"))?;
        } else if holds {
            writeln!(
                out,
                "    {} {fact} {}",
                paint.green("✓"),
                paint.dim(format_args!("(came: {came})"))
            )?;
        } else {
            writeln!(
                out,
                "    {} {fact}\n      {}",
                paint.red("✗"),
                paint.red(format_args!("came: {came}"))
            )?;
            same = false;
        }
    }
    Ok(same)
}

#[cfg(test)]
mod tests;
