//! Where a command finds keys: through the configuration, or in a file that is named.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Where;
use crate::cli::failure::BadInput;
use crate::cli::output::tell;
use crate::cli::progress::{READING, patiently};
use crate::config::key_settings::KeySettings;
use crate::config::keys::Pepper;
use crate::config::problem::Report;
use crate::config::records::{self, Records, Scope, Tombstone};
use crate::config::sources::Sources;
use crate::config::state::State;
use crate::control::keyfile::Place;
use crate::control::mint::Prefixes;
use crate::ledger::journal;
use crate::ledger::read::{self, LastUse};

/// The configuration of a command that was not told another.
pub(super) const DEFAULT_CONFIG: &str = "./config.toml";

/// What a command works on.
pub(super) struct Store {
    /// The configuration, unless a key file stands for itself.
    pub(super) settings: Option<KeySettings>,
    /// What keys may refer to.
    pub(super) scope: Scope,
    /// What is read: a file, or a directory.
    root: PathBuf,
    /// Which file is meant, when it was named.
    file: Option<PathBuf>,
}

/// What a sidecar was told to revoke, where the files may not say so yet. Whoever may not read that is told, and sees what the
/// files say.
fn remembered(state: Option<&Path>) -> Vec<Tombstone> {
    let state = state.map(|path| State {
        path: path.to_owned(),
        ..State::default()
    });
    let read = state.as_ref().map(journal::read).transpose();
    let read = read.unwrap_or_else(|error| {
        tell(format_args!("note: {error}"));
        None
    });
    read.unwrap_or_default()
}

impl Store {
    /// Finds it.
    pub(super) fn open(place: &Where, now_unix: i64) -> anyhow::Result<Self> {
        if let (None, Some(file)) = (&place.config, &place.file) {
            return Ok(Self {
                settings: None,
                scope: Scope::open(now_unix),
                root: file.clone(),
                file: Some(file.clone()),
            });
        }
        let config = place.config.as_deref().unwrap_or(Path::new(DEFAULT_CONFIG));
        if !config.exists() {
            return Err(BadInput::error(
                format!("there is no configuration at {}", config.display()),
                "name one with --config FILE, or name the key file itself with --file keys.toml",
            ));
        }
        let settings = KeySettings::load(config)?;
        let mut scope = settings.scope(now_unix);
        scope.remembered = remembered(settings.state.as_deref());
        let root = match &place.file {
            Some(file) if !settings.keys.file.is_dir() => file.clone(),
            Some(_) | None => settings.keys.file.clone(),
        };
        Ok(Self {
            settings: Some(settings),
            scope,
            root,
            file: place.file.clone(),
        })
    }

    /// Which file a new record goes into, and where records are looked for.
    pub(super) fn place(&self) -> Place {
        Place {
            root: self.root.clone(),
            file: self.file.clone().unwrap_or_else(|| self.root.clone()),
        }
    }

    /// When each key was last used, as far as there is a state that remembers it.
    pub(super) fn last_use(&self) -> HashMap<String, LastUse> {
        // Before the first start there is none.
        let Some(state) = self.state().filter(|state| state.exists()) else {
            return HashMap::new();
        };
        read::last_use(state).unwrap_or_else(|error| {
            tell(format_args!("keygate: nothing is known of last use: {error}"));
            HashMap::new()
        })
    }

    /// What new secrets begin with.
    pub(super) fn prefixes(&self) -> Prefixes<'_> {
        self.settings.as_ref().map_or(
            Prefixes {
                environments: &[],
                default: Prefixes::DEFAULT,
            },
            |settings| Prefixes {
                environments: &settings.environments,
                default: &settings.keys.prefix,
            },
        )
    }

    /// The peppers at hand.
    pub(super) fn peppers(&self) -> &[Pepper] {
        self.settings.as_ref().map_or(&[], |settings| &settings.keys.peppers)
    }

    /// The state file, where there is to be one.
    pub(super) fn state(&self) -> Option<&Path> {
        self.settings.as_ref()?.state.as_deref()
    }

    /// Reads all keys.
    pub(super) fn records(&mut self) -> anyhow::Result<Records> {
        let report = Report::new();
        let records = patiently(READING, || {
            records::load(&self.root, &mut self.scope, &mut Sources::default(), &report)
        });
        if report.has_errors() {
            return Err(report.into_problems().into());
        }
        Ok(records)
    }
}
