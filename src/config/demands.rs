//! What routes demand and what keys have: names that are spelled in both, and found in one alone.
//!
//! A room of its own because a permission is declared nowhere but by being used. None of this is an error: a route whose
//! permission no key has is closed, and a permission that no route asks for opens nothing here, though the service may
//! ask for it.

use std::collections::BTreeSet;

use super::permissions::{PermissionSet, covers};
use super::reader::{Place, nearest};
use super::records::Records;
use super::routes::{Permission, Placed, Subscription};

/// The permissions that routes ask for and sets name: what a key's are compared with.
#[must_use]
pub(super) fn catalogue(routes: &[Placed<'_>], sets: &[(PermissionSet, Place<'_>)]) -> Vec<String> {
    let demanded = routes
        .iter()
        .flat_map(|placed| demanded(placed.route.permission.as_ref()));
    let named = sets.iter().map(|(set, _)| set.name.as_str());
    let included = sets.iter().flat_map(|(set, _)| set.includes.iter().map(String::as_str));
    let all: BTreeSet<&str> = demanded.chain(named).chain(included).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// Warns about permissions and subscriptions of routes and sets that are probably misspelled.
pub(super) fn check(routes: &[Placed<'_>], sets: &[(PermissionSet, Place<'_>)], records: &Records) {
    let held: BTreeSet<&str> = records
        .keys
        .iter()
        .flat_map(|key| key.permissions.iter().map(String::as_str))
        .collect();
    out_of_reach(routes, sets, &held);
    unknown_in_sets(routes, sets);
    subscriptions(routes, records);
}

fn demanded(permission: Option<&Permission>) -> impl Iterator<Item = &str> {
    let names = match permission {
        None => &[][..],
        Some(Permission::Any(names) | Permission::All(names)) => names,
    };
    names.iter().map(String::as_str)
}

/// A route's permission that nobody has, and that is spelled much like one that somebody does.
fn out_of_reach(routes: &[Placed<'_>], sets: &[(PermissionSet, Place<'_>)], held: &BTreeSet<&str>) {
    let granted: BTreeSet<&str> = sets
        .iter()
        .flat_map(|(set, _)| set.includes.iter().chain([&set.name]).map(String::as_str))
        .chain(held.iter().copied())
        .collect();
    let words: Vec<&str> = granted.iter().copied().collect();
    for placed in routes {
        for name in demanded(placed.route.permission.as_ref()) {
            if granted.iter().any(|granted| *granted == name || covers(granted, name)) {
                continue;
            }
            if let Some(near) = nearest(name, &words) {
                let what = format!("no key has the permission {name:?}");
                placed.permission.warning(what, format!("did you mean {near:?}?"));
            }
        }
    }
}

/// What a set includes that nobody asks for, and that is no set itself.
fn unknown_in_sets(routes: &[Placed<'_>], sets: &[(PermissionSet, Place<'_>)]) {
    let demanded = routes
        .iter()
        .flat_map(|placed| demanded(placed.route.permission.as_ref()));
    let known: Vec<&str> = demanded.chain(sets.iter().map(|(set, _)| set.name.as_str())).collect();
    for (set, place) in sets {
        for name in &set.includes {
            let is_known = known.iter().any(|known| known == name || covers(name, known));
            if let (false, Some(near)) = (is_known, nearest(name, &known)) {
                place.warning(
                    format!("includes {name:?}, which no route asks for"),
                    format!("did you mean {near:?}?"),
                );
            }
        }
    }
}

/// A route's subscription that no key has.
fn subscriptions(routes: &[Placed<'_>], records: &Records) {
    let held: BTreeSet<&str> = records
        .keys
        .iter()
        .flat_map(|key| key.subscriptions.iter().map(String::as_str))
        .collect();
    let words: Vec<&str> = held.iter().copied().collect();
    for placed in routes {
        let Some(Subscription::Named(name)) = &placed.route.subscription else {
            continue;
        };
        if let (false, Some(near)) = (held.contains(name.as_str()), nearest(name, &words)) {
            let what = format!("no key has the subscription {name:?}");
            placed.subscription.warning(what, format!("did you mean {near:?}?"));
        }
    }
}
