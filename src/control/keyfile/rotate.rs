//! A new secret for a key that stays what it is.
//!
//! The old secret ends at once, or at the end of an overlap in which both are good. What is no longer good is buried, so
//! that putting an older file back does not bring it back. The key's own end is never moved.

use super::Place;
use super::change::{Changed, Record};
use super::error::EditError;
use super::patch::Patch;
use super::render::{SecretText, Setting};
use crate::config::keys::Pepper;
use crate::config::records::{Hash, Hashed, KeyState, Scope, Tombstone};
use crate::control::mint;
use crate::secret::generated::{generate, hint};
use crate::secret::{Digest, Secret};

/// The fields of a record that say by what it is recognised.
const RECOGNISED_BY: [&str; 4] = ["hash", "lead", "secrets", "key"];
/// What tombstones of replaced secrets say.
const REASON: &str = "rotated";

/// How a key gets its next secret.
#[derive(Debug, Clone, Copy)]
pub struct Rotation<'a> {
    /// For how long the old secret stays good too, in seconds.
    pub overlap: i64,
    /// What new keys begin with.
    pub prefixes: mint::Prefixes<'a>,
    /// The configuration's peppers, where there is one: a key that is hashed with one stays so.
    pub peppers: &'a [Pepper],
}

/// What became of a key.
#[derive(Debug)]
pub struct Rotated {
    /// Its record; the tombstone names those of its secrets that are dead now.
    pub changed: Changed,
    /// The new secret. It is stored nowhere.
    pub secret: Secret,
    /// When the last of its old secrets ends; `None` where they have ended. Unix seconds.
    pub overlap_ends: Option<i64>,
}

/// Gives a key a new secret.
///
/// # Errors
///
/// See [`EditError`]; no file has been changed then. One that is revoked or has expired gets none.
pub fn rotate(
    place: &Place,
    which: &str,
    rotation: &Rotation<'_>,
    scope: &mut Scope,
    now_unix: i64,
) -> Result<Rotated, EditError> {
    let record = Record::open(place, which, scope, now_unix)?;
    let id = || record.before.id.clone();
    match record.before.state {
        KeyState::Revoked => return Err(EditError::Revoked { id: id() }),
        KeyState::Expired => return Err(EditError::Expired { id: id() }),
        KeyState::Active | KeyState::NotYetValid | KeyState::Disabled => {}
    }
    let key = record.key();
    // A disabled key's end is asked for by itself: its state says only that it is disabled.
    if key.end().is_some_and(|end| end <= now_unix) {
        return Err(EditError::Expired { id: id() });
    }

    let prefix = rotation.prefixes.of_next(key.environment, key.hint.as_deref());
    let secret = generate(&prefix);
    let dead = record.dead();
    let is_dead = |hash: &Hash| dead.hash_since(hash).is_some_and(|since| since <= now_unix);
    let known: Vec<&Hashed> = key.secrets.iter().filter(|old| !is_dead(&old.hash)).collect();
    let (staying, ended) = part(&known, key.expires_at, rotation.overlap, now_unix);

    let mut secrets = vec![SecretText {
        hash: next_hash(&known, &secret, rotation.peppers).text(&scope.peppers),
        lead: None,
        expires_at: None,
    }];
    let overlap_ends = staying.iter().filter_map(|old| old.expires_at).max();
    secrets.extend(staying.iter().map(|old| SecretText {
        hash: old.hash.text(&scope.peppers),
        lead: old.hash.lead().map(str::to_owned),
        expires_at: old.expires_at,
    }));

    let located = record.locate()?;
    let mut patch = Patch::new(record.text(), &located);
    if staying.is_empty() {
        let hash = secrets.swap_remove(0).hash;
        patch.replace(&RECOGNISED_BY, "hash", Setting::Text(hash));
    } else {
        patch.replace(&RECOGNISED_BY, "secrets", Setting::Secrets(secrets));
    }
    patch.set("hint", Setting::Text(hint(&prefix, secret.expose())));
    patch.set("rotated_at", Setting::Time(now_unix));
    let mut text = patch.apply();
    let tombstone = (!ended.is_empty()).then(|| Tombstone {
        key: None,
        hashes: ended.iter().map(|hash| hash.fingerprint()).collect(),
        revoked_at: now_unix,
        reason: Some(REASON.to_owned()),
    });
    if let Some(tombstone) = &tombstone {
        record.bury(&mut text, tombstone, ended.iter().copied(), scope);
    }
    drop(dead);
    Ok(Rotated {
        changed: record.commit(text, tombstone, scope, now_unix)?,
        secret,
        overlap_ends,
    })
}

/// Which old secrets stay good for a while, each with its end, and which are over.
fn part<'k>(known: &[&'k Hashed], key_end: Option<i64>, overlap: i64, now_unix: i64) -> (Vec<Hashed>, Vec<&'k Hash>) {
    let overlap_ends = now_unix.saturating_add(overlap);
    let (mut staying, mut ended) = (Vec::new(), Vec::new());
    for old in known {
        let end = [Some(overlap_ends), old.expires_at, key_end]
            .into_iter()
            .flatten()
            .min();
        if end.is_some_and(|end| end > now_unix) {
            staying.push(Hashed {
                hash: old.hash.clone(),
                expires_at: end,
            });
        } else {
            ended.push(&old.hash);
        }
    }
    (staying, ended)
}

/// Under the pepper that the old secret was hashed with, where that is at hand; else SHA-256, which is enough for a
/// secret that is random.
fn next_hash(known: &[&Hashed], secret: &Secret, peppers: &[Pepper]) -> Hash {
    let bytes = secret.expose().as_bytes();
    let peppered = known.first().and_then(|old| match old.hash {
        Hash::HmacSha256 { pepper, .. } => Some((pepper, peppers.get(usize::from(pepper))?)),
        Hash::Sha256(_) | Hash::Slow { .. } => None,
    });
    match peppered {
        Some((index, pepper)) => Hash::HmacSha256 {
            pepper: index,
            digest: Digest::keyed(&pepper.secret, bytes),
        },
        None => Hash::Sha256(Digest::of(bytes)),
    }
}
