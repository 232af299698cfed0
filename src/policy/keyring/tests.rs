use std::sync::Arc;

use super::*;
use crate::config::records::{self, Hash, Hashed, KeyState, Tombstone};
use crate::policy::revocations::Revocations;

fn sha256(key: &str) -> Hashed {
    Hashed {
        hash: Hash::Sha256(Digest::of(key.as_bytes())),
        expires_at: None,
    }
}

fn argon2id(lead: &str, phc: &str) -> Hashed {
    Hashed {
        hash: Hash::Slow {
            lead: lead.to_owned(),
            phc: phc.to_owned(),
        },
        expires_at: None,
    }
}

fn record(id: &str, secrets: Vec<Hashed>) -> records::Key {
    records::Key {
        id: id.to_owned(),
        name: format!("name of {id}"),
        organization: 0,
        secrets,
        hint: None,
        permissions: vec![],
        environment: None,
        plan: None,
        limits: None,
        created_at: None,
        not_before: None,
        expires_at: None,
        revoked_at: None,
        revoked_reason: None,
        rotated_at: None,
        active: true,
        allowed_sources: vec![],
        owner: None,
        subscriptions: vec![],
        metadata: serde_json::Map::new(),
    }
}

fn records(keys: Vec<records::Key>) -> Records {
    Records {
        organizations: vec![Arc::new(records::Organization {
            id: "42".to_owned(),
            name: Some("Acme".to_owned()),
            plan: Some(PlanId(1)),
            quota: None,
            created_at: None,
            metadata: serde_json::Map::new(),
        })],
        keys: keys.into_iter().map(Arc::new).collect(),
        ..Records::default()
    }
}

fn keyring(keys: Vec<records::Key>) -> Keyring {
    Keyring::compile(&records(keys), &[], &Sets::default())
}

fn present(key: &str) -> Presented<'_> {
    Presented::borrowed(key.as_bytes())
}

fn found_id<'a>(keyring: &'a Keyring, key: &str) -> Option<&'a str> {
    keyring.find(&present(key)).map(|found| keyring.key(found.key).id())
}

#[test]
fn every_hash_of_a_key_finds_it_and_nothing_else_does() {
    let keyring = keyring(vec![
        record("b", vec![sha256("kg_b")]),
        record("a", vec![sha256("kg_a-old"), sha256("kg_a-new")]),
    ]);
    for (key, id) in [
        ("kg_b", Some("b")),
        ("kg_a-old", Some("a")),
        ("kg_a-new", Some("a")),
        ("kg_c", None),
        ("kg_A-new", None),
        ("kg_b ", None),
        ("", None),
    ] {
        assert_eq!(found_id(&keyring, key), id, "{key}");
    }
    let b = keyring.key(KeyIndex(0));
    assert_eq!((b.id(), b.name()), ("b", "name of b"));
    assert_eq!(&*b.organization().id, "42");
    assert_eq!(keyring.by_id("a"), Some(KeyIndex(1)));
    assert_eq!(keyring.by_id("b"), Some(KeyIndex(0)));
    assert_eq!(keyring.by_id("c"), None);
    assert_eq!(
        [KeyIndex(0), KeyIndex(1)].map(|index| keyring.key(index).id()),
        ["b", "a"]
    );
}

#[test]
fn an_empty_keyring_finds_nothing() {
    let keyring = keyring(vec![]);
    assert!(keyring.is_empty());
    assert!(keyring.find(&present("kg_a")).is_none());
    assert!(keyring.slow_candidates(&present("kg_a")).is_empty());
    assert!(keyring.by_id("").is_none());
}

#[test]
fn hmac_digests_are_found_under_their_pepper_only() {
    let pepper = |id: &str, secret: &str| Pepper {
        id: id.to_owned(),
        secret: Secret::new(secret.to_owned()),
    };
    let peppers = [pepper("unused", "first"), pepper("2026", "second")];
    let digest = Digest::keyed(&peppers[1].secret, b"kg_a");
    let hmac = Hashed {
        hash: Hash::HmacSha256 { pepper: 1, digest },
        expires_at: None,
    };
    let keys = vec![record("a", vec![hmac]), record("b", vec![sha256("kg_b")])];

    let keyring = Keyring::compile(&records(keys.clone()), &peppers, &Sets::default());
    assert_eq!(keyring.peppers.len(), 1, "nothing is looked up under the other");
    assert_eq!(found_id(&keyring, "kg_a"), Some("a"));
    assert_eq!(found_id(&keyring, "kg_b"), Some("b"));

    let swapped = [pepper("unused", "second"), pepper("2026", "first")];
    let keyring = Keyring::compile(&records(keys), &swapped, &Sets::default());
    assert_eq!(found_id(&keyring, "kg_a"), None);
}

#[test]
fn a_revoked_secret_stays_dead_in_every_form_of_hash() {
    let pepper = |id: &str| Pepper {
        id: id.to_owned(),
        secret: Secret::new(id.repeat(8)),
    };
    let peppers = [pepper("2025"), pepper("2026")];
    let hmac = |number: u16| Hashed {
        hash: Hash::HmacSha256 {
            pepper: number,
            digest: Digest::keyed(&peppers[usize::from(number)].secret, b"kg_a"),
        },
        expires_at: None,
    };
    let forms = || [sha256("kg_a"), hmac(0), hmac(1)];
    for revoked in forms() {
        let mut revocations = Revocations::default();
        revocations.add(&Tombstone {
            key: None,
            hashes: vec![revoked.hash.fingerprint()],
            revoked_at: 10,
            reason: None,
        });
        for put_back in forms() {
            let records = records(vec![record("other", vec![put_back]), record("b", vec![sha256("kg_b")])]);
            let keyring = Keyring::compile(&records, &peppers, &Sets::default());
            let admits = |key: &str, now| {
                let found = keyring.find(&present(key)).expect("it is there");
                keyring.admits(found, &keyring.names(found, &present(key)), &revocations, now)
            };
            assert_eq!(admits("kg_a", 9), Ok(()));
            assert_eq!(admits("kg_a", 10), Err(Invalid::Revoked));
            assert_eq!(admits("kg_b", 10), Ok(()));
        }
    }
}

#[test]
fn slow_hashes_are_candidates_by_their_lead_and_never_found_by_digest() {
    let keyring = keyring(vec![
        record("short", vec![argon2id("abcd", "$argon2id$short")]),
        record("long", vec![argon2id("abcdef", "$argon2id$long")]),
        record("other", vec![argon2id("abce", "$argon2id$other")]),
        record("twin", vec![argon2id("abcdef", "$argon2id$twin")]),
    ]);
    let ids = |key: &str| -> Vec<&str> {
        keyring
            .slow_candidates(&present(key))
            .iter()
            .map(|candidate| keyring.key(candidate.found.key).id())
            .collect()
    };
    assert_eq!(ids("abcdefgh"), ["long", "twin", "short"]);
    assert_eq!(ids("abcdXfgh"), ["short"]);
    assert_eq!(ids("abcexxxx"), ["other"]);
    assert_eq!(ids("abc"), [""; 0]);
    assert_eq!(ids("zzzzzzzz"), [""; 0]);
    assert!(
        keyring.find(&present("$argon2id$long")).is_none(),
        "a stolen hash is no key"
    );
    assert_eq!(keyring.slow_candidates(&present("abcexxxx"))[0].phc, "$argon2id$other");
}

#[test]
fn at_most_eight_slow_hashes_are_tried() {
    let keys = (0..20).map(|n| record(&format!("k{n}"), vec![argon2id("same", &format!("$argon2id${n}"))]));
    assert_eq!(
        keyring(keys.collect()).slow_candidates(&present("same-lead")).len(),
        SHARED_LEAD_MAX
    );
}

#[test]
fn states_are_told_in_their_order_and_exact_to_the_second() {
    let with = |change: fn(&mut records::Key)| {
        let mut key = record("k", vec![sha256("kg_k")]);
        change(&mut key);
        keyring(vec![key])
    };
    type Change = fn(&mut records::Key);
    let table: [(&str, Change, i64, Result<(), Invalid>); 12] = [
        ("plain", |_| (), 0, Ok(())),
        ("before its end", |k| k.expires_at = Some(100), 99, Ok(())),
        ("at its end", |k| k.expires_at = Some(100), 100, Err(Invalid::Expired)),
        (
            "before its begin",
            |k| k.not_before = Some(100),
            99,
            Err(Invalid::NotYetValid),
        ),
        ("at its begin", |k| k.not_before = Some(100), 100, Ok(())),
        ("before revocation", |k| k.revoked_at = Some(100), 99, Ok(())),
        (
            "at revocation",
            |k| k.revoked_at = Some(100),
            100,
            Err(Invalid::Revoked),
        ),
        ("off", |k| k.active = false, 0, Err(Invalid::Disabled)),
        (
            "revoked goes before disabled",
            |k| (k.revoked_at, k.active) = (Some(1), false),
            2,
            Err(Invalid::Revoked),
        ),
        (
            "disabled goes before not yet valid",
            |k| (k.not_before, k.active) = (Some(9), false),
            2,
            Err(Invalid::Disabled),
        ),
        (
            "expired goes before not yet valid",
            |k| (k.not_before, k.expires_at) = (Some(9), Some(1)),
            2,
            Err(Invalid::Expired),
        ),
        (
            "a rotated hash ends by itself",
            |k| k.secrets[0].expires_at = Some(100),
            100,
            Err(Invalid::Expired),
        ),
    ];
    for (what, change, now, expected) in table {
        let keyring = with(change);
        let found = keyring.find(&present("kg_k")).unwrap();
        assert_eq!(keyring.state(found, &Revocations::default(), now), expected, "{what}");
    }
}

#[test]
fn one_hash_of_a_rotation_ends_and_the_other_stays() {
    let mut key = record("k", vec![sha256("old"), sha256("new")]);
    key.secrets[0].expires_at = Some(100);
    key.expires_at = Some(200);
    let keyring = keyring(vec![key]);
    let [old, new] = ["old", "new"].map(|key| keyring.find(&present(key)).unwrap());
    let none = Revocations::default();
    assert_eq!(keyring.state(old, &none, 150), Err(Invalid::Expired));
    assert_eq!(keyring.state(new, &none, 150), Ok(()));
    let ends_at = |found, text: &str| keyring.ends_at(found, &keyring.names(found, &present(text)), &none);
    assert_eq!(ends_at(old, "old"), Some(100));
    assert_eq!(ends_at(new, "new"), Some(200));
}

/// The hash of the record is none that a tombstone could name by what is presented.
#[test]
fn a_key_ends_when_what_was_presented_is_announced_to_be_revoked() {
    let keyring = keyring(vec![record("s", vec![argon2id("slow", "$argon2id$1")])]);
    let found = keyring.slow_candidates(&present("slow-key"))[0].found;
    let secret = keyring.names(found, &present("slow-key"));
    let mut revocations = Revocations::default();
    revocations.add(&records::Tombstone {
        key: None,
        hashes: vec![Digest::of(b"slow-key")],
        revoked_at: 100,
        reason: None,
    });
    assert_eq!(keyring.admits(found, &secret, &revocations, 99), Ok(()));
    assert_eq!(keyring.ends_at(found, &secret, &revocations), Some(100));
    assert_eq!(keyring.admits(found, &secret, &revocations, 100), Err(Invalid::Revoked));
}

#[test]
fn a_credential_is_found_again_only_while_its_hash_remains() {
    let before = keyring(vec![
        record("a", vec![sha256("kg_a")]),
        record("s", vec![argon2id("slow", "$argon2id$1")]),
    ]);
    let fast = before.fingerprint(before.find(&present("kg_a")).unwrap());
    let slow = before.fingerprint(before.slow_candidates(&present("slow-key"))[0].found);

    let same = keyring(vec![
        record("new", vec![sha256("kg_new")]),
        record("s", vec![argon2id("slow", "$argon2id$1")]),
        record("a", vec![sha256("kg_a-2"), sha256("kg_a")]),
    ]);
    assert_eq!(same.refind("a", &fast).map(|found| found.key), Some(KeyIndex(2)));
    assert_eq!(same.refind("s", &slow).map(|found| found.key), Some(KeyIndex(1)));

    let rotated = keyring(vec![
        record("a", vec![sha256("kg_a-2")]),
        record("s", vec![argon2id("slow", "$argon2id$2")]),
        record("b", vec![sha256("kg_a")]),
    ]);
    assert_eq!(rotated.refind("a", &fast), None, "the hash moved to another key");
    assert_eq!(rotated.refind("s", &slow), None);
}

#[test]
fn grants_are_shared_and_source_networks_decide() {
    let mut keys: Vec<_> = (0..50)
        .map(|n| record(&format!("k{n}"), vec![sha256(&format!("kg_{n}"))]))
        .collect();
    for key in &mut keys {
        key.permissions = vec!["send".to_owned(), "read".to_owned(), "read".to_owned()];
    }
    keys[7].allowed_sources = vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let keyring = keyring(keys);
    assert_eq!(keyring.grants.len(), 2);

    let permissions = &keyring.key(KeyIndex(0)).grant().permissions;
    assert!(permissions.contains("read") && permissions.contains("send"));
    assert!(!permissions.contains("rea") && !permissions.contains("") && !permissions.contains("sendx"));
    assert_eq!(permissions.iter().collect::<Vec<_>>(), ["read", "send"]);

    let (open, bound) = (keyring.key(KeyIndex(0)).grant(), keyring.key(KeyIndex(7)).grant());
    for (address, expected) in [
        (Some("203.0.113.9"), true),
        (Some("::ffff:203.0.113.9"), true),
        (Some("2001:db8::1"), true),
        (Some("203.0.114.9"), false),
        (Some("::1"), false),
        (None, false),
    ] {
        let address = address.map(|text| text.parse().unwrap());
        assert_eq!(bound.allows_source(address), expected, "{address:?}");
        assert!(open.allows_source(address));
    }
}

#[test]
fn a_key_costs_at_most_100_bytes_beside_its_strings() {
    for count in [10_000, 15_000, 30_000] {
        let keys = (0..count).map(|n| {
            let mut key = record(&format!("key_{n:08}"), vec![sha256(&format!("kg_{n}"))]);
            key.expires_at = Some(i64::from(n));
            key
        });
        let keyring = keyring(keys.collect());
        let per_key = keyring.index_bytes() as f64 / f64::from(count);
        assert!(per_key <= 100.0, "{per_key} bytes a key with {count} keys");
    }
}

proptest::proptest! {
    /// Records keep their state in words for people, the keyring for the gate: both say the same.
    #[test]
    fn a_key_is_in_the_state_that_its_record_tells(
        (revoked_at, active, not_before, expires_at) in proptest::prelude::any::<(Option<u8>, bool, Option<u8>, Option<u8>)>(),
        ends in proptest::collection::vec(proptest::option::of(0..10_i64), 1..4),
        now in 0..10_i64,
    ) {
        let moment = |at: Option<u8>| at.map(|at| i64::from(at % 10));
        let secrets = ends.iter().enumerate().map(|(n, end)| Hashed { expires_at: *end, ..sha256(&n.to_string()) });
        let record = records::Key {
            revoked_at: moment(revoked_at),
            active,
            not_before: moment(not_before),
            expires_at: moment(expires_at),
            ..record("k", secrets.collect())
        };
        let told = match record.state(now) {
            KeyState::Active => Ok(()),
            KeyState::NotYetValid => Err(Invalid::NotYetValid),
            KeyState::Expired => Err(Invalid::Expired),
            KeyState::Disabled => Err(Invalid::Disabled),
            KeyState::Revoked => Err(Invalid::Revoked),
        };
        let keyring = keyring(vec![record]);
        // The secret that lasts longest decides about the record.
        let last = (0..ends.len()).max_by_key(|&n| ends[n].unwrap_or(i64::MAX)).unwrap_or_default();
        let found = keyring.find(&present(&last.to_string())).unwrap();
        proptest::prop_assert_eq!(keyring.state(found, &Revocations::default(), now), told);
    }
}

#[test]
fn keys_are_counted_by_state_as_their_records_say() {
    const NOW: i64 = 1_000;
    let moments = [None, Some(NOW - 1), Some(NOW), Some(NOW + 1)];
    let mut keys = Vec::new();
    for (own, first) in moments.iter().flat_map(|own| moments.map(|first| (*own, first))) {
        for (second, revoked_at) in moments.iter().flat_map(|second| moments.map(|at| (*second, at))) {
            for (not_before, active) in moments.iter().flat_map(|at| [(*at, true), (*at, false)]) {
                let number = keys.len();
                let secret = |of: &str, expires_at| Hashed {
                    expires_at,
                    ..sha256(&format!("{of} {number}"))
                };
                keys.push(records::Key {
                    expires_at: own,
                    revoked_at,
                    not_before,
                    active,
                    ..record(
                        &format!("key_{number}"),
                        vec![secret("first", first), secret("second", second)],
                    )
                });
            }
        }
    }
    let slow = Hashed {
        expires_at: Some(NOW),
        ..argon2id("lead", "$argon2id$x")
    };
    keys.push(record("slow", vec![slow]));
    let records = records(keys);
    let expected = records.count_by_state(NOW);
    assert!(expected.iter().all(|(_, count)| *count > 0), "{expected:?}");
    let keyring = Keyring::compile(&records, &[], &Sets::default());
    assert_eq!(keyring.count_by_state(&Revocations::default(), NOW), expected);
    assert_eq!((keyring.len(), keyring.organizations().len()), (records.keys.len(), 1));
}

#[test]
fn a_key_ends_when_it_or_its_last_living_secret_does() {
    const NOW: i64 = 1_000;
    let until = |key: &str, expires_at| Hashed {
        expires_at,
        ..sha256(key)
    };
    let ending = |id: &str, expires_at, secrets| records::Key {
        expires_at,
        ..record(id, secrets)
    };
    let keys = vec![
        ending("never", None, vec![sha256("a")]),
        ending("itself", Some(1_300), vec![sha256("b")]),
        ending(
            "its secrets",
            None,
            vec![until("c1", Some(1_100)), until("c2", Some(1_200))],
        ),
        ending("one secret stays", None, vec![until("d1", Some(1_100)), sha256("d2")]),
        ending(
            "the one that stays is dead",
            None,
            vec![until("e1", Some(1_100)), sha256("e2")],
        ),
        ending("long over", Some(800), vec![sha256("f")]),
        ending("just over", Some(1_000), vec![sha256("g")]),
        ending("too late", Some(1_501), vec![sha256("h")]),
        ending("at the horizon", Some(1_500), vec![sha256("i")]),
        records::Key {
            active: false,
            ..ending("disabled", Some(1_100), vec![sha256("j")])
        },
        records::Key {
            not_before: Some(1_050),
            ..ending("not yet", Some(1_100), vec![sha256("k")])
        },
        records::Key {
            revoked_at: Some(900),
            ..ending("revoked", Some(1_100), vec![sha256("l")])
        },
        records::Key {
            revoked_at: Some(1_040),
            ..ending("soon revoked", Some(1_100), vec![sha256("m")])
        },
        ending("dead", Some(1_100), vec![sha256("n")]),
    ];
    let mut revocations = Revocations::default();
    for (key, secret) in [(None, Some("e2")), (Some("dead"), None)] {
        revocations.add(&records::Tombstone {
            key: key.map(str::to_owned),
            hashes: secret.iter().map(|secret| Digest::of(secret.as_bytes())).collect(),
            revoked_at: 900,
            reason: None,
        });
    }
    let keyring = keyring(keys);
    let shown = |endings: &[(i64, KeyIndex)]| -> Vec<(i64, String)> {
        let shown = endings
            .iter()
            .map(|(end, key)| (*end, keyring.key(*key).id().to_owned()));
        shown.collect()
    };
    let endings = keyring.endings(&revocations, NOW, 900, 1_500);
    assert_eq!(
        shown(endings.between(i64::MIN, i64::MAX)),
        [
            (1_000, "just over"),
            (1_100, "the one that stays is dead"),
            (1_100, "soon revoked"),
            (1_200, "its secrets"),
            (1_300, "itself"),
            (1_500, "at the horizon"),
        ]
        .map(|(end, id)| (end, id.to_owned()))
    );
    assert_eq!(endings.changes_at, 1_040);
    assert_eq!(endings.between(NOW, 1_200).len(), 3);
    assert_eq!(endings.between(1_200, 1_100).len(), 0);
    assert_eq!((endings.after(1_100), endings.after(1_500)), (Some(1_200), None));
    assert_eq!(keyring.endings(&revocations, 1_040, 1_040, 1_500).changes_at, 1_050);
    let whole = keyring.endings(&Revocations::default(), NOW, NOW, 1_500);
    assert!(shown(whole.between(NOW, 1_500)).contains(&(1_100, "dead".to_owned())));
}
