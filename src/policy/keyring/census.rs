//! How many keys are in which state: for people, and counted from what the keyring holds, since records are gone by then.

use super::{KeyIndex, Keyring, Moment, Organization};
use crate::config::records::KeyState;
use crate::policy::revocations::Revocations;

impl Keyring {
    /// How many keys are in each state at `now` (Unix seconds), in the order of [`KeyState::ALL`]: as
    /// [`crate::config::records::Key::state`] says of each, and what is revoked for good besides.
    #[must_use]
    pub fn count_by_state(&self, revocations: &Revocations, now: i64) -> [(KeyState, usize); 5] {
        let ends = self.secrets(revocations, now).ends;
        let mut counts = KeyState::ALL.map(|state| (state, 0));
        for (index, (row, end)) in (0..).zip(self.rows.iter().zip(ends)) {
            let reached = |moment: Moment| self.moment(moment).is_some_and(|at| at <= now);
            let begun = self.moment(row.not_before).is_none_or(|at| at <= now);
            let is_dead = || {
                let since = revocations.key_since(self.key(KeyIndex(index)).id());
                end == i64::MIN || since.is_some_and(|since| since <= now)
            };
            let state = if reached(row.revoked_at) || (!revocations.is_empty() && is_dead()) {
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
