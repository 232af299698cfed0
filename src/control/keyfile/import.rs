//! Many records at once, of keys that were made elsewhere.
//!
//! Each key is judged when it comes, by the reader that the gate uses; all are written together or none. A key that is there
//! already is passed over, so that an import may be run again.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Place;
use super::error::EditError;
use super::render::{self, NewOrganization};
use super::set::{self, Locked, Written};
use crate::config::problem::{Problem, Severity};
use crate::config::records::{self, Dead, Key, Notation, Scope};
use crate::secret::Digest;

/// A key that was made elsewhere. Its texts are judged when it is added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Public and stable.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// The organization's id.
    pub organization: String,
    /// The organization's name for people, where it gets a record.
    pub organization_name: Option<String>,
    /// As records write it: `sha256:…`, `$argon2id$…`, `$2b$…`.
    pub hash: String,
    /// What a slow hash is found by.
    pub lead: Option<String>,
    /// For people.
    pub hint: Option<String>,
    /// `permissions`
    pub permissions: Vec<String>,
    /// `environment`
    pub environment: Option<String>,
    /// `subscriptions`
    pub subscriptions: Vec<String>,
    /// `plan`
    pub plan: Option<String>,
    /// Unix seconds, as all times here.
    pub created_at: Option<i64>,
    /// `not_before`
    pub not_before: Option<i64>,
    /// `expires_at`
    pub expires_at: Option<i64>,
    /// `active`
    pub active: bool,
    /// `revoked_at`
    pub revoked_at: Option<i64>,
    /// `allowed_sources`
    pub allowed_sources: Vec<String>,
    /// `owner`
    pub owner: Option<String>,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It gets a record.
    Added,
    /// A record has its hash already.
    Known,
    /// So it is, and is good here, though the export says that it is revoked.
    Outlived,
    /// A tombstone names its hash or its id: it is revoked for good.
    Dead,
}

/// What was done.
#[derive(Debug)]
pub struct Imported {
    /// The file that was written, links followed.
    pub file: PathBuf,
    /// Whether it was made, or would be.
    pub is_new: bool,
    /// How many keys are in the set now.
    pub keys: usize,
}

/// An import that is under way; it holds the lock of the file.
pub struct Import {
    set: Locked,
    text: String,
    notation: Notation,
    is_crlf: bool,
    organizations: HashSet<String>,
    known: HashSet<Digest>,
    known_ids: HashSet<String>,
    dead: HashSet<Digest>,
    dead_ids: HashSet<String>,
    /// Which line of the input a key came from.
    lines: HashMap<Digest, u64>,
    ids: HashMap<String, u64>,
    pending: Vec<String>,
}

/// So many records are put behind the text at once.
const BATCH: usize = 1_000;

impl Import {
    /// Reads the set and waits for other writers.
    ///
    /// # Errors
    ///
    /// See [`EditError`].
    pub fn begin(place: &Place, scope: &mut Scope) -> Result<Self, EditError> {
        let set = set::lock(place, scope)?;
        let records = &set.records;
        let dead = Dead::of(records);
        let dead_ids: HashSet<String> = dead.keys().map(str::to_owned).collect();
        let is_dead = |key: &&Arc<Key>| key.revoked_at.is_some() || dead_ids.contains(&key.id);
        let revoked = records.keys.iter().filter(is_dead);
        let revoked = revoked.flat_map(|key| key.secrets.iter().map(|secret| secret.hash.fingerprint()));
        Ok(Self {
            is_crlf: set.file().text.contains("\r\n"),
            text: set.file().text.clone(),
            notation: Notation::of(&set.file().path),
            organizations: records.organizations.iter().map(|one| one.id.clone()).collect(),
            known: records
                .keys
                .iter()
                .flat_map(|key| key.secrets.iter().map(|secret| secret.hash.fingerprint()))
                .collect(),
            known_ids: records.keys.iter().map(|key| key.id.clone()).collect(),
            dead: dead.hashes().chain(revoked).collect(),
            dead_ids: dead_ids.clone(),
            lines: HashMap::new(),
            ids: HashMap::new(),
            pending: Vec::new(),
            set,
        })
    }

    /// Adds a key that came from a line of the input.
    ///
    /// # Errors
    /// What is wrong with it; the file and the position of a problem mean nothing.
    pub fn add(&mut self, key: &ForeignKey, line: u64, scope: &mut Scope) -> Result<Fate, Vec<Problem>> {
        let record = render::foreign_line(key);
        let read = records::read_line(&record, scope)?;
        let fingerprints: Vec<Digest> = read.secrets.iter().map(|secret| secret.hash.fingerprint()).collect();
        for fingerprint in &fingerprints {
            match self.lines.entry(*fingerprint) {
                Entry::Vacant(free) => {
                    free.insert(line);
                }
                Entry::Occupied(first) => {
                    return Err(vec![fault(
                        "hash",
                        &format!("is the same key as in line {}", first.get()),
                    )]);
                }
            }
        }
        if fingerprints.iter().any(|fingerprint| self.known.contains(fingerprint)) {
            let is_dead = fingerprints.iter().any(|fingerprint| self.dead.contains(fingerprint));
            let is_outlived = key.revoked_at.is_some() && !is_dead;
            return Ok(if is_outlived { Fate::Outlived } else { Fate::Known });
        }
        if self.dead_ids.contains(&key.id) || fingerprints.iter().any(|fingerprint| self.dead.contains(fingerprint)) {
            return Ok(Fate::Dead);
        }
        if self.known_ids.contains(&key.id) {
            return Err(vec![fault("id", "is the id of another key in the key file")]);
        }
        match self.ids.entry(key.id.clone()) {
            Entry::Vacant(free) => {
                free.insert(line);
            }
            Entry::Occupied(first) => {
                return Err(vec![fault(
                    "id",
                    &format!("is the id of another key in line {}", first.get()),
                )]);
            }
        }
        if self.organizations.insert(key.organization.clone()) {
            let organization = NewOrganization {
                id: key.organization.clone(),
                name: key.organization_name.clone(),
            };
            self.pending.push(render::organization(self.notation, &organization));
        }
        self.pending.push(match self.notation {
            Notation::Toml => render::foreign_section(key),
            Notation::JsonLines => record + "\n",
        });
        if self.pending.len() >= BATCH {
            self.flush();
        }
        Ok(Fate::Added)
    }

    /// Writes all of it, when the whole set then loads; or, with `dry`, only finds out whether it does.
    ///
    /// # Errors
    ///
    /// See [`EditError`]; no file has been changed then.
    pub fn finish(mut self, dry: bool, scope: &mut Scope) -> Result<Imported, EditError> {
        self.flush();
        let Self { set, text, .. } = self;
        let is_more = text != set.file().text;
        let Written { file, is_new, records } = if dry || !is_more {
            set.rehearse(text, scope)?
        } else {
            set.commit(text, scope)?
        };
        Ok(Imported {
            file,
            is_new: is_new && is_more,
            keys: records.keys.len(),
        })
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let records = std::mem::take(&mut self.pending);
            render::append_lines(&mut self.text, self.notation, self.is_crlf, &records);
        }
    }
}

fn fault(path: &str, what: &str) -> Problem {
    Problem {
        path: path.to_owned(),
        ..Problem::of_file(Severity::Error, Path::new(""), what, "leave one of the two out")
    }
}
