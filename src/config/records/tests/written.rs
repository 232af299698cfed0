//! What is written as lines of JSON is read back as the same.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::option::of;
use serde_json::{Map, Value};

use super::*;
use crate::config::plans::{Limit, Scope as Sharing};
use crate::config::quotas::{Per, Quota};

const WORD: &str = "[!-~]{1,12}";
const LABEL: &str = "[^\\p{C}]{0,11}[^\\p{C}\\p{Z}]";

fn time() -> impl Strategy<Value = i64> {
    NOW - 4_000_000_000..NOW + 40_000_000_000
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn metadata() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    vec((any::<String>(), value), 0..4).prop_map(|members| members.into_iter().collect())
}

fn hash() -> impl Strategy<Value = Hash> {
    prop_oneof![
        digest().prop_map(Hash::Sha256),
        digest().prop_map(|digest| Hash::HmacSha256 { pepper: 0, digest }),
        ("[!-~]{4,32}", prop_oneof![Just(PHC), Just(BCRYPT)]).prop_map(|(lead, phc)| Hash::Slow {
            lead,
            phc: phc.to_owned(),
        }),
    ]
}

fn limit() -> impl Strategy<Value = Limit> {
    (1_u32..1_000_000, 1_u64..1_000_000_000, any::<bool>()).prop_map(|(requests, millis, strict)| Limit {
        name: "sec".to_owned(),
        requests,
        per: Duration::from_millis(millis),
        burst: requests / 2 + 1,
        strict,
        scope: Sharing::Key,
    })
}

fn quota() -> impl Strategy<Value = Quota> {
    (1_u64..1 << 53, any::<bool>()).prop_map(|(requests, is_day)| Quota {
        name: "month".to_owned(),
        requests,
        per: if is_day { Per::Day } else { Per::Month },
        time_zone: if is_day {
            TimeZone::UTC
        } else {
            TimeZone::get("Europe/Berlin").unwrap()
        },
        scope: Sharing::Organization,
    })
}

prop_compose! {
    fn organization()(
        name in of(LABEL),
        plan in of(0_u16..2),
        quota in of(vec(quota(), 0..2)),
        created_at in of(time()),
        metadata in metadata(),
    ) -> Organization {
        Organization { id: String::new(), name, plan: plan.map(PlanId), quota, created_at, metadata }
    }
}

prop_compose! {
    fn key()(
        id in WORD,
        name in LABEL,
        secrets in vec((hash(), of(time())), 1..4),
        texts in (of(LABEL), of(LABEL), of(LABEL)),
        words in (vec(WORD, 0..3), vec(WORD, 0..3)),
        named in (of(0_u16..2), of(0_u16..2)),
        limits in of(vec(limit(), 0..2)),
        times in (of(time()), of(time()), of(time()), of(time())),
        (active, is_ended) in any::<(bool, bool)>(),
        networks in any::<(bool, bool)>(),
        metadata in metadata(),
    ) -> Key {
        let secrets = secrets.into_iter().map(|(hash, expires_at)| Hashed { hash, expires_at }).collect();
        let [(v4, first), (v6, second)] = [(networks.0, "10.0.0.0/8"), (networks.1, "2001:db8::/32")];
        let allowed_sources = [(v4, first), (v6, second)].into_iter().filter(|(is_there, _)| *is_there);
        Key {
            id,
            name,
            organization: 0,
            secrets,
            hint: texts.0,
            permissions: words.0,
            environment: named.0.map(EnvironmentId),
            plan: named.1.map(PlanId),
            limits,
            created_at: times.0,
            not_before: times.1,
            expires_at: times.1.map_or(times.2, |begin| is_ended.then_some(begin + 1)),
            revoked_at: times.2,
            revoked_reason: texts.1,
            rotated_at: times.3,
            active,
            allowed_sources: allowed_sources.map(|(_, text)| text.parse().unwrap()).collect(),
            owner: texts.2,
            subscriptions: words.1,
            metadata,
        }
    }
}

fn tombstone() -> impl Strategy<Value = Tombstone> {
    (of(WORD), vec(digest(), 1..3), time(), of(LABEL)).prop_map(|(key, hashes, revoked_at, reason)| Tombstone {
        key,
        hashes,
        revoked_at,
        reason,
    })
}

/// Ids and hashes are unique, and keys have organizations.
fn consistent(mut records: Records) -> Records {
    for (index, organization) in records.organizations.iter_mut().map(Arc::make_mut).enumerate() {
        organization.id = format!("{index}");
    }
    let organizations = records.organizations.len();
    let mut slow = 0;
    for (index, key) in records.keys.iter_mut().map(Arc::make_mut).enumerate() {
        key.id = format!("{index}{}", key.id);
        key.organization = u32::try_from(index % organizations).unwrap();
        key.secrets.retain(|secret| {
            slow += usize::from(matches!(secret.hash, Hash::Slow { .. }));
            slow <= 1 || !matches!(secret.hash, Hash::Slow { .. })
        });
    }
    records.keys.retain(|key| !key.secrets.is_empty());
    records
}

fn records() -> impl Strategy<Value = Records> {
    let all = (vec(organization(), 1..4), vec(key(), 0..5), vec(tombstone(), 0..4));
    all.prop_map(|(organizations, keys, tombstones)| {
        consistent(Records {
            organizations: organizations.into_iter().map(Arc::new).collect(),
            keys: keys.into_iter().map(Arc::new).collect(),
            tombstones,
            ..Records::default()
        })
    })
}

proptest! {
    #[test]
    fn whatever_there_is_comes_back(records in records()) {
        let mut written = Vec::new();
        write::all(&records, &scope(), &mut written).unwrap();
        let text = String::from_utf8(written).unwrap();
        let (read, report) = read_with(&mut scope(), &[("good.jsonl", &text)]);
        prop_assert!(!report.has_errors(), "{}\n{text}", report.into_problems());
        prop_assert_eq!(&read.organizations, &records.organizations);
        prop_assert_eq!(&read.keys, &records.keys);
        prop_assert_eq!(&read.tombstones, &records.tombstones);
    }
}

#[test]
fn free_form_tables_are_not_deeper_than_a_line_holds() {
    let nested = |levels: usize| format!("{}{}", "{ a = ".repeat(levels), "1".to_owned() + &" }".repeat(levels));
    let records = good(&[("keys.toml", &hashed(&format!("metadata = {}", nested(15))))]);
    let mut written = Vec::new();
    write::all(&records, &scope(), &mut written).unwrap();
    let read = good(&[("keys.jsonl", &String::from_utf8(written).unwrap())]);
    assert_eq!(read.keys, records.keys);
    assert!(said(&[("keys.toml", &hashed(&format!("metadata = {}", nested(16))))]).contains("is nested too deeply"));
}
