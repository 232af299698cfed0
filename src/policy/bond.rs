//! What a request that runs rests on, and whether that still holds.
//!
//! A room of its own because a decision is made once, and what it let in may run for days: a tunnel, a stream, a long upload.
//! Each new generation, and each end in time, is asked again by the same rules (`rules`), about the caller as it is
//! now. What was spent is not spent again, and what a head could only say once (its length, its path) is not judged again.
//!
//! # Security
//! The credential itself is not kept: a key is found again by its id and the fingerprint of the hash that matched, its secret
//! among those that are revoked by its digests. Headers are kept only as far as a rule looked at them when the request came: a
//! rule that looks at another header since then finds it missing, and is not met.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::caller::Caller;
use super::head::{ClientHead, Peer};
use super::keyring::Names;
use super::permissions::Permissions;
use super::permit::Trail;
use super::refusal::{Invalid, Refusal};
use super::route::Match;
use super::standing::Standing;
use super::user::token::TokenError;
use super::{Policy, rules};
use crate::config::routes::{Access, Enforcement, Route};
use crate::secret::Digest;

/// How a caller proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// With a key.
    Key {
        /// Of the hash that matched.
        fingerprint: Digest,
        /// Of what was presented: what is revoked stays so in any form of hash.
        names: Names,
        /// The environment that the key's prefix names.
        by_prefix: Option<Arc<str>>,
        /// Not any more from then on; Unix seconds.
        until: Option<i64>,
    },
    /// With a user's token.
    Token {
        /// Whose it is believed to be.
        issuer: Arc<str>,
        /// The permissions that it names.
        permissions: Arc<[String]>,
        /// Not any more from then on; Unix seconds.
        until: i64,
    },
}

/// What a running request rests on.
#[derive(Debug)]
pub struct Bond {
    proof: Proof,
    standing: Arc<Standing>,
    address: Option<IpAddr>,
    method: Method,
    uri: Uri,
    /// As far as rules look at them.
    headers: HeaderMap,
}

impl Proof {
    /// Until when it holds, as far as it can be said; Unix seconds.
    #[must_use]
    pub fn until(&self) -> Option<i64> {
        match self {
            Self::Key { until, .. } => *until,
            Self::Token { until, .. } => Some(*until),
        }
    }
}

impl Bond {
    /// Until when it holds as it was made; Unix seconds. [`Policy::holds`] may know better.
    #[must_use]
    pub fn until(&self) -> Option<i64> {
        self.proof.until()
    }

    /// Moves what came from the wire, and may hold on to a whole buffer, into memory of its own.
    pub fn compact(&mut self) {
        if let Ok(uri) = self.uri.to_string().parse() {
            self.uri = uri;
        }
        for value in self.headers.values_mut() {
            if let Ok(own) = HeaderValue::from_bytes(value.as_bytes()) {
                *value = own;
            }
        }
    }
}

impl Policy {
    /// Those of a request's headers that a bond keeps.
    #[must_use]
    pub fn relied_on(&self, headers: &HeaderMap) -> HeaderMap {
        let mut kept = HeaderMap::new();
        for name in &self.relied_on {
            for value in headers.get_all(name) {
                kept.append(name, value.clone());
            }
        }
        kept
    }

    /// What a request that was let in rests on: nothing that could end, where nobody proved who they are. `headers` are
    /// [`Policy::relied_on`]; of `uri`, a credential in its query is left out.
    #[must_use]
    pub fn bond(
        &self,
        trail: &Trail,
        address: Option<IpAddr>,
        method: &Method,
        uri: &Uri,
        headers: HeaderMap,
    ) -> Option<Bond> {
        Some(Bond {
            proof: trail.proof.clone()?,
            standing: Arc::clone(trail.standing.as_ref()?),
            address,
            method: method.clone(),
            uri: Uri::from(self.law.target(uri)),
            headers,
        })
    }

    /// Whether a running request may go on at `now` (Unix seconds), and until when, as far as it can be said.
    ///
    /// # Errors
    /// Why it may not.
    pub fn holds(&self, bond: &Bond, now: i64) -> Result<Option<i64>, Refusal> {
        let route = match self.routes.find(&bond.method, bond.uri.path()) {
            Match::Matched(index) => &self.config.routes[usize::from(index.0)],
            Match::None => &self.config.unmatched,
            Match::MethodNotRouted | Match::Ambiguous => return Err(Refusal::RouteUnknown),
        };
        match (route.enforcement, route.access) {
            // Whoever it is may go on, unless that changes.
            (Enforcement::Off | Enforcement::Observe, _) | (_, Access::Public) => Ok(None),
            (Enforcement::Enforce, Access::Deny) => Err(Refusal::RouteUnknown),
            (Enforcement::Enforce, Access::Key | Access::User | Access::KeyOrUser) => match &bond.proof {
                Proof::Key {
                    fingerprint,
                    names,
                    by_prefix,
                    until: _,
                } => self.holds_key(bond, route, (fingerprint, names), by_prefix.as_deref(), now),
                Proof::Token {
                    issuer,
                    permissions,
                    until,
                } => self.holds_user(bond, route, (issuer, permissions), *until, now),
            },
        }
    }

    fn holds_key(
        &self,
        bond: &Bond,
        route: &Route,
        (fingerprint, names): (&Digest, &[Digest]),
        by_prefix: Option<&str>,
        now: i64,
    ) -> Result<Option<i64>, Refusal> {
        if route.access == Access::User {
            return Err(Refusal::CredentialInvalid(Invalid::NotAUser));
        }
        let (keyring, revocations) = (&self.keyring, &*self.revocations);
        let before = &bond.standing.caller;
        let found = keyring.refind(&before.id, fingerprint);
        let found = found.ok_or(Refusal::CredentialInvalid(Invalid::Unknown))?;
        let state = keyring.admits(found, names, revocations, now);
        state.map_err(Refusal::CredentialInvalid)?;
        let record = keyring.key(found.key);
        if !record.grant().allows_source(bond.address) {
            return Err(Refusal::SourceDenied);
        }
        let by_prefix = by_prefix.and_then(|name| self.environment_named(name));
        if let (Some(recorded), Some(named)) = (record.environment(), by_prefix)
            && recorded != named
        {
            return Err(Refusal::EnvironmentDenied("prefix"));
        }
        // The upstream has been told whose it is.
        if *record.organization().id != *before.organization {
            return Err(Refusal::TenantDenied);
        }
        let standing = self.standing(found.key, by_prefix);
        self.still_meets(bond, route, &standing.caller, &standing.caller.permissions)?;
        Ok(keyring.ends_at(found, names, revocations))
    }

    fn holds_user(
        &self,
        bond: &Bond,
        route: &Route,
        (issuer, permissions): (&str, &[String]),
        until: i64,
        now: i64,
    ) -> Result<Option<i64>, Refusal> {
        if route.access == Access::Key {
            return Err(Refusal::CredentialMissing);
        }
        if now >= until {
            return Err(Refusal::CredentialInvalid(Invalid::Token(TokenError::Expired)));
        }
        let refused = |error| Refusal::CredentialInvalid(Invalid::Token(error));
        let users = self.users.as_ref();
        let (users, rules) = users
            .and_then(|users| Some((users, users.verified()?)))
            .ok_or(refused(TokenError::KeysMissing))?;
        if *rules.issuer != *issuer {
            return Err(refused(TokenError::Issuer));
        }
        // What its token says has not changed; what that means may have.
        let permissions = self.permissions_of_user(users, permissions);
        self.still_meets(bond, route, &bond.standing.caller, &permissions)?;
        Ok(Some(until))
    }

    /// Whether a caller still meets what the route demands of callers.
    fn still_meets(
        &self,
        bond: &Bond,
        route: &Route,
        caller: &Caller,
        permissions: &Permissions,
    ) -> Result<(), Refusal> {
        let peer = Peer::new(None, false);
        let head = ClientHead {
            method: &bond.method,
            uri: &bond.uri,
            version: Version::HTTP_11,
            headers: &bond.headers,
            peer: &peer,
        };
        rules::environment(route, caller)?;
        rules::permission(route, permissions)?;
        rules::subscription(route, caller, &head, &self.routes)?;
        rules::tenant(route, caller, &head, &self.routes)
    }
}
