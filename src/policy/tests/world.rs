//! Small worlds: a configuration, keys, a request, a moment; and what is said.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use crate::clock::Now;
use crate::config::problem::{Problems, Severity};
use crate::config::sources::Sources;
use crate::config::{self, Config};
use crate::policy::head::{ClientHead, Peer};
use crate::policy::permit::{Permit, Trail};
use crate::policy::refusal::Refusal;
use crate::policy::{Answered, Decision, Policy};

/// A request's head and where it comes from.
pub struct Call {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub peer: Peer,
}

impl Call {
    /// `METHOD /target`, from an address of the documentation, over TLS, with a `Host`.
    pub fn new(request: &str) -> Self {
        let (method, target) = request.split_once(' ').expect("METHOD /target");
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("gate.example"));
        Self {
            method: Method::from_bytes(method.as_bytes()).expect("a method"),
            uri: target.parse().expect("a target"),
            headers,
            peer: peer("203.0.113.9".parse().expect("an address"), true),
        }
    }

    /// Adds `Name: value`.
    pub fn add(&mut self, line: &str) {
        let (name, value) = line.split_once(':').expect("Name: value");
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        self.headers
            .append(name, HeaderValue::from_str(value.trim()).expect("a value"));
    }

    pub fn head(&self) -> ClientHead<'_> {
        ClientHead {
            method: &self.method,
            uri: &self.uri,
            version: Version::HTTP_11,
            headers: &self.headers,
            peer: &self.peer,
        }
    }
}

pub fn peer(address: IpAddr, tls: bool) -> Peer {
    Peer::new(Some(address), tls)
}

/// Reads a configuration that stands beside these files.
pub fn load(config: &str, files: &[(&str, &str)]) -> Config {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let file = directory.path().join(name);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        std::fs::write(file, text).expect("a file");
    }
    let path = directory.path().join("config.toml");
    std::fs::write(&path, config).expect("a file");
    match config::load(&path, &mut Sources::default()) {
        Ok(loaded) => loaded.config,
        Err(Problems(mut problems)) => {
            problems.retain(|problem| problem.severity == Severity::Error);
            panic!("{}", Problems(problems));
        }
    }
}

/// What is said to a request.
pub enum Said {
    Yes(Box<Permit>),
    Answer(Box<Answered>),
    No(Refusal, Box<Trail>),
}

impl Said {
    /// The code of a refusal, or `forward`, or `answer`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Yes(_) => "forward",
            Self::Answer(_) => "answer",
            Self::No(refusal, _) => refusal.code(),
        }
    }

    pub fn trail(&self) -> &Trail {
        match self {
            Self::Yes(permit) => permit.trail(),
            Self::Answer(answered) => &answered.trail,
            Self::No(_, trail) => trail,
        }
    }
}

/// Decides; the worlds here have neither slow hashes nor anything else that would have to be asked.
pub fn decide(policy: &Policy, call: &Call, now: Now) -> Said {
    let decision = policy.decide_ingress(&call.head(), None, now);
    if let Decision::Forward(permit) = decision {
        Said::Yes(permit)
    } else if let Decision::Answer(answered) = decision {
        Said::Answer(answered)
    } else if let Decision::Refuse(refused) = decision {
        Said::No(refused.refusal, Box::new(refused.trail))
    } else {
        panic!("neither yes nor no")
    }
}

/// Makes good calls, one after the other, and keeps the last `open` of them in flight.
pub fn come_before(policy: &Policy, call: &Call, now: Now, calls: usize, open: usize) -> Vec<Said> {
    let said = (0..calls).map(|_| decide(policy, call, now)).enumerate();
    let kept = said.filter(|(index, _)| index + open >= calls);
    kept.map(|(_, said)| said).collect()
}

/// `unix` seconds on both clocks, with a head start for the monotonic one.
pub fn at(unix: i64) -> Now {
    const HEAD_START: u64 = 1_000_000_000_000_000;
    Now {
        monotonic: HEAD_START,
        unix,
    }
}
