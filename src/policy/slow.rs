//! Questions that a decision cannot answer at once: whether a presented key matches a slow hash, and whether the issuer of
//! users' tokens has new keys.

use std::fmt;

use zeroize::Zeroizing;

use super::keyring::Found;
use crate::secret::Digest;

/// Which records a presented key could belong to, and the key itself, to be asked on a blocking thread.
pub struct SlowCheck {
    /// Which compiled keys are meant; a verdict is worth nothing for others.
    pub compiled: u64,
    /// What stands for the key in caches.
    pub digest: Digest,
    /// Seconds to wait when this source has no bad keys left to present: then nothing may be computed for it, and only a
    /// verdict that is known already counts.
    pub exhausted: Option<u64>,
    pub(super) presented: Zeroizing<Vec<u8>>,
    pub(super) candidates: Vec<(Found, String)>,
}

/// What a question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Which record the key belongs to, if any.
    Record(Option<Found>),
    /// The issuer has been asked for its keys, or may not be asked so soon: what is there now counts.
    KeysAsked,
}

impl SlowCheck {
    /// Asks `matches(phc, key)` for one candidate after the other.
    #[must_use]
    pub fn run(&self, mut matches: impl FnMut(&str, &[u8]) -> bool) -> Verdict {
        let found = self.candidates.iter().find(|(_, phc)| matches(phc, &self.presented));
        Verdict::Record(found.map(|(found, _)| *found))
    }
}

impl fmt::Debug for SlowCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowCheck")
            .field("candidates", &self.candidates.len())
            .finish_non_exhaustive()
    }
}
