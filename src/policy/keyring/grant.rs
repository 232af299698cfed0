//! What keys have in common: stored once, however many keys have it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::environments::EnvironmentId;
use crate::config::plans::{Limit, PlanId};
use crate::config::records::Key;
use crate::policy::permissions::{Permissions, Sets};

/// What a key may do, from where, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What it may do.
    pub permissions: Permissions,
    /// Where it may be used from; empty means everywhere.
    pub allowed_sources: Box<[IpNet]>,
    /// Told to the upstream.
    pub subscriptions: Arc<[Box<str>]>,
    /// `environment`, where the record names one.
    pub environment: Option<EnvironmentId>,
    /// The record's own `plan`.
    pub plan: Option<PlanId>,
    /// The record's own `limits`, in place of the plan's.
    pub limits: Option<Arc<[Limit]>>,
}

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

    pub(super) fn of(key: &Key, sets: &Sets) -> Self {
        Self {
            permissions: sets.expand(&key.permissions),
            allowed_sources: key.allowed_sources.as_slice().into(),
            subscriptions: key.subscriptions.iter().map(|name| name.as_str().into()).collect(),
            environment: key.environment,
            plan: key.plan,
            limits: key.limits.as_deref().map(Arc::from),
        }
    }
}
