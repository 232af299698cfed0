//! What a decision costs among many routes and keys, beside the same decision among few, in the same run:
//! `cargo bench --bench decide`.
//!
//! The first two sides take turns of a batch each, so that whatever else the machine does meets both. *The same traffic* is that
//! of 100 callers at 10 routes, at random; what differs is how many others there are, and the callers are spread evenly
//! among these. The last side has every key in use, at every route, so that hardly anything of it is in the processor's
//! caches: what that costs is memory's, and depends on the machine.
//!
//! What is measured is the whole decision: hygiene, route, credential, look-up, state, permission, limits, and giving the
//! permit up again. Heads are made just before their batch, as they are when they come from a connection. Every key has
//! been used before, since what its requests need is rendered at its first.
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock
#![allow(clippy::print_stdout)] // and says what it found
#![allow(missing_docs)]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use keygate::clock::Now;
use keygate::config;
use keygate::config::sources::Sources;
use keygate::policy::head::{ClientHead, Peer};
use keygate::policy::{Decision, Policy};

/// Decisions between two looks at the clock.
const BATCH: usize = 64;
/// Batches of each side.
const ROUNDS: usize = 10_000;
/// What the decision among many may cost, as a ratio to the one among few.
const RATIO: f64 = 1.5;
/// And in nanoseconds.
const NANOSECONDS: f64 = 2_000.0;

fn main() {
    let mut few = Side::new("100 callers at 10 routes, and no others", 10, 100, 1);
    let mut many = Side::new(
        "the same traffic among 1,000 routes and 100,000 keys",
        1_000,
        100_000,
        1_000,
    );
    let mut cold = Side::new("100,000 callers at 1,000 routes, all in use", 1_000, 100_000, 1);
    for side in [&mut few, &mut many, &mut cold] {
        side.warm_up();
    }
    for _ in 0..ROUNDS {
        few.measure();
        many.measure();
    }
    (0..ROUNDS).for_each(|_| cold.measure());
    let base = few.median();
    for side in [&mut few, &mut many, &mut cold] {
        let median = side.median();
        println!("{:52} {median:5.0} ns  {:4.2}", side.name, median / base);
    }
    let many = many.median();
    println!("goals for the second: a ratio below {RATIO}, and at most {NANOSECONDS} ns");
    if std::env::args().any(|argument| argument == "--strict") && (many / base >= RATIO || many > NANOSECONDS) {
        std::process::exit(1);
    }
}

/// A policy, and what its decisions took.
struct Side {
    name: &'static str,
    policy: Policy,
    /// One of so many keys and routes is in use.
    every: usize,
    routes: usize,
    keys: usize,
    random: u64,
    now: Now,
    peer: Peer,
    /// Nanoseconds for each batch.
    took: Vec<u64>,
}

impl Side {
    fn new(name: &'static str, routes: usize, keys: usize, every: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("config.toml");
        let records = directory.path().join("keys.jsonl");
        fs::write(&config, configuration(routes)).expect("a file");
        fs::write(&records, key_file(keys)).expect("a file");
        fs::set_permissions(&records, fs::Permissions::from_mode(0o600)).expect("a file of ours");
        let loaded = config::load(&config, &mut Sources::default()).unwrap_or_else(|problems| panic!("{problems}"));
        Self {
            name,
            every,
            policy: Policy::first(loaded.config).unwrap_or_else(|problems| panic!("{problems}")),
            routes,
            keys,
            random: 0x9e37_79b9_7f4a_7c15,
            now: Now {
                monotonic: 1 << 50,
                unix: 1_800_000_000,
            },
            peer: Peer::new(Some([203, 0, 113, 7].into()), false),
            took: Vec::with_capacity(ROUNDS),
        }
    }

    /// Every key once.
    fn warm_up(&mut self) {
        for key in 0..self.keys {
            let (uri, headers) = request(key % self.routes, key);
            self.decide(&uri, &headers);
        }
    }

    fn measure(&mut self) {
        let heads: Vec<(Uri, HeaderMap)> = (0..BATCH)
            .map(|_| {
                // In use are the multiples of `every`, for keys as for routes, as far as there are routes.
                let route = self.below(self.routes / self.route_step()) * self.route_step();
                let key = self.below(self.keys / self.every) * self.every;
                request(route, key)
            })
            .collect();
        self.now.monotonic += 1_000_000;
        let begin = Instant::now();
        for (uri, headers) in &heads {
            self.decide(uri, headers);
        }
        let took = begin.elapsed().as_nanos();
        self.took.push(u64::try_from(took).expect("a short time"));
    }

    fn decide(&self, uri: &Uri, headers: &HeaderMap) {
        let head = ClientHead {
            method: &Method::POST,
            uri,
            version: Version::HTTP_11,
            headers,
            peer: &self.peer,
        };
        let decision = self.policy.decide_ingress(&head, None, self.now);
        assert!(matches!(decision, Decision::Forward(_)), "every request is let through");
        black_box(decision);
    }

    /// With 1,000 routes, one of 100; with 10, each.
    fn route_step(&self) -> usize {
        self.every.min(self.routes / 10).max(1)
    }

    /// xorshift64: cheap, and the same in every run.
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 32).expect("32 bits") % end
    }

    fn median(&mut self) -> f64 {
        self.took.sort_unstable();
        let middle = self.took[self.took.len() / 2];
        middle as f64 / BATCH as f64
    }
}

fn configuration(routes: usize) -> String {
    let mut text = "[ingress]\nlisten = [\"127.0.0.1:0\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:9\"\n\
                    [keys]\nfile = \"keys.jsonl\"\n\
                    [plans.default]\nlimits = [{ name = \"sec\", requests = 1000000, per = \"1s\" }]\n"
        .to_owned();
    for route in 0..routes {
        let _ = write!(
            text,
            "[[routes]]\npath = \"/v1/service{route}/orgs/{{org}}/messages/{{id}}\"\nmethods = [\"POST\"]\n\
             permission = \"send:{}\"\n",
            route % 8
        );
    }
    text
}

fn key_file(keys: usize) -> String {
    let permissions: Vec<String> = (0..8).map(|number| format!("\"send:{number}\"")).collect();
    let permissions = permissions.join(",");
    let mut text = String::new();
    for organization in 0..keys.div_ceil(10) {
        let _ = writeln!(
            text,
            "{{\"id\":\"org_{organization}\",\"name\":\"Organization {organization}\"}}"
        );
    }
    for key in 0..keys {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret(key).as_bytes());
        let _ = writeln!(
            text,
            "{{\"id\":\"key_{key:012}\",\"name\":\"backend {key}\",\"organization\":\"org_{}\",\"hash\":\"sha256:{}\",\
             \"permissions\":[{permissions}]}}",
            key / 10,
            hex::encode(digest)
        );
    }
    text
}

/// Not random, which no part of the decision can tell.
fn secret(key: usize) -> String {
    format!("gw_live_{key:032}")
}

fn request(route: usize, key: usize) -> (Uri, HeaderMap) {
    let uri = format!("/v1/service{route}/orgs/{}/messages/{key}?dry=1", key / 10);
    let mut headers = HeaderMap::new();
    let authorization = format!("Bearer {}", secret(key));
    for (name, value) in [
        ("host", "api.example"),
        ("user-agent", "bench/1.0"),
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("content-length", "2"),
        ("authorization", &authorization),
    ] {
        headers.insert(name, HeaderValue::from_str(value).expect("visible ASCII"));
    }
    (uri.parse().expect("a path"), headers)
}
