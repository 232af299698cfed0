//! Keys that get a new secret: what is good then, and what is dead.

use super::*;
use crate::config::keys::Pepper;
use crate::config::records::{Hash, KeyState};
use crate::control::mint::Prefixes;
use crate::secret::{Digest, Secret};

const DAY: i64 = 86_400;

fn rotation(overlap: i64) -> Rotation<'static> {
    Rotation {
        overlap,
        prefixes: Prefixes {
            environments: &[],
            default: "kg_",
        },
        peppers: &[],
    }
}

fn file(fields: &str) -> String {
    format!(
        "# mine\n[[organizations]]\nid = '42'\n[[keys]]\nid = 'k' # the id\nname = 'n'\norganization = '42'\n{}",
        fields.replace("HASH2", &sha256("b")).replace("HASH", &sha256("a"))
    )
}

/// Rotates the key `k`; the text in which `NEW` stands for its new hash and `HINT` for its new hint.
fn rotated(name: &str, text: &str, overlap: i64) -> (String, Rotated) {
    let outcome = changed(name, text, |place, scope| {
        rotate(place, "k", &rotation(overlap), scope, NOW)
    });
    let done = outcome.done.unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let hint = done.changed.after.hint.clone().unwrap();
    assert!(!outcome.text.contains(done.secret.expose()));
    let text = outcome
        .text
        .replace(&sha256(done.secret.expose()), "NEW")
        .replace(&hint, "HINT")
        .replace(&sha256("a"), "HASH")
        .replace(&sha256("b"), "HASH2");
    (text, done)
}

#[test]
fn without_an_overlap_the_old_secret_is_dead_at_once() {
    let bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let fingerprint = format!("fingerprint:{}", hex::encode(Digest::of(bcrypt.as_bytes()).0));
    let cases = [
        (
            "hash = 'HASH' # was made by hand\nhint = 'old_…1234'\nexpires_at = 2026-02-01T00:00:00Z\n".to_owned(),
            "hash = \"NEW\" # was made by hand\nhint = \"HINT\"\nexpires_at = 2026-02-01T00:00:00Z\nrotated_at = 2026-01-15T10:00:00Z\n",
            "\"HASH\"".to_owned(),
        ),
        (
            format!("lead = 'U*U_'\nhash = '{bcrypt}'\n"),
            "hash = \"NEW\"\nhint = \"HINT\"\nrotated_at = 2026-01-15T10:00:00Z\n",
            format!("\"{fingerprint}\""),
        ),
        (
            "key = 'a'\n".to_owned(),
            "hash = \"NEW\"\nhint = \"HINT\"\nrotated_at = 2026-01-15T10:00:00Z\n",
            "\"HASH\"".to_owned(),
        ),
        (
            "[[keys.secrets]]\nhash = 'HASH'\n\n[[keys.secrets]]\nhash = 'HASH2'\nexpires_at = 2026-01-20T00:00:00Z\n\n[keys.metadata]\nx = 1\n".to_owned(),
            "hash = \"NEW\"\nhint = \"HINT\"\nrotated_at = 2026-01-15T10:00:00Z\n[keys.metadata]\nx = 1\n",
            "\"HASH\", \"HASH2\"".to_owned(),
        ),
    ];
    for (before, after, dead) in cases {
        let (text, done) = rotated("keys.toml", &file(&before), 0);
        let expected = format!(
            "# mine\n[[organizations]]\nid = '42'\n[[keys]]\nid = 'k' # the id\nname = 'n'\norganization = '42'\n{after}\n[[tombstones]]\nhashes \
             = [{dead}]\nrevoked_at = 2026-01-15T10:00:00Z\nreason = \"rotated\"\n"
        );
        assert_eq!(text, expected);
        assert_eq!(done.overlap_ends, None);
        assert_eq!(done.changed.after.state, KeyState::Active);
        assert_eq!(
            done.changed.before.expires_at.is_some(),
            done.changed.after.expires_at.is_some()
        );
        assert_eq!(done.secret.expose().starts_with("old_"), before.contains("old_"));
    }
}

#[test]
fn during_an_overlap_both_are_good_and_the_next_rotation_buries_what_ended() {
    let (text, done) = rotated("keys.toml", &file("hash = 'HASH' # c\n"), DAY);
    assert!(
        text.ends_with(
            "secrets = [{ hash = \"NEW\" }, { hash = \"HASH\", expires_at = 2026-01-16T10:00:00Z }] # c\nhint = \"HINT\"\nrotated_at = \
             2026-01-15T10:00:00Z\n"
        ),
        "{text}"
    );
    assert_eq!(done.overlap_ends, Some(NOW + DAY));
    assert!(done.changed.tombstone.is_none());
    assert_eq!(done.changed.after.expires_at, None, "the new one does not end");

    let overlapping = "secrets = [{ hash = 'HASH' }, { hash = 'HASH2', expires_at = 2026-01-15T09:00:00Z }]\n";
    let (text, done) = rotated("keys.toml", &file(overlapping), DAY);
    assert!(
        text.contains("secrets = [{ hash = \"NEW\" }, { hash = \"HASH\", expires_at = 2026-01-16T10:00:00Z }]\n"),
        "{text}"
    );
    assert!(text.contains("[[tombstones]]\nhashes = [\"HASH2\"]\n"), "{text}");
    assert_eq!(done.changed.tombstone.unwrap().hashes, [Digest::of(b"b")]);

    let line = "{\"id\":\"42\"}\n{\"id\":\"k\",\"name\":\"n\",\"hash\":null,\"organization\":\"42\",\"secrets\":[{\"hash\":\"HASH\"},{\"hash\":\"HASH2\",\"expires_at\":\"2026-01-15T12:00:00Z\"}]}\n"
        .replace("HASH2", &sha256("b"))
        .replace("HASH", &sha256("a"));
    let (text, _) = rotated("keys.jsonl", &line, DAY);
    assert_eq!(
        text.lines().nth(1).unwrap(),
        "{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"secrets\":[{\"hash\":\"NEW\"},{\"hash\":\"HASH\",\"expires_at\":\"2026-01-16T10:00:00Z\"},{\"hash\":\"HASH2\",\"expires_at\":\"2026-01-15T12:00:00Z\"}],\"hint\":\"HINT\",\"rotated_at\":\"2026-01-15T10:00:00Z\"}"
    );
}

#[test]
fn an_overlap_never_outlives_the_key_and_the_key_never_ends_later() {
    let (text, done) = rotated(
        "keys.toml",
        &file("hash = 'HASH'\nexpires_at = 2026-01-15T12:00:00Z\n"),
        DAY,
    );
    assert!(
        text.contains("expires_at = 2026-01-15T12:00:00Z }]\nexpires_at = 2026-01-15T12:00:00Z\n"),
        "{text}"
    );
    assert_eq!(done.overlap_ends, Some(NOW + 7_200));
    assert_eq!(done.changed.after.expires_at, done.changed.before.expires_at);
}

#[test]
fn what_is_dead_gets_no_new_secret() {
    let cases = [
        (
            "hash = 'HASH'\nrevoked_at = 2026-01-01T00:00:00Z\n",
            "k is revoked, which is for good",
        ),
        ("hash = 'HASH'\nexpires_at = 2026-01-01T00:00:00Z\n", "k has expired"),
        (
            "hash = 'HASH'\nexpires_at = 2026-01-01T00:00:00Z\nactive = false\n",
            "k has expired",
        ),
        (
            "secrets = [{ hash = 'HASH', expires_at = 2026-01-01T00:00:00Z }]\n",
            "k has expired",
        ),
        (
            "hash = 'HASH'\n[[tombstones]]\nkey = 'k'\nrevoked_at = 2026-01-01T00:00:00Z\n",
            "k is revoked, which is for good",
        ),
    ];
    for (fields, expected) in cases {
        let text = file(fields);
        let outcome = changed("keys.toml", &text, |place, scope| {
            rotate(place, "k", &rotation(0), scope, NOW)
        });
        let error = outcome.done.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.is_conflict());
        assert_eq!(outcome.text, text);
    }
}

#[test]
fn a_peppered_key_stays_peppered_where_the_pepper_is_at_hand() {
    let secret = Secret::new("0123456789abcdef0123456789abcdef".to_owned());
    let peppers = [Pepper {
        id: "p1".to_owned(),
        secret: secret.clone(),
    }];
    let text = file(&format!("hash = 'hmac-sha256:p1:{}'\n", "ab".repeat(32)));
    for (peppers, is_peppered) in [(&peppers[..], true), (&[][..], false)] {
        let outcome = changed("keys.toml", &text, |place, scope| {
            let rotation = Rotation { peppers, ..rotation(0) };
            let done = rotate(place, "k", &rotation, scope, NOW)?;
            Ok((done, load(&place.file)))
        });
        let (done, records) = outcome.done.unwrap();
        let bytes = done.secret.expose().as_bytes();
        let expected = if is_peppered {
            Hash::HmacSha256 {
                pepper: 0,
                digest: Digest::keyed(&secret, bytes),
            }
        } else {
            Hash::Sha256(Digest::of(bytes))
        };
        assert_eq!(records.keys[0].secrets[0].hash, expected);
        assert!(
            outcome
                .text
                .contains(&format!("hashes = [\"hmac-sha256:p1:{}\"]", "ab".repeat(32)))
        );
    }
}
