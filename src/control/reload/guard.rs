//! The shrink guard: a change that would drop a large share of the keys is more often an accident than meant.
//!
//! A room of its own because it judges nothing but two sets of records. What is revoked, or has ended, is not dropped: a
//! key that says why it goes may go.

use std::collections::HashSet;
use std::path::Path;

use super::requests::Held;
use crate::config::problem::{Problem, Severity};
use crate::config::records::{Key, KeyState, Records, Tombstone};
use crate::config::trust::ShrinkGuard;
use crate::secret::Digest;

/// How much smaller one set is than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shrinkage {
    /// Keys that were in force and are not there any more, though nobody revoked them.
    dropped: usize,
    /// Keys that were in force.
    of: usize,
}

impl Shrinkage {
    /// From `before` to `after`, at `now` (Unix seconds).
    pub(super) fn between(before: &Records, after: &Records, now: i64) -> Self {
        let dead = Dead::of([&before.tombstones, &after.tombstones], now);
        let left: HashSet<&str> = after.keys.iter().map(|key| key.id.as_str()).collect();
        let living = before.keys.iter().filter(|key| is_living(key, now) && !dead.holds(key));
        let (mut dropped, mut of) = (0, 0);
        for key in living {
            of += 1;
            dropped += usize::from(!left.contains(key.id.as_str()));
        }
        Self { dropped, of }
    }

    /// Whether it is more than is let through unasked.
    pub(super) fn is_refused(self, guard: ShrinkGuard) -> bool {
        self.dropped >= guard.at_least && self.dropped * 100 > self.of * usize::from(guard.percent)
    }

    /// The same for people, at the start.
    pub(super) fn problem(self, file: &Path) -> Problem {
        let what = format!(
            "would drop {} of {} keys that were last in force",
            self.dropped, self.of
        );
        let help = "mend it, or say that it is meant: `keygate reload --accept`";
        Problem::of_file(Severity::Error, file, what, help)
    }

    /// The same for people, of the content with this digest.
    pub(super) fn held(self, since: i64, content: Digest) -> Held {
        Held {
            since,
            dropped: self.dropped,
            of: self.of,
            digest: hex::encode(content.0),
        }
    }
}

/// What `after` revokes that `before` had not revoked: its tombstones, and what its records say. Those whose time has not come
/// are among them.
pub(super) fn revoked(before: &Records, after: &Records) -> Vec<Tombstone> {
    let known: HashSet<(Option<&str>, &[Digest], i64)> = before.tombstones.iter().map(parts).collect();
    let tombstones = after
        .tombstones
        .iter()
        .filter(|tombstone| !known.contains(&parts(tombstone)));
    let records = after.keys.iter().filter_map(|key| key.revocation());
    tombstones.cloned().chain(records).collect()
}

fn parts(tombstone: &Tombstone) -> (Option<&str>, &[Digest], i64) {
    (tombstone.key.as_deref(), &tombstone.hashes, tombstone.revoked_at)
}

fn is_living(key: &Key, now: i64) -> bool {
    match key.state(now) {
        KeyState::Active | KeyState::NotYetValid | KeyState::Disabled => true,
        KeyState::Expired | KeyState::Revoked => false,
    }
}

/// What tombstones name.
struct Dead<'r> {
    keys: HashSet<&'r str>,
    secrets: HashSet<&'r Digest>,
}

impl<'r> Dead<'r> {
    fn of(tombstones: [&'r Vec<Tombstone>; 2], now: i64) -> Self {
        let reached = || {
            let all = tombstones.into_iter().flatten();
            all.filter(|tombstone| tombstone.revoked_at <= now)
        };
        Self {
            keys: reached().filter_map(|tombstone| tombstone.key.as_deref()).collect(),
            secrets: reached().flat_map(|tombstone| &tombstone.hashes).collect(),
        }
    }

    fn holds(&self, key: &Key) -> bool {
        self.keys.contains(key.id.as_str())
            || key
                .secrets
                .iter()
                .all(|secret| self.secrets.contains(&secret.hash.fingerprint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::Report;
    use crate::config::records::{File, Scope, parse};

    const NOW: i64 = 1_780_315_200;
    const USUAL: ShrinkGuard = ShrinkGuard {
        percent: 50,
        at_least: 10,
    };

    /// So many keys, each with more fields, and more lines.
    fn set(keys: std::ops::Range<usize>, fields: &str, lines: &str) -> Records {
        let key = |number| {
            let hash = hex::encode(Digest::of(&usize::to_be_bytes(number)).0);
            format!(
                "{{\"id\":\"{number}\",\"name\":\"n\",\"organization\":\"o\",\"hash\":\"sha256:{hash}\"{fields}}}\n"
            )
        };
        let text = format!("{{\"id\":\"o\"}}\n{}{lines}", keys.map(key).collect::<String>());
        let report = Report::new();
        let files = [File {
            path: "keys.jsonl".into(),
            text,
        }];
        let records = parse(&files, &mut Scope::open(NOW), &report);
        assert!(!report.has_errors());
        records
    }

    fn is_refused(before: &Records, after: &Records, guard: ShrinkGuard) -> bool {
        Shrinkage::between(before, after, NOW).is_refused(guard)
    }

    #[test]
    fn more_than_the_share_and_not_fewer_than_so_many() {
        let all = set(0..40, "", "");
        for (left, refused) in [(40, false), (20, false), (19, true), (0, true)] {
            assert_eq!(is_refused(&all, &set(0..left, "", ""), USUAL), refused, "{left} of 40");
        }
        let few = set(0..15, "", "");
        assert!(!is_refused(&few, &set(0..6, "", ""), USUAL), "9 go");
        assert!(is_refused(&few, &set(0..5, "", ""), USUAL), "10 go");
        let any = ShrinkGuard {
            percent: 0,
            at_least: 1,
        };
        assert!(is_refused(&few, &set(0..14, "", ""), any));
        assert!(!is_refused(&few, &set(0..15, "", ""), any));
        assert!(
            is_refused(&few, &set(100..200, "", ""), USUAL),
            "others do not make up for it"
        );
    }

    #[test]
    fn what_is_revoked_or_has_ended_may_go() {
        let none = set(0..0, "", "");
        for fields in [
            ",\"revoked_at\":\"2026-01-01T00:00:00Z\"",
            ",\"expires_at\":\"2026-01-01T00:00:00Z\"",
        ] {
            assert!(!is_refused(&set(0..40, fields, ""), &none, USUAL), "{fields}");
        }
        for fields in [
            ",\"active\":false",
            ",\"expires_at\":\"2999-01-01T00:00:00Z\"",
            ",\"not_before\":\"2999-01-01T00:00:00Z\"",
        ] {
            assert!(is_refused(&set(0..40, fields, ""), &none, USUAL), "{fields}");
        }
        let buried = |at: &str| -> String {
            let line = |key| format!("{{\"key\":\"{key}\",\"revoked_at\":\"{at}\"}}\n");
            (0..40).map(line).collect()
        };
        let all = set(0..40, "", "");
        assert!(!is_refused(
            &all,
            &set(0..0, "", &buried("2026-01-01T00:00:00Z")),
            USUAL
        ));
        assert!(
            is_refused(&all, &set(0..0, "", &buried("2999-01-01T00:00:00Z")), USUAL),
            "not yet"
        );
    }

    #[test]
    fn what_a_change_revokes_is_found_in_tombstones_and_records() {
        let before = set(0..1, "", "{\"key\":\"old\",\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n");
        let after = set(
            0..1,
            ",\"revoked_at\":\"2026-01-01T00:00:00Z\"",
            "{\"key\":\"old\",\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n{\"key\":\"new\",\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n",
        );
        let revoked = revoked(&before, &after);
        let keys: Vec<_> = revoked
            .iter()
            .filter_map(|tombstone| tombstone.key.as_deref())
            .collect();
        assert_eq!(keys, ["new", "0"]);
    }
}
