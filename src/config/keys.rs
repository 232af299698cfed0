//! `[keys]`: where keys are, and how they are refreshed and hashed.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Where keys come from.
#[derive(Debug, Clone)]
pub struct Keys {
    /// `file`: TOML, JSON Lines, or a directory of both.
    pub file: PathBuf,
    /// `refresh`: how often the files are looked at besides being watched; default `"2s"`.
    pub refresh: Duration,
    /// `prefix`: what `keys new` puts in front when no environment says; default `"kg_"`.
    pub prefix: String,
    /// `[[keys.peppers]]`: keys of `hmac-sha256:<id>:…` hashes, kept outside the key file.
    pub peppers: Vec<Pepper>,
    /// `allow_plaintext_keys`
    pub allow_plaintext: bool,
    /// `argon2_concurrency`: how many slow verifications may run at once; default 1 per two CPUs, at least 1.
    pub argon2_concurrency: usize,
}

/// One pepper.
#[derive(Debug, Clone)]
pub struct Pepper {
    /// What hashes name it by.
    pub id: String,
    /// From `file` or `env`.
    pub secret: Secret,
}
