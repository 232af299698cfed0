//! `keygate run`: the sidecar.

use std::path::Path;
use std::process::ExitCode;

use super::output;
use crate::app;
use crate::config::Loaded;
use crate::config::last_good::{self, Start};
use crate::config::sources::Sources;
use crate::control::reload;
use crate::telemetry::log;

pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let mut read = Sources::default();
    let Start {
        loaded: Loaded { config, warnings },
        stand_in,
    } = match last_good::start(file, &mut read) {
        Ok(start) => reload::guarded(start),
        Err(problems) => {
            output::tell(problems);
            return Ok(ExitCode::from(2));
        }
    };
    let log = log::install(&config.telemetry);
    warnings.iter().for_each(log::problem);
    let running = app::start(config, read, stand_in, Some(&log))?;
    running.wait()?;
    Ok(ExitCode::SUCCESS)
}
