//! `[[routes]]`: which doors there are, and what opens them.

use http::Method;

use super::upstreams::UpstreamId;

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// The pattern as written; what logs and metrics show.
    pub path: String,
    /// `methods`; empty means every method.
    pub methods: Vec<Method>,
    /// `access`
    pub access: Access,
    /// `permission = "send"`, `{ any = [...] }` or `{ all = [...] }`
    pub permission: Option<Permission>,
    /// `cost`: how many units of each limit a request spends, default 1; 0 spends nothing.
    pub cost: u32,
    /// `upstream`: goes before the environment's.
    pub upstream: Option<UpstreamId>,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A valid key (the default).
    Key,
    /// Anybody.
    Public,
    /// Nobody.
    Deny,
}

/// What a key needs on a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// At least one of these.
    Any(Vec<String>),
    /// Every one of these.
    All(Vec<String>),
}
