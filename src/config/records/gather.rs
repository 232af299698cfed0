//! What only shows when all records are together: duplicates, and references from keys to organizations.
//!
//! A room of its own because records come one at a time, from several files and in any order: a key may stand before
//! its organization. What must be remembered until the end is kept small (a [`Mark`], not a parsed value).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::graves::Graves;
use super::record::{KeyDraft, OrganizationDraft, TombstoneDraft};
use super::{Hash, Key, KeyState, Origin, Records, SHARED_LEAD_MAX, Scope};
use crate::config::document::{Source, Span};
use crate::config::problem::{Problem, Report, Severity};
use crate::config::reader::{Item, list, nearest};
use crate::secret::Digest;

/// How many warnings of one kind are given one by one; the rest is counted.
const WARNINGS_MAX: usize = 10;
/// How many known names an error lists.
const LISTED_MAX: usize = 10;

/// Where something stands, for later.
#[derive(Debug, Clone, Copy)]
struct Mark {
    source: usize,
    span: Span,
}

/// What two keys may not share.
#[derive(PartialEq, Eq, Hash)]
enum Fingerprint {
    Sha256(Digest),
    Hmac(u16, Digest),
    Slow(Digest),
}

/// All records read so far.
pub(super) struct Gathering<'s> {
    sources: &'s [Source<'s>],
    report: &'s Report,
    key_limit: usize,
    /// Unix seconds.
    now: i64,
    graves: Graves<Mark>,
    records: Records,
    organizations: HashMap<String, (u32, Mark)>,
    keys: HashMap<String, Mark>,
    hashes: HashMap<Fingerprint, Mark>,
    /// How many slow hashes have this lead, and the last of them.
    leads: BTreeMap<String, (usize, Mark, String)>,
    /// Keys whose organization has not been seen: index, organization, place, key path.
    orphans: Vec<(usize, String, Mark, String)>,
    plaintext: Warnings,
    ends_soon: Warnings,
    broad: Warnings,
    /// Whether something is wrong with a record that was taken over unread, so that nobody can say where it stands.
    torn: bool,
}

#[derive(Default)]
struct Warnings {
    given: usize,
    withheld: usize,
}

impl<'s> Gathering<'s> {
    /// Nothing yet. `sources` are the files that records will come from.
    pub(super) fn new(sources: &'s [Source<'s>], report: &'s Report, scope: &Scope) -> Self {
        Self {
            sources,
            report,
            key_limit: scope.key_limit,
            now: scope.now_unix,
            graves: Graves::default(),
            records: Records::default(),
            organizations: HashMap::new(),
            keys: HashMap::new(),
            hashes: HashMap::new(),
            leads: BTreeMap::new(),
            orphans: Vec::new(),
            plaintext: Warnings::default(),
            ends_soon: Warnings::default(),
            broad: Warnings::default(),
            torn: false,
        }
    }

    /// What is added from now on is from the next file.
    pub(super) fn begin(&mut self, source: usize) {
        let text = self.sources[source].text();
        let (organizations, keys) = (self.records.organizations.len(), self.records.keys.len());
        let tombstones = self.records.tombstones.len();
        self.records.files.push(Origin {
            path: self.sources[source].file().to_owned(),
            digest: Digest::of(text.as_bytes()),
            empty: text.is_empty(),
            organizations: organizations..organizations,
            keys: keys..keys,
            tombstones: tombstones..tombstones,
        });
    }

    /// That was the last of its records.
    pub(super) fn end(&mut self) {
        if let Some(file) = self.records.files.last_mut() {
            file.organizations.end = self.records.organizations.len();
            file.keys.end = self.records.keys.len();
            file.tombstones.end = self.records.tombstones.len();
        }
    }

    /// Adds all records of a file that holds what it held when `known` was read. What they clash with is not told well:
    /// `torn` says so, and all files are read again then.
    pub(super) fn add_known(&mut self, source: usize, known: &Records, origin: &Origin) {
        let mark = Mark {
            source,
            span: Span::default(),
        };
        if let Some(file) = self.records.files.last_mut() {
            (file.digest, file.empty) = (origin.digest, origin.empty);
        }
        let tombstones = known.tombstones.get(origin.tombstones.clone()).unwrap_or_default();
        self.records.tombstones.extend_from_slice(tombstones);
        for organization in known
            .organizations
            .get(origin.organizations.clone())
            .unwrap_or_default()
        {
            let index = position(self.records.organizations.len());
            let twice = self.organizations.insert(organization.id.clone(), (index, mark));
            self.torn |= twice.is_some();
            self.records.organizations.push(Arc::clone(organization));
        }
        for key in known.keys.get(origin.keys.clone()).unwrap_or_default() {
            if !self.has_room(source) {
                return;
            }
            self.torn |= self.keys.insert(key.id.clone(), mark).is_some();
            for secret in &key.secrets {
                let twice = self.hashes.insert(fingerprint(&secret.hash), mark);
                self.torn |= twice.is_some();
                self.count_lead(&secret.hash, mark, String::new);
            }
            let owner = &known.organizations[key.organization as usize].id;
            let organization = self.organizations.get(owner).map(|(index, _)| *index);
            if organization.is_none() {
                let index = self.records.keys.len();
                self.orphans.push((index, owner.clone(), mark, String::new()));
            }
            let mut key = Arc::clone(key);
            if let Some(organization) = organization {
                set_organization(&mut key, organization);
            }
            self.records.keys.push(key);
        }
    }

    /// Whether there may be more keys. Reports when not, once.
    pub(super) fn has_room(&self, source: usize) -> bool {
        let room = self.records.keys.len() < self.key_limit;
        if !room {
            self.report.push(Problem::of_file(
                Severity::Error,
                self.sources[source].file(),
                format!("there are more than {} keys", self.key_limit),
                "raise keys under [limits] in the configuration, or remove keys that have ended",
            ));
        }
        room
    }

    /// Adds an organization from a source.
    pub(super) fn add_organization(&mut self, source: usize, draft: OrganizationDraft<'_>) {
        // Also when the rest of the record is wrong: keys may name it all the same.
        let index = position(self.records.organizations.len());
        if let Some((id, item)) = draft.id {
            match self.organizations.entry(id.to_owned()) {
                Entry::Vacant(entry) => {
                    entry.insert((index, mark(source, &item)));
                }
                Entry::Occupied(entry) => {
                    self.torn |= entry.get().1.is_unread();
                    let first = shown(self.sources, entry.get().1);
                    item.error(
                        format!("is the id of two organizations; the first is at {first}"),
                        "keep one of the two records, or give this one another id",
                    );
                    return;
                }
            }
        }
        if let Some(organization) = draft.organization {
            self.records.organizations.push(Arc::new(organization));
        }
    }

    /// Adds a tombstone. One that says the same as another is none too many.
    pub(super) fn add_tombstone(&mut self, source: usize, draft: TombstoneDraft<'_>) {
        let Some(tombstone) = draft.tombstone else { return };
        if tombstone.revoked_at <= self.now {
            let key = draft.key.as_ref().map(|item| mark(source, item));
            let hashes: Vec<Mark> = draft.hashes.iter().map(|item| mark(source, item)).collect();
            self.graves.add(&tombstone, key, &hashes);
        }
        self.records.tombstones.push(tombstone);
    }

    /// Adds a key from a source.
    pub(super) fn add_key(&mut self, source: usize, draft: KeyDraft<'_>) {
        self.warn(&draft);
        if let Some((id, item)) = &draft.id {
            match self.keys.entry((*id).to_owned()) {
                Entry::Vacant(entry) => {
                    entry.insert(mark(source, item));
                }
                Entry::Occupied(entry) => {
                    self.torn |= entry.get().is_unread();
                    let first = shown(self.sources, *entry.get());
                    item.error(
                        format!("is the id of two keys; the first is at {first}"),
                        "keep one of the two records, or give this one another id",
                    );
                }
            }
        }
        for (hash, item) in &draft.hashes {
            match self.hashes.entry(fingerprint(hash)) {
                Entry::Vacant(entry) => {
                    entry.insert(mark(source, item));
                    self.count_lead(hash, mark(source, item), || item.place().path());
                }
                Entry::Occupied(entry) => {
                    self.torn |= entry.get().is_unread();
                    let first = shown(self.sources, *entry.get());
                    item.error(
                        format!("stands in two places; the first is at {first}"),
                        "a key belongs to one record: remove one of the two, or make a new key",
                    );
                }
            }
        }
        let index = self.records.keys.len();
        let owner = draft.organization.and_then(|(id, item)| {
            let known = self.organizations.get(id).map(|(index, _)| *index);
            if known.is_none() {
                let mark = mark(source, &item);
                self.orphans.push((index, id.to_owned(), mark, item.place().path()));
            }
            known
        });
        if let Some(key) = draft.key {
            let organization = owner.unwrap_or_default();
            self.records.keys.push(Arc::new(Key { organization, ..key }));
        }
    }

    fn count_lead(&mut self, hash: &Hash, mark: Mark, path: impl FnOnce() -> String) {
        if let Hash::Slow { lead, .. } = hash {
            let count = self.leads.get(lead).map_or(0, |(count, _, _)| *count);
            self.leads.insert(lead.clone(), (count + 1, mark, path()));
        }
    }

    /// All records, every reference resolved; what cannot be is reported. `None` where something is wrong with a record that
    /// was taken over unread: what was reported is not all, and not well said.
    pub(super) fn finish(mut self) -> Option<Records> {
        // An organization that seems to be missing may only have been misread.
        let readable = !self.sources.iter().any(Source::has_syntax_errors);
        let mut known: Option<Vec<String>> = None;
        for (index, id, mark, path) in std::mem::take(&mut self.orphans) {
            match (self.organizations.get(&id), self.records.keys.get_mut(index)) {
                (Some((organization, _)), Some(key)) => set_organization(key, *organization),
                (Some(_), None) => {}
                (None, _) if mark.is_unread() => self.torn = true,
                (None, _) => {
                    let known = known.get_or_insert_with(|| self.organizations.keys().cloned().collect());
                    let source = &self.sources[mark.source];
                    if readable && self.report.has_room() {
                        let what = "names an organization that does not exist".to_owned();
                        let help = unknown_organization(&id, known);
                        self.report
                            .push(source.problem(Severity::Error, mark.span, path, what, help));
                    }
                }
            }
        }
        self.torn |= self.refuse_crowded_leads();
        let dead = self.warn_of_the_dead();
        self.summarise(Severity::Warning, &dead, "records are of keys that are dead for good");
        self.summarise(Severity::Warning, &self.plaintext, "keys stand in plain text");
        self.summarise(Severity::Advice, &self.ends_soon, "keys end within 14 days");
        self.summarise(Severity::Warning, &self.broad, "keys are good for more than is advised");
        (!self.torn).then_some(self.records)
    }

    /// Reports leads that a presented key shares with more slow hashes than are tried. Whether one of them was taken over
    /// unread.
    fn refuse_crowded_leads(&self) -> bool {
        let mut torn = false;
        for (lead, (_, mark, path)) in &self.leads {
            let candidates: usize = (1..=lead.len())
                .filter_map(|length| self.leads.get(&lead[..length]))
                .map(|(count, _, _)| count)
                .sum();
            if candidates > SHARED_LEAD_MAX {
                torn |= mark.is_unread();
                self.report.push(self.sources[mark.source].problem(
                    Severity::Error,
                    mark.span,
                    path.clone(),
                    format!("is one of {candidates} slow hashes that a key beginning with {lead} could have"),
                    format!("give these keys longer leads: at most {SHARED_LEAD_MAX} are tried, since each is slow"),
                ));
            }
        }
        torn
    }

    fn warn(&mut self, draft: &KeyDraft<'_>) {
        if let Some(item) = &draft.plaintext
            && self.plaintext.may_say()
        {
            item.warning(
                "holds a key in plain text",
                "write its hash instead: hash = \"sha256:…\", from `printf %s \"$KEY\" | sha256sum`",
            );
        }
        if let Some(item) = &draft.ends_soon
            && self.ends_soon.may_say()
        {
            item.advice(
                "is within 14 days",
                "make the next key with `keygate keys new` and hand it over before then",
            );
        }
        for (item, said) in &draft.broad {
            if self.broad.may_say() {
                item.warning(
                    said.as_str(),
                    "make a key for each purpose: one that leaks then opens less",
                );
            }
        }
    }

    /// Warns about records that look alive and never will be: a tombstone names them.
    fn warn_of_the_dead(&self) -> Warnings {
        let mut warnings = Warnings::default();
        if self.graves.is_empty() {
            return warnings;
        }
        for key in &self.records.keys {
            match key.state(self.now) {
                KeyState::Active | KeyState::NotYetValid | KeyState::Disabled => {}
                KeyState::Expired | KeyState::Revoked => continue,
            }
            if let Some(grave) = self.graves.of_key(&key.id) {
                let help = "remove this record, and make another key with `keygate keys new`";
                let what = "is the id of a key that is dead for good";
                self.warn_of_grave(&mut warnings, self.keys.get(&key.id), grave, what, help);
                continue;
            }
            let living = key.secrets.iter();
            let living = living.filter(|secret| secret.expires_at.is_none_or(|end| end > self.now));
            for secret in living {
                if let Some(grave) = self.graves.of_secret(&secret.hash) {
                    let help = "remove it, and give the key another secret with `keygate keys rotate`";
                    let what = "is of a secret that is dead for good";
                    let place = self.hashes.get(&fingerprint(&secret.hash));
                    self.warn_of_grave(&mut warnings, place, grave, what, help);
                }
            }
        }
        warnings
    }

    /// Says so where both places are known: what was taken over unread has been told about.
    fn warn_of_grave(&self, warnings: &mut Warnings, place: Option<&Mark>, grave: Mark, what: &str, help: &str) {
        let Some(place) = place.filter(|place| !place.is_unread()) else {
            return;
        };
        if warnings.may_say() {
            let (source, grave) = (&self.sources[place.source], shown(self.sources, grave));
            let what = format!("{what}: its tombstone is at {grave}");
            let problem = source.problem(Severity::Warning, place.span, String::new(), what, help.to_owned());
            self.report.push(problem);
        }
    }

    fn summarise(&self, severity: Severity, warnings: &Warnings, what: &str) {
        if let (Some(source), 1..) = (self.sources.first(), warnings.withheld) {
            self.report.push(Problem::of_file(
                severity,
                source.file(),
                format!("{} more {what}", warnings.withheld),
                "`keygate keys list` shows all keys",
            ));
        }
    }
}

/// `file:line:column`
fn shown(sources: &[Source<'_>], mark: Mark) -> String {
    let source = &sources[mark.source];
    let (line, column) = source.position(mark.span.start);
    format!("{}:{line}:{column}", source.file().display())
}

impl Warnings {
    fn may_say(&mut self) -> bool {
        let may = self.given < WARNINGS_MAX;
        if may {
            self.given += 1;
        } else {
            self.withheld += 1;
        }
        may
    }
}

impl Mark {
    /// Whether it marks a record that was taken over unread: what was read is never nothing.
    fn is_unread(self) -> bool {
        self.span == Span::default()
    }
}

/// A position as records keep it.
fn position(index: usize) -> u32 {
    u32::try_from(index).expect("files hold fewer than 2^32 records")
}

/// Without making another of it where nothing changes.
fn set_organization(key: &mut Arc<Key>, organization: u32) {
    if key.organization != organization {
        Arc::make_mut(key).organization = organization;
    }
}

fn mark(source: usize, item: &Item<'_>) -> Mark {
    Mark {
        source,
        span: item.place().span(),
    }
}

fn fingerprint(hash: &Hash) -> Fingerprint {
    match hash {
        Hash::Sha256(digest) => Fingerprint::Sha256(*digest),
        Hash::HmacSha256 { pepper, digest } => Fingerprint::Hmac(*pepper, *digest),
        Hash::Slow { phc, .. } => Fingerprint::Slow(Digest::of(phc.as_bytes())),
    }
}

fn unknown_organization(id: &str, known: &[String]) -> String {
    let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
    known.sort_unstable();
    match nearest(id, &known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() || known.len() > LISTED_MAX => {
            format!("add an organization with the id \"{id}\"")
        }
        None => format!("add an organization with the id \"{id}\"; known are {}", list(&known)),
    }
}
