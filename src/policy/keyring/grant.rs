//! What keys have in common: stored once, however many keys have it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::environments::EnvironmentId;
use crate::config::plans::{Limit, PlanId};
use crate::config::records::Key;

/// What a key may do, from where, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it may do.
    pub permissions: Permissions,
    /// Where it may be used from; empty means everywhere.
    pub allowed_sources: Box<[IpNet]>,
    /// Told to the upstream.
    pub subscriptions: Box<[Box<str>]>,
    /// `environment`, where the record names one.
    pub environment: Option<EnvironmentId>,
    /// The record's own `plan`.
    pub plan: Option<PlanId>,
    /// The record's own `limits`, in place of the plan's.
    pub limits: Option<Arc<[Limit]>>,
}

/// A set of permission names, sorted; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions(Arc<[Box<str>]>);

impl Grant {
    /// Whether the key may be used by a client at this address. A client whose address is not known (a Unix socket, a
    /// proxy that does not say) is only let in where every address is.
    #[must_use]
    pub fn allows_source(&self, address: Option<IpAddr>) -> bool {
        if self.allowed_sources.is_empty() {
            return true;
        }
        address
            .map(|address| address.to_canonical())
            .is_some_and(|address| self.allowed_sources.iter().any(|network| network.contains(&address)))
    }

    pub(super) fn of(key: &Key) -> Self {
        Self {
            permissions: Permissions::new(&key.permissions),
            allowed_sources: key.allowed_sources.as_slice().into(),
            subscriptions: key.subscriptions.iter().map(|name| name.as_str().into()).collect(),
            environment: key.environment,
            plan: key.plan,
            limits: key.limits.as_deref().map(Arc::from),
        }
    }
}

impl Permissions {
    /// The set of these names.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        let mut names: Vec<Box<str>> = names.iter().map(|name| name.as_str().into()).collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }

    /// Whether exactly this name is in the set.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search_by(|held| (**held).cmp(name)).is_ok()
    }

    /// The names, sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }
}
