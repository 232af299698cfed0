//! Says when a watched file may have changed: the kernel's notifications, so that a reload need not wait for the next poll.
//!
//! Only a hint. Notifications get lost on some file systems (network mounts, overlays), so [`super::reload`] polls as well.
//! Directories are watched, not files: editors and Kubernetes replace files by renaming.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::warn;

/// Watches the directories of some files.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    bell: Arc<Notify>,
}

impl Watch {
    /// Watches nothing yet. Where the system has no notifications left, polling alone does the work.
    pub(super) fn new() -> Self {
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if !event.is_ok_and(|event| event.kind.is_access()) {
                ring.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| warn!(message = "file notifications are not available, polling only", %error))
            .ok();
        Self {
            watcher,
            directories: BTreeSet::new(),
            bell,
        }
    }

    /// Watches the directories of exactly these files, and of what they point to.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = files.flat_map(directories_of).collect();
        for gone in self.directories.difference(&wanted) {
            // It may have been removed, which ends the watch by itself.
            let _ = watcher.unwatch(gone);
        }
        // All of them again, not only the new ones: a directory that was replaced under the same name is another one.
        self.directories = wanted
            .into_iter()
            .filter(|directory| watcher.watch(directory, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }

    /// Returns when something may have changed since the last call.
    pub(super) async fn changed(&self) {
        self.bell.notified().await;
    }
}

fn directories_of(file: &Path) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    if file.is_dir() {
        directories.push(file.to_owned());
    }
    directories.extend(parent(file));
    if let Ok(target) = file.canonicalize() {
        directories.extend(parent(&target));
    }
    directories
}

fn parent(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    Some(if parent.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        parent.to_owned()
    })
}
