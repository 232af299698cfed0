//! Who calls: from the credential in a head to a valid key, or to a refusal.
//!
//! A room of its own because this is the part of the decision in which secrets are at hand, and the only one that spends from
//! a source's bucket of bad credentials.

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::Policy;
use super::credential::{self, Extraction, Taken};
use super::decide::End;
use super::forwarded::Client;
use super::head::ClientHead;
use super::keyring::Found;
use super::permit::Trail;
use super::refusal::{Invalid, Refusal};
use super::slow::{SlowCheck, Verdict};
use crate::clock::Now;
use crate::secret::{Presented, generated};

/// Who asks, and with what.
pub(super) struct Asking<'a> {
    pub(super) head: &'a ClientHead<'a>,
    /// What an earlier question was answered.
    pub(super) verdict: Option<Verdict>,
    pub(super) client: &'a Client,
    pub(super) now: Now,
}

impl Policy {
    /// `access = "key"`: from the credential to a valid key in the trail.
    pub(super) fn authenticate_key(&self, asking: &Asking<'_>, trail: &mut Trail) -> Result<Taken, End> {
        let (key, taken) = self
            .credential(asking.head)
            .map_err(|refusal| self.bad_key(refusal, asking.client.address, asking.now))?;
        self.identify(&key, asking, trail)?;
        Ok(taken)
    }

    /// From a key to the standing of a valid one in the trail.
    pub(super) fn identify(&self, key: &Presented<'_>, asking: &Asking<'_>, trail: &mut Trail) -> Result<(), End> {
        let &Asking { client, now, .. } = asking;
        let by_prefix = self.prefixes.environment_of(key);
        let checksummed = by_prefix.is_some_and(|id| self.checksummed(id));
        let found = match self.look_up(key, checksummed, asking) {
            Ok(found) => found,
            Err(End::No(refusal)) => return Err(self.bad_key(refusal, client.address, now).into()),
            Err(other @ (End::Ask(_) | End::AskKeys | End::Failed(_))) => return Err(other),
        };
        if let Err(invalid) = self.keyring.state(found, now.unix) {
            trail.dead = Some(self.standing(found.key, by_prefix));
            return Err(self
                .bad_key(Refusal::CredentialInvalid(invalid), client.address, now)
                .into());
        }
        trail.standing = Some(self.standing(found.key, by_prefix));
        let record = self.keyring.key(found.key);
        if !record.grant().allows_source(client.address) {
            return Err(Refusal::SourceDenied.into());
        }
        match (record.environment(), by_prefix) {
            (Some(recorded), Some(named)) if recorded != named => Err(Refusal::EnvironmentDenied.into()),
            (Some(_) | None, _) => Ok(()),
        }
    }

    pub(super) fn credential<'a>(&self, head: &ClientHead<'a>) -> Result<(Presented<'a>, Taken), Refusal> {
        let is_foreign = |source: usize, value: &Presented<'_>| !self.config.may_be_key(source, value);
        match credential::extract(&self.config.credentials, head, self.config.limits.key_bytes, is_foreign) {
            Extraction::Missing => Err(Refusal::CredentialMissing),
            Extraction::Malformed(reason) | Extraction::Foreign(reason) => Err(Refusal::CredentialMalformed(reason)),
            Extraction::Conflict => Err(Refusal::CredentialConflict),
            Extraction::Found { key, taken } => Ok((key, taken)),
        }
    }

    fn look_up(&self, key: &Presented<'_>, checksummed: bool, asking: &Asking<'_>) -> Result<Found, End> {
        if checksummed && !generated::checksum_ok(key.expose()) {
            return Err(Refusal::CredentialInvalid(Invalid::Checksum).into());
        }
        if let Some(found) = self.keyring.find(key) {
            return Ok(found);
        }
        let unknown = End::No(Refusal::CredentialInvalid(Invalid::Unknown));
        if let Some(Verdict::Record(found)) = asking.verdict {
            return found.ok_or(unknown);
        }
        let candidates: Vec<_> = self
            .keyring
            .slow_candidates(key)
            .iter()
            .map(|candidate| (candidate.found, candidate.phc.to_owned()))
            .collect();
        if candidates.is_empty() {
            return Err(unknown);
        }
        Err(End::Ask(SlowCheck {
            generation: self.generation,
            digest: key.digest(),
            exhausted: self.exhausted_for(asking),
            presented: Zeroizing::new(key.expose().to_vec()),
            candidates,
        }))
    }

    fn checksummed(&self, environment: crate::config::environments::EnvironmentId) -> bool {
        self.config.environments[usize::from(environment.0)].checksum
    }

    /// A bad key spends from its source's bucket; once that is empty, it is told so. Sending none is not presenting a bad
    /// one.
    pub(super) fn bad_key(&self, refusal: Refusal, source: Option<IpAddr>, now: Now) -> Refusal {
        if refusal == Refusal::CredentialMissing {
            return refusal;
        }
        match self.failures.spend(source, now.monotonic) {
            Ok(()) => refusal,
            Err(wait) => Refusal::CredentialFailuresExceeded(wait),
        }
    }

    /// Seconds to wait when the source has no bad credentials left to present.
    fn exhausted_for(&self, asking: &Asking<'_>) -> Option<u64> {
        self.failures.is_empty(asking.client.address, asking.now.monotonic)
    }

    /// Whether the source has no bad credentials left to present.
    pub(super) fn is_exhausted(&self, asking: &Asking<'_>) -> bool {
        self.exhausted_for(asking).is_some()
    }

    /// Where no key is needed, one that a record has must not reach the upstream either (or that may have one: nobody computes a
    /// slow hash for that), whatever stands beside it. What only looks like a key may be the upstream's own, and stays.
    pub(super) fn live_credential(&self, head: &ClientHead<'_>) -> Taken {
        let sources = &self.config.credentials;
        let mut taken = Taken::default();
        for (index, source) in sources.iter().enumerate() {
            if credential::values(source, sources, head)
                .iter()
                .any(|value| self.is_live(value))
            {
                taken.insert(index);
            }
        }
        taken
    }

    fn is_live(&self, value: &Presented<'_>) -> bool {
        let length = value.expose().len();
        (1..=self.config.limits.key_bytes).contains(&length)
            && (self.keyring.find(value).is_some() || !self.keyring.slow_candidates(value).is_empty())
    }
}
