//! Records → [`Keyring`]: one pass, every vector sized beforehand.

use std::collections::HashMap;

use hashbrown::HashTable;
use ipnet::IpNet;

use super::{Grant, HashRow, Keyring, Moment, NEVER, Organization, Row, SlowRow};
use crate::config::environments::EnvironmentId;
use crate::config::keys::Pepper;
use crate::config::plans::{Limit, PlanId};
use crate::config::records::{Hash, Hashed, Key, Records};
use crate::policy::permissions::Sets;
use crate::secret::Digest;

/// A position as the keyring stores it.
pub(super) fn index(position: usize) -> u32 {
    match u32::try_from(position) {
        Ok(index) if index != NEVER => index,
        Ok(_) | Err(_) => panic!("a keyring holds fewer than 2^32 - 1 keys and hashes"),
    }
}

pub(super) fn keyring(records: &Records, peppers: &[Pepper], sets: &Sets) -> Keyring {
    let mut compiler = Compiler::sized_for(records);
    for key in &records.keys {
        compiler.add(key, sets);
    }
    compiler.finish(records, peppers)
}

struct Compiler<'a> {
    hashes: Vec<HashRow>,
    slow: Vec<SlowRow>,
    rows: Vec<Row>,
    times: Vec<i64>,
    text: String,
    grants: Vec<Grant>,
    /// Which grant the keys with this have.
    grant_of: HashMap<GrantKey<'a>, u32>,
    /// Indices into the configured peppers.
    pepper_used: Vec<u16>,
}

/// What makes two keys share a [`Grant`].
#[derive(PartialEq, Eq, Hash)]
struct GrantKey<'a> {
    permissions: &'a [String],
    allowed_sources: &'a [IpNet],
    subscriptions: &'a [String],
    environment: Option<EnvironmentId>,
    plan: Option<PlanId>,
    limits: Option<&'a [Limit]>,
}

impl<'a> Compiler<'a> {
    fn sized_for(records: &Records) -> Self {
        let slow = |hashed: &&Hashed| matches!(hashed.hash, Hash::Slow { .. });
        let (mut fast_count, mut slow_count, mut text_len) = (0, 0, 0);
        for key in &records.keys {
            let slow_here = key.secrets.iter().filter(slow).count();
            slow_count += slow_here;
            fast_count += key.secrets.len() - slow_here;
            text_len += key.id.len() + key.name.len();
        }
        Self {
            hashes: Vec::with_capacity(fast_count),
            slow: Vec::with_capacity(slow_count),
            rows: Vec::with_capacity(records.keys.len()),
            times: Vec::new(),
            text: String::with_capacity(text_len),
            grants: Vec::new(),
            grant_of: HashMap::new(),
            pepper_used: Vec::new(),
        }
    }

    fn add(&mut self, key: &'a Key, sets: &Sets) {
        let number = index(self.rows.len());
        for hashed in &key.secrets {
            self.add_hash(number, hashed);
        }
        let row = Row {
            text: self.text.len() as u64,
            expires_at: key.expires_at.unwrap_or(i64::MAX),
            not_before: self.moment(key.not_before),
            revoked_at: self.moment(key.revoked_at),
            organization: key.organization,
            grant: self.grant(key, sets),
            name_len: index(key.name.len()),
            id_len: u16::try_from(key.id.len()).expect("ids have at most 128 bytes"),
            active: key.active,
        };
        self.text.push_str(&key.id);
        self.text.push_str(&key.name);
        self.rows.push(row);
    }

    fn add_hash(&mut self, key: u32, hashed: &Hashed) {
        let expires_at = self.moment(hashed.expires_at);
        match &hashed.hash {
            Hash::Sha256(digest) => self.add_digest(key, None, *digest, expires_at),
            Hash::HmacSha256 { pepper, digest } => {
                if !self.pepper_used.contains(pepper) {
                    self.pepper_used.push(*pepper);
                }
                self.add_digest(key, Some(*pepper), *digest, expires_at);
            }
            Hash::Slow { lead, phc } => self.slow.push(SlowRow {
                lead: lead.as_str().into(),
                phc: phc.as_str().into(),
                key,
                expires_at,
            }),
        }
    }

    fn add_digest(&mut self, key: u32, pepper: Option<u16>, digest: Digest, expires_at: Moment) {
        self.hashes.push(HashRow {
            digest,
            key,
            pepper,
            expires_at,
        });
    }

    fn moment(&mut self, at: Option<i64>) -> Moment {
        let Some(at) = at else { return NEVER };
        self.times.push(at);
        index(self.times.len() - 1)
    }

    fn grant(&mut self, key: &'a Key, sets: &Sets) -> u32 {
        let shared = GrantKey {
            permissions: &key.permissions,
            allowed_sources: &key.allowed_sources,
            subscriptions: &key.subscriptions,
            environment: key.environment,
            plan: key.plan,
            limits: key.limits.as_deref(),
        };
        let grants = &mut self.grants;
        *self.grant_of.entry(shared).or_insert_with(|| {
            grants.push(Grant::of(key, sets));
            index(grants.len() - 1)
        })
    }

    fn finish(mut self, records: &Records, peppers: &[Pepper]) -> Keyring {
        self.slow.sort_by(|a, b| a.lead.cmp(&b.lead));
        let mut lead_lengths: Vec<usize> = self.slow.iter().map(|row| row.lead.len()).collect();
        lead_lengths.sort_unstable_by(|a, b| b.cmp(a));
        lead_lengths.dedup();

        let mut by_id: Vec<u32> = (0..index(records.keys.len())).collect();
        by_id.sort_unstable_by(|&a, &b| records.keys[a as usize].id.cmp(&records.keys[b as usize].id));

        let organizations = records.organizations.iter().map(|organization| Organization {
            id: organization.id.as_str().into(),
            name: organization.name.as_deref().map(Box::from),
            plan: organization.plan,
            quota: organization.quota.as_deref().map(Box::from),
            created_at: organization.created_at,
            metadata: organization.metadata.clone(),
        });
        let numbered = (0..).zip(peppers.iter().map(|pepper| pepper.secret.clone()));
        let (peppers, idle): (Vec<(u16, _)>, Vec<_>) =
            numbered.partition(|(number, _)| self.pepper_used.contains(number));
        Keyring {
            table: table(&self.hashes),
            hashes: self.hashes.into_boxed_slice(),
            slow: self.slow.into_boxed_slice(),
            lead_lengths: lead_lengths.into_boxed_slice(),
            rows: self.rows.into_boxed_slice(),
            by_id: by_id.into_boxed_slice(),
            times: self.times.into_boxed_slice(),
            text: self.text.into_boxed_str(),
            grants: self.grants.into_boxed_slice(),
            organizations: organizations.collect(),
            peppers: peppers.into(),
            idle_peppers: idle.into_iter().map(|(_, secret)| secret).collect(),
        }
    }
}

fn table(hashes: &[HashRow]) -> HashTable<u32> {
    let hash_of = |&slot: &u32| hashes[slot as usize].digest.table_hash();
    let mut table = HashTable::with_capacity(hashes.len());
    for slot in 0..index(hashes.len()) {
        table.insert_unique(hash_of(&slot), slot, hash_of);
    }
    table
}
