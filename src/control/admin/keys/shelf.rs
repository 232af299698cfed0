//! The records in force, in the order in which they are listed.
//!
//! Sorting a million of them takes a while, so it is done where nobody waits, and again only when others are in force.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::config::records::{Key, Records, Scope};
use crate::control::Control;
use crate::control::admin::problem::Problem;
use crate::control::reload::InForce;

/// The last listing.
#[derive(Default)]
pub(in crate::control::admin) struct Shelf(Mutex<Option<Arc<Listing>>>);

/// All records, in a fixed order.
pub(super) struct Listing {
    in_force: InForce,
    /// Places in `records.keys`, by id.
    order: Vec<u32>,
}

impl Shelf {
    /// What is in force now.
    pub(super) async fn listing(&self, control: &Control) -> Result<Arc<Listing>, Problem> {
        // Whoever comes while it is being sorted waits for that, and sorts nothing twice.
        let mut last = self.0.lock().await;
        let in_force = control.reloads.in_force().ok_or_else(Problem::draining)?;
        if let Some(listing) = &*last
            && Arc::ptr_eq(&listing.in_force.records, &in_force.records)
            && Arc::ptr_eq(&listing.in_force.scope, &in_force.scope)
        {
            return Ok(Arc::clone(listing));
        }
        let before = last.take();
        let sorted = spawn_blocking(move || {
            // It may be the last that knows a million records.
            drop(before);
            Arc::new(Listing::sort(in_force))
        });
        let listing = sorted.await.map_err(|_| Problem::bug())?;
        *last = Some(Arc::clone(&listing));
        Ok(listing)
    }
}

impl Listing {
    fn sort(in_force: InForce) -> Self {
        let keys = &in_force.records.keys;
        let mut order: Vec<u32> = (0..u32::try_from(keys.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by(|one, other| keys[*one as usize].id.cmp(&keys[*other as usize].id));
        Self { in_force, order }
    }

    pub(super) fn records(&self) -> &Records {
        &self.in_force.records
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.in_force.scope
    }

    /// The keys whose ids come after this one, in order.
    pub(super) fn after(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        let keys = &self.records().keys;
        let start = id.map_or(0, |id| {
            self.order.partition_point(|place| *keys[*place as usize].id <= *id)
        });
        self.order[start..].iter().map(|place| &*keys[*place as usize])
    }

    /// The key with this id.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        let keys = &self.records().keys;
        let place = self.order.binary_search_by(|place| (*keys[*place as usize].id).cmp(id));
        Some(&keys[self.order[place.ok()?] as usize])
    }
}
