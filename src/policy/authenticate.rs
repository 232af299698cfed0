//! Who calls: from the credential in a head to a valid key, or to a refusal.
//!
//! A room of its own because this is the part of the decision in which secrets are at hand, and the only one that spends from
//! a source's bucket of bad credentials.

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::bond::Proof;
use super::credential::{self, Extraction, Taken};
use super::decide::{Admitted, End, Walk};
use super::forwarded::Client;
use super::keyring::Found;
use super::permit::Passage;
use super::refusal::{Invalid, Refusal};
use super::slow::{SlowCheck, Verdict};
use super::told;
use super::trace::Rule;
use crate::config::environments::EnvironmentId;
use crate::config::routes::Route;
use crate::secret::{Presented, generated};

impl<'a> Walk<'a> {
    /// `access = "key"`: from the credential to a valid key in the trail.
    pub(super) fn authenticate_key(&mut self, route: &Route, client: &Client) -> Result<Admitted, End> {
        self.record.ask(Rule::Credential);
        match self.extract(route, |_, _| false) {
            Extraction::Found { key, taken } => self.identify(route, &key, taken, client),
            Extraction::Missing => Ok(self.exempted(client)?),
            Extraction::Malformed(reason) | Extraction::Foreign(reason) => Err(self
                .bad_key(Refusal::CredentialMalformed(reason), client.address)
                .into()),
            Extraction::Conflict => Err(self.bad_key(Refusal::CredentialConflict, client.address).into()),
        }
    }

    /// From a key to the standing of a valid one in the trail.
    pub(super) fn identify(
        &mut self,
        route: &Route,
        key: &Presented<'_>,
        mut taken: Taken,
        client: &Client,
    ) -> Result<Admitted, End> {
        self.stood(taken.indices().next());
        let by_prefix = self.policy.prefixes.environment_of(key);
        self.record.ask(Rule::LookUp);
        let found = match self.look_up(key, by_prefix, client) {
            Ok(found) => found,
            Err(End::No(refusal)) => return Err(self.bad_key(refusal, client.address).into()),
            Err(other @ (End::Ask(_) | End::AskKeys | End::Failed(_))) => return Err(other),
        };
        let standing = self.policy.standing(found.key, by_prefix);
        self.record.found(|| {
            format!(
                "key {} of organization {}",
                standing.caller.id, standing.caller.organization
            )
        });
        self.record.ask(Rule::State);
        let (keyring, revocations) = (&self.policy.keyring, &*self.policy.revocations);
        let names = keyring.names(found, key);
        let until = keyring.ends_at(found, &names, revocations);
        self.record.found(|| told::end(until, self.now.unix));
        if let Err(invalid) = keyring.admits(found, &names, revocations, self.now.unix) {
            self.trail.dead = Some(standing);
            return Err(self.bad_key(Refusal::CredentialInvalid(invalid), client.address).into());
        }
        self.trail.standing = Some(standing);
        self.trail.proof = Some(Proof::Key {
            fingerprint: keyring.fingerprint(found),
            names,
            by_prefix: by_prefix.map(|id| Arc::clone(&self.policy.environments[usize::from(id.0)])),
            until,
        });
        self.record.ask(Rule::Network);
        self.record.found(|| told::client(client));
        let record = self.policy.keyring.key(found.key);
        if !record.grant().allows_source(client.address) {
            return Err(Refusal::SourceDenied.into());
        }
        self.record.ask(Rule::Environment);
        if let (Some(recorded), Some(named)) = (record.environment(), by_prefix)
            && recorded != named
        {
            return Err(Refusal::EnvironmentDenied("prefix").into());
        }
        // A source that does not count here may hold a key of ours all the same.
        taken.join(&self.live_credentials(|source| !self.counts(route, source)));
        Ok(Admitted {
            passage: Passage::Key,
            taken,
        })
    }

    /// Nobody said who they are: some may come so for a while.
    pub(super) fn exempted(&mut self, client: &Client) -> Result<Admitted, Refusal> {
        let exemptions = &self.policy.exemptions;
        let exempt = exemptions.find(self.head, client.address, self.now.unix);
        let exempt = exempt.ok_or(Refusal::CredentialMissing)?;
        self.record.found(|| format!("none, as legacy {:?} may", exempt.name));
        Ok(Admitted {
            passage: Passage::Legacy(Arc::clone(exempt)),
            taken: self.live_credentials(|_| true),
        })
    }

    /// The source with this index is where the credential stood.
    pub(super) fn stood(&mut self, source: Option<usize>) {
        let source = source.map(|index| &self.policy.sources[index]);
        self.trail.source = source.cloned();
        self.record
            .found(|| source.map(ToString::to_string).unwrap_or_default());
    }

    /// Whether a source is looked at on this route.
    fn counts(&self, route: &Route, source: usize) -> bool {
        let credentials = &self.policy.config.credentials;
        let counting = route.credentials.as_ref().unwrap_or(&credentials.everywhere);
        counting.iter().any(|&index| usize::from(index) == source)
    }

    /// The key that the route's sources hold. What `is_others` says of a source's index and a value there, or what the
    /// source's prefixes say, is somebody else's.
    pub(super) fn extract(&self, route: &Route, is_others: impl Fn(usize, &Presented<'_>) -> bool) -> Extraction<'a> {
        let credentials = &self.policy.config.credentials;
        let counts = |source| self.counts(route, source);
        let is_foreign =
            |source, value: &Presented<'_>| !credentials.may_be_key(source, value) || is_others(source, value);
        let most = self.policy.config.limits.key_bytes;
        credential::extract(&credentials.sources, counts, self.head, most, is_foreign)
    }

    fn look_up(&self, key: &Presented<'_>, by_prefix: Option<EnvironmentId>, client: &Client) -> Result<Found, End> {
        let policy = self.policy;
        let checksummed = by_prefix.is_some_and(|id| policy.config.environments[usize::from(id.0)].checksum);
        if checksummed && !generated::checksum_ok(key.expose()) {
            return Err(Refusal::CredentialInvalid(Invalid::Checksum).into());
        }
        if let Some(found) = policy.keyring.find(key) {
            return Ok(found);
        }
        let unknown = End::No(Refusal::CredentialInvalid(Invalid::Unknown));
        if let Some(Verdict::Record(found)) = self.verdict {
            return found.ok_or(unknown);
        }
        let candidates: Vec<_> = policy
            .keyring
            .slow_candidates(key)
            .iter()
            .map(|candidate| (candidate.found, candidate.phc.to_owned()))
            .collect();
        if candidates.is_empty() {
            return Err(unknown);
        }
        Err(End::Ask(SlowCheck {
            compiled: policy.number,
            digest: key.digest(),
            exhausted: self.exhausted(client.address),
            presented: Zeroizing::new(key.expose().to_vec()),
            candidates,
        }))
    }

    /// A bad key spends from its source's bucket; once that is empty, it is told so. Sending none is not presenting a bad
    /// one.
    pub(super) fn bad_key(&self, refusal: Refusal, source: Option<IpAddr>) -> Refusal {
        let exhausted = if self.spends {
            self.policy.failures.spend(source, self.now.monotonic).err()
        } else {
            self.exhausted(source)
        };
        exhausted.map_or(refusal, Refusal::CredentialFailuresExceeded)
    }

    /// Seconds to wait when the source has no bad credentials left to present.
    pub(super) fn exhausted(&self, source: Option<IpAddr>) -> Option<u64> {
        self.policy.failures.is_empty(source, self.now.monotonic)
    }

    /// Where no key is needed, one that a record has must not reach the upstream either (or that may have one: nobody
    /// computes a slow hash for this). What only looks like a key may be the upstream's own, and stays.
    pub(super) fn live_credentials(&self, of: impl Fn(usize) -> bool) -> Taken {
        let keyring = &self.policy.keyring;
        let is_live = |key: &Presented<'_>| keyring.find(key).is_some() || !keyring.slow_candidates(key).is_empty();
        credential::live(&self.policy.config.credentials.sources, of, self.head, is_live)
    }
}
