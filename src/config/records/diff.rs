//! What one set of records has that another had not: told at every reload, field by field.
//!
//! A room of its own because it is what an operator, and the audit trail, are told about a change of a file that somebody
//! else wrote. It names fields, never what stands in them. Lists are bounded, counts are not.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Key, Organization, Records, Scope, Tombstone};
use crate::config::environments::EnvironmentId;
use crate::config::plans::PlanId;

/// How many ids of one kind are listed; the rest is counted.
pub const LISTED_MAX: usize = 50;

/// What is different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys.
    pub keys: Kind,
    /// Organizations.
    pub organizations: Kind,
    /// How many tombstones there are that there were not.
    pub tombstones_added: usize,
    /// How many there were that there are no more.
    pub tombstones_removed: usize,
}

/// What is different among records of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kind {
    /// How many there are that there were not.
    pub added: usize,
    /// How many there were that there are no more.
    pub removed: usize,
    /// How many are not what they were.
    pub changed: usize,
    /// The ids of the first [`LISTED_MAX`] of those added, in the order of the files.
    pub added_ids: Vec<String>,
    /// Of those removed.
    pub removed_ids: Vec<String>,
    /// Of those changed.
    pub changed_ids: Vec<Changed>,
}

/// A record that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its id.
    pub id: String,
    /// The options that are different, by name.
    pub fields: Vec<&'static str>,
}

impl Changes {
    /// What `after` has that `before` had not, and the other way round.
    #[must_use]
    pub fn between(before: &Records, after: &Records) -> Self {
        let (keys_before, keys_after) = (Side::of(before), Side::of(after));
        let (tombstones_added, tombstones_removed) = tombstones(&before.tombstones, &after.tombstones);
        Self {
            keys: Kind::between(
                before.keys.iter().map(|key| (key.id.as_str(), &**key)),
                after.keys.iter().map(|key| (key.id.as_str(), &**key)),
                |one, other| key_fields((one, &keys_before), (other, &keys_after)),
            ),
            organizations: Kind::between(
                before.organizations.iter().map(|it| (it.id.as_str(), &**it)),
                after.organizations.iter().map(|it| (it.id.as_str(), &**it)),
                |one, other| organization_fields((one, &keys_before), (other, &keys_after)),
            ),
            tombstones_added,
            tombstones_removed,
        }
    }

    /// Whether the records say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Kind {
    fn between<'r, T: 'r>(
        before: impl ExactSizeIterator<Item = (&'r str, &'r T)>,
        after: impl Iterator<Item = (&'r str, &'r T)>,
        differences: impl Fn(&T, &T) -> Vec<&'static str>,
    ) -> Self {
        let mut kind = Self::default();
        // Where they stand, so that what is left can be told in order.
        let mut gone: HashMap<&str, (usize, &T)> = HashMap::with_capacity(before.len());
        gone.extend(before.enumerate().map(|(at, (id, record))| (id, (at, record))));
        for (id, record) in after {
            let Some((_, earlier)) = gone.remove(id) else {
                kind.added += 1;
                list(&mut kind.added_ids, || id.to_owned());
                continue;
            };
            let fields = differences(earlier, record);
            if !fields.is_empty() {
                kind.changed += 1;
                list(&mut kind.changed_ids, || Changed {
                    id: id.to_owned(),
                    fields,
                });
            }
        }
        kind.removed = gone.len();
        let mut gone: Vec<(usize, &str)> = gone.into_iter().map(|(id, (at, _))| (at, id)).collect();
        gone.sort_unstable();
        kind.removed_ids = gone.iter().take(LISTED_MAX).map(|(_, id)| (*id).to_owned()).collect();
        kind
    }
}

fn list<T>(listed: &mut Vec<T>, one: impl FnOnce() -> T) {
    if listed.len() < LISTED_MAX {
        listed.push(one());
    }
}

/// What the indices in a set's records stand for: the configuration may have moved them.
struct Side<'r> {
    records: &'r Records,
    scope: Option<&'r Scope>,
}

impl<'r> Side<'r> {
    fn of(records: &'r Records) -> Self {
        Self {
            records,
            scope: records.scope.as_deref(),
        }
    }

    fn organization(&self, index: u32) -> Option<&str> {
        let organization = self.records.organizations.get(index as usize);
        organization.map(|organization| organization.id.as_str())
    }

    fn plan(&self, plan: Option<PlanId>) -> Option<&str> {
        Some(self.scope?.plans.name(plan?.0))
    }

    fn environment(&self, environment: Option<EnvironmentId>) -> Option<&str> {
        Some(self.scope?.environments.name(environment?.0))
    }
}

/// The options that are different between two records of one key.
fn key_fields((before, then): (&Key, &Side<'_>), (after, now): (&Key, &Side<'_>)) -> Vec<&'static str> {
    let same_owner = then.organization(before.organization) == now.organization(after.organization);
    if std::ptr::eq(before, after) && same_owner {
        return Vec::new();
    }
    // Every field is named, so that none is forgotten.
    let Key {
        id: _,
        name,
        organization: _,
        secrets,
        hint,
        permissions,
        environment,
        plan,
        limits,
        created_at,
        not_before,
        expires_at,
        revoked_at,
        revoked_reason,
        rotated_at,
        active,
        allowed_sources,
        owner,
        subscriptions,
        metadata,
    } = before;
    different([
        ("name", *name == after.name),
        ("organization", same_owner),
        ("secrets", *secrets == after.secrets),
        ("hint", *hint == after.hint),
        ("permissions", *permissions == after.permissions),
        (
            "environment",
            then.environment(*environment) == now.environment(after.environment),
        ),
        ("plan", then.plan(*plan) == now.plan(after.plan)),
        ("limits", *limits == after.limits),
        ("created_at", *created_at == after.created_at),
        ("not_before", *not_before == after.not_before),
        ("expires_at", *expires_at == after.expires_at),
        ("revoked_at", *revoked_at == after.revoked_at),
        ("revoked_reason", *revoked_reason == after.revoked_reason),
        ("rotated_at", *rotated_at == after.rotated_at),
        ("active", *active == after.active),
        ("allowed_sources", *allowed_sources == after.allowed_sources),
        ("owner", *owner == after.owner),
        ("subscriptions", *subscriptions == after.subscriptions),
        ("metadata", *metadata == after.metadata),
    ])
}

fn organization_fields(
    (before, then): (&Organization, &Side<'_>),
    (after, now): (&Organization, &Side<'_>),
) -> Vec<&'static str> {
    if std::ptr::eq(before, after) {
        return Vec::new();
    }
    let Organization {
        id: _,
        name,
        plan,
        quota,
        created_at,
        metadata,
    } = before;
    different([
        ("name", *name == after.name),
        ("plan", then.plan(*plan) == now.plan(after.plan)),
        ("quota", *quota == after.quota),
        ("created_at", *created_at == after.created_at),
        ("metadata", *metadata == after.metadata),
    ])
}

fn different<const N: usize>(same: [(&'static str, bool); N]) -> Vec<&'static str> {
    same.into_iter()
        .filter_map(|(field, same)| (!same).then_some(field))
        .collect()
}

/// How many came, and how many went; the same one twice counts twice.
fn tombstones(before: &[Tombstone], after: &[Tombstone]) -> (usize, usize) {
    let mut counts: HashMap<_, isize> = HashMap::new();
    for tombstone in before {
        *counts.entry(said(tombstone)).or_default() -= 1;
    }
    for tombstone in after {
        *counts.entry(said(tombstone)).or_default() += 1;
    }
    let sum = |sign: isize| counts.values().map(|count| (count * sign).max(0).unsigned_abs()).sum();
    (sum(1), sum(-1))
}

fn said(tombstone: &Tombstone) -> impl Eq + Hash {
    (tombstone.key.as_deref(), &*tombstone.hashes, tombstone.revoked_at)
}
