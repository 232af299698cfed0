//! What only shows when all records are together: duplicates, and references from keys to organizations.
//!
//! A room of its own because records come one at a time, from several files and in any order: a key may stand before
//! its organization. What must be remembered until the end is kept small (a [`Mark`], not a parsed value).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::record::{KeyDraft, OrganizationDraft};
use super::{Hash, Key, Records, SHARED_LEAD_MAX, Tombstone};
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
}

#[derive(Default)]
struct Warnings {
    given: usize,
    withheld: usize,
}

impl<'s> Gathering<'s> {
    /// Nothing yet. `sources` are the files that records will come from.
    pub(super) fn new(sources: &'s [Source<'s>], report: &'s Report, key_limit: usize) -> Self {
        Self {
            sources,
            report,
            key_limit,
            records: Records::default(),
            organizations: HashMap::new(),
            keys: HashMap::new(),
            hashes: HashMap::new(),
            leads: BTreeMap::new(),
            orphans: Vec::new(),
            plaintext: Warnings::default(),
            ends_soon: Warnings::default(),
            broad: Warnings::default(),
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
        let index = u32::try_from(self.records.organizations.len()).expect("files hold fewer than 2^32 records");
        if let Some((id, item)) = draft.id {
            match self.organizations.entry(id.to_owned()) {
                Entry::Vacant(entry) => {
                    entry.insert((index, mark(source, &item)));
                }
                Entry::Occupied(entry) => {
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
            self.records.organizations.push(organization);
        }
    }

    /// Adds a tombstone. One that says the same as another is none too many.
    pub(super) fn add_tombstone(&mut self, tombstone: Option<Tombstone>) {
        self.records.tombstones.extend(tombstone);
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
                    if let Hash::Slow { lead, .. } = hash {
                        let count = self.leads.get(lead).map_or(0, |(count, _, _)| *count);
                        let last = (count + 1, mark(source, item), item.place().path());
                        self.leads.insert(lead.clone(), last);
                    }
                }
                Entry::Occupied(entry) => {
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
            self.records.keys.push(Key { organization, ..key });
        }
    }

    /// All records, every reference resolved; what cannot be is reported.
    pub(super) fn finish(mut self) -> Records {
        // An organization that seems to be missing may only have been misread.
        let readable = !self.sources.iter().any(Source::has_syntax_errors);
        let mut known: Option<Vec<String>> = None;
        for (index, id, mark, path) in std::mem::take(&mut self.orphans) {
            match (self.organizations.get(&id), self.records.keys.get_mut(index)) {
                (Some((organization, _)), Some(key)) => key.organization = *organization,
                (Some(_), None) => {}
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
        self.refuse_crowded_leads();
        self.summarise(&self.plaintext, "keys stand in plain text");
        self.summarise(&self.ends_soon, "keys end within 14 days");
        self.summarise(&self.broad, "keys are good for more than is advised");
        for source in self.sources {
            let file = source.file().to_owned();
            if source.text().is_empty() {
                self.records.empty.push(file.clone());
            }
            self.records.files.push(file);
        }
        self.records
    }

    /// Reports leads that a presented key shares with more slow hashes than are tried.
    fn refuse_crowded_leads(&self) {
        for (lead, (_, mark, path)) in &self.leads {
            let candidates: usize = (1..=lead.len())
                .filter_map(|length| self.leads.get(&lead[..length]))
                .map(|(count, _, _)| count)
                .sum();
            if candidates > SHARED_LEAD_MAX {
                self.report.push(self.sources[mark.source].problem(
                    Severity::Error,
                    mark.span,
                    path.clone(),
                    format!("is one of {candidates} slow hashes that a key beginning with {lead} could have"),
                    format!("give these keys longer leads: at most {SHARED_LEAD_MAX} are tried, since each is slow"),
                ));
            }
        }
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
            item.warning(
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

    fn summarise(&self, warnings: &Warnings, what: &str) {
        if let (Some(source), 1..) = (self.sources.first(), warnings.withheld) {
            self.report.push(Problem::of_file(
                Severity::Warning,
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
