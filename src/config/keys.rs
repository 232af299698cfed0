//! `[keys]`: where keys are, and how they are refreshed and hashed.

use std::path::PathBuf;
use std::time::Duration;

use super::files::Files;
use super::names;
use super::reader::{Item, Table};
use super::trust::{self, MaxStale, ShrinkGuard};
use super::withheld::{self, Sought};
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
    /// `allow_plaintext_keys`: whether a record may hold the key itself, in `key`; default false.
    pub allow_plaintext: bool,
    /// `argon2_concurrency`: how many slow verifications may run at once; default 1 per two CPUs, at least 1.
    pub argon2_concurrency: usize,
    /// `close_code`: what a WebSocket is closed with when its key dies (RFC 6455 §7.4); default 1008.
    pub close_code: u16,
    /// `slow_after`: a revocation that took longer through the key file is warned about; default `"10s"`.
    pub slow_after: Duration,
    /// `[keys.advise]`
    pub advise: Advice,
    /// `shrink_guard`: what a reload may drop unasked; `None` is everything.
    pub shrink_guard: Option<ShrinkGuard>,
    /// `max_stale`: what is closed when the files have not been seen for long; default nothing.
    pub max_stale: MaxStale,
}

/// `[keys.advise]`: what a key may hold, but had better not. `None` says nothing about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Advice {
    /// `permissions`: with more of them than this, a key is warned about.
    pub permissions: Option<usize>,
    /// `subscriptions`: the same.
    pub subscriptions: Option<usize>,
}

/// One pepper.
#[derive(Debug, Clone)]
pub struct Pepper {
    /// What hashes name it by.
    pub id: String,
    /// From `file` or `env`.
    pub secret: Secret,
}

/// How short a pepper may be, in characters.
const SHORTEST_PEPPER: usize = 32;
const PEPPER: Sought = Sought {
    what: "a pepper",
    example: "for example the output of `openssl rand -hex 32`",
};

/// Reads `[keys]`. `None` where it does not say which file.
pub(super) fn read(table: &Table<'_>, files: &Files) -> Option<Keys> {
    let file = table.require("file", "for example file = \"keys.toml\"");
    let refresh = table.get("refresh");
    let prefix = table.get("prefix");
    let peppers = table.get("peppers");
    let allow_plaintext = table.get("allow_plaintext_keys");
    let concurrency = table.get("argon2_concurrency");
    let close_code = table.get("close_code");
    let slow_after = table.get("slow_after");
    let advise = table.section("advise");
    let shrink_guard = table.get("shrink_guard");
    let max_stale = table.section("max_stale");

    let file = file.and_then(|item| item.text().map(|path| files.resolve(path)));
    let refresh = refresh
        .and_then(|item| item.duration_within(Duration::from_millis(100)..=Duration::from_hours(24)))
        .unwrap_or(Duration::from_secs(2));
    // Wrong or not set, it does not keep the keys from being read.
    let prefix = prefix.and_then(|item| read_prefix(&item));
    let peppers = peppers.map_or_else(Vec::new, |item| read_peppers(&item, files));
    let allow_plaintext = allow_plaintext.and_then(|item| item.boolean()).unwrap_or(false);
    let argon2_concurrency = concurrency
        .and_then(|item| item.count(1..=256))
        .unwrap_or_else(half_of_cpus);
    Some(Keys {
        file: file?,
        refresh,
        prefix: prefix.unwrap_or_else(|| "kg_".to_owned()),
        peppers,
        allow_plaintext,
        argon2_concurrency,
        close_code: close_code.and_then(|item| read_close_code(&item)).unwrap_or(1008),
        slow_after: slow_after
            .and_then(|item| item.duration_within(Duration::from_secs(1)..=Duration::from_hours(24)))
            .unwrap_or(Duration::from_secs(10)),
        advise: read_advice(&advise),
        shrink_guard: trust::read_shrink_guard(shrink_guard.as_ref()),
        max_stale: trust::read_max_stale(&max_stale),
    })
}

fn read_advice(table: &Table<'_>) -> Advice {
    let most = |key| table.get(key).and_then(|item| item.count(1..=256));
    Advice {
        permissions: most("permissions"),
        subscriptions: most("subscriptions"),
    }
}

/// One that a server may send, and that says why.
fn read_close_code(item: &Item<'_>) -> Option<u16> {
    let code = item.count(1000..=4999)?;
    let code = u16::try_from(code).ok()?;
    if matches!(code, 1000 | 1001 | 1008 | 1011 | 3000..=4999) {
        return Some(code);
    }
    item.error(
        "is not a code that a WebSocket can be closed with here",
        "1008 (policy violation) is usual; 3000 to 4999 are for applications (RFC 6455 §7.4)",
    );
    None
}

fn half_of_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| (cpus.get() / 2).max(1))
}

fn read_prefix(item: &Item<'_>) -> Option<String> {
    let prefix = item.string()?;
    if prefix.len() <= 32
        && prefix
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        return Some(prefix.to_owned());
    }
    item.error(
        "cannot be what new keys begin with",
        "at most 32 letters, digits, `_` or `-`, for example \"kg_\"",
    );
    None
}

fn read_peppers(item: &Item<'_>, files: &Files) -> Vec<Pepper> {
    let (mut peppers, mut ids) = (Vec::new(), Vec::new());
    for table in item.tables().unwrap_or_default() {
        let id = table.require("id", "for example id = \"2026\"");
        let secret = withheld::read(&table, files, &PEPPER);
        let id = id.and_then(|item| read_id(&item, &mut ids));
        let secret = secret.filter(|(secret, item)| is_long_enough(secret, item));
        if let (Some(id), Some((secret, _))) = (id, secret) {
            peppers.push(Pepper { id, secret });
        }
    }
    peppers
}

fn read_id<'d>(item: &Item<'d>, ids: &mut Vec<&'d str>) -> Option<String> {
    let id = item.text()?;
    if !names::is_token(id) || id.len() > 64 {
        item.error("cannot stand in a hash", "1 to 64 letters, digits, `-` or `_`");
        return None;
    }
    if ids.contains(&id) {
        item.error("is the id of a pepper before it", "give each pepper an id of its own");
        return None;
    }
    ids.push(id);
    Some(id.to_owned())
}

fn is_long_enough(pepper: &Secret, item: &Item<'_>) -> bool {
    let is_long_enough = pepper.expose().chars().count() >= SHORTEST_PEPPER;
    if !is_long_enough {
        item.error(
            format!("the pepper is shorter than {SHORTEST_PEPPER} characters"),
            PEPPER.example,
        );
    }
    is_long_enough
}
