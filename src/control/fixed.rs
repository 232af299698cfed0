//! What cannot change while the process runs: what it was started with, to be held against every later generation.
//!
//! A room of its own because it outlives the generation that it was read from, and must not keep that one's keys alive.

use crate::config::Config;
use crate::config::ingress::Listen;
use crate::config::state::State;
use crate::config::telemetry::{LogFormat, LogLevel};

/// The options that are read once, at the start.
#[derive(Debug)]
pub(super) struct Fixed {
    listen: Vec<Listen>,
    workers: Option<usize>,
    egress: Vec<Listen>,
    admin: Vec<Listen>,
    argon2_concurrency: usize,
    log_format: LogFormat,
    log_level: LogLevel,
    audit_log: bool,
    state: Option<State>,
}

impl Fixed {
    /// Those of a configuration.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            listen: config.ingress.listen.clone(),
            workers: config.ingress.workers,
            egress: config.egress.iter().flat_map(|egress| egress.listen.clone()).collect(),
            admin: config.admin.listen.clone(),
            argon2_concurrency: config.keys.argon2_concurrency,
            log_format: config.telemetry.format,
            log_level: config.telemetry.level,
            audit_log: config.telemetry.audit_log,
            state: config.state.clone(),
        }
    }

    /// The options of which `next` says something else than what is in force, by name.
    pub(super) fn changed(&self, next: &Config) -> impl Iterator<Item = &'static str> {
        let next = Self::of(next);
        let options = [
            ("ingress.listen", self.listen != next.listen),
            ("ingress.workers", self.workers != next.workers),
            ("egress.listen", self.egress != next.egress),
            ("admin.listen", self.admin != next.admin),
            (
                "keys.argon2_concurrency",
                self.argon2_concurrency != next.argon2_concurrency,
            ),
            ("telemetry.log_format", self.log_format != next.log_format),
            ("telemetry.log_level", self.log_level != next.log_level),
            ("telemetry.audit_log", self.audit_log != next.audit_log),
            ("state", self.state != next.state),
        ];
        options
            .into_iter()
            .filter_map(|(option, differs)| differs.then_some(option))
    }
}
