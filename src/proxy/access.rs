//! The access line: one event per request or tunnel, from a guard, so that a client that goes away is logged too.
//!
//! # Security
//! What it writes comes from the decision, not from the wire: the path without its query, the key's public id, codes. No
//! header value of the client's is ever logged, but a request id that a trusted proxy sent.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, StatusCode, Version};
use hyper::body::Incoming;
use tracing::info;

use super::connection::Client;
use super::register::Registered;
use super::relay::{Cut, Exchange};
use super::upgrade::Seat;
use super::worker::Generation;
use crate::clock::{self, Now};
use crate::config::routes::Route;
use crate::config::telemetry::AccessLog;
use crate::ledger::tally::{Call, End, Need};
use crate::policy::Policy;
use crate::policy::bond::Bond;
use crate::policy::caller;
use crate::policy::header_law::{kept_request_id, kept_traceparent};
use crate::policy::limits::Slot;
use crate::policy::permit::{Passage, Trail};
use crate::policy::refusal::{Failure, Invalid, Refusal};
use crate::telemetry::metrics::{self, Entry, Metrics, Reason};
use crate::telemetry::migration::Caller;

/// What is known of a request so far; written when it is dropped: after the last byte, or when the client is gone.
pub(super) struct AccessLine {
    /// The connection it came on.
    pub(super) client: Rc<Client>,
    /// Bytes, and why it was cut: counted where they pass.
    pub(super) exchange: Rc<Exchange>,
    /// Which request of its connection, from 0.
    pub(super) call: u64,
    /// `X-Request-Id`.
    pub(super) request_id: HeaderValue,
    /// `traceparent`.
    pub(super) traceparent: HeaderValue,
    /// What the decision found.
    pub(super) trail: Trail,
    /// The key's place among its requests in flight: given back with the last byte.
    pub(super) slot: Option<Slot>,
    /// Its place in the register, where it rests on something that can end.
    pub(super) registered: Option<Registered>,
    /// Its place among the tunnels, when it asks for one or is one.
    pub(super) seat: Option<Seat>,
    log: AccessLog,
    opened: u64,
    method: Method,
    version: Version,
    path: Option<String>,
    address: Option<IpAddr>,
    decision: &'static str,
    was_refused: bool,
    was_carried: bool,
    reason: &'static str,
    status: u16,
    upstream: Upstream,
    tunnel: Option<TunnelBytes>,
}

/// How long the upstream took to its response's head.
#[derive(Clone, Copy)]
enum Upstream {
    NotAsked,
    Asked(u64),
    Answered(u64),
}

struct TunnelBytes {
    up: u64,
    down: u64,
    end: &'static str,
}

/// The decision of a request that was let through.
const FORWARD: &str = "forward";
/// The decision of a request that was let in, and answered by Keygate itself.
const ANSWER: &str = "answer";

impl AccessLine {
    /// Opens the line of a request that has just arrived. Boxed, because it goes from hand to hand.
    pub(super) fn open(
        client: Rc<Client>,
        generation: &Generation,
        request: &Request<Incoming>,
        now: Now,
    ) -> Box<Self> {
        let config = &generation.policy.config;
        let trusted = config.ingress.trusted_proxies.trusts(client.peer.address);
        let ids = &client.worker.ids;
        let request_id = kept_request_id(request.headers(), trusted).unwrap_or_else(|| ids.request());
        let traceparent = kept_traceparent(request.headers(), trusted).unwrap_or_else(|| ids.trace());
        let is_logged = config.telemetry.access_log != AccessLog::Off;
        Box::new(Self {
            exchange: Exchange::new(client.exchange_watch()),
            call: client.begin(),
            request_id,
            traceparent,
            trail: Trail::default(),
            slot: None,
            registered: None,
            seat: None,
            log: config.telemetry.access_log,
            opened: now.monotonic,
            method: request.method().clone(),
            version: request.version(),
            path: (is_logged || generation.policy.answers.tell_path()).then(|| request.uri().path().to_owned()),
            address: client.peer.address,
            decision: FORWARD,
            was_refused: false,
            was_carried: false,
            reason: "",
            status: 0,
            upstream: Upstream::NotAsked,
            tunnel: None,
            client,
        })
    }

    /// It was let in by `policy`, and ends with what it rests on.
    pub(super) fn register(&mut self, policy: &Policy, bond: Option<Bond>) {
        self.registered = bond.map(|bond| Registered::enter(&self.client, &self.exchange, bond, policy));
    }

    /// Why what it rested on has ended.
    pub(super) fn withdrawn(&self) -> Refusal {
        let refusal = self.exchange.withdrawn().cloned();
        refusal.unwrap_or(Refusal::CredentialInvalid(Invalid::Revoked))
    }

    /// Whether the client speaks HTTP/1.
    pub(super) fn is_http1(&self) -> bool {
        self.version != Version::HTTP_2
    }

    /// The request's method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// The request's path, where somebody wants to know it.
    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// What the raw head said, where the parsed one is not the client's.
    pub(super) fn correct(&mut self, method: Option<&str>, path: Option<String>) {
        if let Some(method) = method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()) {
            self.method = method;
        }
        if self.path.is_some() {
            self.path = Some(path.unwrap_or_default());
        }
    }

    /// Who the client is, once its proxies have been heard.
    pub(super) fn comes_from(&mut self, address: Option<IpAddr>) {
        self.address = address;
    }

    /// The request goes to the upstream.
    pub(super) fn ask_upstream(&mut self) {
        self.was_carried = true;
        if self.path.is_some() {
            self.upstream = Upstream::Asked(clock::monotonic());
        }
    }

    /// The upstream's head is here.
    pub(super) fn upstream_answered(&mut self) {
        if let Upstream::Asked(since) = self.upstream {
            self.upstream = Upstream::Answered(clock::monotonic().saturating_sub(since));
        }
    }

    /// An answer's head goes to the client.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    /// It was let in, and Keygate itself has the answer.
    pub(super) fn answered_here(&mut self) {
        self.decision = ANSWER;
    }

    /// It was refused.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.decision = refusal.code();
        self.was_refused = true;
        self.reason = refusal.reason();
    }

    /// It failed.
    pub(super) fn failed(&mut self, failure: Failure) {
        self.decision = failure.code();
        self.was_refused = false;
    }

    /// It was a tunnel, which has ended.
    pub(super) fn tunnelled(&mut self, up: u64, down: u64, end: &'static str) {
        self.tunnel = Some(TunnelBytes { up, down, end });
    }

    /// What cut it after it was let through, and nobody else has told.
    fn settle(&mut self) {
        if let Some(refusal) = self.exchange.withdrawn().cloned() {
            // It was carried so far: what it has cost is spent.
            self.trail.charge = None;
            self.refused(&refusal);
        }
        if self.decision != FORWARD {
            return;
        }
        match self.exchange.cut() {
            Some(Cut::Failed(failure)) => self.failed(failure),
            Some(Cut::BodyTooLarge) => self.refused(&Refusal::BodyTooLarge),
            Some(Cut::Withdrawn) => self.refused(&self.withdrawn()),
            // Nobody has answered: the client went away before there was anything to say.
            None if self.status == 0 => self.failed(Failure::ClientGone),
            None => {}
        }
    }

    /// Refused, failed, or let through only because the route observes.
    fn is_refused(&self) -> bool {
        !matches!(self.decision, FORWARD | ANSWER) || matches!(self.trail.passage, Passage::WouldRefuse(_))
    }

    /// Counts who a migration is waiting for.
    fn count_passage(&self, metrics: &Metrics) {
        let caller = || match &self.trail.standing {
            Some(standing) if standing.caller.key_id().is_some() => Caller::Key(Arc::clone(&standing.caller.id)),
            Some(standing) => Caller::User(Arc::clone(&standing.caller.id)),
            None => Caller::Address(self.address),
        };
        match &self.trail.passage {
            Passage::Key | Passage::User | Passage::Delegated | Passage::Public => {}
            Passage::Legacy(exempt) => {
                let entry = exempt.name.to_string();
                metrics.legacy_requests.get_or_create(&Entry { entry }).inc();
                metrics.migration.legacy(&exempt.name, caller(), clock::unix());
            }
            Passage::WouldRefuse(refusal) => {
                let reason = refusal.code();
                metrics.would_refuse.get_or_create(&Reason { reason }).inc();
                let route = self.trail.observed_by.as_deref().unwrap_or_default();
                metrics.migration.would_refuse(route, reason, caller(), clock::unix());
            }
        }
    }

    fn is_wanted(&self) -> bool {
        self.log.tells(self.is_refused(), || self.client.worker.ids.share())
    }

    /// Whose key it was, good or not.
    fn caller(&self) -> Option<&caller::Caller> {
        let trail = &self.trail;
        let standing = trail.standing.as_ref().or(trail.dead.as_ref());
        standing.map(|standing| &standing.caller)
    }

    /// From the client, and to it.
    fn bytes(&self) -> (u64, u64) {
        match &self.tunnel {
            Some(tunnel) => (tunnel.up, tunnel.down),
            None => (self.exchange.request_bytes(), self.exchange.response_bytes()),
        }
    }

    /// Counts it under its key, if it has one. What was refused is no use of a key, unless it was carried until its key died.
    fn account(&self) {
        let tally = &self.client.worker.tally;
        // Users have no records, and are more than can be remembered.
        let key = self.caller().filter(|caller| caller.key_id().is_some());
        let (true, Some(caller)) = (tally.is_on(), key) else {
            return;
        };
        let (bytes_in, bytes_out) = self.bytes();
        let generation = self.client.worker.last_generation();
        let route = generation
            .as_ref()
            .and_then(|generation| self.route(&generation.policy));
        tally.count(&Call {
            key: &caller.id,
            organization: &caller.organization,
            end: if self.was_carried && self.exchange.withdrawn().is_some() {
                End::Withdrawn(self.decision)
            } else if self.was_refused {
                End::Refused(self.decision)
            } else if matches!(self.decision, FORWARD | ANSWER) {
                End::Carried
            } else {
                End::Failed
            },
            bytes_in,
            bytes_out,
            address: self.address,
            route: self.trail.route.as_ref(),
            need: route.and_then(|route| route.permission.as_ref()).map(|demanded| Need {
                demanded,
                held: &caller.permissions,
            }),
            at: clock::unix(),
        });
    }

    /// The route that matched, if it is still the one at that place.
    fn route<'p>(&self, policy: &'p Policy) -> Option<&'p Route> {
        let trail = &self.trail;
        let route = policy.config.routes.get(usize::from(trail.door?.0))?;
        (trail.route.as_deref() == Some(&*route.path)).then_some(route)
    }

    fn write(&self) {
        let trail = &self.trail;
        let caller = self.caller();
        let message = if self.tunnel.is_some() { "tunnel" } else { "request" };
        let (request_bytes, response_bytes) = self.bytes();
        let (would_refuse, legacy) = match &trail.passage {
            Passage::Key | Passage::User | Passage::Delegated | Passage::Public => (None, None),
            Passage::Legacy(exempt) => (None, Some(&*exempt.name)),
            Passage::WouldRefuse(refusal) => (Some(refusal.code()), None),
        };
        let upstream_us = match self.upstream {
            Upstream::Answered(took) => Some(took / 1000),
            Upstream::NotAsked | Upstream::Asked(_) => None,
        };
        info!(
            target: "access",
            message,
            request_id = self.request_id.to_str().unwrap_or_default(),
            key_id = caller.and_then(caller::Caller::key_id),
            user = caller.and_then(caller::Caller::user_id),
            organization = caller.map(|caller| &*caller.organization),
            source = self.trail.source.as_deref(),
            route = self.trail.route.as_deref(),
            decision = self.decision,
            reason = self.reason,
            would_refuse,
            legacy,
            status = self.status,
            request_bytes,
            response_bytes,
            duration_us = clock::monotonic().saturating_sub(self.opened) / 1000,
            upstream_us,
            protocol = protocol(self.version),
            method = self.method.as_str(),
            path = self.path.as_deref(),
            client = self.address.map(tracing::field::display),
            end = self.tunnel.as_ref().map(|tunnel| tunnel.end),
        );
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        self.settle();
        if self.was_refused {
            self.trail.give_back(clock::now());
        }
        let metrics = &self.client.worker.shared.metrics;
        if self.decision == FORWARD {
            metrics.forwarded.inc();
            if self.trail.passage == Passage::Key {
                metrics.passed_by_key.inc();
            } else {
                let passage = self.trail.passage.word();
                metrics.passages.get_or_create(&metrics::Passage { passage }).inc();
            }
        } else {
            metrics.decided(self.decision);
        }
        self.count_passage(metrics);
        self.account();
        if self.is_wanted() {
            self.write();
        }
        self.client.end(self.call);
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "",
    }
}
