//! Bodies that may leave.

use bytes::Bytes;

use super::Refusal;
use super::leak::{Scanner, Search, Suspect};
use crate::policy::Policy;

/// A body that holds no key that is in force, as far as anybody asks. Only a search makes one.
#[derive(Debug, Clone)]
pub struct Cleared(Bytes);

/// A body that was searched.
#[derive(Debug)]
pub enum Searched {
    /// It may leave.
    Cleared(Cleared),
    /// It may hold a key whose hash is slow: who knows, may confirm that.
    Suspected(Suspected),
}

/// A body that may hold a key.
#[derive(Debug)]
pub struct Suspected {
    body: Bytes,
    suspects: Vec<Suspect>,
}

impl Policy {
    /// Searches a body at this time (Unix seconds), where `scan_bodies` says so.
    ///
    /// # Errors
    /// [`Refusal::KeyInBody`]
    pub fn search(&self, body: Bytes, now: i64) -> Result<Searched, Refusal> {
        let Some(egress) = self.egress.as_ref().filter(|egress| egress.settings.scan_bodies) else {
            return Ok(Searched::Cleared(Cleared(body)));
        };
        let search = self.leaks_at(&egress.leaks, now);
        let mut scanner = Scanner::new(&egress.leaks);
        // It breaks off at the first, which its end tells.
        let _ = scanner.feed(&body, &search);
        let found = scanner.end(&search);
        match found.live {
            Some(key) => Err(Refusal::KeyInBody(key.into())),
            None if found.suspects.is_empty() => Ok(Searched::Cleared(Cleared(body))),
            None => Ok(Searched::Suspected(Suspected {
                body,
                suspects: found.suspects,
            })),
        }
    }

    pub(super) fn leaks_at<'p>(&'p self, leaks: &'p super::leak::Leaks, now: i64) -> Search<'p> {
        Search {
            leaks,
            keyring: &self.keyring,
            revocations: &self.revocations,
            now,
        }
    }
}

impl Suspected {
    /// Asks `matches(hash, text)` for one slow hash after the other: nothing for a thread that others wait for.
    ///
    /// # Errors
    /// [`Refusal::KeyInBody`]
    pub fn confirm(self, mut matches: impl FnMut(&str, &[u8]) -> bool) -> Result<Cleared, Refusal> {
        let confirmed = self.suspects.iter().find_map(|suspect| suspect.confirm(&mut matches));
        match confirmed {
            Some(key) => Err(Refusal::KeyInBody(key.to_owned())),
            None => Ok(Cleared(self.body)),
        }
    }
}

impl Cleared {
    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}
