//! Thousands of small worlds against an oracle that fits on one screen.
//!
//! - Nobody passes whom no rule lets through, and everybody whom one does.
//! - Whoever may more, by a permission, a wildcard, a set or a subscription, may at least as much as before.
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
const ORGANIZATIONS: [&str; 2] = ["acme", "globex"];
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
    subscription: Option<&'static str>,
    /// Whether `X-Org` has to name the caller's organization.
    tenant: bool,
}

#[derive(Debug, Clone)]
struct Key {
    active: bool,
    organization: &'static str,
    held: Vec<&'static str>,
    subscriptions: Vec<&'static str>,
}

/// Three routes `/0` to `/2`, two keys `key_0` and `key_1`, two sets of which the outer one may hold the inner one.
#[derive(Debug, Clone)]
struct World {
    routes: Vec<Route>,
    keys: Vec<Key>,
    inner: Vec<&'static str>,
    outer: Vec<&'static str>,
}

/// Which path, whose key (a known one, one that nobody has, or none), and which organization it is about.
#[derive(Debug, Clone, Copy)]
struct Asked {
    route: usize,
    key: Option<usize>,
    organization: Option<&'static str>,
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
            if let (Some(name), "key") = (route.subscription, route.access) {
                writeln!(config, "subscription = {name:?}").expect("a string");
            }
            if route.tenant && route.access == "key" {
                writeln!(config, "organization = {{ header = \"X-Org\" }}").expect("a string");
            }
        }
        let mut keys = "[[organizations]]\nid = \"acme\"\n[[organizations]]\nid = \"globex\"\n".to_owned();
        for (index, key) in self.keys.iter().enumerate() {
            writeln!(
                keys,
                "[[keys]]\nid = \"key_{index}\"\nname = \"{index}\"\norganization = {:?}\nkey = \"kg_{index}\"\n\
                 active = {}\npermissions = {:?}\nsubscriptions = {:?}",
                key.organization, key.active, key.held, key.subscriptions
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
            _ => asked.key.and_then(|key| self.keys.get(key)).is_some_and(|key| {
                let has = |name: &&str| self.all_of(&key.held).iter().any(|pattern| matches(pattern, name));
                let may = match &route.demand {
                    Demand::Nothing => true,
                    Demand::Any(names) => names.iter().any(has),
                    Demand::All(names) => names.iter().all(has),
                };
                let subscribed = route.subscription.is_none_or(|name| key.subscriptions.contains(&name));
                let own = !route.tenant || asked.organization == Some(key.organization);
                key.active && may && subscribed && own
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
    if let Some(organization) = asked.organization {
        call.add(&format!("X-Org: {organization}"));
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

fn route() -> impl Strategy<Value = Route> {
    let access = select(&["key", "key", "key", "key", "public", "deny"][..]);
    let subscription = prop::option::weighted(0.3, Just("messaging"));
    let parts = (access, demand(), subscription, prop::bool::weighted(0.3));
    parts.prop_map(|(access, demand, subscription, tenant)| Route {
        access,
        demand,
        subscription,
        tenant,
    })
}

fn key() -> impl Strategy<Value = Key> {
    let held = subsequence(HELD.to_vec(), 0..=3);
    let subscriptions = subsequence(vec!["messaging", "reports"], 0..=2);
    let parts = (
        prop::bool::weighted(0.8),
        select(&ORGANIZATIONS[..]),
        held,
        subscriptions,
    );
    parts.prop_map(|(active, organization, held, subscriptions)| Key {
        active,
        organization,
        held,
        subscriptions,
    })
}

fn world() -> impl Strategy<Value = World> {
    let parts = (vec(route(), 3), vec(key(), 2), set(&HELD[..10]), set(&HELD[..11]));
    parts.prop_map(|(routes, keys, inner, outer)| World {
        routes,
        keys,
        inner,
        outer,
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    select(everything().collect::<Vec<_>>())
}

/// Also a path without a route, a key that nobody has, and an organization that is not there.
fn everything() -> impl Iterator<Item = Asked> {
    let keys = [None, Some(0), Some(1), Some(2)];
    let organizations = [None, Some(ORGANIZATIONS[0]), Some(ORGANIZATIONS[1]), Some("initech")];
    (0..4 * 4 * 4).map(move |index| Asked {
        route: index / 16,
        key: keys[index / 4 % 4],
        organization: organizations[index % 4],
    })
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
    fn more_permissions_never_mean_less_access(world in world(), more in select(&HELD[..]), place in 0..6usize) {
        let mut richer = world.clone();
        let list = match place {
            0 => &mut richer.inner,
            1 => &mut richer.outer,
            2 | 3 => &mut richer.keys[place - 2].held,
            _ => &mut richer.keys[place - 4].subscriptions,
        };
        let more = if place < 4 { more } else { "messaging" };
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
