//! `keygate run`: the sidecar.

use std::path::Path;
use std::process::ExitCode;

use super::output;
use crate::app;
use crate::config::sources::Sources;
use crate::config::{self, Loaded};
use crate::telemetry::log;

pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let mut read = Sources::default();
    let Loaded { config, warnings } = match config::load(file, &mut read) {
        Ok(loaded) => loaded,
        Err(problems) => {
            output::tell(problems);
            return Ok(ExitCode::from(2));
        }
    };
    let log = log::install(&config.telemetry);
    warnings.iter().for_each(log::problem);
    let running = app::start(config, read, Some(&log))?;
    running.wait()?;
    Ok(ExitCode::SUCCESS)
}
