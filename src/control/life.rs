//! The whole life of keys, as a property: whatever is done to a key file, by commands, by a push, by putting an older file back,
//! and whenever the files are read again or the process begins anew, a dead secret is never admitted again, and a living one is
//! never refused.
//!
//! What is alive is said by a model of a few lines, which knows secrets and times, and neither hashes nor records.

use std::collections::HashSet;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::keyfile::{self, EditError, Place, Rotation};
use super::mint::{NewKey, Prefixes};
use crate::clock::Now;
use crate::config::key_settings::KeySettings;
use crate::config::records::{Scope, Tombstone};
use crate::config::sources::Sources;
use crate::config::state::State;
use crate::config::{self, Config};
use crate::ledger::journal::Journal;
use crate::policy::head::{ClientHead, Peer};
use crate::policy::revocations::Revocations;
use crate::policy::{Decision, Policy};

const BEGIN: i64 = 1_790_000_000;
const CONFIG: &str = "[ingress]\nlisten = [\"127.0.0.1:0\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:1\"\n[keys]\nfile = \
                      \"keys.toml\"\n";

/// What is done next. Numbers choose among the keys, or the files, that there are.
#[derive(Debug, Clone)]
enum Step {
    Create { lives: Option<u8> },
    Rotate { key: usize, overlap: u8 },
    Revoke { key: usize },
    Push { key: usize },
    Disable { key: usize },
    Enable { key: usize },
    PutBack { file: usize },
    Wait { seconds: u8 },
    Reload,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..8_usize;
    prop_oneof![
        4 => proptest::option::of(1..20_u8).prop_map(|lives| Step::Create { lives }),
        4 => (key.clone(), 0..12_u8).prop_map(|(key, overlap)| Step::Rotate { key, overlap: overlap.saturating_sub(4) }),
        2 => key.clone().prop_map(|key| Step::Revoke { key }),
        2 => key.clone().prop_map(|key| Step::Push { key }),
        1 => key.clone().prop_map(|key| Step::Disable { key }),
        2 => key.prop_map(|key| Step::Enable { key }),
        2 => (0..64_usize).prop_map(|file| Step::PutBack { file }),
        3 => (1..6_u8).prop_map(|seconds| Step::Wait { seconds }),
        5 => Just(Step::Reload),
        2 => Just(Step::Restart),
    ]
}

/// What a key file means.
#[derive(Debug, Clone, Default)]
struct Meaning {
    keys: Vec<Key>,
    /// Secrets and ids that it calls dead.
    dead: HashSet<String>,
}

#[derive(Debug, Clone)]
struct Key {
    id: String,
    /// The last is the newest.
    secrets: Vec<(String, Option<i64>)>,
    ends: Option<i64>,
    active: bool,
}

impl Meaning {
    fn is_dead(&self, key: &Key) -> bool {
        self.dead.contains(&key.id)
    }

    fn kill(&mut self, key: usize) {
        let key = self.keys[key].clone();
        self.dead.extend(key.secrets.into_iter().map(|(secret, _)| secret));
        self.dead.insert(key.id);
    }

    /// As `keygate keys rotate` says that it does.
    fn rotate(&mut self, key: usize, secret: String, overlap: i64, now: i64) {
        let key = &mut self.keys[key];
        let (mut staying, mut over) = (Vec::new(), Vec::new());
        for (old, until) in key.secrets.drain(..) {
            let until = [Some(now + overlap), until, key.ends].into_iter().flatten().min();
            match until {
                Some(until) if until > now => staying.push((old, Some(until))),
                _ => over.push(old),
            }
        }
        staying.push((secret, None));
        key.secrets = staying;
        self.dead.extend(over);
    }
}

struct World {
    home: TempDir,
    now: i64,
    file: Meaning,
    /// Every file that there ever was, with what it meant.
    backups: Vec<(String, Meaning)>,
    /// What the process has read last.
    loaded: Meaning,
    /// What it, or one before it, was ever told to be dead.
    dead: HashSet<String>,
    policy: Policy,
    journal: Journal,
    secrets: Vec<String>,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("config.toml"), CONFIG).unwrap();
        std::fs::write(home.path().join("keys.toml"), "\n").unwrap();
        let (policy, journal) = start(home.path());
        Self {
            home,
            now: BEGIN,
            file: Meaning::default(),
            backups: vec![("\n".to_owned(), Meaning::default())],
            loaded: Meaning::default(),
            dead: HashSet::new(),
            policy,
            journal,
            secrets: Vec::new(),
        }
    }

    fn edit<T>(&self, edit: impl FnOnce(&Place, &mut Scope) -> Result<T, EditError>) -> Result<T, EditError> {
        let file = self.home.path().join("keys.toml");
        let place = Place {
            root: file.clone(),
            file,
        };
        let settings = KeySettings::load(&self.home.path().join("config.toml")).unwrap();
        edit(&place, &mut settings.scope(self.now))
    }

    fn take(&mut self, step: &Step) {
        let now = self.now;
        let chosen = |key: usize| (!self.file.keys.is_empty()).then(|| key % self.file.keys.len());
        match *step {
            Step::Create { lives } => self.create(lives),
            Step::Wait { seconds } => self.now += i64::from(seconds),
            Step::Reload => self.load(|_, config, policy| Policy::next(config, policy, now).unwrap()),
            Step::Restart => {
                let (policy, journal) = start(self.home.path());
                self.journal = journal;
                self.load(|_, _, _| policy.clone());
            }
            Step::PutBack { file } => {
                let (text, meaning) = self.backups[file % self.backups.len()].clone();
                std::fs::write(self.home.path().join("keys.toml"), text).unwrap();
                self.file = meaning;
            }
            Step::Push { key } => self.push(key),
            Step::Rotate { key, overlap } => {
                if let Some(key) = chosen(key) {
                    self.rotate(key, i64::from(overlap));
                }
            }
            Step::Revoke { key } => {
                if let Some(key) = chosen(key) {
                    let id = self.file.keys[key].id.clone();
                    self.edit(|place, scope| keyfile::revoke(place, &id, Some("why"), scope, now))
                        .unwrap();
                    self.file.kill(key);
                }
            }
            Step::Disable { key } => {
                if let Some(key) = chosen(key) {
                    let id = self.file.keys[key].id.clone();
                    self.edit(|place, scope| keyfile::disable(place, &id, scope, now))
                        .unwrap();
                    self.file.keys[key].active = false;
                }
            }
            Step::Enable { key } => {
                if let Some(key) = chosen(key) {
                    let id = self.file.keys[key].id.clone();
                    let done = self.edit(|place, scope| keyfile::enable(place, &id, scope, now));
                    assert_eq!(done.is_ok(), !self.file.is_dead(&self.file.keys[key]), "{done:?}");
                    self.file.keys[key].active |= done.is_ok();
                }
            }
        }
        let text = std::fs::read_to_string(self.home.path().join("keys.toml")).unwrap();
        if self.backups.last().is_none_or(|(last, _)| *last != text) {
            self.backups.push((text, self.file.clone()));
        }
    }

    fn create(&mut self, lives: Option<u8>) {
        let now = self.now;
        let (key, secret) = NewKey::mint("kg_", "n", "acme", now);
        let ends = lives.map(|lives| now + i64::from(lives));
        let key = NewKey {
            expires_at: ends,
            ..key
        };
        self.edit(|place, scope| keyfile::add(place, &key, None, scope))
            .unwrap();
        self.secrets.push(secret.expose().to_owned());
        self.file.keys.push(Key {
            id: key.id,
            secrets: vec![(secret.expose().to_owned(), None)],
            ends,
            active: true,
        });
    }

    fn rotate(&mut self, key: usize, overlap: i64) {
        let now = self.now;
        let model = &self.file.keys[key];
        let may = !self.file.is_dead(model) && model.ends.is_none_or(|ends| ends > now);
        let id = model.id.clone();
        let rotation = Rotation {
            overlap,
            prefixes: Prefixes {
                environments: &[],
                default: "kg_",
            },
            peppers: &[],
        };
        let rotated = self.edit(|place, scope| keyfile::rotate(place, &id, &rotation, scope, now));
        assert_eq!(rotated.is_ok(), may, "{rotated:?}");
        if let Ok(rotated) = rotated {
            let secret = rotated.secret.expose().to_owned();
            self.secrets.push(secret.clone());
            self.file.rotate(key, secret, overlap, now);
        }
    }

    /// As the admin listener does it: whatever the file says, and without it.
    fn push(&mut self, key: usize) {
        if self.loaded.keys.is_empty() {
            return;
        }
        let key = key % self.loaded.keys.len();
        let id = self.loaded.keys[key].id.clone();
        let index = self.policy.keyring().by_id(&id).unwrap();
        let tombstone = Tombstone {
            hashes: self.policy.keyring().fingerprints(index),
            key: Some(id),
            revoked_at: self.now,
            reason: None,
        };
        if let Some(next) = self.policy.revoking([&tombstone]) {
            self.policy = next;
        }
        self.journal.remember(&[tombstone], "token:ops").unwrap();
        let mut loaded = self.loaded.clone();
        loaded.kill(key);
        self.dead.extend(loaded.dead);
    }

    fn load(&mut self, next: impl FnOnce(&Path, Config, &Policy) -> Policy) {
        let config = read(self.home.path());
        self.policy = next(self.home.path(), config, &self.policy);
        let news = self
            .policy
            .revocations()
            .news_since((&Revocations::default(), self.now), self.now);
        self.journal.remember(&news, "file").unwrap();
        self.loaded = self.file.clone();
        self.dead.extend(self.file.dead.iter().cloned());
    }

    /// Whether the model calls a secret alive.
    fn lives(&self, secret: &str) -> bool {
        let holder = self.loaded.keys.iter().find_map(|key| {
            let (_, until) = key.secrets.iter().find(|(held, _)| held == secret)?;
            Some((key, *until))
        });
        let is_over = |end: Option<i64>| end.is_some_and(|end| end <= self.now);
        holder.is_some_and(|(key, until)| {
            key.active
                && !is_over(until)
                && !is_over(key.ends)
                && !self.dead.contains(secret)
                && !self.dead.contains(&key.id)
        })
    }

    fn is_admitted(&self, secret: &str) -> bool {
        let mut headers = http::HeaderMap::new();
        headers.insert("host", http::HeaderValue::from_static("gate.example"));
        headers.insert("x-api-key", secret.parse().unwrap());
        let (uri, peer) = (http::Uri::from_static("/"), Peer::new(None, true));
        let head = ClientHead {
            method: &http::Method::GET,
            uri: &uri,
            version: http::Version::HTTP_11,
            headers: &headers,
            peer: &peer,
        };
        let now = Now {
            // A bad key's bucket is full again each time.
            monotonic: u64::try_from(self.now - BEGIN).unwrap() * 1_000_000_000_000,
            unix: self.now,
        };
        matches!(self.policy.decide_ingress(&head, None, now), Decision::Forward(_))
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (number, secret) in self.secrets.iter().enumerate() {
            let (admitted, lives) = (self.is_admitted(secret), self.lives(secret));
            prop_assert_eq!(admitted, lives, "secret {} at {}", number, self.now - BEGIN);
        }
        Ok(())
    }
}

fn read(home: &Path) -> Config {
    config::load(&home.join("config.toml"), &mut Sources::default())
        .unwrap()
        .config
}

fn start(home: &Path) -> (Policy, Journal) {
    let state = State {
        path: home.join("keygate.db"),
        ..State::default()
    };
    let (journal, remembered) = Journal::open(&state).unwrap();
    let policy = Policy::first(read(home)).unwrap().remembering(&remembered);
    (policy, journal)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_dead_secret_is_never_admitted_again_and_a_living_one_never_refused(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check()?;
        }
    }
}
