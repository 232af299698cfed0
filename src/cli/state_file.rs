//! How commands that read the state find it, and how they are told of a time.
//!
//! The file is opened to be read only, while a sidecar runs or not.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::failure::BadInput;
use crate::config::state;
use crate::config::units;

/// Where the state is.
#[derive(Debug, Args)]
pub(super) struct StateFile {
    /// The configuration that names the state file in [state] [default: ./config.toml].
    #[arg(long, value_name = "FILE", env = "KEYGATE_CONFIG")]
    config: Option<PathBuf>,
    /// The state file itself. No configuration is read then.
    #[arg(long, value_name = "STATE")]
    state: Option<PathBuf>,
}

/// A moment from which on something is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// So many seconds ago.
    Ago(i64),
    /// Then; Unix seconds.
    At(i64),
}

impl StateFile {
    /// Its path.
    pub(super) fn find(&self) -> anyhow::Result<PathBuf> {
        if let Some(state) = &self.state {
            return Ok(state.clone());
        }
        let config = self.config.as_deref().unwrap_or(Path::new("./config.toml"));
        if !config.exists() {
            return Err(BadInput::error(
                format!("there is no configuration at {}", config.display()),
                "name one with --config FILE, or name the state file itself with --state keygate.db",
            ));
        }
        let state = state::load(config)?.ok_or_else(|| {
            BadInput::error(
                format!("{} has no [state]: nothing is remembered", config.display()),
                "add [state] with path = \"keygate.db\", or name a state file with --state FILE",
            )
        })?;
        Ok(state.path)
    }
}

impl Since {
    /// In Unix seconds.
    pub(super) fn unix(self, now_unix: i64) -> i64 {
        match self {
            Self::Ago(seconds) => now_unix.saturating_sub(seconds),
            Self::At(unix) => unix,
        }
    }
}

/// `7d`, `36h`, `2026-01-31` (its first moment, in UTC) or `2026-01-31T12:00:00+01:00`.
pub(super) fn since(text: &str) -> Result<Since, String> {
    if let Some(duration) = units::parse_duration(text) {
        return Ok(Since::Ago(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)));
    }
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(Since::At(timestamp.as_second()));
    }
    let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
    date.and_then(|date| date.to_zoned(TimeZone::UTC).ok())
        .map(|midnight| Since::At(midnight.timestamp().as_second()))
        .ok_or_else(|| "write 7d, 36h, or a date such as 2026-01-31".to_owned())
}
