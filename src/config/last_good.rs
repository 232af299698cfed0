//! The keys that were last in force, kept beside the state: what a start falls back on when the key file cannot be used.
//!
//! A room of its own because it is the one case in which something else is read than the operator's files. Only key files are
//! ever stood in for: what is wrong with the configuration itself ends the start.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::problem::{Problem, Problems, Severity};
use super::sources::Sources;
use super::state::{LAST_GOOD, State};
use super::{Config, Loaded, load};

/// What to start on.
#[derive(Debug)]
pub struct Start {
    /// The configuration, with keys.
    pub loaded: Loaded,
    /// Where the keys are not those of the key file.
    pub stand_in: Option<StandIn>,
}

/// Keys in place of those that cannot be read.
#[derive(Debug)]
pub struct StandIn {
    /// What is wrong with the key file.
    pub refused: Problems,
    /// When a key file with these keys was last seen; Unix seconds.
    pub seen: i64,
    /// Whether the key file is valid, and is only held: too many keys would go.
    pub held: bool,
}

impl Start {
    /// On the keys that were last in force instead, where `judge` says why the key file's are not to be taken up, given those
    /// and these. Where none were kept, nothing was in force that could be lost.
    #[must_use]
    pub fn unless(self, judge: impl FnOnce(&Config, &Config) -> Option<Problem>) -> Self {
        let config = &self.loaded.config;
        if self.stand_in.is_some() || config.state.is_none() {
            return self;
        }
        let Ok(kept) = load::load_on_last_good(&config.file, &mut Sources::default()) else {
            return self;
        };
        match judge(&kept.config, config) {
            None => self,
            Some(problem) => Self::on_kept(kept, Problems(vec![problem]), true),
        }
    }

    fn on_kept(loaded: Loaded, refused: Problems, held: bool) -> Self {
        let state = loaded.config.state.as_ref();
        let seen = state.and_then(|state| seen(&state.last_good())).unwrap_or(0);
        let stand_in = Some(StandIn { refused, seen, held });
        Self { loaded, stand_in }
    }
}

/// As [`load::load`], but on the keys that were last in force, where there are some and the key file cannot be read, is not
/// valid, or has lost all that it held.
///
/// # Errors
/// As [`load::load`].
pub fn start(file: &Path, sources: &mut Sources) -> Result<Start, Problems> {
    let mut refused = match load::load(file, sources) {
        Ok(loaded) => match emptied(&loaded.config) {
            None => {
                return Ok(Start { loaded, stand_in: None });
            }
            Some(problems) => problems,
        },
        Err(problems) => problems,
    };
    // What was read there is not what the operator mends.
    match load::load_on_last_good(file, &mut Sources::default()) {
        Ok(loaded) => Ok(Start::on_kept(loaded, refused, false)),
        // The configuration is wrong, or there is nothing to fall back on; or what there is cannot be used either.
        Err(problems) => {
            let errors = problems.0.into_iter();
            let errors: Vec<Problem> = errors.filter(|problem| problem.severity == Severity::Error).collect();
            let is_of_kept = |problem: &Problem| problem.file.to_string_lossy().ends_with(LAST_GOOD);
            // What is wrong with the configuration may be all that is wrong with what was kept.
            if errors.iter().all(is_of_kept) {
                refused.0.extend(errors);
            }
            Err(refused)
        }
    }
}

/// A file without a byte is being written, where it held keys before.
fn emptied(config: &Config) -> Option<Problems> {
    let files = &config.records.files;
    let last_good = config.state.as_ref().map(State::last_good);
    let held_keys = last_good.is_some_and(|path| path.metadata().is_ok_and(|metadata| metadata.len() > 0));
    let is_emptied = held_keys && !files.is_empty() && files.iter().all(|file| file.empty);
    is_emptied.then(|| Problems(files.iter().map(|file| emptied_file(&file.path)).collect()))
}

/// What is said about such a file.
#[must_use]
pub fn emptied_file(path: &Path) -> Problem {
    Problem::of_file(
        Severity::Error,
        path,
        "is empty now, as if somebody were just writing it",
        "if it is to hold no keys, write an empty line into it",
    )
}

fn seen(path: &Path) -> Option<i64> {
    path.metadata().ok().map(|metadata| metadata.mtime())
}
