//! What is found of keys in what a service sends, and what is not.

mod bodies;
mod headers;
mod properties;
mod work;

use std::sync::Arc;

use super::{Leaks, Search};
use crate::config::keys::Pepper;
use crate::config::records::{Hash, Hashed, Key, Organization, Records};
use crate::config::sources::Sources;
use crate::config::{self, Config};
use crate::policy::keyring::Keyring;
use crate::policy::permissions::Sets;
use crate::policy::revocations::Revocations;
use crate::secret::{Digest, Secret};

/// As Keygate makes them, in an environment whose keys all have a checksum.
pub(super) const GENERATED: &str = "kg_live_0123456789ABCDEFGHIJKLMNOPQRSTUV03NzCm";
/// With a prefix, and without a checksum.
pub(super) const PREFIXED: &str = "kx_f8Zk2";
pub(super) const HEX: &str = "3f786850e387550fdab836ed7e6dc881de23001b";
pub(super) const BASE64: &str = "q83vEjRWeJCrze8SNFZ4kKvN/+8SNFZ4kA==";
pub(super) const ODD: &str = "p@ss!w0rd#with(odd)chars;too";
pub(super) const PEPPERED: &str = "peppered-key-0123456789";
pub(super) const DISABLED: &str = "disabled-key-0123456789";
pub(super) const LATER: &str = "later-key-0123456789-_ab";
pub(super) const REVOKED: &str = "revoked-key-0123456789ab";
pub(super) const EXPIRED: &str = "expired-key-0123456789ab";
pub(super) const SLOW: &str = "people/chose:this-one";

/// The keys that callers may use, now or later, with their ids.
pub(super) const LIVE: [(&str, &str); 8] = [
    ("generated", GENERATED),
    ("prefixed", PREFIXED),
    ("hex", HEX),
    ("base64", BASE64),
    ("odd", ODD),
    ("peppered", PEPPERED),
    ("disabled", DISABLED),
    ("later", LATER),
];

const CONFIG: &str = r#"
[ingress]
listen = ["127.0.0.1:0"]
[upstreams.default]
url = "http://127.0.0.1:1"
[keys]
file = "keys.toml"
[environments.live]
prefixes = ["kg_live_"]
checksum = true
"#;

pub(super) const NOW: i64 = 1_000;

/// A configuration, keys, and what is revoked.
pub(super) struct World {
    pub(super) leaks: Leaks,
    keyring: Keyring,
    revocations: Revocations,
}

impl World {
    pub(super) fn new(more: &str, strip: &[&'static str]) -> Self {
        let mut config = load(&format!("{CONFIG}{more}"));
        config.records = Arc::new(records());
        let secret = Secret::new("a pepper of more than thirty-two characters".to_owned());
        config.keys.peppers = vec![Pepper {
            id: "one".to_owned(),
            secret,
        }];
        let strip: Vec<_> = strip.iter().map(|name| http::HeaderName::from_static(name)).collect();
        Self {
            leaks: Leaks::compile(&config, &strip),
            keyring: Keyring::compile(&config.records, &config.keys.peppers, &Sets::default()),
            revocations: Revocations::of(&config.records),
        }
    }

    pub(super) fn search(&self) -> Search<'_> {
        Search {
            leaks: &self.leaks,
            keyring: &self.keyring,
            revocations: &self.revocations,
            now: NOW,
        }
    }
}

fn load(text: &str) -> Config {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("keys.toml"), "").expect("a file");
    let path = directory.path().join("config.toml");
    std::fs::write(&path, text).expect("a file");
    config::load(&path, &mut Sources::default())
        .expect("a valid configuration")
        .config
}

fn records() -> Records {
    let pepper = Secret::new("a pepper of more than thirty-two characters".to_owned());
    let keyed = Hash::HmacSha256 {
        pepper: 0,
        digest: Digest::keyed(&pepper, PEPPERED.as_bytes()),
    };
    let slow = Hash::Slow {
        lead: SLOW[..6].to_owned(),
        phc: "a slow hash".to_owned(),
    };
    let keys = [
        key("generated", "kg_live_…24u0", vec![fast(GENERATED)]),
        key("prefixed", "kx_…", vec![fast(PREFIXED)]),
        key("hex", "…001b", vec![fast(HEX)]),
        key("base64", "", vec![fast(BASE64)]),
        key("odd", "", vec![fast(ODD)]),
        key("peppered", "", vec![keyed]),
        Key {
            active: false,
            ..key("disabled", "", vec![fast(DISABLED)])
        },
        Key {
            not_before: Some(NOW + 1),
            ..key("later", "", vec![fast(LATER)])
        },
        Key {
            revoked_at: Some(NOW - 1),
            ..key("revoked", "", vec![fast(REVOKED)])
        },
        Key {
            expires_at: Some(NOW),
            ..key("expired", "", vec![fast(EXPIRED)])
        },
        key("slow", "", vec![slow]),
    ];
    Records {
        organizations: vec![Arc::new(Organization {
            id: "42".to_owned(),
            name: None,
            plan: None,
            quota: None,
            created_at: None,
            metadata: serde_json::Map::new(),
        })],
        keys: keys.map(Arc::new).to_vec(),
        ..Records::default()
    }
}

fn fast(key: &str) -> Hash {
    Hash::Sha256(Digest::of(key.as_bytes()))
}

pub(super) fn key(id: &str, hint: &str, hashes: Vec<Hash>) -> Key {
    let hashed = |hash| Hashed { hash, expires_at: None };
    Key {
        id: id.to_owned(),
        name: String::new(),
        organization: 0,
        secrets: hashes.into_iter().map(hashed).collect(),
        hint: (!hint.is_empty()).then(|| hint.to_owned()),
        permissions: vec![],
        environment: None,
        plan: None,
        limits: None,
        created_at: None,
        not_before: None,
        expires_at: None,
        revoked_at: None,
        revoked_reason: None,
        rotated_at: None,
        active: true,
        allowed_sources: vec![],
        owner: None,
        subscriptions: vec![],
        metadata: serde_json::Map::new(),
    }
}

#[test]
fn the_generated_key_here_is_as_keygate_makes_them() {
    assert!(crate::secret::generated::checksum_ok(GENERATED.as_bytes()));
}
