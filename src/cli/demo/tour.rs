//! The tour as text: what is running, and the steps as commands to paste, each with what it promises.
//!
//! Lines stay within 80 columns, commands that cannot do so aside. Commands are indented by six columns and promises
//! begin with `→`: that is what an outside reader may rely on. This is the one place that shows the keys of this run.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::call::Places;
use super::paint::Paint;
use super::sandbox::Sandbox;
use super::steps::Step;

/// What the tour walks through.
pub struct Scene<'a> {
    /// Where Keygate and the sample receiver listen.
    pub places: Places,
    /// Where the sample service listens.
    pub service: SocketAddr,
    /// The files and keys.
    pub sandbox: &'a Sandbox,
}

/// Prints the whole tour.
///
/// # Errors
/// When `out` cannot be written to.
pub fn print(scene: &Scene<'_>, steps: &[Step], paint: Paint, out: &mut impl Write) -> io::Result<()> {
    introduce(scene, paint, out)?;
    let key_file = scene.sandbox.key_file();
    for (number, step) in (1..).zip(steps) {
        writeln!(out, "\n{}", paint.bold(format_args!("{number:>2}  {}", step.title)))?;
        for line in step.about.lines() {
            writeln!(out, "    {line}")?;
        }
        writeln!(out)?;
        for line in step
            .action
            .commands(&scene.places, &key_file)
            .iter()
            .flat_map(|command| command.lines())
        {
            writeln!(out, "      {}", paint.cyan(line))?;
        }
        writeln!(out)?;
        for fact in &step.facts {
            writeln!(out, "    {} {fact}", paint.green("→"))?;
        }
    }
    writeln!(out, "\n{}", paint.bold("Press Ctrl-C to stop."))
}

fn introduce(scene: &Scene<'_>, paint: Paint, out: &mut impl Write) -> io::Result<()> {
    let service = scene.service;
    let Places {
        gateway,
        egress,
        receiver,
    } = scene.places;
    writeln!(out, "{}", paint.bold("Keygate, in front of a sample messaging service"))?;
    writeln!(out)?;
    writeln!(out, "    you ─▶ Keygate http://{gateway} ─▶ service http://{service}")?;
    writeln!(
        out,
        "    service ─▶ Keygate http://{egress} ─▶ receiver http://{receiver}"
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "Its configuration, its key file and its webhook, to read and to change:"
    )?;
    writeln!(out)?;
    writeln!(out, "    {}", scene.sandbox.config_file().display())?;
    writeln!(out, "    {}", scene.sandbox.key_file().display())?;
    writeln!(out, "    {}", scene.sandbox.webhook_file().display())?;
    writeln!(out)?;
    writeln!(
        out,
        "Its keys are in the commands below: shown here only, made for this run, and"
    )?;
    writeln!(
        out,
        "gone with it. Paste the commands into another terminal, in this order."
    )?;
    writeln!(out, "`keygate demo --check` takes the same tour by itself.")
}

#[cfg(test)]
mod tests {
    use super::super::sandbox::Setup;
    use super::super::steps::steps;
    use super::*;

    fn printed(paint: Paint) -> (String, Sandbox) {
        let [gateway, egress, service, receiver] =
            [18080, 18081, 13000, 14000].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let sandbox = Sandbox::new(Setup {
            service,
            receiver,
            port: 0,
            log: false,
        })
        .expect("a sandbox");
        let scene = Scene {
            places: Places {
                gateway,
                egress,
                receiver,
            },
            service,
            sandbox: &sandbox,
        };
        let mut out = Vec::new();
        print(&scene, &steps(&sandbox), paint, &mut out).expect("memory can be written to");
        (String::from_utf8(out).expect("text"), sandbox)
    }

    #[test]
    fn every_step_and_every_promise_is_printed_and_nothing_is_coloured_when_plain() {
        let (text, sandbox) = printed(Paint::PLAIN);
        for step in steps(&sandbox) {
            assert!(text.contains(step.title), "{}", step.title);
            for fact in &step.facts {
                assert!(text.contains(&format!("    → {fact}\n")), "{fact}");
            }
        }
        assert!(!text.contains('\x1b'));
        assert!(text.ends_with("Press Ctrl-C to stop.\n"));
    }

    #[test]
    fn lines_fit_into_eighty_columns() {
        let (text, _) = printed(Paint::PLAIN);
        for line in text.lines().filter(|line| {
            !["/keys.toml", "/config.toml", "/webhooks.toml"]
                .iter()
                .any(|file| line.contains(file))
        }) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
