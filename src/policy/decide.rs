//! The decision on a client's request, top to bottom; the first rule that says no is the answer.
//!
//! 1. hygiene: the head is not too large, and means the same to everybody ([`super::hygiene`])
//! 2. TLS, where it is required
//! 3. route: the most specific one, or what holds for requests that match none
//! 4. access: somebody may use it
//! 5. credential: present, in its form, one ([`super::credential`]), a key's or a user's ([`super::user`]), as the route says; or
//!    none, from a caller that may come without for a while ([`super::legacy`])
//! 6. look-up: a record has its hash; a bad key spends from its source's bucket
//! 7. state: not revoked, not disabled, begun, not expired
//! 8. network: the client's address is one of the key's `allowed_sources`
//! 9. environment: the key's prefix and its record agree, and the route takes it
//! 10. permission, keys that are fresh enough for it, subscription, tenant, required headers: what the route demands ([`super::rules`])
//! 11. the path, read as the chosen upstream reads it
//! 12. the body's length, where the head declares it: what is refused for it is not charged
//! 13. concurrency, then rate and quota: all windows and quotas, or none
//!
//! What leads to `whoami` has no 11 and 12, and is answered instead of forwarded.
//! A user's token is verified in place of 6 and 7, and has no network. A credential that only the upstream can judge leaves out
//! 6 to 9, all of 10 but the headers, and 13. A public route leaves out 5 to 9, all of 10 but the headers, and 13. Where a route
//! only observes, a no of 4 to 10 and 13 lets the request through, marked; it spends nothing.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;

use super::credential::Taken;
use super::forwarded::{self, Client};
use super::head::ClientHead;
use super::limits::Slot;
use super::outcome::{Answered, Decision, Outlook, Refused};
use super::permit::{self, Charge, Passage, Permit, Trail};
use super::refusal::{Failure, Hygiene, Invalid, Refusal};
use super::route::Match;
use super::slow::{SlowCheck, Verdict};
use super::standing::Standing;
use super::trace::{Record, Rule, Trace};
use super::user::token::TokenError;
use super::{Policy, hygiene, rules, told};
use crate::clock::Now;
use crate::config::ingress::RequireTls;
use crate::config::routes::{Access, Enforcement, Route, Target};
use crate::config::upstreams::UpstreamId;

/// Where a way leads that nothing ended.
enum Way {
    Through(Box<Permit>),
    Home(Box<Answered>),
}

/// Why the way ended.
pub(super) enum End {
    No(Refusal),
    Ask(SlowCheck),
    AskKeys,
    Failed(Failure),
}

/// One walk through the rules.
pub(super) struct Walk<'a> {
    pub(super) policy: &'a Policy,
    pub(super) head: &'a ClientHead<'a>,
    pub(super) verdict: Option<Verdict>,
    pub(super) now: Now,
    /// Whether limits are really spent.
    pub(super) spends: bool,
    pub(super) trail: Trail,
    pub(super) record: Record<'a>,
}

/// A caller that may go on.
pub(super) struct Admitted {
    pub(super) passage: Passage,
    pub(super) taken: Taken,
}

impl Policy {
    /// Decides on a request's head. `verdict` answers an earlier [`Decision::Verify`] for the same head and generation.
    ///
    /// A [`Decision::Forward`] has spent the caller's limits; a refusal has spent at most a place in its source's bucket of
    /// bad keys.
    #[must_use]
    pub fn decide_ingress(&self, head: &ClientHead<'_>, verdict: Option<Verdict>, now: Now) -> Decision {
        let mut walk = Walk {
            policy: self,
            head,
            verdict,
            now,
            spends: true,
            trail: Trail::default(),
            record: Record(None),
        };
        match walk.walk() {
            Ok(Way::Through(permit)) => Decision::Forward(permit),
            Ok(Way::Home(answered)) => Decision::Answer(answered),
            Err(End::No(refusal)) => Decision::Refuse(walk.refused(refusal)),
            Err(End::Ask(check)) => Decision::Verify(check),
            Err(End::AskKeys) => Decision::AskKeys,
            Err(End::Failed(failure)) => Decision::Fail(failure, walk.trail),
        }
    }

    /// What [`Policy::decide_ingress`] would decide, by the same rules, and how it came to it, which goes to `trace`. Spends
    /// nothing.
    #[must_use]
    pub fn explain(&self, head: &ClientHead<'_>, verdict: Option<Verdict>, now: Now, trace: &mut Trace) -> Outlook {
        let mut walk = Walk {
            policy: self,
            head,
            verdict,
            now,
            spends: false,
            trail: Trail::default(),
            record: Record(Some(trace)),
        };
        match walk.walk() {
            Ok(Way::Through(permit)) => Outlook::Forward {
                upstream: permit.upstream,
                identity: permit::identity(permit.identity.as_ref(), &permit.trail, self).clone(),
                trail: permit.trail,
            },
            Ok(Way::Home(answered)) => Outlook::Answer {
                answer: answered.answer,
                trail: answered.trail,
            },
            Err(End::No(refusal)) => {
                walk.record.refused(&refusal);
                Outlook::Refuse(walk.refused(refusal))
            }
            Err(End::Ask(check)) => Outlook::Verify(check),
            Err(End::AskKeys) => Outlook::AskKeys,
            Err(End::Failed(failure)) => Outlook::Fail(failure),
        }
    }
}

impl<'a> Walk<'a> {
    fn walk(&mut self) -> Result<Way, End> {
        let (policy, head) = (self.policy, self.head);
        self.record.ask(Rule::Size);
        self.check_size()?;
        self.record.ask(Rule::Hygiene);
        let checked = hygiene::check(head, &policy.law, &policy.loosest_paths)?;
        let host = checked.host(head)?;
        let ingress = &policy.config.ingress;
        self.record.ask(Rule::Client);
        let client = forwarded::client(head, &ingress.trusted_proxies, ingress.forwarded);
        self.record.found(|| told::client(&client));
        self.record.ask(Rule::Tls);
        self.demand_tls(&client)?;
        let route = self.route()?;
        let admitted = self.admit(route, &client);
        let Admitted { passage, taken } = self.observe(route, admitted, |walk, refusal| Admitted {
            passage: Passage::WouldRefuse(refusal),
            taken: walk.live_credentials(|_| true),
        })?;
        if let Target::Whoami = route.target {
            return self.whoami(route, passage, &client);
        }
        self.record.ask(Rule::Path);
        let upstream = self.upstream(route);
        let target = &policy.config.upstreams[usize::from(upstream.0)];
        self.record.found(|| format!("upstream {:?}", target.name));
        hygiene::path_check(head.uri.path(), &target.paths)?;
        self.record.ask(Rule::Body);
        self.check_body(route)?;
        let (passage, slot) = self.spend(route, passage)?;
        if let Passage::WouldRefuse(_) = &passage {
            self.trail.observed_by = Some(route.label());
        }
        self.trail.passage = passage;
        Ok(Way::Through(Box::new(Permit {
            identity: policy.identity_of(&self.trail),
            trail: std::mem::take(&mut self.trail),
            upstream,
            taken,
            forwarded: forwarded::render(head, client, &host, ingress.forwarded),
            client,
            host,
            upgrade: checked.upgrade.cloned(),
            slot,
        })))
    }

    /// What a caller is told about itself: nobody without a record, whoever else may do without.
    fn whoami(&mut self, route: &Route, passage: Passage, client: &Client) -> Result<Way, End> {
        let (policy, standing) = (self.policy, self.trail.standing.clone());
        let (Some(whoami), Some(standing)) = (&policy.whoami, standing) else {
            return Err(Refusal::CredentialMissing.into());
        };
        let (passage, slot) = self.spend(route, passage)?;
        self.trail.passage = passage;
        Ok(Way::Home(Box::new(Answered {
            answer: whoami.answer(&standing.caller, &policy.keyring, &policy.config),
            trail: std::mem::take(&mut self.trail),
            client: client.address,
            slot,
        })))
    }

    /// Whoever has a key is told where it stands, whatever the answer; nothing is spent.
    fn refused(&mut self, refusal: Refusal) -> Refused {
        let mut trail = std::mem::take(&mut self.trail);
        if let (Some(standing), None) = (&trail.standing, &trail.report) {
            trail.report = standing.account.peek(0, self.now).ok();
        }
        Refused { refusal, trail }
    }

    /// Where a route only observes, its no is a mark.
    fn observe<T>(
        &mut self,
        route: &Route,
        outcome: Result<T, End>,
        marked: impl FnOnce(&Self, Refusal) -> T,
    ) -> Result<T, End> {
        match outcome {
            Err(End::No(refusal)) if route.enforcement == Enforcement::Observe => {
                self.record.would_refuse(&refusal);
                Ok(marked(self, refusal))
            }
            // What cannot be said would not let anybody in either.
            Err(End::Failed(_)) if route.enforcement == Enforcement::Observe => {
                let refusal = Refusal::CredentialInvalid(Invalid::Token(TokenError::KeysMissing));
                self.record.would_refuse(&refusal);
                Ok(marked(self, refusal))
            }
            other => other,
        }
    }

    /// The raw limits of HTTP/1.1 heads are the screen's; these hold for HTTP/2 too.
    fn check_size(&self) -> Result<(), Hygiene> {
        let limits = &self.policy.config.limits;
        let target = self.head.uri.path_and_query();
        if target.map_or(0, |target| target.as_str().len()) > limits.target_bytes {
            Err(Hygiene::TargetTooLong)
        } else if self.head.headers.len() > limits.header_count {
            Err(Hygiene::HeadTooLarge)
        } else {
            Ok(())
        }
    }

    /// What does not declare its length is measured on its way.
    fn check_body(&self, route: &Route) -> Result<(), Refusal> {
        let most = route.body_bytes.or(self.policy.config.limits.body_bytes);
        let declared = self.head.headers.get(CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        match (declared, most) {
            (Some(length), Some(most)) if length > most => Err(Refusal::BodyTooLarge),
            (Some(_) | None, _) => Ok(()),
        }
    }

    fn demand_tls(&self, client: &Client) -> Result<(), Refusal> {
        match self.policy.config.ingress.require_tls {
            RequireTls::No => Ok(()),
            RequireTls::ExceptLoopback if client.local => Ok(()),
            RequireTls::Always | RequireTls::ExceptLoopback if client.tls => Ok(()),
            RequireTls::Always | RequireTls::ExceptLoopback => Err(Refusal::TlsRequired),
        }
    }

    /// The route's rules, or those for requests that match none. A path that has routes, for other methods, is not one of
    /// these.
    fn route(&mut self) -> Result<&'a Route, Refusal> {
        self.record.ask(Rule::Route);
        let policy = self.policy;
        match policy.routes.find(self.head.method, self.head.uri.path()) {
            Match::MethodNotRouted => {
                self.record
                    .found(|| "a route has this path, for other methods".to_owned());
                Err(Refusal::RouteUnknown)
            }
            Match::Ambiguous => Err(Refusal::RequestInvalid(Hygiene::AmbiguousPath)),
            Match::None => {
                self.record.found(|| "no route has this path".to_owned());
                Ok(&policy.config.unmatched)
            }
            Match::Matched(index) => {
                let route = &policy.config.routes[usize::from(index.0)];
                self.trail.route = Some(Arc::clone(&route.path));
                self.trail.door = Some(index);
                self.record.found(|| format!("routes[{}] {}", index.0, route.path));
                Ok(route)
            }
        }
    }

    /// From the route's access to the last of its demands on the caller.
    fn admit(&mut self, route: &Route, client: &Client) -> Result<Admitted, End> {
        self.record.ask(Rule::Access);
        self.record.found(|| told::access(route));
        if route.enforcement == Enforcement::Off {
            return Ok(self.anybody());
        }
        let admitted = match route.access {
            Access::Deny => return Err(Refusal::RouteUnknown.into()),
            Access::Public => self.anybody(),
            Access::Key => self.authenticate_key(route, client)?,
            Access::User => self.authenticate_user(client)?,
            Access::KeyOrUser => self.authenticate_either(route, client)?,
        };
        if let Some(standing) = self.trail.standing.clone() {
            self.demand(route, &standing)?;
        }
        if !route.required_headers.is_empty() {
            self.record.ask(Rule::RequiredHeaders);
            let law = &self.policy.law;
            rules::required_headers(route, self.head, |name| law.takes(name, &admitted.taken))?;
        }
        Ok(admitted)
    }

    fn anybody(&self) -> Admitted {
        Admitted {
            passage: Passage::Public,
            taken: self.live_credentials(|_| true),
        }
    }

    /// What the route demands of a caller that is known.
    fn demand(&mut self, route: &Route, standing: &Standing) -> Result<(), Refusal> {
        let (caller, head, routes) = (&standing.caller, self.head, &self.policy.routes);
        if !route.environments.is_empty() {
            self.record.ask(Rule::Environment);
            self.record.found(|| told::environment(self.policy, route, caller));
            rules::environment(route, caller)?;
        }
        if let Some(permission) = &route.permission {
            self.record.ask(Rule::Permission);
            self.record.found(|| told::permission(permission, caller));
            rules::permission(route, &caller.permissions)?;
        }
        let max_stale = &self.policy.config.keys.max_stale;
        // Users are not in the key files.
        if caller.key.is_some() && !max_stale.is_off() {
            self.record.ask(Rule::Freshness);
            let age = self.policy.freshness().age(self.now.unix);
            self.record.found(|| format!("the key files were seen {age} s ago"));
            rules::freshness(route, caller, max_stale, age)?;
        }
        if route.subscription.is_some() {
            self.record.ask(Rule::Subscription);
            self.record.found(|| told::subscriptions(caller));
            rules::subscription(route, caller, head, routes)?;
        }
        if route.organization.is_some() {
            self.record.ask(Rule::Tenant);
            self.record
                .found(|| format!("has to be the caller's, {}", caller.organization));
            rules::tenant(route, caller, head, routes)?;
        }
        Ok(())
    }

    /// The route's own upstream, else the environment's, else the default.
    fn upstream(&self, route: &Route) -> UpstreamId {
        let standing = self.trail.standing.as_ref();
        let environment = standing.and_then(|standing| standing.caller.environment);
        let config = &self.policy.config;
        route
            .upstream
            .or_else(|| config.environments[usize::from(environment?.0)].upstream)
            .unwrap_or(config.default_upstream)
    }

    /// Spends what a caller with an account has, or says that it would.
    fn spend(&mut self, route: &Route, passage: Passage) -> Result<(Passage, Option<Slot>), End> {
        match (&passage, self.trail.standing.clone()) {
            (Passage::Key | Passage::User, Some(standing)) => {
                let spent = self.spend_account(route, &standing);
                let spent = spent.map(|slot| (passage, slot)).map_err(End::No);
                self.observe(route, spent, |_, refusal| (Passage::WouldRefuse(refusal), None))
            }
            (
                Passage::Key
                | Passage::User
                | Passage::Delegated
                | Passage::Public
                | Passage::Legacy(_)
                | Passage::WouldRefuse(_),
                _,
            ) => Ok((passage, None)),
        }
    }

    fn spend_account(&mut self, route: &Route, standing: &Standing) -> Result<Option<Slot>, Refusal> {
        let (account, now) = (&standing.account, self.now);
        self.record.ask(Rule::Concurrency);
        let slot = match self.spends {
            true => Some(account.enter().ok_or(Refusal::ConcurrencyExceeded)?),
            false if account.has_room() => None,
            false => return Err(Refusal::ConcurrencyExceeded),
        };
        self.record.ask(Rule::Limits);
        let spent = match self.spends {
            true => account.spend(route.cost, now),
            false => account.peek(route.cost, now),
        };
        self.record
            .found(|| told::spending(&standing.terms, &spent, route.cost));
        match spent {
            Ok(report) => {
                self.trail.report = Some(report);
                self.trail.charge = self.spends.then_some(Charge {
                    cost: route.cost,
                    at: now.unix,
                });
                Ok(slot)
            }
            Err(refused) => {
                self.trail.report = Some(refused.report);
                Err(refused.refusal)
            }
        }
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
