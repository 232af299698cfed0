//! One record: a table of any notation → a key or an organization.
//!
//! Everything about a record that can be judged without the others is judged here, field by field, each problem at its
//! own place. What an upstream will be told in headers (ids, permissions, subscriptions) is held to visible ASCII.

use super::fields::{
    ID_BYTES_MAX, LIST_MAX, free_form, label, networks, optional, read_permissions, reason_text, reference, short_list,
    visible, words,
};
use super::scope::Scope;
use super::{Hash, Hashed, Key, KeyState, Organization, Tombstone, hash};
use crate::config::environments::EnvironmentId;
use crate::config::plans::{self, PlanId};
use crate::config::quotas;
use crate::config::reader::{Item, Table};
use crate::secret::Digest;

/// A key that ends sooner than this is warned about: 14 days, in seconds.
const SOON: i64 = 14 * 86_400;

/// A key record that has been read; whether it is complete is in the report.
pub(super) struct KeyDraft<'d> {
    /// The key; `None` when something in it is wrong. Its organization is not set yet.
    pub(super) key: Option<Key>,
    /// Its id, for the search for duplicates.
    pub(super) id: Option<(&'d str, Item<'d>)>,
    /// The organization that it names.
    pub(super) organization: Option<(&'d str, Item<'d>)>,
    /// Its hashes, each with its place.
    pub(super) hashes: Vec<(Hash, Item<'d>)>,
    /// The plaintext key, where it has one.
    pub(super) plaintext: Option<Item<'d>>,
    /// Where its end stands, when that is near.
    pub(super) ends_soon: Option<Item<'d>>,
    /// Lists that are longer than advised: where they stand, and what is said about them.
    pub(super) broad: Vec<(Item<'d>, String)>,
}

/// An organization record that has been read.
pub(super) struct OrganizationDraft<'d> {
    /// The organization; `None` when something in it is wrong.
    pub(super) organization: Option<Organization>,
    /// Its id, for the search for duplicates.
    pub(super) id: Option<(&'d str, Item<'d>)>,
}

/// Reads an organization.
pub(super) fn read_organization<'d>(table: &Table<'d>, scope: &mut Scope) -> OrganizationDraft<'d> {
    let id = table.require("id", "give it a stable id: id = \"42\"");
    let name = table.get("name");
    let plan = table.get("plan");
    let quota = table.get("quota");
    let created_at = table.get("created_at");
    let metadata = table.get("metadata");

    let id = id.and_then(|item| Some((visible(&item, ID_BYTES_MAX)?, item)));
    let name = optional(name, |item| label(&item));
    let plan = optional(plan, |item| {
        reference(&item, "a plan", "plans", &mut scope.plans).map(PlanId)
    });
    let quota = optional(quota, |item| Some(quotas::read(&item, quotas::Owner::Organization)));
    let created_at = optional(created_at, |item| item.datetime());
    let metadata = optional(metadata, |item| free_form(&item));
    let organization = || {
        Some(Organization {
            id: id.as_ref()?.0.to_owned(),
            name: name?.map(str::to_owned),
            plan: plan?,
            quota: quota?,
            created_at: created_at?,
            metadata: metadata?.unwrap_or_default(),
        })
    };
    OrganizationDraft {
        organization: organization(),
        id: id.clone(),
    }
}

/// A tombstone that has been read.
pub(super) struct TombstoneDraft<'d> {
    /// The tombstone; `None` when something in it is wrong.
    pub(super) tombstone: Option<Tombstone>,
    /// Where its `key` stands.
    pub(super) key: Option<Item<'d>>,
    /// Where each of its `hashes` stands.
    pub(super) hashes: Vec<Item<'d>>,
}

/// Reads a tombstone.
pub(super) fn read_tombstone<'d>(table: &Table<'d>, scope: &mut Scope) -> TombstoneDraft<'d> {
    let key = table.get("key");
    let hashes = table.get("hashes");
    let revoked_at = table.require("revoked_at", "write since when: revoked_at = 2026-01-15T10:00:00Z");
    let reason = table.get("reason");
    if key.is_none() && hashes.is_none() {
        table.place().missing(
            "names neither a `key` nor `hashes`",
            "write the id of a key that is dead as a whole, the hashes of its secrets, or both",
        );
    }
    let mut places = Vec::new();
    let id = optional(key.clone(), |item| visible(&item, ID_BYTES_MAX).map(str::to_owned));
    let hashes = optional(hashes, |item| {
        let items = short_list(&item)?;
        places.clone_from(&items);
        let read: Vec<Digest> = items
            .iter()
            .filter_map(|item| hash::read_dead(item, &mut scope.peppers))
            .collect();
        (read.len() == items.len()).then_some(read)
    });
    let revoked_at = revoked_at.and_then(|item| item.datetime());
    let reason = optional(reason, |item| reason_text(&item));
    let tombstone = || {
        Some(Tombstone {
            key: id?,
            hashes: hashes?.unwrap_or_default(),
            revoked_at: revoked_at?,
            reason: reason?.map(str::to_owned),
        })
    };
    TombstoneDraft {
        tombstone: tombstone(),
        key,
        hashes: places,
    }
}

/// Reads a key.
pub(super) fn read_key<'d>(table: &Table<'d>, scope: &mut Scope) -> KeyDraft<'d> {
    let id = table.require("id", "give it a stable, public id: id = \"key_…\"");
    let name = table.require(
        "name",
        "say in a word or two what the key is for: name = \"backend-prod\"",
    );
    let organization = table.require("organization", "write the id of an organization: organization = \"42\"");
    let fields = SecretFields::of(table);
    let hint = table.get("hint");
    let permissions = table.get("permissions");
    let environment = table.get("environment");
    let subscriptions = table.get("subscriptions");
    let plan = table.get("plan");
    let limits = table.get("limits");
    let created_at = table.get("created_at");
    let not_before = table.get("not_before");
    let expires_at = table.get("expires_at");
    let active = table.get("active");
    let revoked_at = table.get("revoked_at");
    let revoked_reason = table.get("revoked_reason");
    let rotated_at = table.get("rotated_at");
    let allowed_sources = table.get("allowed_sources");
    let owner = table.get("owner");
    let metadata = table.get("metadata");

    let id = id.and_then(|item| Some((visible(&item, ID_BYTES_MAX)?, item)));
    let name = name.and_then(|item| label(&item));
    let organization = organization.and_then(|item| Some((visible(&item, ID_BYTES_MAX)?, item)));
    let plaintext = fields.plaintext.clone();
    let read_secrets = fields.read(table, scope);
    let hint = optional(hint, |item| label(&item));
    let mut broad = Vec::new();
    let (advised, places) = (scope.advise, (permissions.clone(), subscriptions.clone()));
    let permissions = optional(permissions, |item| read_permissions(&item, scope));
    let subscriptions = optional(subscriptions, |item| words(&item));
    broad.extend(longer_than_advised(
        places.0,
        &permissions,
        advised.permissions,
        "permissions",
    ));
    broad.extend(longer_than_advised(
        places.1,
        &subscriptions,
        advised.subscriptions,
        "subscriptions",
    ));
    let environment = optional(environment, |item| {
        reference(&item, "an environment", "environments", &mut scope.environments).map(EnvironmentId)
    });
    let plan = optional(plan, |item| {
        reference(&item, "a plan", "plans", &mut scope.plans).map(PlanId)
    });
    let limits = optional(limits, |item| Some(plans::read_limits(&item, plans::Holder::Key)));
    let created_at = optional(created_at, |item| item.datetime());
    let not_before = optional(not_before, |item| item.datetime());
    let ends = optional(expires_at.clone(), |item| item.datetime());
    let revoked_at = optional(revoked_at, |item| item.datetime());
    let revoked_reason = optional(revoked_reason, |item| reason_text(&item));
    let rotated_at = optional(rotated_at, |item| item.datetime());
    let active = optional(active, |item| item.boolean());
    let allowed_sources = optional(allowed_sources, |item| networks(&item));
    let owner = optional(owner, |item| label(&item));
    let metadata = optional(metadata, |item| free_form(&item));
    let ordered = is_after(ends.flatten(), not_before.flatten(), expires_at.as_ref());

    let secrets = read_secrets
        .as_ref()
        .map(|read| read.iter().map(|(hashed, _)| hashed.clone()).collect());
    let key = || {
        Some(Key {
            id: id.as_ref()?.0.to_owned(),
            name: name?.to_owned(),
            organization: organization.as_ref().map(|_| 0)?,
            secrets: secrets?,
            hint: hint?.map(str::to_owned),
            permissions: permissions?.unwrap_or_default(),
            environment: environment?,
            plan: plan?,
            limits: limits?,
            created_at: created_at?,
            not_before: not_before?,
            expires_at: ends.filter(|_| ordered)?,
            revoked_at: revoked_at?,
            revoked_reason: revoked_reason?.map(str::to_owned),
            rotated_at: rotated_at?,
            active: active?.unwrap_or(true),
            allowed_sources: allowed_sources?.unwrap_or_default(),
            owner: owner?.map(str::to_owned),
            subscriptions: subscriptions?.unwrap_or_default(),
            metadata: metadata?.unwrap_or_default(),
        })
    };
    let key = key();
    let ends_soon = key.as_ref().filter(|key| {
        let near = key
            .expires_at
            .is_some_and(|end| end <= scope.now_unix.saturating_add(SOON));
        near && key.state(scope.now_unix) == KeyState::Active
    });
    KeyDraft {
        ends_soon: ends_soon.and(expires_at),
        id: id.clone(),
        organization: organization.clone(),
        hashes: read_secrets
            .unwrap_or_default()
            .into_iter()
            .map(|(hashed, item)| (hashed.hash, item))
            .collect(),
        plaintext: plaintext.filter(|_| scope.allow_plaintext),
        broad,
        key,
    }
}

/// The fields of a key that hold what authenticates it.
struct SecretFields<'d> {
    hash: Option<Item<'d>>,
    lead: Option<Item<'d>>,
    secrets: Option<Item<'d>>,
    plaintext: Option<Item<'d>>,
}

impl<'d> SecretFields<'d> {
    fn of(table: &Table<'d>) -> Self {
        Self {
            hash: table.get("hash"),
            lead: table.get("lead"),
            secrets: table.get("secrets"),
            plaintext: table.get("key"),
        }
    }

    /// The hashes, each with its place; `None` when there is none, or something is wrong with one.
    fn read(self, table: &Table<'d>, scope: &mut Scope) -> Option<Vec<(Hashed, Item<'d>)>> {
        let given: Vec<&Item<'_>> = [&self.hash, &self.secrets, &self.plaintext]
            .into_iter()
            .flatten()
            .collect();
        let [_] = given.as_slice() else {
            match given.last() {
                None => table.place().missing("`hash` is missing", hash::FORMS),
                Some(last) => last
                    .key_place()
                    .error("stands beside another hash", "keep one of `hash`, `secrets` and `key`"),
            }
            return None;
        };
        if let (None, Some(lead)) = (&self.hash, &self.lead) {
            lead.key_place()
                .error("stands beside no `hash`", "put it beside the hash that it belongs to");
        }
        if let Some(item) = self.hash {
            let hash = hash::read(&item, self.lead.as_ref(), &mut scope.peppers)?;
            return Some(vec![(never_ending(hash), item)]);
        }
        if let Some(item) = self.plaintext {
            let hash = plaintext(&item, scope.allow_plaintext)?;
            return Some(vec![(never_ending(hash), item)]);
        }
        several(&self.secrets?, scope)
    }
}

fn never_ending(hash: Hash) -> Hashed {
    Hashed { hash, expires_at: None }
}

/// `secrets = [{ hash, lead, expires_at }, …]`
fn several<'d>(item: &Item<'d>, scope: &mut Scope) -> Option<Vec<(Hashed, Item<'d>)>> {
    let tables = item.tables()?;
    if tables.is_empty() || tables.len() > LIST_MAX {
        item.error(
            format!("holds {} hashes", tables.len()),
            format!("from 1 to {LIST_MAX}: secrets = [{{ hash = \"sha256:…\" }}]"),
        );
        return None;
    }
    let expected = item.list()?.len();
    let read: Vec<_> = tables
        .iter()
        .filter_map(|table| {
            let hash = table.require("hash", hash::FORMS);
            let lead = table.get("lead");
            let expires_at = table.get("expires_at");
            let hash = hash.and_then(|item| Some((hash::read(&item, lead.as_ref(), &mut scope.peppers)?, item)));
            let expires_at = optional(expires_at, |item| item.datetime())?;
            let (hash, item) = hash?;
            Some((Hashed { hash, expires_at }, item))
        })
        .collect();
    (read.len() == expected).then_some(read)
}

/// A plaintext key, hashed.
fn plaintext(item: &Item<'_>, allowed: bool) -> Option<Hash> {
    if !allowed {
        item.error(
            "holds a key in plain text",
            "write its hash instead: hash = \"sha256:…\", from `printf %s \"$KEY\" | sha256sum`; or set \
             allow_plaintext_keys = true under [keys] in the configuration",
        );
        return None;
    }
    let key = item.text()?;
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(Hash::Sha256(Digest::of(key.as_bytes())));
    }
    item.error(
        "holds characters that no key has",
        "keys are visible ASCII characters without spaces",
    );
    None
}

/// What is said about a list that has more entries than `most`.
fn longer_than_advised<'d>(
    item: Option<Item<'d>>,
    read: &Option<Option<Vec<String>>>,
    most: Option<usize>,
    what: &str,
) -> Option<(Item<'d>, String)> {
    let (count, most) = (read.as_ref()?.as_ref()?.len(), most?);
    let said = || format!("has {count} {what}; not more than {most} are advised ([keys.advise] {what})");
    (count > most).then(said).and_then(|said| Some((item?, said)))
}

/// Reports an end that is not after the beginning.
fn is_after(end: Option<i64>, begin: Option<i64>, place: Option<&Item<'_>>) -> bool {
    match (end, begin, place) {
        (Some(end), Some(begin), Some(place)) if end <= begin => {
            place.error(
                "is not after `not_before`",
                "the key would never be valid; write a later time",
            );
            false
        }
        _ => true,
    }
}
