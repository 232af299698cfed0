//! Revoking for good, and turning off and on.
//!
//! Each change may be asked for twice: the second time nothing is written, and that is no error.

use std::path::PathBuf;

use super::Place;
use super::error::EditError;
use super::patch::Patch;
use super::render::{self, Setting};
use super::set::{self, Locked, Written};
use crate::config::records::{Dead, Key, KeyState, Located, Notation, Scope, Tombstone, View, locate};

/// What became of a key.
#[derive(Debug)]
pub struct Changed {
    /// The file that holds its record, links followed.
    pub file: PathBuf,
    /// The key as it was.
    pub before: View,
    /// The key as it is.
    pub after: View,
    /// Whether anything was written.
    pub written: bool,
    /// What was buried with it: what can never be accepted again.
    pub tombstone: Option<Tombstone>,
}

/// Revokes a key for good: its record says so, and a tombstone keeps its id and its hashes from ever being accepted
/// again. One that is revoked already stays as it is, and gets the tombstone where that is missing.
///
/// # Errors
///
/// See [`EditError`]; no file has been changed then.
pub fn revoke(
    place: &Place,
    which: &str,
    reason: Option<&str>,
    scope: &mut Scope,
    now_unix: i64,
) -> Result<Changed, EditError> {
    let record = Record::open(place, which, scope, now_unix)?;
    let key = record.key();
    let past = |since: Option<i64>| since.filter(|since| *since <= now_unix);
    let (since, reason) = match past(key.revoked_at) {
        Some(since) => (since, key.revoked_reason.as_deref()),
        None => (now_unix, reason),
    };
    let is_said = past(key.revoked_at).is_some();
    let tombstone = (!record.is_buried(now_unix)).then(|| key.tombstone(since, reason));
    if is_said && tombstone.is_none() {
        return Ok(record.unchanged());
    }
    let located = record.locate()?;
    let mut patch = Patch::new(record.text(), &located);
    if !is_said {
        patch.set("revoked_at", Setting::Time(now_unix));
        if let Some(reason) = reason {
            patch.set("revoked_reason", Setting::Text(reason.to_owned()));
        }
    }
    let mut text = patch.apply();
    if let Some(tombstone) = &tombstone {
        record.bury(
            &mut text,
            tombstone,
            key.secrets.iter().map(|secret| &secret.hash),
            scope,
        );
    }
    record.commit(text, tombstone, scope, now_unix)
}

/// Turns a key off until it is turned on again.
///
/// # Errors
///
/// See [`EditError`]; no file has been changed then.
pub fn disable(place: &Place, which: &str, scope: &mut Scope, now_unix: i64) -> Result<Changed, EditError> {
    let record = Record::open(place, which, scope, now_unix)?;
    if !record.key().active {
        return Ok(record.unchanged());
    }
    let located = record.locate()?;
    let mut patch = Patch::new(record.text(), &located);
    patch.set("active", Setting::Switch(false));
    let text = patch.apply();
    record.commit(text, None, scope, now_unix)
}

/// Turns a key on again that was turned off.
///
/// # Errors
///
/// See [`EditError`]; no file has been changed then. One that is revoked stays off for good.
pub fn enable(place: &Place, which: &str, scope: &mut Scope, now_unix: i64) -> Result<Changed, EditError> {
    let record = Record::open(place, which, scope, now_unix)?;
    if record.before.state == KeyState::Revoked {
        return Err(EditError::Revoked {
            id: record.before.id.clone(),
        });
    }
    if record.key().active {
        return Ok(record.unchanged());
    }
    let located = record.locate()?;
    let mut patch = Patch::new(record.text(), &located);
    patch.remove("active");
    let text = patch.apply();
    record.commit(text, None, scope, now_unix)
}

/// A key's record, in a set that is locked.
pub(super) struct Record {
    set: Locked,
    position: usize,
    /// The key as it was.
    pub(super) before: View,
}

impl Record {
    pub(super) fn open(place: &Place, which: &str, scope: &mut Scope, now_unix: i64) -> Result<Self, EditError> {
        let (set, position) = set::lock_record(place, which, scope)?;
        let records = &set.records;
        let before = View::of(&records.keys[position], records, scope, &Dead::of(records), now_unix);
        Ok(Self { set, position, before })
    }

    pub(super) fn key(&self) -> &Key {
        self.set.key(self.position)
    }

    /// The text of its file.
    pub(super) fn text(&self) -> &str {
        &self.set.file().text
    }

    pub(super) fn dead(&self) -> Dead<'_> {
        Dead::of(&self.set.records)
    }

    pub(super) fn locate(&self) -> Result<Located, EditError> {
        let file = self.set.file();
        locate(file, &self.key().id).ok_or_else(|| EditError::Restless(file.path.clone()))
    }

    /// Whether tombstones name the key and each of its hashes.
    fn is_buried(&self, now_unix: i64) -> bool {
        let dead = self.dead();
        let past = |since: Option<i64>| since.is_some_and(|since| since <= now_unix);
        let key = self.key();
        past(dead.key_since(&key.id)) && key.secrets.iter().all(|secret| past(dead.hash_since(&secret.hash)))
    }

    /// Puts a tombstone behind the text of the file.
    pub(super) fn bury<'h>(
        &self,
        text: &mut String,
        tombstone: &Tombstone,
        hashes: impl Iterator<Item = &'h crate::config::records::Hash>,
        scope: &Scope,
    ) {
        let notation = Notation::of(&self.set.file().path);
        let hashes: Vec<String> = hashes.map(|hash| hash.dead_text(&scope.peppers)).collect();
        render::append(text, notation, &[render::tombstone(notation, tombstone, &hashes)]);
    }

    pub(super) fn unchanged(self) -> Changed {
        Changed {
            file: self.set.target().to_owned(),
            after: self.before.clone(),
            before: self.before,
            written: false,
            tombstone: None,
        }
    }

    pub(super) fn commit(
        self,
        text: String,
        tombstone: Option<Tombstone>,
        scope: &mut Scope,
        now_unix: i64,
    ) -> Result<Changed, EditError> {
        let Written { file, records, .. } = self.set.commit(text, scope)?;
        let key = records.keys.iter().find(|key| key.id == self.before.id);
        let dead = Dead::of(&records);
        let after = key.map_or_else(
            || self.before.clone(),
            |key| View::of(key, &records, scope, &dead, now_unix),
        );
        Ok(Changed {
            file,
            before: self.before,
            after,
            written: true,
            tombstone,
        })
    }
}
