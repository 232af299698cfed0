//! `[environments.NAME]`: what a key's first characters say.

use super::{plans::PlanId, upstreams::UpstreamId};

/// Index into [`super::Config::environments`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnvironmentId(pub u16);

/// One environment.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// `prefixes`: keys that begin with one of these belong here. The first is what `keys new` uses.
    pub prefixes: Vec<String>,
    /// `checksum = true`: every key with these prefixes ends in Keygate's checksum; one that does not is refused before
    /// any lookup.
    pub checksum: bool,
    /// `upstream`: where its requests go, unless the route says otherwise.
    pub upstream: Option<UpstreamId>,
    /// `plan`: goes before the organization's plan, behind the key's own.
    pub plan: Option<PlanId>,
}
