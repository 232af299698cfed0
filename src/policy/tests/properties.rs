//! Thousands of small worlds against an oracle that fits on one screen.
//!
//! - Nobody passes whom no rule lets through, and everybody whom one does.
//! - Whoever may more, by a permission, a wildcard or a set, may at least as much as before.
//! - What is refused leaves every limit as it was.

use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::world::{Call, at, decide, load};
use crate::policy::Policy;

/// What routes ask for.
const ASKED: [&str; 5] = ["read", "send", "messages:read", "messages:send", "messages:media:send"];
/// What keys and sets may hold: these, wildcards, and the sets by name.
const HELD: [&str; 12] = [
    "read",
    "send",
    "messages:read",
    "messages:send",
    "messages:media:send",
    "*",
    "messages:*",
    "*:read",
    "messages:*:send",
    "unheard-of",
    "inner",
    "outer",
];
const NOW: i64 = 1_780_315_200;

#[derive(Debug, Clone)]
enum Demand {
    Nothing,
    Any(Vec<&'static str>),
    All(Vec<&'static str>),
}

#[derive(Debug, Clone)]
struct Route {
    access: &'static str,
    demand: Demand,
}

/// Three routes `/0` to `/2`, two keys `key_0` and `key_1`, two sets of which the outer one may hold the inner one.
#[derive(Debug, Clone)]
struct World {
    routes: Vec<Route>,
    keys: Vec<(bool, Vec<&'static str>)>,
    inner: Vec<&'static str>,
    outer: Vec<&'static str>,
}

/// Which path, and whose key: a known one, one that nobody has, or none.
#[derive(Debug, Clone, Copy)]
struct Asked {
    route: usize,
    key: Option<usize>,
}

impl World {
    fn policy(&self, plan: &str) -> Policy {
        let mut config = format!(
            "[ingress]\nlisten = [\"127.0.0.1:1\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:2\"\n\
             [keys]\nfile = \"keys.toml\"\nallow_plaintext_keys = true\n\
             [limits]\ncredential_failures = false\n{plan}\n\
             [permissions.inner]\nincludes = {:?}\n[permissions.outer]\nincludes = {:?}\n",
            self.inner, self.outer
        );
        for (index, route) in self.routes.iter().enumerate() {
            writeln!(config, "[[routes]]\npath = \"/{index}\"\naccess = \"{}\"", route.access).expect("a string");
            match (&route.demand, route.access) {
                (Demand::Any(names), "key") => writeln!(config, "permission = {{ any = {names:?} }}"),
                (Demand::All(names), "key") => writeln!(config, "permission = {{ all = {names:?} }}"),
                (Demand::Nothing | Demand::Any(_) | Demand::All(_), _) => Ok(()),
            }
            .expect("a string");
        }
        let mut keys = "[[organizations]]\nid = \"acme\"\n".to_owned();
        for (index, (active, held)) in self.keys.iter().enumerate() {
            writeln!(
                keys,
                "[[keys]]\nid = \"key_{index}\"\nname = \"{index}\"\norganization = \"acme\"\nkey = \"kg_{index}\"\n\
                 active = {active}\npermissions = {held:?}"
            )
            .expect("a string");
        }
        Policy::first(load(&config, &[("keys.toml", &keys)])).expect("routes that stand beside each other")
    }

    /// The oracle.
    fn admits(&self, asked: Asked) -> bool {
        let Some(route) = self.routes.get(asked.route) else {
            return false;
        };
        match route.access {
            "public" => true,
            "deny" => false,
            _ => asked
                .key
                .and_then(|key| self.keys.get(key))
                .is_some_and(|(active, held)| {
                    let has = |name: &&str| self.all_of(held).iter().any(|pattern| matches(pattern, name));
                    *active
                        && match &route.demand {
                            Demand::Nothing => true,
                            Demand::Any(names) => names.iter().any(has),
                            Demand::All(names) => names.iter().all(has),
                        }
                }),
        }
    }

    /// What is held, with what the sets among it include.
    fn all_of(&self, held: &[&'static str]) -> Vec<&'static str> {
        let mut all = held.to_vec();
        if all.contains(&"outer") {
            all.extend(&self.outer);
        }
        if all.contains(&"inner") {
            all.extend(&self.inner);
        }
        all
    }
}

/// `*` is one segment, and as the last one all that follow.
fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.split_once(':'), name.split_once(':')) {
        (None, _) if pattern == "*" => true,
        (None, None) => pattern == name,
        (Some((first, pattern)), Some((segment, name))) => (first == "*" || first == segment) && matches(pattern, name),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn passes(policy: &Policy, asked: Asked) -> bool {
    decide(policy, &call(asked), at(NOW)).code() == "forward"
}

fn call(asked: Asked) -> Call {
    let mut call = Call::new(&format!("GET /{}", asked.route));
    if let Some(key) = asked.key {
        call.add(&format!("X-API-Key: kg_{key}"));
    }
    call
}

fn names() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(ASKED.to_vec(), 1..=3)
}

fn demand() -> impl Strategy<Value = Demand> {
    prop_oneof![
        1 => Just(Demand::Nothing),
        2 => names().prop_map(Demand::Any),
        3 => names().prop_map(Demand::All),
    ]
}

/// Sets hold something, and never each other in a circle.
fn set(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(of.to_vec(), 1..=3)
}

fn world() -> impl Strategy<Value = World> {
    let access = select(&["key", "key", "key", "key", "public", "deny"][..]);
    let routes = vec(
        (access, demand()).prop_map(|(access, demand)| Route { access, demand }),
        3,
    );
    let keys = vec((prop::bool::weighted(0.8), subsequence(HELD.to_vec(), 0..=3)), 2);
    (routes, keys, set(&HELD[..10]), set(&HELD[..11])).prop_map(|(routes, keys, inner, outer)| World {
        routes,
        keys,
        inner,
        outer,
    })
}

/// Also a path without a route, and a key that nobody has.
fn asked() -> impl Strategy<Value = Asked> {
    (0..4usize, prop::option::weighted(0.9, 0..3usize)).prop_map(|(route, key)| Asked { route, key })
}

fn everything() -> impl Iterator<Item = Asked> {
    let keys = [None, Some(0), Some(1), Some(2)];
    (0..4).flat_map(move |route| keys.map(|key| Asked { route, key }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whoever_passes_was_let_through_by_a_rule_and_nobody_else_is_refused(world in world()) {
        let policy = world.policy("");
        for asked in everything() {
            prop_assert_eq!(passes(&policy, asked), world.admits(asked), "{:?}", asked);
        }
    }

    #[test]
    fn more_permissions_never_mean_less_access(world in world(), more in select(&HELD[..]), place in 0..4usize) {
        let mut richer = world.clone();
        let list = match place {
            0 => &mut richer.inner,
            1 => &mut richer.outer,
            key => &mut richer.keys[key - 2].1,
        };
        // A set that held itself would be no set.
        prop_assume!(!list.contains(&more) && (place > 1 || more != "outer") && (place > 0 || more != "inner"));
        list.push(more);
        let (poorer, richer) = (world.policy(""), richer.policy(""));
        for asked in everything() {
            prop_assert!(!passes(&poorer, asked) || passes(&richer, asked), "{:?} with {} more", asked, more);
        }
    }

    #[test]
    fn what_is_refused_leaves_every_limit_as_it_was(world in world(), calls in vec(asked(), 1..20)) {
        let plan = "[plans.default]\nconcurrency = 1\nlimits = [{ name = \"hour\", requests = 3, per = \"1h\" }, \
                    { name = \"day\", requests = 5, per = \"1d\", strict = true }]\n\
                    quota = [{ name = \"month\", requests = 4, per = \"month\" }, \
                    { name = \"own\", requests = 2, per = \"day\", scope = \"key\" }]";
        let (disturbed, calm) = (world.policy(plan), world.policy(plan));
        for asked in calls {
            let said = decide(&disturbed, &call(asked), at(NOW));
            if said.code() == "forward" {
                // The calm world sees nothing but what is let through.
                let same = decide(&calm, &call(asked), at(NOW));
                prop_assert_eq!(same.code(), "forward");
                prop_assert_eq!(&same.trail().report, &said.trail().report, "{:?}", asked);
            }
        }
        for asked in everything() {
            let (one, other) = (decide(&disturbed, &call(asked), at(NOW)), decide(&calm, &call(asked), at(NOW)));
            prop_assert_eq!(one.code(), other.code(), "{:?}", asked);
            prop_assert_eq!(&one.trail().report, &other.trail().report, "{:?}", asked);
        }
    }
}
