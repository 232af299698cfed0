//! TOML text → valid domain types.
//!
//! A room of its own so that nothing behind it ever asks "is this option sane?": if you hold a [`Config`], it is valid,
//! every reference in it resolves, and its files have been read. All problems of all files are found in one pass and
//! carry file, line, column, key path, what is wrong and what to write instead ([`problem`]).

pub mod admin;
mod certificate;
mod checks;
pub mod credentials;
mod demands;
pub mod document;
pub mod egress;
pub mod endpoint;
pub mod environments;
pub mod errors;
pub mod expiry;
mod files;
pub mod identity;
pub mod ingress;
pub mod key_settings;
pub mod keys;
pub mod last_good;
pub mod legacy;
pub mod limits;
mod load;
mod mask;
pub mod names;
mod part;
pub mod patterns;
pub mod permissions;
pub mod plans;
pub mod problem;
pub mod quotas;
pub mod reader;
pub mod records;
pub mod routes;
pub mod sources;
pub mod state;
pub mod telemetry;
pub mod template;
mod tls;
mod token;
pub mod tree;
pub mod trust;
pub mod units;
pub mod upstreams;
pub mod user_tokens;
pub mod webhooks;
pub mod whoami;
mod withheld;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

pub use load::{load, load_again};

/// What [`load()`] gives.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What works, but probably not as meant.
    pub warnings: Vec<problem::Problem>,
}

/// Everything an operator wrote, validated and cross-checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The configuration file itself.
    pub file: PathBuf,
    /// `[ingress]`
    pub ingress: ingress::Ingress,
    /// `[admin]`
    pub admin: admin::Admin,
    /// `[egress]`; `None` is no listener for events.
    pub egress: Option<egress::Egress>,
    /// `[webhooks]`
    pub webhooks: Option<webhooks::Webhooks>,
    /// `[upstreams.NAME]`, in the order of the file; an [`upstreams::UpstreamId`] is an index into it.
    pub upstreams: Vec<upstreams::Upstream>,
    /// The upstream that routes and environments without one of their own use.
    pub default_upstream: upstreams::UpstreamId,
    /// `[keys]`
    pub keys: keys::Keys,
    /// `[keys.expiry]`
    pub expiry: expiry::Expiry,
    /// `[[credentials]]`, in order.
    pub credentials: credentials::Credentials,
    /// `[environments.NAME]`, in the order of the file.
    pub environments: Vec<environments::Environment>,
    /// `[plans.NAME]`; always contains `default`.
    pub plans: Vec<plans::Plan>,
    /// `[permissions.NAME]`, in the order of the file.
    pub permissions: Vec<permissions::PermissionSet>,
    /// `[[routes]]`, in the order of the file, and last the one that leads to `whoami`.
    pub routes: Vec<routes::Route>,
    /// What holds for requests that match none of them.
    pub unmatched: routes::Route,
    /// `[whoami]`
    pub whoami: Option<whoami::Whoami>,
    /// `[[legacy]]`, in the order of the file.
    pub legacy: Vec<legacy::Legacy>,
    /// `[user_tokens]`
    pub user_tokens: Option<user_tokens::UserTokens>,
    /// `[identity]`
    pub identity: identity::Identity,
    /// `[errors]`
    pub errors: errors::Errors,
    /// `[limits]`
    pub limits: limits::Limits,
    /// `[timeouts]`
    pub timeouts: limits::Timeouts,
    /// `[telemetry]`
    pub telemetry: telemetry::Telemetry,
    /// `[state]`; `None` is stateless.
    pub state: Option<state::State>,
    /// What the key file holds.
    pub records: Arc<records::Records>,
}
