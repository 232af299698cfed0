//! What is to be told, and when: pure, with the time as an argument.
//!
//! A room of its own so that every promise about alerts is a table in a test. A key is told of once for each window that it
//! comes into, the narrowest where it comes into several at once, and once more at its end; for another end, all over again.

use std::collections::HashMap;

use crate::config::expiry::Window;
use crate::policy::Policy;
use crate::policy::keyring::{Endings, KeyIndex, Keyring};

/// How far beyond the longest window a pass over the keyring looks, in seconds; after so long, there is another one.
const AHEAD: i64 = 60 * 60;

/// One thing to tell of one key of the generation that was looked at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alert {
    /// Which key.
    pub(super) key: KeyIndex,
    /// When it ends; Unix seconds.
    pub(super) ends_at: i64,
    /// What about it.
    pub(super) news: News,
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It ends within this.
    Soon(Window),
    /// It has ended.
    Ended,
}

/// What was told last of one key, for which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// Unix seconds.
    pub(super) ends_at: i64,
    /// The narrowest window, in seconds. At its end there is nothing more to tell, and nothing to remember.
    pub(super) within: i64,
}

/// Follows the keys of one generation after the other.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The shortest first.
    windows: Vec<Window>,
    /// By key id.
    told: HashMap<Box<str>, Told>,
    endings: Endings,
    /// Up to when everything is told; Unix seconds.
    told_until: i64,
    /// From then on, the pass is out of date.
    good_until: i64,
}

impl Watch {
    /// Takes what earlier processes have told.
    pub(super) fn remember(&mut self, told: impl IntoIterator<Item = (Box<str>, Told)>) {
        for (key, told) in told {
            self.told.entry(key).or_insert(told);
        }
    }

    /// Looks at every key of a generation; gives what is to be told at `now`.
    pub(super) fn look(&mut self, policy: &Policy, now: i64) -> Vec<Alert> {
        let keyring = policy.keyring();
        self.windows.clone_from(&policy.config.expiry.alerts);
        self.told.retain(|key, _| keyring.by_id(key).is_some());
        let Some(longest) = self.windows.last() else {
            self.told.clear();
            self.endings = Endings::default();
            self.good_until = i64::MAX;
            return Vec::new();
        };
        // What was announced, and has ended unseen.
        let from = self.told.values().map(|told| told.ends_at - 1).fold(now, i64::min);
        let horizon = now + longest.seconds();
        self.endings = keyring.endings(policy.revocations(), now, from, horizon + AHEAD);
        self.good_until = self.endings.changes_at.min(now + AHEAD);
        let due = self.endings.between(from, horizon).to_vec();
        let news = self.news_of(&due, keyring, now);
        // What is left of those that are over has another end by now, or was revoked or disabled before.
        self.told.retain(|_, told| told.ends_at > now);
        news
    }

    /// Looks at those keys that have come into a window, or ended, since anything was looked at; `keyring` is still the same.
    pub(super) fn go_on(&mut self, keyring: &Keyring, now: i64) -> Vec<Alert> {
        let spans = std::iter::once(0).chain(self.windows.iter().map(|window| window.seconds()));
        let due: Vec<_> = spans
            .flat_map(|span| self.endings.between(self.told_until + span, now + span))
            .copied()
            .collect();
        self.news_of(&due, keyring, now)
    }

    /// Whether it is time for another pass: also where somebody has set the clock back.
    pub(super) fn is_stale(&self, now: i64) -> bool {
        now >= self.good_until || now < self.told_until
    }

    /// When there may be something new; Unix seconds.
    pub(super) fn next(&self, now: i64) -> i64 {
        let spans = std::iter::once(0).chain(self.windows.iter().map(|window| window.seconds()));
        let next = spans.filter_map(|span| self.endings.after(now + span).map(|end| end - span));
        next.fold(self.good_until, i64::min)
    }

    /// How many keys are good and end within each window.
    pub(super) fn counts(&self, now: i64) -> impl Iterator<Item = (Window, usize)> {
        let count = move |window: Window| self.endings.between(now, now + window.seconds()).len();
        self.windows.iter().map(move |window| (*window, count(*window)))
    }

    fn news_of(&mut self, due: &[(i64, KeyIndex)], keyring: &Keyring, now: i64) -> Vec<Alert> {
        self.told_until = now;
        let mut alerts = Vec::new();
        for &(ends_at, key) in due {
            let id = keyring.key(key).id();
            let told = self.told.get(id).filter(|told| told.ends_at == ends_at);
            let window = self.windows.iter().find(|window| ends_at - now <= window.seconds());
            let news = match (told, window) {
                (Some(_), _) if ends_at <= now => News::Ended,
                // Nobody was told that this end would come, as when a record is written with an end in the past.
                (None, _) if ends_at <= now => continue,
                (Some(told), Some(window)) if window.seconds() >= told.within => continue,
                (_, Some(window)) => News::Soon(*window),
                (_, None) => continue,
            };
            match news {
                News::Ended => drop(self.told.remove(id)),
                News::Soon(window) => {
                    let within = window.seconds();
                    self.told.insert(id.into(), Told { ends_at, within });
                }
            }
            alerts.push(Alert { key, ends_at, news });
        }
        alerts
    }
}
