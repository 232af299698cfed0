//! Which keys end soon, for those who tell somebody: one pass over the keyring, beside the data path.
//!
//! A room of its own because what the pass finds is asked again and again while time goes on, and answers without another
//! pass: how many keys end within a window, and which have just come into it.

use super::{KeyIndex, Keyring, Moment};
use crate::policy::revocations::Revocations;
use crate::secret::Digest;

/// Keys that were good when they were looked at, and have an end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endings {
    /// Sorted by end, in Unix seconds.
    keys: Vec<(i64, KeyIndex)>,
    /// Something else than an end changes which keys are good; Unix seconds. `i64::MAX` is never.
    pub changes_at: i64,
}

/// When each key's last secret ends.
pub(super) struct Secrets {
    /// By key: `i64::MAX` where one of them never ends, `i64::MIN` where none is left that is not revoked for good.
    pub(super) ends: Vec<i64>,
    /// The next of them is revoked.
    changes_at: i64,
}

impl Keyring {
    /// The keys that end after `from` and not after `to`, by their own end or with the last of their secrets, and that are good
    /// at `now` but for that end. All times are in Unix seconds.
    #[must_use]
    pub fn endings(&self, revocations: &Revocations, now: i64, from: i64, to: i64) -> Endings {
        let secrets = self.secrets(revocations, now);
        let mut endings = Endings {
            keys: Vec::new(),
            changes_at: secrets.changes_at,
        };
        for (index, (row, last_secret)) in (0..).map(KeyIndex).zip(self.rows.iter().zip(secrets.ends)) {
            let end = row.expires_at.min(last_secret);
            if end <= from || end > to || !row.active {
                continue;
            }
            let for_good = (!revocations.is_empty()).then(|| revocations.key_since(self.key(index).id()));
            let revoked_at = [self.moment(row.revoked_at), for_good.flatten()]
                .into_iter()
                .flatten()
                .min();
            let begins_at = self.moment(row.not_before);
            let changes = [revoked_at, begins_at].into_iter().flatten().filter(|at| *at > now);
            endings.changes_at = changes.fold(endings.changes_at, i64::min);
            if revoked_at.is_none_or(|at| at > now) && begins_at.is_none_or(|at| at <= now) {
                endings.keys.push((end, index));
            }
        }
        endings.keys.sort_unstable();
        endings
    }

    /// A key ends with the last of its secrets, whatever its own end; what is revoked for good is none any more.
    pub(super) fn secrets(&self, revocations: &Revocations, now: i64) -> Secrets {
        let mut secrets = Secrets {
            ends: vec![i64::MIN; self.rows.len()],
            changes_at: i64::MAX,
        };
        let mut add = |key: u32, expires_at: Moment, fingerprint: &dyn Fn() -> Digest| {
            let revoked_at = (!revocations.is_empty()).then(|| revocations.secret_since(&fingerprint()));
            match revoked_at.flatten() {
                Some(at) if at <= now => return,
                Some(at) => secrets.changes_at = secrets.changes_at.min(at),
                None => {}
            }
            let end = &mut secrets.ends[key as usize];
            *end = (*end).max(self.moment(expires_at).unwrap_or(i64::MAX));
        };
        for row in &self.hashes {
            add(row.key, row.expires_at, &|| row.digest);
        }
        for row in &self.slow {
            add(row.key, row.expires_at, &|| Digest::of(row.phc.as_bytes()));
        }
        secrets
    }
}

impl Endings {
    /// The keys that end after `from` and not after `to`, with their ends, in order.
    #[must_use]
    pub fn between(&self, from: i64, to: i64) -> &[(i64, KeyIndex)] {
        let position = |at| self.keys.partition_point(|(end, _)| *end <= at);
        let (begin, end) = (position(from), position(to));
        &self.keys[begin.min(end)..end]
    }

    /// The first end after this.
    #[must_use]
    pub fn after(&self, at: i64) -> Option<i64> {
        self.between(at, i64::MAX).first().map(|(end, _)| *end)
    }
}
