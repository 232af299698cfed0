//! The decision on a client's request, top to bottom; the first rule that says no is the answer.
//!
//! 1. hygiene: the head is not too large, and means the same to everybody ([`super::hygiene`])
//! 2. TLS, where it is required
//! 3. route: there is one, and its access is not `deny`
//! 4. credential: present, in its form, one ([`super::credential`]); a key's or a user's, as the route says
//! 5. look-up: a record has its hash; a bad key spends from its source's bucket
//! 6. state: not revoked, not disabled, begun, not expired
//! 7. network: the client's address is one of the key's `allowed_sources`
//! 8. environment: the key's prefix and its record agree
//! 9. permission: what the route demands
//! 10. the path, read as the chosen upstream reads it
//! 11. concurrency, then rate: all windows or none
//!
//! A user's token is verified in place of 5 and 6 ([`super::user`]), and 7 and 8 are a key's alone. A public route leaves out 4
//! to 9 and 11, and so does a request whose credential the upstream judges, but for 4.

use std::sync::Arc;

use super::authenticate::Asking;
use super::forwarded::{self, Client};
use super::head::ClientHead;
use super::permit::{Permit, Trail};
use super::refusal::{Failure, Hygiene, Refusal};
use super::route::Match;
use super::slow::{SlowCheck, Verdict};
use super::{Policy, hygiene};
use crate::clock::Now;
use crate::config::ingress::RequireTls;
use crate::config::routes::{Access, Permission, Route};
use crate::config::upstreams::UpstreamId;

/// What is to be done with a request.
pub enum Decision {
    /// Let it through.
    Forward(Box<Permit>),
    /// Say no.
    Refuse(Refused),
    /// Ask this first, and decide again with the verdict.
    Verify(SlowCheck),
    /// Ask the issuer of users' tokens for its keys first, and decide again with [`Verdict::KeysAsked`].
    AskKeys,
    /// We could not decide; and what was found on the way.
    Fail(Failure, Trail),
}

/// A no, and what was found on the way to it.
#[derive(Debug)]
pub struct Refused {
    /// The no.
    pub refusal: Refusal,
    /// What was found.
    pub trail: Trail,
}

/// Why the way ended.
pub(super) enum End {
    No(Refusal),
    Ask(SlowCheck),
    AskKeys,
    Failed(Failure),
}

impl Policy {
    /// Decides on a request's head. `verdict` answers an earlier [`Decision::Verify`] for the same head and generation.
    ///
    /// A [`Decision::Forward`] has spent the caller's limits; a refusal has spent at most a place in its source's bucket of
    /// bad keys.
    #[must_use]
    pub fn decide_ingress(&self, head: &ClientHead<'_>, verdict: Option<Verdict>, now: Now) -> Decision {
        let mut trail = Trail::default();
        match self.walk(head, verdict, now, &mut trail) {
            Ok(permit) => Decision::Forward(permit),
            Err(End::No(refusal)) => {
                // Whoever has a key is told where it stands, whatever the answer; nothing is spent.
                if let (Some(standing), None) = (&trail.standing, &trail.report) {
                    trail.report = standing.account.peek(0, now.monotonic).ok();
                }
                Decision::Refuse(Refused { refusal, trail })
            }
            Err(End::Ask(check)) => Decision::Verify(check),
            Err(End::AskKeys) => Decision::AskKeys,
            Err(End::Failed(failure)) => Decision::Fail(failure, trail),
        }
    }

    fn walk(
        &self,
        head: &ClientHead<'_>,
        verdict: Option<Verdict>,
        now: Now,
        trail: &mut Trail,
    ) -> Result<Box<Permit>, End> {
        self.check_size(head)?;
        let checked = hygiene::check(head, &self.law, &self.loosest_paths)?;
        let ingress = &self.config.ingress;
        let client = forwarded::client(head, &ingress.trusted_proxies, ingress.forwarded);
        self.demand_tls(&client)?;
        let route = self.route(head, trail)?;
        let asking = Asking {
            head,
            verdict,
            client: &client,
            now,
        };
        let taken = match route.map_or(Access::Key, |route| route.access) {
            Access::Deny => return Err(Refusal::RouteUnknown.into()),
            Access::Public => self.live_credential(head),
            Access::Key => self.authenticate_key(&asking, trail)?,
            Access::User => self.authenticate_user(&asking, trail)?,
            Access::KeyOrUser => self.authenticate_either(&asking, trail)?,
        };
        if let (Some(route), Some(standing)) = (route, &trail.standing)
            && !allows(route, |permission| standing.caller.permissions.contains(permission))
        {
            return Err(Refusal::PermissionDenied.into());
        }
        let upstream = self.upstream(route, trail);
        hygiene::path_check(head.uri.path(), &self.config.upstreams[usize::from(upstream.0)].paths)?;
        let slot = match &trail.standing {
            None => None,
            Some(standing) => {
                let slot = standing.account.enter().ok_or(Refusal::ConcurrencyExceeded)?;
                let cost = route.map_or(1, |route| route.cost);
                let spent = standing.account.spend(cost, now.monotonic);
                trail.report = Some(spent.map_err(|refused| {
                    trail.report = Some(refused.report);
                    Refusal::RateLimited(refused.exceeded)
                })?);
                Some(slot)
            }
        };
        let host = checked.host(head)?;
        Ok(Box::new(Permit {
            trail: std::mem::take(trail),
            upstream,
            taken,
            forwarded: forwarded::render(head, client, &host, ingress.forwarded),
            client,
            host,
            upgrade: checked.upgrade.cloned(),
            slot,
        }))
    }

    /// The raw limits of HTTP/1.1 heads are the screen's; these hold for HTTP/2 too.
    fn check_size(&self, head: &ClientHead<'_>) -> Result<(), Hygiene> {
        let limits = &self.config.limits;
        let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
        if target > limits.target_bytes {
            Err(Hygiene::TargetTooLong)
        } else if head.headers.len() > limits.header_count {
            Err(Hygiene::HeadTooLarge)
        } else {
            Ok(())
        }
    }

    fn demand_tls(&self, client: &Client) -> Result<(), Refusal> {
        match self.config.ingress.require_tls {
            RequireTls::No => Ok(()),
            RequireTls::ExceptLoopback if client.local => Ok(()),
            RequireTls::Always | RequireTls::ExceptLoopback if client.tls => Ok(()),
            RequireTls::Always | RequireTls::ExceptLoopback => Err(Refusal::TlsRequired),
        }
    }

    /// The route's rules; `None` where the configuration has no routes at all.
    fn route(&self, head: &ClientHead<'_>, trail: &mut Trail) -> Result<Option<&Route>, Refusal> {
        match self.routes.find(head.method, head.uri.path()) {
            Match::Default => Ok(None),
            Match::MethodNotRouted | Match::None => Err(Refusal::RouteUnknown),
            Match::Ambiguous => Err(Refusal::RequestInvalid(Hygiene::AmbiguousPath)),
            Match::Matched(index) => {
                let route = &self.config.routes[usize::from(index.0)];
                trail.route = Some(Arc::clone(&route.path));
                Ok(Some(route))
            }
        }
    }

    /// The route's own upstream, else the environment's, else the default.
    fn upstream(&self, route: Option<&Route>, trail: &Trail) -> UpstreamId {
        let environment = trail.standing.as_ref().and_then(|standing| standing.caller.environment);
        route
            .and_then(|route| route.upstream)
            .or_else(|| self.config.environments[usize::from(environment?.0)].upstream)
            .unwrap_or(self.config.default_upstream)
    }
}

fn allows(route: &Route, has: impl Fn(&str) -> bool) -> bool {
    match &route.permission {
        None => true,
        Some(Permission::Any(names)) => names.iter().any(|name| has(name)),
        Some(Permission::All(names)) => names.iter().all(|name| has(name)),
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::No(refusal)
    }
}

impl From<Hygiene> for End {
    fn from(hygiene: Hygiene) -> Self {
        Self::No(Refusal::RequestInvalid(hygiene))
    }
}
