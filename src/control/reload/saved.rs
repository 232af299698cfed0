//! Keeping the keys in force beside the state, for a start on which the key file cannot be used.
//!
//! As records, not as the operator's bytes: only hashes are in it, whatever the key file holds. Its time of change says when
//! a key file was last seen that holds these keys.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use tracing::error;

use crate::config::records::{Records, write};

/// How old the told time may be, in seconds, before it is told anew.
const TOLD: i64 = 60;

/// Where keys are kept.
#[derive(Debug)]
pub(super) struct Saved {
    path: PathBuf,
    /// The time of change that it has, once these keys are in it; Unix seconds.
    told: Option<i64>,
}

impl Saved {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, told: None }
    }

    /// Keeps these, which were seen at `now` (Unix seconds). Where that is not possible, it says so; the sidecar goes on.
    pub(super) fn keep(&mut self, records: &Records, now: i64) {
        self.told = None;
        match self.write(records, now) {
            Ok(()) => self.told = Some(now),
            Err(error) => {
                let path = self.path.display();
                error!(message = "the keys in force cannot be kept for the next start", %path, %error);
            }
        }
    }

    /// They were seen again.
    pub(super) fn seen(&mut self, now: i64) {
        let is_old = self.told.is_some_and(|told| now - told >= TOLD || now < told);
        // Where it is gone, or somebody else's, the next change of keys says so.
        if is_old && let Ok(file) = OpenOptions::new().append(true).open(&self.path) {
            self.told = tell_time(&file, now).is_ok().then_some(now).or(self.told);
        }
    }

    fn write(&self, records: &Records, now: i64) -> io::Result<()> {
        let Some(scope) = &records.scope else {
            return Err(io::Error::other("they were not read from files"));
        };
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let temporary = tempfile::Builder::new()
            .prefix(".keygate-")
            .suffix(".tmp")
            .tempfile_in(directory)?;
        let mut out = BufWriter::new(temporary.as_file());
        write::all(records, scope, &mut out)?;
        out.flush()?;
        drop(out);
        tell_time(temporary.as_file(), now)?;
        temporary.as_file().sync_all()?;
        temporary.persist(&self.path).map_err(|error| error.error)?;
        File::open(directory)?.sync_all()
    }
}

fn tell_time(file: &File, now: i64) -> io::Result<()> {
    let since = Duration::from_secs(u64::try_from(now).unwrap_or(0));
    file.set_modified(UNIX_EPOCH + since)
}
