//! What a running request rests on, held against what a fresh request with the same head would be told.
//!
//! - A bond holds in a later generation, at a later moment, exactly where a fresh decision would let the request through; and
//!   where it does not, both say the same. There is one exception: whoever belongs to another organization now is cut, since
//!   the upstream was told the old one.
//! - Until the moment that a bond is said to hold, it holds; from then on it does not.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

use super::world::{Call, at, decide, load};
use crate::config::records::Tombstone;
use crate::policy::Policy;
use crate::policy::bond::Bond;
use crate::policy::permit::Trail;
use crate::policy::refusal::Refusal;
use crate::policy::user::tests::issuer::{SigningKey, key_set};
use crate::secret::{Digest, Secret};

const NOW: i64 = 1_780_315_200;
/// Moments that records name, before, at and after [`NOW`].
const MOMENTS: [&str; 4] = [
    "2026-06-01T11:59:00Z",
    "2026-06-01T12:00:00Z",
    "2026-06-01T12:01:00Z",
    "2026-06-01T13:00:00Z",
];
/// Asked about by each property, in seconds from [`NOW`].
const LATER: [i64; 5] = [0, 1, 60, 61, 3600];
const KEY: &str = "kg_live_alpha";
const OTHER: &str = "kg_live_beta";

/// What of a world may change from one generation to the next. Lines of TOML.
#[derive(Debug, Clone)]
struct World {
    /// Of the route `/{org}`.
    route: Vec<&'static str>,
    access: &'static str,
    set: &'static str,
    organization: &'static str,
    held: Vec<&'static str>,
    subscriptions: Vec<&'static str>,
    /// Whether there is a record, and its secrets with their ends.
    record: Option<Vec<(&'static str, Option<&'static str>)>>,
    /// More lines of the record.
    lines: Vec<String>,
    tombstone: Option<(&'static str, &'static str)>,
}

impl World {
    fn files(&self) -> (String, String) {
        let mut config = format!(
            "[ingress]\nlisten = [\"127.0.0.1:1\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:2\"\n\
             [keys]\nfile = \"keys.toml\"\n[limits]\ncredential_failures = false\n\
             [environments.live]\nprefixes = [\"kg_live_\"]\n[environments.test]\nprefixes = [\"kg_test_\"]\n\
             [permissions.set]\nincludes = [\"{}\"]\n\
             [[routes]]\npath = \"/always/asks\"\norganization = {{ header = \"X-Org\" }}\n\
             subscription = {{ header = \"X-Sub\" }}\n\
             [[routes]]\npath = \"/{{org}}\"\naccess = \"{}\"\n",
            self.set, self.access
        );
        if self.access == "key" {
            self.route
                .iter()
                .for_each(|line| writeln!(config, "{line}").expect("a string"));
        }
        let mut keys = "[[organizations]]\nid = \"acme\"\n[[organizations]]\nid = \"globex\"\n".to_owned();
        if let Some(secrets) = &self.record {
            let secret = |(secret, end): &(&str, Option<&str>)| {
                let end = end.map_or(String::new(), |end| format!(", expires_at = {end}"));
                format!(
                    "{{ hash = \"sha256:{}\"{end} }}",
                    hex::encode(Digest::of(secret.as_bytes()).0)
                )
            };
            let secrets: Vec<String> = secrets.iter().map(secret).collect();
            write!(
                keys,
                "[[keys]]\nid = \"key_alpha\"\nname = \"alpha\"\norganization = {:?}\nsecrets = [{}]\npermissions = {:?}\n\
                 subscriptions = {:?}\n{}\n",
                self.organization,
                secrets.join(", "),
                self.held,
                self.subscriptions,
                self.lines.join("\n")
            )
            .expect("a string");
        }
        if let Some((what, since)) = self.tombstone {
            writeln!(keys, "[[tombstones]]\n{what}\nrevoked_at = {since}").expect("a string");
        }
        (config, keys)
    }

    fn load(&self) -> crate::config::Config {
        let (config, keys) = self.files();
        load(&config, &[("keys.toml", &keys)])
    }
}

fn moment() -> impl Strategy<Value = &'static str> {
    select(&MOMENTS[..])
}

fn line(name: &'static str) -> impl Strategy<Value = Option<String>> {
    prop::option::weighted(0.2, moment().prop_map(move |at| format!("{name} = {at}")))
}

fn world() -> impl Strategy<Value = World> {
    let demands = [
        "permission = \"read\"",
        "subscription = \"messaging\"",
        "environment = [\"live\"]",
        "organization = \"{org}\"",
    ];
    let route = (
        subsequence(demands.to_vec(), 0..=2),
        prop::option::weighted(0.1, Just("enforcement = \"observe\"")),
    );
    let route = route.prop_map(|(mut lines, observe)| {
        lines.extend(observe);
        lines
    });
    let access = select(&["key", "key", "key", "key", "key", "key", "public", "deny"][..]);
    let secrets = select(vec![
        vec![(KEY, None)],
        vec![(KEY, None)],
        vec![(OTHER, None)],
        vec![(OTHER, None), (KEY, Some(MOMENTS[2]))],
        vec![(OTHER, None), (KEY, Some(MOMENTS[0]))],
    ]);
    let environment = select(vec![
        None,
        None,
        Some("environment = \"live\""),
        Some("environment = \"test\""),
    ]);
    let sources = select(vec![
        None,
        None,
        Some("allowed_sources = [\"203.0.113.0/24\"]"),
        Some("allowed_sources = [\"198.51.100.0/24\"]"),
    ]);
    let active = prop::option::weighted(0.1, Just("active = false"));
    let lines = (
        line("expires_at"),
        line("revoked_at"),
        line("not_before"),
        environment,
        sources,
        active,
    );
    let lines = lines.prop_map(|(expires, revoked, begins, environment, sources, active)| {
        let others = [environment, sources, active].into_iter().flatten().map(str::to_owned);
        // Nobody may end before it begins.
        let begins = begins.filter(|_| expires.is_none());
        [expires, revoked, begins].into_iter().flatten().chain(others).collect()
    });
    let tombstone = (
        select(&["key = \"key_alpha\"", TOMB_OF_KEY, TOMB_OF_OTHER][..]),
        moment(),
    );
    (
        route,
        access,
        select(&["read", "write"][..]),
        select(&["acme", "acme", "acme", "globex"][..]),
        subsequence(vec!["read", "set", "write", "*"], 0..=2),
        subsequence(vec!["messaging", "reports"], 1..=2),
        prop::option::weighted(0.9, secrets),
        lines,
        prop::option::weighted(0.2, tombstone),
    )
        .prop_map(
            |(route, access, set, organization, held, subscriptions, record, lines, tombstone)| World {
                route,
                access,
                set,
                organization,
                held,
                subscriptions,
                record,
                lines,
                tombstone,
            },
        )
}

/// Of [`KEY`] and of [`OTHER`].
const TOMB_OF_KEY: &str = "hashes = [\"sha256:5f77466b143330718edd8004c5bb46e173d16e0305dab3637d9babdda2598a80\"]";
const TOMB_OF_OTHER: &str = "hashes = [\"sha256:f5690e62b0e0d143e4c326b50978671666b37d2930000afb8912732eea8d4e36\"]";

fn call() -> Call {
    let mut call = Call::new("GET /acme");
    call.add(&format!("X-API-Key: {KEY}"));
    call
}

/// What a request rests on that this policy lets through, if it does and there is anything.
fn bond(policy: &Policy, call: &Call) -> Option<Bond> {
    let said = decide(policy, call, at(NOW));
    if said.code() == "forward" {
        bond_of(policy, call, said.trail())
    } else {
        None
    }
}

fn bond_of(policy: &Policy, call: &Call, trail: &Trail) -> Option<Bond> {
    let relied_on = policy.relied_on(&call.headers);
    let address = Some("203.0.113.9".parse().expect("an address"));
    policy.bond(trail, address, &call.method, &call.uri, relied_on)
}

fn code(held: &Result<Option<i64>, Refusal>) -> &'static str {
    held.as_ref().map_or_else(Refusal::code, |_| "forward")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_bond_holds_where_a_fresh_decision_would_let_the_same_head_through(
        before in world(),
        after in world(),
        // A world that lets nobody in is of no use: these parts are the same more often than not.
        keeps in subsequence(vec!["route", "access", "record", "lines", "tombstone"], 2..=5),
        later in select(&LATER[..]),
    ) {
        let mut after = after;
        for part in keeps {
            match part {
                "route" => after.route = before.route.clone(),
                "access" => after.access = before.access,
                "record" => after.record = before.record.clone(),
                "lines" => after.lines = before.lines.clone(),
                _ => after.tombstone = before.tombstone,
            }
        }
        let first = Policy::first(before.load()).expect("routes");
        let call = call();
        let Some(bond) = bond(&first, &call) else { return Ok(()) };
        let now = NOW + later;
        let next = Policy::next(after.load(), &first, NOW).expect("routes");
        let (fresh, held) = (decide(&next, &call, at(now)).code(), next.holds(&bond, now));
        let has_moved = before.organization != after.organization;
        prop_assert!(
            code(&held) == fresh || (has_moved && code(&held) == "tenant_denied"),
            "fresh: {fresh}, held: {held:?}"
        );
    }

    #[test]
    fn a_bond_holds_until_the_moment_that_is_said_and_no_longer(world in world()) {
        let policy = Policy::first(world.load()).expect("routes");
        let call = call();
        let Some(bond) = bond(&policy, &call) else { return Ok(()) };
        let until = policy.holds(&bond, NOW).expect("what was just decided");
        if world.access == "key" && !world.route.contains(&"enforcement = \"observe\"") {
            prop_assert_eq!(bond.until(), until);
        }
        match until {
            Some(until) => {
                prop_assert!(until > NOW);
                prop_assert_eq!(policy.holds(&bond, until - 1), Ok(Some(until)));
                prop_assert!(policy.holds(&bond, until).is_err());
                prop_assert_eq!(decide(&policy, &call, at(until - 1)).code(), "forward");
                prop_assert_ne!(decide(&policy, &call, at(until)).code(), "forward");
            }
            None => prop_assert_eq!(policy.holds(&bond, NOW + 1_000_000_000), Ok(None)),
        }
    }

    #[test]
    fn what_is_pushed_ends_a_bond_as_it_ends_a_key(
        world in world(),
        key in select(&["key_alpha", "key_beta"][..]),
        secret in select(&[KEY, OTHER][..]),
        named in any::<(bool, bool)>(),
    ) {
        let first = Policy::first(world.load()).expect("routes");
        let call = call();
        let Some(bond) = bond(&first, &call) else { return Ok(()) };
        let tombstone = Tombstone {
            key: named.0.then(|| key.to_owned()),
            hashes: named.1.then(|| Digest::of(secret.as_bytes())).into_iter().collect(),
            revoked_at: NOW,
            reason: None,
        };
        let Some(next) = first.revoking([&tombstone]) else { return Ok(()) };
        prop_assert_eq!(code(&next.holds(&bond, NOW)), decide(&next, &call, at(NOW)).code());
    }
}

#[test]
fn a_secret_that_is_revoked_holds_in_no_form_of_hash() {
    let pepper = "0123456789abcdef0123456789abcdef";
    let peppered = Digest::keyed(&Secret::new(pepper.to_owned()), KEY.as_bytes());
    let config = "[ingress]\nlisten = [\"127.0.0.1:1\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:2\"\n\
                  [keys]\nfile = \"keys.toml\"\npeppers = [{ id = \"p\", file = \"pepper\" }]\n";
    let keys = format!(
        "[[organizations]]\nid = \"acme\"\n[[keys]]\nid = \"key_alpha\"\nname = \"n\"\norganization = \"acme\"\n\
         hash = \"hmac-sha256:p:{}\"\n",
        hex::encode(peppered.0)
    );
    let policy = Policy::first(load(config, &[("keys.toml", &keys), ("pepper", pepper)])).expect("routes");
    let call = call();
    let bond = bond(&policy, &call).expect("a key");
    let tombstone = Tombstone {
        key: None,
        hashes: vec![Digest::of(KEY.as_bytes())],
        revoked_at: NOW,
        reason: None,
    };
    let next = policy.revoking([&tombstone]).expect("news");
    assert_eq!(decide(&next, &call, at(NOW)).code(), "credential_invalid");
    assert_eq!(code(&next.holds(&bond, NOW)), "credential_invalid");
}

#[test]
fn a_bond_keeps_no_credential_of_a_query() {
    let config = "[ingress]\nlisten = [\"127.0.0.1:1\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:2\"\n\
                  [keys]\nfile = \"keys.toml\"\n[[credentials]]\nquery = \"key\"\n\
                  [[routes]]\npath = \"/{*rest}\"\norganization = { query = \"org\" }\n";
    let keys = format!(
        "[[organizations]]\nid = \"acme\"\n[[keys]]\nid = \"key_alpha\"\nname = \"n\"\norganization = \"acme\"\n\
         hash = \"sha256:{}\"\n",
        hex::encode(Digest::of(KEY.as_bytes()).0)
    );
    let policy = Policy::first(load(config, &[("keys.toml", &keys)])).expect("routes");
    let call = Call::new(&format!("GET /path?org=acme&key={KEY}&more=1"));
    let bond = bond(&policy, &call).expect("a key");
    let shown = format!("{bond:?}");
    assert!(
        shown.contains("/path?org=acme&more=1") && !shown.contains(KEY),
        "{shown}"
    );
    assert_eq!(code(&policy.holds(&bond, NOW)), "forward");
}

#[test]
fn a_users_bond_holds_while_the_token_does_and_what_it_names_is_enough() {
    let signer = SigningKey::ed("k1");
    let claims = json!({
        "iss": "https://id.example", "aud": "gateway", "sub": "ann", "org_id": "acme", "exp": NOW + 60, "may": ["set"],
    });
    let token = signer.token(&claims);
    let config = |issuer: &str, route: &str, set: &str| {
        let text = format!(
            "[ingress]\nlisten = [\"127.0.0.1:1\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:2\"\n\
             [keys]\nfile = \"keys.toml\"\n[permissions.set]\nincludes = [\"{set}\"]\n\
             [user_tokens]\nissuer = \"{issuer}\"\naudience = \"gateway\"\nleeway = \"0s\"\n\
             jwks = {{ file = \"jwks.json\" }}\nclaims = {{ organization = \"org_id\", permissions = \"may\" }}\n\
             [[routes]]\npath = \"/acme\"\n{route}\n"
        );
        let keys = "[[organizations]]\nid = \"acme\"\n";
        load(&text, &[("keys.toml", keys), ("jwks.json", &key_set(&[&signer]))])
    };
    let usual = "access = \"user\"\npermission = \"read\"\norganization = { header = \"X-Org\" }";
    let issuer = "https://id.example";
    let first = Policy::first(config(issuer, usual, "read")).expect("routes");
    let mut call = Call::new("GET /acme");
    call.add(&format!("Authorization: Bearer {token}"));
    call.add("X-Org: acme");
    let bond = bond(&first, &call).expect("a user");
    assert_eq!(first.holds(&bond, NOW + 59), Ok(Some(NOW + 60)));
    let changed = |issuer: &str, route: &str, set: &str, later: i64| {
        let next = Policy::next(config(issuer, route, set), &first, NOW).expect("routes");
        let fresh = decide(&next, &call, at(NOW + later)).code();
        let held = code(&next.holds(&bond, NOW + later));
        (fresh, held)
    };
    let both = |code| (code, code);
    assert_eq!(changed(issuer, usual, "read", 59), both("forward"));
    assert_eq!(changed(issuer, usual, "read", 60), both("credential_invalid"));
    assert_eq!(changed(issuer, usual, "write", 0), both("permission_denied"));
    assert_eq!(
        changed("https://other.example", usual, "read", 0),
        both("credential_invalid")
    );
    assert_eq!(changed(issuer, "access = \"key-or-user\"", "read", 0), both("forward"));
    assert_eq!(changed(issuer, "access = \"public\"", "read", 0), both("forward"));
    assert_eq!(changed(issuer, "access = \"deny\"", "read", 0), both("route_unknown"));
    assert_eq!(changed(issuer, "access = \"key\"", "read", 0).1, "credential_missing");
    let other = usual.replace("X-Org", "X-Tenant");
    // What nobody looked at when the request came is not there to be looked at now.
    assert_eq!(changed(issuer, &other, "read", 0), both("tenant_denied"));
}
