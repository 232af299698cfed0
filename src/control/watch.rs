//! Says when a watched file may have changed: the kernel's notifications, so that a reload need not wait for the next poll.
//!
//! Only a hint. Notifications get lost on some file systems (network mounts, overlays), so [`super::reload`] polls as well.
//! Directories are watched, not files: editors and Kubernetes replace files by renaming. What is merely written to other
//! files there (a log, say) changes none of ours and is not heard.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::warn;

/// Watches the directories of some files.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
    files: Arc<Mutex<BTreeSet<PathBuf>>>,
    bell: Arc<Notify>,
}

impl Watch {
    /// Watches nothing yet. Where the system has no notifications left, polling alone does the work.
    pub(super) fn new() -> Self {
        let bell = Arc::new(Notify::new());
        let files = Arc::<Mutex<BTreeSet<PathBuf>>>::default();
        let (ring, ours) = (Arc::clone(&bell), Arc::clone(&files));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let files = ours.lock().unwrap_or_else(PoisonError::into_inner);
            if !event.is_ok_and(|event| is_of_others(&event, &files)) {
                ring.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| warn!(message = "file notifications are not available, polling only", %error))
            .ok();
        Self {
            watcher,
            directories: BTreeSet::new(),
            files,
            bell,
        }
    }

    /// Watches the directories of exactly these files, and of what they point to. Whether there is one among them that was not
    /// watched before: what happened there until now was not heard.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let files: BTreeSet<PathBuf> = files.flat_map(names_of).collect();
        let wanted: BTreeSet<PathBuf> = files.iter().flat_map(|file| directories_of(file)).collect();
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        for gone in self.directories.difference(&wanted) {
            // It may have been removed, which ends the watch by itself.
            let _ = watcher.unwatch(gone);
        }
        // All of them again, not only the new ones: a directory that was replaced under the same name is another one.
        let watched = wanted
            .into_iter()
            .filter(|directory| watcher.watch(directory, RecursiveMode::NonRecursive).is_ok())
            .collect();
        let before = std::mem::replace(&mut self.directories, watched);
        !self.directories.is_subset(&before)
    }

    /// Returns when something may have changed since the last call.
    pub(super) async fn changed(&self) {
        self.bell.notified().await;
    }
}

/// Whether an event cannot have changed what is in any of `files`: nothing came, went or was renamed, and what was written
/// to or given other permissions is neither one of them nor in one of them.
fn is_of_others(event: &Event, files: &BTreeSet<PathBuf>) -> bool {
    match event.kind {
        EventKind::Access(_) => true,
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            let is_ours = |path: &PathBuf| {
                files.contains(path) || path.parent().is_some_and(|directory| files.contains(directory))
            };
            !event.need_rescan() && !event.paths.is_empty() && !event.paths.iter().any(is_ours)
        }
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(ModifyKind::Any | ModifyKind::Name(_) | ModifyKind::Other)
        | EventKind::Remove(_)
        | EventKind::Other => false,
    }
}

/// A file by its own name, and by that of what it points to.
fn names_of(file: &Path) -> Vec<PathBuf> {
    let own = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let target = file.canonicalize().ok().filter(|target| *target != own);
    std::iter::once(own).chain(target).collect()
}

/// The directories whose entries decide what is at a path.
fn directories_of(file: &Path) -> Vec<PathBuf> {
    let itself = file.is_dir().then(|| file.to_owned());
    itself.into_iter().chain(file.parent().map(Path::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind, RenameMode};

    use super::*;

    #[test]
    fn only_what_can_change_our_files_is_heard() {
        let files: BTreeSet<PathBuf> = ["/a/keys.toml", "/b"].map(PathBuf::from).into();
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let permitted = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        let cases = [
            (written, "/a/keys.toml", true),
            (written, "/a/keygate.log", false),
            (written, "/b/more.jsonl", true),
            (permitted, "/a/keys.toml", true),
            (permitted, "/a/keygate.log", false),
            (renamed, "/a/..data", true),
            (EventKind::Create(CreateKind::Any), "/a/keys.toml.new", true),
            (EventKind::Remove(RemoveKind::Any), "/a/keys.toml~", true),
        ];
        for (kind, path, heard) in cases {
            let event = Event::new(kind).add_path(PathBuf::from(path));
            assert_eq!(!is_of_others(&event, &files), heard, "{event:?}");
        }
    }
}
