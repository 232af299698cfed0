//! Following one connection's messages: head, body, next head, and so on (RFC 9112 §2.1), without any IO.

use super::chunked::{Chunked, Followed};
use super::judge::{self, Body, HeadLimits};
use super::search::{Found, Search};
use crate::policy::refusal::Hygiene;

/// Where in the stream of messages a connection stands.
#[derive(Debug)]
pub(super) struct Follower {
    limits: HeadLimits,
    place: Place,
    /// Heads that have passed.
    heads: u64,
    /// The message that is being followed asks for an upgrade.
    upgrade: bool,
}

#[derive(Debug)]
enum Place {
    Head(Search),
    Length(u64),
    Chunked(Chunked),
}

/// How far some bytes may pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// So many bytes belong to good messages.
    pub(super) passed: usize,
    /// Why the rest does not pass.
    pub(super) stop: Stop,
}

/// Why bytes do not pass, or not yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// No byte is left.
    Nothing,
    /// The rest is a head that is not complete: to be shown again, with more.
    Incomplete,
    /// A message ended that asked for an upgrade; whose the rest is, is not decided.
    Upgrade,
    /// The rest begins with a head that is refused.
    Refused(Hygiene),
    /// The chunked framing of the body is broken.
    Broken,
}

impl Follower {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            place: Place::Head(Search::default()),
            heads: 0,
            upgrade: false,
        }
    }

    /// Heads that have passed.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the message that was begun last asks for an upgrade.
    pub(super) fn upgrade(&self) -> bool {
        self.upgrade
    }

    /// The upgrade did not happen: what comes next is a head again.
    pub(super) fn go_on(&mut self) {
        self.upgrade = false;
    }

    /// Whether a head has begun to arrive, and is not complete.
    pub(super) fn in_head(&self) -> bool {
        matches!(&self.place, Place::Head(search) if search.begun())
    }

    /// Whether a body is arriving.
    pub(super) fn in_body(&self) -> bool {
        match &self.place {
            Place::Head(_) => false,
            Place::Length(_) | Place::Chunked(_) => true,
        }
    }

    /// Follows the messages through `bytes`, which begin where the last step stopped.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Step {
        let mut passed = 0;
        loop {
            let rest = &bytes[passed..];
            if rest.is_empty() {
                return Step {
                    passed,
                    stop: Stop::Nothing,
                };
            }
            let ended = match &mut self.place {
                Place::Head(search) => {
                    let (begin, end, header_lines) = match search.find(rest, &self.limits) {
                        Found::Complete {
                            begin,
                            end,
                            header_lines,
                        } => (begin, end, header_lines),
                        Found::Incomplete => {
                            return Step {
                                passed,
                                stop: Stop::Incomplete,
                            };
                        }
                        Found::Refused(hygiene) => {
                            return Step {
                                passed,
                                stop: Stop::Refused(hygiene),
                            };
                        }
                    };
                    let framing = match judge::judge(&rest[begin..end], header_lines) {
                        Ok(framing) => framing,
                        Err(hygiene) => {
                            return Step {
                                passed,
                                stop: Stop::Refused(hygiene),
                            };
                        }
                    };
                    passed += end;
                    self.heads += 1;
                    self.upgrade = framing.upgrade;
                    self.place = match framing.body {
                        Body::None => Place::Head(Search::default()),
                        Body::Length(length) => Place::Length(length),
                        Body::Chunked => Place::Chunked(Chunked::new()),
                    };
                    matches!(framing.body, Body::None)
                }
                Place::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    passed += here;
                    *left -= here as u64;
                    *left == 0
                }
                Place::Chunked(body) => match body.follow(rest) {
                    Followed::On => {
                        passed = bytes.len();
                        false
                    }
                    Followed::Ended(length) => {
                        passed += length;
                        true
                    }
                    Followed::Broken(length) => {
                        let passed = passed + length;
                        return Step {
                            passed,
                            stop: Stop::Broken,
                        };
                    }
                },
            };
            if ended {
                self.place = Place::Head(Search::default());
                if self.upgrade {
                    return Step {
                        passed,
                        stop: Stop::Upgrade,
                    };
                }
            }
        }
    }
}
