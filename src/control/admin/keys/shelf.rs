//! The records of the key files, kept in the order in which they are listed, until the files change.
//!
//! The gate's own keyring forgets what it does not need to decide (owners, metadata, when a key was made), so the files are
//! read for this: on a thread that may block, and again only when they hold something else.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::clock;
use crate::config::key_settings::KeySettings;
use crate::config::problem::{Problem as FileProblem, Problems, Report, Severity};
use crate::config::records::{self, Key, Records, Scope};
use crate::config::sources::Sources;
use crate::control::Control;
use crate::control::admin::problem::Problem;

/// The last listing.
#[derive(Default)]
pub(in crate::control::admin) struct Shelf(Mutex<Option<Arc<Listing>>>);

/// All records, in a fixed order.
pub(super) struct Listing {
    pub(super) records: Records,
    /// Knows the names of plans and environments.
    pub(super) scope: Scope,
    /// Places in `records.keys`, by id.
    order: Vec<u32>,
    read: Sources,
}

impl Shelf {
    /// What the files say now.
    pub(super) async fn listing(&self, control: &Control) -> Result<Arc<Listing>, Problem> {
        // Whoever comes while the files are being read waits for that, and reads nothing twice.
        let mut last = self.0.lock().await;
        let config = control.current.load().config.file.clone();
        let before = last.clone();
        let listing = spawn_blocking(move || Listing::renew(before, &config));
        let listing = listing
            .await
            .map_err(|_| Problem::bug())?
            .map_err(|problems| invalid(&problems))?;
        *last = Some(Arc::clone(&listing));
        Ok(listing)
    }
}

impl Listing {
    fn renew(last: Option<Arc<Self>>, config: &Path) -> Result<Arc<Self>, Problems> {
        if let Some(last) = last
            && last.read.look_again().same_bytes(&last.read)
        {
            return Ok(last);
        }
        let mut read = Sources::default();
        if let Err(error) = read.read(config) {
            let what = format!("cannot be read: {error}");
            return Err(Problems(vec![FileProblem::of_file(Severity::Error, config, what, "")]));
        }
        let settings = KeySettings::load(config)?;
        let mut scope = settings.scope(clock::unix());
        let report = Report::new();
        let records = records::load(&settings.keys.file, &mut scope, &mut read, &report);
        if report.has_errors() {
            return Err(report.into_problems());
        }
        let mut order: Vec<u32> = (0..u32::try_from(records.keys.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by(|one, other| records.keys[*one as usize].id.cmp(&records.keys[*other as usize].id));
        Ok(Arc::new(Self {
            records,
            scope,
            order,
            read,
        }))
    }

    /// The keys whose ids come after this one, in order.
    pub(super) fn after(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let keys = &self.records.keys;
        let start = id.map_or(0, |id| {
            self.order.partition_point(|place| *keys[*place as usize].id <= *id)
        });
        self.order[start..].iter().map(|place| &keys[*place as usize])
    }

    /// The key with this id.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        let keys = &self.records.keys;
        let place = self.order.binary_search_by(|place| (*keys[*place as usize].id).cmp(id));
        Some(&keys[self.order[place.ok()?] as usize])
    }
}

/// 409: the key files do not load.
pub(super) fn invalid(problems: &Problems) -> Problem {
    Problem::files(
        "key_files_invalid",
        "The key files are not valid as they are; nothing was changed.",
        problems,
    )
}
