//! Operate: the command line, one file per command.
//!
//! Holds no logic that another room needs. Exit codes: 0 done, 1 it is not so (a key is not valid, a tour step differs) or it
//! failed while running, 2 bad input: arguments, standard input, configuration or key file.

mod admin;
mod audit;
mod check;
mod completions;
mod demo;
mod explain;
mod failure;
mod keys;
mod output;
mod progress;
mod reload;
mod run;
mod state_file;
mod status;
mod usage;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Enforces API keys in front of a messaging service.
///
/// Keygate is a reverse proxy that stands beside a service: it checks each caller's API key, spends their rate limit,
/// removes the credential, tells the service who is calling, and forwards what is allowed.
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Try it without any setup:  keygate demo\nThen read:                 config.example.toml"
)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run the sidecar.
    ///
    /// Listens, checks and forwards until SIGTERM or SIGINT, then drains: requests in flight finish. SIGHUP reloads; changed
    /// files are noticed by themselves.
    Run(Configuration),
    /// Check configuration and key file, and say what they mean.
    ///
    /// Prints a summary and exits 0, or prints every problem with its place and what to write instead, and exits 2. Warnings
    /// do not fail it.
    Check(Configuration),
    /// Make, list, change and verify keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Say what would become of a request, and why, without sending or spending anything.
    ///
    /// Reads a key on standard input (there may be none) and walks the rules that decide on live traffic: offline, on the
    /// configuration and the key file, with all limits whole; or on a running sidecar with --admin, with the limits as they
    /// are. Exits 0 when the request would pass, 1 when it would be refused, 2 when it cannot be explained.
    #[command(after_help = explain::EXAMPLES)]
    Explain(Box<explain::Explain>),
    /// Say what a running sidecar has in force, and how far a migration has come.
    ///
    /// Says who would be refused if every route that observes were enforced now, and who still comes without a key. From
    /// another user, or over TCP, this needs an admin token (`keygate admin new-token`). Exits 0 when it was told, 2 on bad
    /// input, 1 when the sidecar cannot be asked.
    #[command(after_help = status::EXAMPLES)]
    Status(status::Arguments),
    /// Say how keys were used: requests, refusals by code, bytes, and when each was last used.
    ///
    /// As the state remembers it, while a sidecar runs or not. A table on a terminal. Elsewhere one line per key, its columns
    /// separated by tabs and without a heading: key, organization, requests, refused, failed, bytes in, bytes out, refusals,
    /// last used, from, route; with --by, one line per piece of time that something was counted in, and no last use.
    #[command(after_help = usage::EXAMPLES)]
    Usage(usage::Arguments),
    /// Verify, list and export the audit trail: every change to a key, every reload, every refused admin call.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Have a running sidecar read its files again, and say what became of it.
    ///
    /// Changed files are noticed by themselves; this does not wait for that, and tells the outcome. From another user, or
    /// over TCP, it needs an admin token with the role operator.
    #[command(after_help = reload::EXAMPLES)]
    Reload(reload::Arguments),
    /// Make admin tokens.
    #[command(subcommand)]
    Admin(admin::Command),
    /// See and steer the return path: list, test, pause and replay webhooks, and make the secrets that sign them.
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// Show what Keygate does: a sample service, Keygate in front of it, and a guided tour.
    Demo(demo::Args),
    /// Print a completion script for a shell.
    ///
    /// For example:  keygate completions bash > /etc/bash_completion.d/keygate
    Completions(completions::Completions),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct Configuration {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "KEYGATE_CONFIG", default_value = "./config.toml")]
    config: PathBuf,
}

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Command::parse().verb {
        Verb::Run(configuration) => run::run(&configuration.config),
        Verb::Check(configuration) => check::check(&configuration.config),
        Verb::Keys(command) => command.run(),
        Verb::Explain(explain) => Ok(explain.run()),
        Verb::Status(arguments) => arguments.run(),
        Verb::Usage(arguments) => arguments.run(),
        Verb::Audit(command) => command.run(),
        Verb::Reload(arguments) => arguments.run(),
        Verb::Admin(command) => command.run(),
        Verb::Webhooks(command) => command.run(),
        Verb::Demo(arguments) => demo::run(arguments),
        Verb::Completions(completions) => completions.print(),
    };
    outcome.unwrap_or_else(|error| failure::report(&error))
}
