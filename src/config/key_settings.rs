//! What commands on keys need of a configuration, read without the rest.
//!
//! A room of its own because keys are made and looked up where the rest of a configuration cannot be read: before the key
//! file exists, and on machines without the gate's certificates. Sections that say nothing about keys are passed over.

use std::path::{Path, PathBuf};

use super::credentials::{self, Source as Credential};
use super::environments::{self, Environment};
use super::files::Files;
use super::keys::{self, Keys};
use super::permissions::{self, PermissionSet};
use super::plans::{self, Plan};
use super::problem::Problems;
use super::reader::Table;
use super::records::Scope;
use super::state;
use super::{limits, part};

/// The part of a configuration that is about keys.
#[derive(Debug, Clone)]
pub struct KeySettings {
    /// `[keys]`
    pub keys: Keys,
    /// `[plans.NAME]`
    pub plans: Vec<Plan>,
    /// `[environments.NAME]`
    pub environments: Vec<Environment>,
    /// `[[credentials]]`
    pub credentials: Vec<Credential>,
    /// `[permissions.NAME]`
    pub permissions: Vec<PermissionSet>,
    /// `[state] path`
    pub state: Option<PathBuf>,
    /// `[limits] keys`
    pub key_limit: usize,
    /// `[limits] key_bytes`
    pub key_bytes: usize,
}

impl KeySettings {
    /// Reads the configuration in `path`.
    ///
    /// # Errors
    /// Every problem of the sections that are about keys, when at least one of them is an error.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        // Without `[keys]` there is an error.
        part::load(path, read)?.ok_or_else(|| Problems(Vec::new()))
    }

    /// What key records may refer to.
    #[must_use]
    pub fn scope(&self, now_unix: i64) -> Scope {
        Scope::new(&self.plans, &self.environments, &self.keys, self.key_limit, now_unix)
    }
}

fn read(root: &Table<'_>, files: &Files) -> Option<KeySettings> {
    let plans: Vec<Plan> = plans::read(root).into_iter().map(|(plan, _)| plan).collect();
    let plan_names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
    let upstreams = root.section("upstreams");
    let upstream_names: Vec<String> = upstreams.names().map(|(name, _)| name.to_owned()).collect();
    let environments = environments::read(root, &upstream_names, &plan_names);
    let limits = limits::read(&root.section("limits"));
    let keys = root.section("keys");
    // What is said about ends, and to whom, is the sidecar's: its secrets need not be here.
    drop(keys.get("expiry"));
    let keys = keys::read(&keys, files);
    let permissions = permissions::read(root);
    let credentials = credentials::read(root);
    let keys_file = keys.as_ref().map(|keys| keys.file.as_path());
    let state = state::read(root.get("state").as_ref(), files, keys_file);
    Some(KeySettings {
        permissions: permissions.into_iter().map(|(set, _)| set).collect(),
        keys: keys?,
        plans,
        environments: environments.into_iter().map(|(environment, _)| environment).collect(),
        credentials: credentials.sources,
        state: state.map(|state| state.path),
        key_limit: limits.keys,
        key_bytes: limits.key_bytes,
    })
}
