//! `tests/cases/order.toml`: the checks in their order, each with a change that makes a good request fail it.
//!
//! Every change alone gets its own code; every two of them together get the code of the earlier one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;

use super::world::{Call, Said, at, come_before, decide, load, peer};
use crate::config::Config;
use crate::policy::Policy;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    config: String,
    organizations: String,
    good: Change,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    /// What is asked; checks that ask the same are different answers to one question.
    asks: String,
    /// What it says when the answer is no.
    code: String,
    /// What the operator's log says beyond the code.
    reason: Option<String>,
    /// What makes a good request fail it.
    broken: Change,
}

/// A request and its key, or what is different about them.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields)]
struct Change {
    method: Option<String>,
    path: Option<String>,
    from: Option<IpAddr>,
    tls: Option<bool>,
    /// Lines by name; `false` takes one away.
    #[serde(default)]
    headers: BTreeMap<String, Line>,
    /// The record of the key.
    #[serde(default)]
    key: BTreeMap<String, toml::Value>,
    /// So many good requests came before.
    before: Option<usize>,
    /// So many of these are still in flight.
    open: Option<usize>,
    /// For so many seconds nobody has seen the key files.
    stale: Option<i64>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Line {
    Present(bool),
    Value(String),
}

impl Change {
    /// The names of what it changes.
    fn names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.headers.keys().map(|name| format!("header {name}")).collect();
        names.extend(self.key.keys().map(|name| format!("key {name}")));
        names.extend(self.method.as_ref().map(|_| "method".to_owned()));
        names.extend(self.path.as_ref().map(|_| "path".to_owned()));
        names.extend(self.from.map(|_| "from".to_owned()));
        names.extend(self.tls.map(|_| "tls".to_owned()));
        names.extend(self.stale.map(|_| "stale".to_owned()));
        names
    }

    /// This, and then the other.
    fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.headers.extend(other.headers.clone());
        both.key.extend(other.key.clone());
        both.method = other.method.clone().or(both.method);
        both.path = other.path.clone().or(both.path);
        both.from = other.from.or(both.from);
        both.tls = other.tls.or(both.tls);
        both.before = both.before.max(other.before);
        both.open = both.open.max(other.open);
        both.stale = other.stale.or(both.stale);
        both
    }

    fn call(&self) -> Call {
        let (method, path) = (self.method.as_deref(), self.path.as_deref());
        let mut call = Call::new(&format!("{} {}", method.unwrap_or("GET"), path.unwrap_or("/")));
        for (name, line) in &self.headers {
            match line {
                Line::Present(present) => {
                    assert!(!present, "a value, or false");
                    call.headers.remove(name);
                }
                Line::Value(value) => {
                    call.headers.remove(name);
                    call.add(&format!("{name}: {value}"));
                }
            }
        }
        let address = self.from.or(call.peer.address).expect("an address");
        call.peer = peer(address, self.tls.unwrap_or(true));
        call
    }
}

impl Order {
    fn read() -> Self {
        let text = std::fs::read_to_string(super::cases().join("order.toml")).expect("order.toml");
        toml::from_str(&text).unwrap_or_else(|error| panic!("order.toml: {error}"))
    }

    fn load(&self, change: &Change) -> Config {
        let key = serde_json::to_string(&change.key).expect("a record");
        let files = [
            ("keys/organizations.toml", self.organizations.as_str()),
            ("keys/keys.jsonl", key.as_str()),
        ];
        load(&self.config, &files)
    }

    /// The good requests come first, with the good key; then the key is changed, and the changed request comes.
    fn said(&self, change: &Change) -> Said {
        let now = at(1_780_315_200);
        let changed = self.good.and(change);
        let earlier = Policy::first(self.load(&self.good)).expect("a policy");
        let (before, open) = (changed.before.unwrap_or(0), changed.open.unwrap_or(0));
        let open = come_before(&earlier, &self.good.call(), now, before, open);
        assert!(open.iter().all(|said| said.code() == "forward"), "good requests pass");
        let policy = Policy::next(self.load(&changed), &earlier, now.unix).expect("a policy");
        policy.freshness().saw(now.unix - changed.stale.unwrap_or(0));
        let said = decide(&policy, &changed.call(), now);
        drop(open);
        said
    }
}

/// Every code that has a place.
pub(super) fn codes() -> BTreeSet<String> {
    Order::read().checks.into_iter().map(|check| check.code).collect()
}

fn is_said(check: &Check, said: &Said) -> bool {
    let reason = match said {
        Said::Yes(_) | Said::Answer(_) => "",
        Said::No(refusal, _) => refusal.reason(),
    };
    said.code() == check.code && check.reason.as_ref().is_none_or(|expected| expected == reason)
}

#[test]
fn a_good_request_is_let_through_and_each_change_alone_is_refused_for_its_own_reason() {
    let order = Order::read();
    assert_eq!(order.said(&Change::default()).code(), "forward");
    for check in &order.checks {
        let said = order.said(&check.broken);
        assert!(is_said(check, &said), "{}: {}", check.asks, said.code());
    }
}

#[test]
fn of_two_reasons_the_earlier_check_is_told() {
    let order = Order::read();
    let mut wrong = Vec::new();
    let mut alone = Vec::new();
    for (index, earlier) in order.checks.iter().enumerate() {
        for (distance, later) in order.checks[index + 1..].iter().enumerate() {
            if earlier.asks == later.asks {
                continue;
            }
            if !earlier.broken.names().is_disjoint(&later.broken.names()) {
                if distance == 0 {
                    alone.push((earlier.asks.as_str(), later.asks.as_str()));
                }
                continue;
            }
            let said = order.said(&earlier.broken.and(&later.broken));
            if !is_said(earlier, &said) {
                wrong.push(format!("{} before {}: {}", earlier.asks, later.asks, said.code()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
    assert_eq!(alone, [("", ""); 0], "neighbours that no request can fail both of");
}
