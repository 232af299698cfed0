//! What lets a request through.
//!
//! # Security
//! The fields are private to this room and only the decision fills them in: whoever holds a `Permit` holds a decision. It
//! is spent by value: [`Permit::spend`] turns the client's head into the upstream's, once.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};

use super::Policy;
use super::bond::Proof;
use super::caller::IdentityHeaders;
use super::credential::Taken;
use super::forwarded::{Client, Rendered};
use super::header_law::Rewrite;
use super::legacy::Exempt;
use super::limits::{Report, Slot};
use super::refusal::Refusal;
use super::route::RouteIndex;
use super::standing::Standing;
use crate::clock::Now;
use crate::config::routes::RouteTimeouts;
use crate::config::upstreams::UpstreamId;

/// The decision to forward one request.
pub struct Permit {
    pub(super) trail: Trail,
    /// What the upstream is told, where that is not what is rendered already.
    pub(super) identity: Option<IdentityHeaders>,
    pub(super) upstream: UpstreamId,
    pub(super) taken: Taken,
    pub(super) client: Client,
    pub(super) forwarded: Rendered,
    /// The client's `Host` or `:authority`.
    pub(super) host: HeaderValue,
    pub(super) upgrade: Option<HeaderValue>,
    pub(super) slot: Option<Slot>,
}

/// What a decision found on its way, for the access line and the answer.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    /// The pattern of the route that matched.
    pub route: Option<Arc<str>>,
    /// Its index.
    pub door: Option<RouteIndex>,
    /// Its methods and pattern, of a request that only an observing route let through.
    pub observed_by: Option<String>,
    /// Where the key stood: the source's name, or what it is.
    pub source: Option<Arc<str>>,
    /// The key, once it is known to be valid.
    pub standing: Option<Arc<Standing>>,
    /// How it proved who it is.
    pub proof: Option<Proof>,
    /// The key of a record that is not good now: for the log alone, since the caller must not learn that there is one.
    pub dead: Option<Arc<Standing>>,
    /// Where the key stands in its windows, once they were asked.
    pub report: Option<Report>,
    /// What was charged for it.
    pub charge: Option<Charge>,
    /// As what it was let through.
    pub passage: Passage,
}

/// What a request was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Units of each window and quota.
    pub cost: u32,
    /// Unix seconds.
    pub at: i64,
}

/// As what a request is let through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Passage {
    /// With a valid key.
    Key,
    /// With a user's token that was verified.
    User,
    /// With a credential that the upstream judges.
    Delegated,
    /// As anybody.
    #[default]
    Public,
    /// Without a key, for a while.
    Legacy(Arc<Exempt>),
    /// Although it would have been refused, because the route only observes.
    WouldRefuse(Refusal),
}

impl Trail {
    /// Gives back what was charged for a request that was refused after it had begun ([`Account::give_back`]).
    ///
    /// [`Account::give_back`]: super::limits::Account::give_back
    pub fn give_back(&mut self, now: Now) {
        if let (Some(standing), Some(charge)) = (&self.standing, self.charge.take()) {
            standing.account.give_back(charge.cost, charge.at, now);
        }
    }
}

impl Passage {
    /// `X-Auth-Status`.
    #[must_use]
    pub fn status(&self) -> Cow<'static, str> {
        match self {
            Self::WouldRefuse(refusal) => format!("would-refuse; reason={}", refusal.code()).into(),
            Self::Key | Self::User | Self::Delegated | Self::Public | Self::Legacy(_) => self.word().into(),
        }
    }

    /// Which of these it is, for metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Delegated => "delegated",
            Self::Public => "public",
            Self::Legacy(_) => "legacy",
            Self::WouldRefuse(_) => "would_refuse",
        }
    }
}

/// A head on its way to an upstream.
pub struct UpstreamHead {
    /// Where it goes.
    pub upstream: UpstreamId,
    /// What it asks for.
    pub target: PathAndQuery,
    /// All header fields, `Host` included.
    pub headers: HeaderMap,
    /// The route's own timeouts.
    pub timeouts: Option<RouteTimeouts>,
    /// The route's own limit of the body; `u64::MAX` is none.
    pub body_bytes: Option<u64>,
    /// The key's place among its requests in flight; to be kept until the last byte.
    pub slot: Option<Slot>,
}

impl Permit {
    /// What the decision found on its way.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Whether the request asks for a tunnel.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.upgrade.is_some()
    }

    /// Who called, as far as it is known.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Applies the header law: remove, strip, inject.
    #[must_use]
    pub fn spend(
        self,
        policy: &Policy,
        uri: &Uri,
        headers: HeaderMap,
        request_id: HeaderValue,
        traceparent: HeaderValue,
    ) -> UpstreamHead {
        let upstream = &policy.config.upstreams[usize::from(self.upstream.0)];
        let host = if upstream.preserve_host {
            self.host
        } else {
            policy.hosts[usize::from(self.upstream.0)].clone()
        };
        let identity = identity(self.identity.as_ref(), &self.trail, policy);
        let route = self.trail.door.map(|index| &policy.config.routes[usize::from(index.0)]);
        let rewrite = Rewrite {
            taken: &self.taken,
            trusted: self.client.trusted,
            protocol: upstream.protocol,
            upgrade: self.upgrade,
            identity,
            forwarded: self.forwarded,
            request_id,
            traceparent,
        };
        UpstreamHead {
            upstream: self.upstream,
            target: policy.law.target(uri),
            headers: with_host(policy.law.request(headers, rewrite), host),
            timeouts: route.and_then(|route| route.timeouts),
            body_bytes: route.and_then(|route| route.body_bytes),
            slot: self.slot,
        }
    }
}

/// What the upstream is told about the caller: what was rendered for this request, else what is rendered already.
pub(super) fn identity<'a>(
    rendered: Option<&'a IdentityHeaders>,
    trail: &'a Trail,
    policy: &'a Policy,
) -> &'a IdentityHeaders {
    match (rendered, &trail.standing) {
        (Some(rendered), _) => rendered,
        (None, Some(standing)) => &standing.caller.headers,
        (None, None) => &policy.public_headers,
    }
}

fn with_host(mut headers: HeaderMap, host: HeaderValue) -> HeaderMap {
    headers.insert(HOST, host);
    headers
}
