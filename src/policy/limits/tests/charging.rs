//! The whole decision, held against what it charges: a refusal charges nobody, an admission exactly its caller and those who
//! share with it.

use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use proptest::prelude::*;

use crate::clock::Now;
use crate::config;
use crate::config::sources::Sources;
use crate::policy::head::{ClientHead, Peer};
use crate::policy::keyring::KeyIndex;
use crate::policy::permit::{Passage, Permit};
use crate::policy::{Decision, Policy};
use crate::secret::Digest;

const CONFIG: &str = r#"
[ingress]
listen = ["127.0.0.1:0"]
[upstreams.default]
url = "http://127.0.0.1:1"
[keys]
file = "keys.toml"
[limits]
body_bytes = 4
[environments.test]
prefixes = ["kgt_"]
quota = false
[plans.default]
concurrency = 3
limits = [
  { name = "own", requests = 9, per = "1h" },
  { name = "all", requests = 14, per = "1h", scope = "organization" },
]
quota = [
  { name = "day", requests = 7, per = "day", time_zone = "Europe/Berlin", scope = "key" },
  { name = "month", requests = 16, per = "month", time_zone = "Europe/Berlin" },
]
[[routes]]
path = "/send"
permission = "send"
[[routes]]
path = "/bulk"
cost = 3
[[routes]]
path = "/orgs/{org}"
organization = "{org}"
[[routes]]
path = "/seen"
permission = "send"
enforcement = "observe"
"#;

const KEYS: [&str; 5] = ["kg_a", "kg_b", "kg_globex", "kgt_test", "kg_dead"];
const TARGETS: [&str; 7] = [
    "/send",
    "/bulk",
    "/orgs/acme",
    "/orgs/globex",
    "/seen",
    "/nowhere",
    "/send/../bulk",
];

fn policy() -> Policy {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = "[[organizations]]\nid = \"acme\"\n[[organizations]]\nid = \"globex\"\n".to_owned();
    for key in KEYS {
        let (organization, more) = match key {
            "kg_a" => ("acme", "permissions = [\"send\"]"),
            "kg_globex" => ("globex", "permissions = [\"send\"]"),
            "kgt_test" => ("acme", "environment = \"test\""),
            "kg_dead" => ("acme", "active = false"),
            _ => ("acme", ""),
        };
        let hash = hex::encode(Digest::of(key.as_bytes()).0);
        keys.push_str(&format!(
            "[[keys]]\nid = \"{key}\"\nname = \"{key}\"\norganization = \"{organization}\"\nhash = \"sha256:{hash}\"\n{more}\n"
        ));
    }
    std::fs::write(directory.path().join("keys.toml"), keys).unwrap();
    let file = directory.path().join("config.toml");
    std::fs::write(&file, CONFIG).unwrap();
    let loaded = config::load(&file, &mut Sources::default()).unwrap_or_else(|problems| panic!("{problems}"));
    Policy::first(loaded.config).unwrap()
}

/// Where every key stands: its windows, its quotas, and what is in flight.
fn everything(policy: &Policy, now: Now) -> Vec<(Vec<u64>, u32)> {
    (0..KEYS.len())
        .map(|index| {
            let standing = policy.standing(KeyIndex(u32::try_from(index).unwrap()), None);
            let report = standing.account.peek(0, now).unwrap();
            let windows = report.windows.iter().map(|standing| u64::from(standing.remaining));
            let quotas = report.quotas.iter().map(|left| left.remaining);
            (windows.chain(quotas).collect(), standing.account.in_flight())
        })
        .collect()
}

proptest! {
    #[test]
    fn a_refusal_charges_nobody_and_an_admission_what_it_costs(
        calls in prop::collection::vec((0..7usize, 0..TARGETS.len(), prop::option::weighted(0.2, 3..6u8), 0..7u8, 0..30_000u64), 1..80),
    ) {
        let policy = policy();
        let peer = Peer::new("203.0.113.1".parse().ok(), false);
        let mut in_flight: Vec<Box<Permit>> = Vec::new();
        let mut now = Now { monotonic: 1, unix: 1_769_896_800 };
        for (key, target, length, drain, step) in calls {
            now.monotonic += step * 1_000_000_000;
            now.unix += step.cast_signed();
            if drain == 0 {
                in_flight.clear();
            }
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("gate"));
            match key {
                0..5 => drop(headers.insert("x-api-key", HeaderValue::from_static(KEYS[key]))),
                5 => drop(headers.insert("x-api-key", HeaderValue::from_static("kg_nobody"))),
                _ => {}
            }
            if let Some(length) = length {
                headers.insert("content-length", HeaderValue::from(u16::from(length)));
            }
            let uri = Uri::from_static(TARGETS[target]);
            let head = ClientHead { method: &Method::POST, uri: &uri, version: Version::HTTP_11, headers: &headers, peer: &peer };
            let before = everything(&policy, now);
            let decision = policy.decide_ingress(&head, None, now);
            let after = everything(&policy, now);
            match decision {
                Decision::Verify(_) => prop_assert!(false, "there are no slow hashes"),
                Decision::AskKeys | Decision::Fail(..) => prop_assert!(false, "there are no users"),
                Decision::Answer(_) => prop_assert!(false, "nothing leads to whoami"),
                Decision::Refuse(refused) => prop_assert_eq!(before, after, "{:?}", refused.refusal),
                Decision::Forward(permit) => {
                    if permit.trail().passage == Passage::Key {
                        let cost = if TARGETS[target] == "/bulk" { 3 } else { 1 };
                        let spent: Vec<u64> = before[key].0.iter().map(|left| left - cost).collect();
                        prop_assert_eq!(&spent, &after[key].0);
                        prop_assert_eq!(before[key].1 + 1, after[key].1);
                        for other in (0..KEYS.len()).filter(|other| *other != key) {
                            prop_assert_eq!(before[other].0[0], after[other].0[0], "a window of its own");
                            prop_assert_eq!(before[other].1, after[other].1);
                        }
                    } else {
                        prop_assert_eq!(before, after, "what is only observed is free");
                    }
                    in_flight.push(permit);
                }
            }
        }
    }
}
