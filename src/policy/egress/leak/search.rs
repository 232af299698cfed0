//! What leaks are searched for: the keys of one generation, at one point in time.

use std::fmt;

use zeroize::Zeroizing;

use super::Leaks;
use crate::policy::keyring::{Found, Keyring};
use crate::policy::refusal::Invalid;
use crate::policy::revocations::Revocations;
use crate::secret::{Digest, Presented};

/// The shortest key without a known prefix that is looked for in bodies.
pub(super) const LENGTH_MIN: usize = 16;
/// The same, in headers.
pub(super) const HEADER_LENGTH_MIN: usize = 4;

/// The keys of one generation, at one point in time.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// What leaks are recognised by.
    pub leaks: &'a Leaks,
    /// Every key.
    pub keyring: &'a Keyring,
    /// What is revoked for good.
    pub revocations: &'a Revocations,
    /// Unix seconds.
    pub now: i64,
}

/// What a text that may be a key is.
pub(super) enum Known<'a> {
    /// A key that callers may use, now or later.
    Live(&'a str),
    /// A key that has been revoked, or has expired.
    Dead(&'a str),
    /// Maybe one of several whose slow hashes would have to confirm it.
    Suspect(Suspect),
}

/// A text that may be a key with a slow hash. It is wiped when this is dropped.
pub struct Suspect {
    text: Zeroizing<Vec<u8>>,
    /// Ids, and slow hashes.
    candidates: Vec<(Box<str>, Box<str>)>,
    pub(super) digest: Digest,
}

impl<'a> Search<'a> {
    /// What `text` is, as a whole. Slow hashes are asked for none that is shorter than a key that stands alone.
    pub(super) fn know(&self, text: &[u8]) -> Option<Known<'a>> {
        let presented = Presented::borrowed(text);
        if let Some(found) = self.keyring.find(&presented) {
            let id = self.keyring.key(found.key).id();
            let names = self.keyring.names(found, &presented);
            let state = self.keyring.admits(found, &names, self.revocations, self.now);
            return Some(if is_dead(state) {
                Known::Dead(id)
            } else {
                Known::Live(id)
            });
        }
        if text.len() < LENGTH_MIN {
            return None;
        }
        let candidates = self.keyring.slow_candidates(&presented);
        let candidates: Vec<_> = candidates
            .iter()
            .filter(|candidate| self.may_live(candidate.found))
            .map(|candidate| (self.keyring.key(candidate.found.key).id().into(), candidate.phc.into()))
            .collect();
        (!candidates.is_empty()).then(|| {
            Known::Suspect(Suspect {
                digest: presented.digest(),
                text: Zeroizing::new(text.to_vec()),
                candidates,
            })
        })
    }

    fn may_live(&self, found: Found) -> bool {
        !is_dead(self.keyring.state(found, self.revocations, self.now))
    }
}

/// Whether a key will never be used again as it is. What is disabled may be enabled; what is not valid yet becomes so.
fn is_dead(state: Result<(), Invalid>) -> bool {
    matches!(state, Err(Invalid::Revoked | Invalid::Expired))
}

impl Suspect {
    /// The id of the key that this is, asking `matches(hash, text)` for one slow hash after the other
    /// ([`crate::secret::slow::matches`]): nothing for a thread that others wait for.
    #[must_use]
    pub fn confirm(&self, mut matches: impl FnMut(&str, &[u8]) -> bool) -> Option<&str> {
        let confirmed = self.candidates.iter().find(|(_, hash)| matches(hash, &self.text));
        confirmed.map(|(id, _)| &**id)
    }
}

impl fmt::Debug for Suspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.candidates.iter().map(|(id, _)| id);
        f.debug_list().entries(ids).finish()
    }
}
