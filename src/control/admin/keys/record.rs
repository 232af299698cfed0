//! A key as the API shows it: what its record says, and what the gate knows beyond that.

use crate::config::records::{Dead, Key, KeyState, View};
use crate::policy::revocations::Revocations;

use super::shelf::Listing;

/// What is known of keys at a moment.
pub(super) struct Lens<'a> {
    listing: &'a Listing,
    dead: Dead<'a>,
    /// What was revoked by a push, the files not knowing of it.
    revocations: &'a Revocations,
    pub(super) now: i64,
}

impl<'a> Lens<'a> {
    pub(super) fn new(listing: &'a Listing, revocations: &'a Revocations, now_unix: i64) -> Self {
        Self {
            listing,
            dead: Dead::of(listing.records()),
            revocations,
            now: now_unix,
        }
    }

    /// Whether it is good.
    pub(super) fn state(&self, key: &Key) -> KeyState {
        match self.pushed(key) {
            Some(_) => KeyState::Revoked,
            None => self.dead.state(key, self.now),
        }
    }

    pub(super) fn view(&self, key: &Key) -> View {
        let mut view = View::of(key, self.listing.records(), self.listing.scope(), &self.dead, self.now);
        if let Some(since) = self.pushed(key) {
            view.state = KeyState::Revoked;
            view.revoked_at = Some(view.revoked_at.map_or(since, |known| known.min(since)));
        }
        view
    }

    /// The key with this id.
    pub(super) fn find(&self, id: &str) -> Option<View> {
        self.listing.find(id).map(|key| self.view(key))
    }

    fn pushed(&self, key: &Key) -> Option<i64> {
        self.revocations.key_since(&key.id).filter(|since| *since <= self.now)
    }
}
