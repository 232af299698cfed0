//! An explanation says what the decision would have said, and nothing is the worse for it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::world::{Call, Said, at, decide, load};
use crate::policy::caller::IdentityHeaders;
use crate::policy::permit::{self, Passage};
use crate::policy::trace::{Outcome, Trace};
use crate::policy::{Outlook, Policy};

const NOW: i64 = 1_780_315_200;

/// Lines of a route that make it demand something.
const DEMANDS: [&str; 9] = [
    "permission = \"send\"",
    "subscription = \"messaging\"",
    "environment = [\"live\"]",
    "organization = { header = \"X-Org\" }",
    "requires_headers = [\"X-Needed\"]",
    "cost = 2",
    "enforcement = \"observe\"",
    "upstream = \"other\"",
    "body_bytes = 10",
];
/// Lines of a key that make a difference.
const GRANTS: [&str; 7] = [
    "permissions = [\"all\"]",
    "subscriptions = [\"messaging\"]",
    "environment = \"live\"",
    "active = false",
    "expires_at = 2026-01-01T00:00:00Z",
    "allowed_sources = [\"10.0.0.0/8\"]",
    "plan = \"small\"",
];
/// What requests may carry beside a key.
const HEADERS: [&str; 7] = [
    "X-Org: acme",
    "X-Org: globex",
    "X-Needed: yes",
    "X-Old: 1",
    "Content-Length: 11",
    "Authorization: Bearer kg_live_0",
    "X-API-Key: kg_nobody",
];
const ACCESS: [&str; 6] = ["key", "key", "key", "key", "public", "deny"];

#[derive(Debug, Clone)]
struct World {
    routes: Vec<(&'static str, Vec<&'static str>)>,
    keys: Vec<Vec<&'static str>>,
    requests: u32,
    bad_keys: u32,
}

#[derive(Debug, Clone)]
struct Asked {
    route: usize,
    key: Option<&'static str>,
    headers: Vec<&'static str>,
}

/// What must be equal.
#[derive(Debug, PartialEq)]
enum Verdict {
    Forward(u16, Passage, IdentityHeaders),
    Refuse(&'static str, Option<u64>),
}

impl World {
    fn policy(&self) -> Policy {
        let mut config = format!(
            "[ingress]\nlisten = [\"127.0.0.1:1\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:2\"\n\
             [upstreams.other]\nurl = \"http://127.0.0.1:3\"\n\
             [keys]\nfile = \"keys.toml\"\nallow_plaintext_keys = true\n\
             [limits]\ncredential_failures = {{ requests = {}, per = \"1m\" }}\n\
             [environments.live]\nprefixes = [\"kg_live_\"]\n[environments.test]\nprefixes = [\"kg_test_\"]\nupstream = \"other\"\n\
             [permissions.all]\nincludes = [\"send\"]\n\
             [plans.default]\nconcurrency = 2\nlimits = [{{ name = \"hour\", requests = {}, per = \"1h\" }}, {{ name = \"org\", \
             requests = 8, per = \"1h\", scope = \"organization\" }}]\n\
             [plans.small]\nlimits = [{{ name = \"hour\", requests = 2, per = \"1h\", strict = true }}]\n\
             quota = [{{ name = \"day\", requests = 3, per = \"day\" }}]\n\
             [[legacy]]\nname = \"old\"\nheader = \"X-Old\"\nuntil = 2027-01-01\n",
            self.bad_keys, self.requests
        );
        for (index, (access, demands)) in self.routes.iter().enumerate() {
            config += &format!("[[routes]]\npath = \"/{index}\"\naccess = \"{access}\"\n");
            let applies = |demand: &&&str| match *access {
                "key" => true,
                "public" => demand.starts_with("upstream") || demand.starts_with("body_bytes"),
                _ => false,
            };
            for demand in demands.iter().filter(applies) {
                config += &format!("{demand}\n");
            }
        }
        let mut keys = "[[organizations]]\nid = \"acme\"\n[[organizations]]\nid = \"globex\"\n".to_owned();
        for (index, grants) in self.keys.iter().enumerate() {
            let (key, organization) = [("kg_live_0", "acme"), ("kg_test_1", "acme"), ("kg_2", "globex")][index];
            keys += &format!(
                "[[keys]]\nid = \"key_{index}\"\nname = \"{index}\"\norganization = \"{organization}\"\nkey = \"{key}\"\n{}\n",
                grants.join("\n")
            );
        }
        Policy::first(load(&config, &[("keys.toml", &keys)])).expect("routes that stand beside each other")
    }
}

fn call(asked: &Asked) -> Call {
    let mut call = Call::new(&format!("POST /{}", asked.route));
    for line in &asked.headers {
        call.add(line);
    }
    if let Some(key) = asked.key {
        call.add(&format!("X-API-Key: {key}"));
    }
    call
}

fn decided(policy: &Policy, said: &Said) -> Verdict {
    match said {
        Said::Yes(permit) => Verdict::Forward(
            permit.upstream.0,
            permit.trail().passage.clone(),
            permit::identity(permit.identity.as_ref(), permit.trail(), policy).clone(),
        ),
        Said::Answer(_) => panic!("nothing here leads to this"),
        Said::No(refusal, _) => Verdict::Refuse(refusal.code(), refusal.retry_after()),
    }
}

fn explained(policy: &Policy, call: &Call) -> (Verdict, Trace) {
    let mut trace = Trace::default();
    let verdict = match policy.explain(&call.head(), None, at(NOW), &mut trace) {
        Outlook::Forward {
            upstream,
            identity,
            trail,
        } => Verdict::Forward(upstream.0, trail.passage, identity),
        Outlook::Refuse(refused) => Verdict::Refuse(refused.refusal.code(), refused.refusal.retry_after()),
        Outlook::Answer { .. } | Outlook::Fail(_) | Outlook::AskKeys | Outlook::Verify(_) => {
            panic!("nothing here leads to this")
        }
    };
    (verdict, trace)
}

fn world() -> impl Strategy<Value = World> {
    let routes = vec((select(&ACCESS[..]), subsequence(DEMANDS.to_vec(), 0..=4)), 3);
    let keys = vec(subsequence(GRANTS.to_vec(), 0..=4), 3);
    (routes, keys, 2..5u32, 1..4u32).prop_map(|(routes, keys, requests, bad_keys)| World {
        routes,
        keys,
        requests,
        bad_keys,
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let key = select(
        &[
            "kg_live_0",
            "kg_live_0",
            "kg_test_1",
            "kg_2",
            "kg_2",
            "kg_unknown",
            "kg_live_unknown",
        ][..],
    );
    let key = prop::option::weighted(0.85, key);
    (0..4usize, key, subsequence(HEADERS.to_vec(), 0..=3)).prop_map(|(route, key, headers)| Asked {
        route,
        key,
        headers,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_explanation_says_what_the_decision_says_and_spends_nothing(
        world in world(),
        calls in vec((asked(), any::<bool>()), 1..24),
        asked_about in vec(asked(), 0..6),
    ) {
        // One world is explained over and over; the other only decides.
        let (explaining, calm) = (world.policy(), world.policy());
        let mut open = Vec::new();
        for (asked, stays) in calls {
            for other in &asked_about {
                let _ = explained(&explaining, &call(other));
            }
            let call = call(&asked);
            let (outlook, trace) = explained(&explaining, &call);
            let said = decide(&explaining, &call, at(NOW));
            let undisturbed = decide(&calm, &call, at(NOW));
            prop_assert_eq!(&outlook, &decided(&explaining, &said), "{:?}", asked);
            prop_assert_eq!(&outlook, &decided(&calm, &undisturbed), "{:?}", asked);
            prop_assert_eq!(&said.trail().report, &undisturbed.trail().report, "{:?}", asked);

            // What refuses is the last step, and nothing before it says no.
            let no = trace.0.iter().position(|step| matches!(step.outcome, Outcome::Refused(_)));
            let expected = matches!(outlook, Verdict::Refuse(..)).then_some(trace.0.len() - 1);
            prop_assert_eq!(no, expected);
            if stays {
                open.push((said, undisturbed));
            }
        }
    }
}
