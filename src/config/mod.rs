//! TOML text → valid domain types.
//!
//! A room of its own so that nothing behind it ever asks "is this option sane?": if you hold a [`Config`], it is valid,
//! every reference in it resolves, and its files have been read. All problems of all files are found in one pass and
//! carry file, line, column, key path, what is wrong and what to write instead ([`problem`]).

pub mod admin;
mod certificate;
mod checks;
pub mod credentials;
pub mod document;
pub mod environments;
pub mod errors;
mod files;
pub mod identity;
pub mod ingress;
pub mod key_settings;
pub mod keys;
pub mod limits;
mod load;
mod mask;
pub mod names;
pub mod plans;
pub mod problem;
pub mod reader;
pub mod records;
pub mod routes;
pub mod sources;
pub mod telemetry;
mod template;
mod tls;
pub mod units;
pub mod upstreams;
pub mod user_tokens;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

pub use load::load;

use crate::secret::Presented;

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
    /// `[upstreams.NAME]`, in the order of the file; an [`upstreams::UpstreamId`] is an index into it.
    pub upstreams: Vec<upstreams::Upstream>,
    /// The upstream that routes and environments without one of their own use.
    pub default_upstream: upstreams::UpstreamId,
    /// `[keys]`
    pub keys: keys::Keys,
    /// `[[credentials]]`, in order.
    pub credentials: Vec<credentials::Source>,
    /// For each of `credentials`, what a key there begins with: one of these. Empty: with anything.
    pub key_prefixes: Vec<Vec<String>>,
    /// `[environments.NAME]`, in the order of the file.
    pub environments: Vec<environments::Environment>,
    /// `[plans.NAME]`; always contains `default`.
    pub plans: Vec<plans::Plan>,
    /// `[[routes]]`; empty means that every path needs a valid key.
    pub routes: Vec<routes::Route>,
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
    /// What the key file holds.
    pub records: Arc<records::Records>,
}

impl Config {
    /// Whether a value in the credential source with this index can be a key at all, by the `prefix` of that source.
    #[must_use]
    pub fn may_be_key(&self, source: usize, value: &Presented<'_>) -> bool {
        let prefixes = &self.key_prefixes[source];
        let fits = |prefix: &String| value.expose().starts_with(prefix.as_bytes());
        prefixes.is_empty() || prefixes.iter().any(fits)
    }
}
