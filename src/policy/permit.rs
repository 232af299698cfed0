//! What lets a request through.
//!
//! # Security
//! The fields are private to this room and only the decision fills them in: whoever holds a `Permit` holds a decision. It
//! is spent by value: [`Permit::spend`] turns the client's head into the upstream's, once.

use std::sync::Arc;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Uri};

use super::Policy;
use super::caller::Kind;
use super::credential::Taken;
use super::forwarded::{Client, Rendered};
use super::header_law::Rewrite;
use super::limits::{Report, Slot};
use super::standing::Standing;
use crate::config::upstreams::UpstreamId;

/// The decision to forward one request.
pub struct Permit {
    pub(super) trail: Trail,
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
    /// The key, once it is known to be valid.
    pub standing: Option<Arc<Standing>>,
    /// The key of a record that is not good now: for the log alone, since the caller must not learn that there is one.
    pub dead: Option<Arc<Standing>>,
    /// The credential goes on untouched, for the upstream to judge.
    pub delegated: bool,
    /// Where the key stands in its windows, once they were asked.
    pub report: Option<Report>,
}

impl Trail {
    /// Who calls, as far as it is known: `key`, `user`, `delegated` or `none`.
    #[must_use]
    pub fn caller(&self) -> &'static str {
        match self.standing.as_ref().map(|standing| standing.caller.kind) {
            Some(Kind::Key) => "key",
            Some(Kind::User) => "user",
            None if self.delegated => "delegated",
            None => "none",
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
        let identity = match &self.trail.standing {
            Some(standing) => &standing.caller.headers,
            None => match &policy.users {
                Some(users) if self.trail.delegated => &users.delegated,
                Some(_) | None => &policy.public_headers,
            },
        };
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
            slot: self.slot,
        }
    }
}

fn with_host(mut headers: HeaderMap, host: HeaderValue) -> HeaderMap {
    headers.insert(HOST, host);
    headers
}
