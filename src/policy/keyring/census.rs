//! How many keys are in which state: for people, and counted from what the keyring holds, since records are gone by then.

use super::{Keyring, Moment, Organization};
use crate::config::records::KeyState;

impl Keyring {
    /// How many keys are in each state at `now` (Unix seconds), in the order of [`KeyState::ALL`]: as
    /// [`crate::config::records::Key::state`] says of each.
    #[must_use]
    pub fn count_by_state(&self, now: i64) -> [(KeyState, usize); 5] {
        // A key ends with the last of its hashes, whatever its own end.
        let mut ends = vec![i64::MIN; self.rows.len()];
        let hashes = self.hashes.iter().map(|row| (row.key, row.expires_at));
        let slow = self.slow.iter().map(|row| (row.key, row.expires_at));
        for (key, expires_at) in hashes.chain(slow) {
            let end = &mut ends[key as usize];
            *end = (*end).max(self.moment(expires_at).unwrap_or(i64::MAX));
        }
        let mut counts = KeyState::ALL.map(|state| (state, 0));
        for (row, end) in self.rows.iter().zip(ends) {
            let reached = |moment: Moment| self.moment(moment).is_some_and(|at| at <= now);
            let begun = self.moment(row.not_before).is_none_or(|at| at <= now);
            let state = if reached(row.revoked_at) {
                KeyState::Revoked
            } else if !row.active {
                KeyState::Disabled
            } else if row.expires_at.min(end) <= now {
                KeyState::Expired
            } else if !begun {
                KeyState::NotYetValid
            } else {
                KeyState::Active
            };
            for (of, count) in &mut counts {
                *count += usize::from(*of == state);
            }
        }
        counts
    }

    /// All organizations, in the order of their records.
    pub fn organizations(&self) -> impl ExactSizeIterator<Item = &Organization> {
        self.organizations.iter()
    }
}
