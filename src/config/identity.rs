//! `[identity]`: what the upstream is told about the caller.

use http::HeaderName;

/// What is injected.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `[identity.headers]`, or the default set of `X-Auth-*`.
    pub headers: Vec<(HeaderName, Template)>,
    /// Names that are removed from requests besides those in `headers`: the whole default set, whatever is configured,
    /// and `X-Admin-Key`.
    pub reserved: Vec<HeaderName>,
}

/// A text with placeholders: `"{organization.id}"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub Vec<Piece>);

/// Part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Verbatim.
    Text(String),
    /// Replaced for each caller.
    Field(Field),
}

/// What an identity header may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `{key.id}`
    KeyId,
    /// `{key.name}`
    KeyName,
    /// `{organization.id}`, alias `{organization}`
    OrganizationId,
    /// `{organization.name}`
    OrganizationName,
    /// `{permissions}`: space-separated.
    Permissions,
    /// `{environment}`
    Environment,
    /// `{subscriptions}`: space-separated.
    Subscriptions,
    /// `{plan}`
    Plan,
    /// `{status}`: `key` or `public`.
    Status,
}
