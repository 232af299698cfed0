//! Which of two secrets each receiver takes, learnt from its answers.
//!
//! A room of its own because a header that carries a single secret cannot carry two, and a receiver changes from one to the other
//! when it likes. Everybody begins with the current one. An answer of 401 or 403 turns to the other, which is tried once at once; a
//! 2xx settles it. A receiver that takes both would stay with the previous one for ever, so the current one is tried again from
//! time to time, where a refusal can be made good.
//!
//! Pure: answers and the time come as arguments. What is learnt is forgotten when the secrets change.

use std::collections::HashMap;

use http::StatusCode;

use super::{Signing, Turn};
use crate::secret::Digest;

/// How long a receiver that takes the previous secret is left alone with the current one, in seconds.
const LOOK_AGAIN_SECONDS: i64 = 60 * 60;

/// What is known of every receiver, by its webhook's id.
#[derive(Debug, Default)]
pub struct Rotations(HashMap<String, Rotation>);

/// What is known of one receiver.
#[derive(Debug)]
struct Rotation {
    /// Between which secrets.
    pair: Digest,
    /// What the next message carries.
    next: Turn,
    /// What it took last.
    taken: Option<Turn>,
    /// When it last refused the current one, in Unix seconds.
    refused_current: Option<i64>,
}

/// What an answer has taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learned {
    /// Nothing about secrets, or nothing new.
    Nothing,
    /// It does not take this secret: the message is to be sent once more, with the other.
    TryOther(Turn),
    /// It takes the current secret, and did not before: it has moved.
    Moved,
    /// It takes the previous secret still.
    Holds,
}

impl Learned {
    /// What the message is to be sent with once more, where it is.
    #[must_use]
    pub fn other(self) -> Option<Turn> {
        match self {
            Self::TryOther(turn) => Some(turn),
            Self::Nothing | Self::Moved | Self::Holds => None,
        }
    }
}

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Webhooks whose receivers take the current secret.
    pub moved: usize,
    /// Webhooks whose receivers were last seen to take the previous one.
    pub holding: usize,
    /// Webhooks of whose receivers nothing is known yet.
    pub unknown: usize,
}

impl Progress {
    /// Whether the previous secrets can go: everybody has moved.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.holding == 0 && self.unknown == 0
    }
}

impl Rotations {
    /// Which secret the next message to this webhook carries. `can_repeat` says whether it can be sent again when it is refused.
    #[must_use]
    pub fn turn(&self, webhook: &str, signing: &Signing, can_repeat: bool, now_unix: i64) -> Turn {
        let pair = signing.pair(now_unix);
        match self.0.get(webhook) {
            Some(rotation) if Some(rotation.pair) == pair => rotation.turn(can_repeat, now_unix),
            Some(_) | None => Turn::Current,
        }
    }

    /// Takes note of how a receiver answered a message that carried the secret of `turn`.
    pub fn learn(
        &mut self,
        webhook: &str,
        signing: &Signing,
        turn: Turn,
        status: StatusCode,
        now_unix: i64,
    ) -> Learned {
        let Some(pair) = signing.pair(now_unix) else {
            self.0.remove(webhook);
            return Learned::Nothing;
        };
        let fresh = || Rotation::between(pair);
        match self.0.get_mut(webhook) {
            Some(rotation) => {
                if rotation.pair != pair {
                    *rotation = fresh();
                }
                rotation.learn(turn, status, now_unix)
            }
            None => {
                let mut rotation = fresh();
                let learned = rotation.learn(turn, status, now_unix);
                self.0.insert(webhook.to_owned(), rotation);
                learned
            }
        }
    }

    /// Whether this webhook's receiver was seen to take the current secret; `None` where nothing is to be learnt, or nothing
    /// was yet.
    #[must_use]
    pub fn has_moved(&self, webhook: &str, signing: &Signing, now_unix: i64) -> Option<bool> {
        let pair = signing.pair(now_unix)?;
        let rotation = self.0.get(webhook).filter(|rotation| rotation.pair == pair)?;
        rotation.taken.map(|taken| taken == Turn::Current)
    }

    /// How far all those have come that carry one of two secrets. `None` where there is none.
    #[must_use]
    pub fn progress<'w>(
        &self,
        webhooks: impl IntoIterator<Item = (&'w str, &'w Signing)>,
        now_unix: i64,
    ) -> Option<Progress> {
        let mut progress = None;
        for (webhook, signing) in webhooks {
            if signing.pair(now_unix).is_none() {
                continue;
            }
            let progress = progress.get_or_insert_with(Progress::default);
            match self.has_moved(webhook, signing, now_unix) {
                Some(true) => progress.moved += 1,
                Some(false) => progress.holding += 1,
                None => progress.unknown += 1,
            }
        }
        progress
    }

    /// Forgets the webhooks that are gone.
    pub fn retain(&mut self, mut is_there: impl FnMut(&str) -> bool) {
        self.0.retain(|webhook, _| is_there(webhook));
    }
}

impl Rotation {
    fn between(pair: Digest) -> Self {
        Self {
            pair,
            next: Turn::Current,
            taken: None,
            refused_current: None,
        }
    }

    fn turn(&self, can_repeat: bool, now_unix: i64) -> Turn {
        let is_time = self
            .refused_current
            .is_none_or(|at| now_unix.saturating_sub(at) >= LOOK_AGAIN_SECONDS);
        match self.next {
            Turn::Previous if is_time && can_repeat => Turn::Current,
            Turn::Previous | Turn::Current => self.next,
        }
    }

    fn learn(&mut self, turn: Turn, status: StatusCode, now_unix: i64) -> Learned {
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            if turn == Turn::Current {
                self.refused_current = Some(now_unix);
            }
            // From the secret that was sent, not from the one that is next: several answers may come at once.
            self.next = turn.other();
            return Learned::TryOther(self.next);
        }
        if !status.is_success() {
            return Learned::Nothing;
        }
        // An answer to an older message may come late; who has taken the current secret has it.
        let had = self.taken;
        match (turn, had) {
            (Turn::Current, Some(Turn::Current)) => {
                self.next = Turn::Current;
                Learned::Nothing
            }
            (Turn::Current, Some(Turn::Previous) | None) => {
                self.next = Turn::Current;
                self.taken = Some(Turn::Current);
                Learned::Moved
            }
            (Turn::Previous, Some(Turn::Previous) | None) => {
                self.next = Turn::Previous;
                self.taken = Some(Turn::Previous);
                Learned::Holds
            }
            (Turn::Previous, Some(Turn::Current)) => {
                // Late, or it has gone back: whichever it was refused last with, it is not tried first.
                if self.next == Turn::Previous {
                    self.taken = Some(Turn::Previous);
                }
                Learned::Holds
            }
        }
    }
}
