//! What comes of a decision.

use std::net::IpAddr;

use super::answer::Answer;
use super::caller::IdentityHeaders;
use super::limits::Slot;
use super::permit::{Permit, Trail};
use super::refusal::{Failure, Refusal};
use super::slow::SlowCheck;
use crate::config::upstreams::UpstreamId;

/// What is to be done with a request.
pub enum Decision {
    /// Let it through.
    Forward(Box<Permit>),
    /// Say this: nothing is forwarded.
    Answer(Box<Answered>),
    /// Say no.
    Refuse(Refused),
    /// Ask this first, and decide again with the verdict.
    Verify(SlowCheck),
    /// Ask the issuer of users' tokens for its keys first, and decide again with [`super::Verdict::KeysAsked`].
    AskKeys,
    /// We could not decide; and what was found on the way.
    Fail(Failure, Trail),
}

/// An answer of Keygate's own to a caller that was let in, and what was found on the way to it.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// What was found.
    pub trail: Trail,
    /// Who called.
    pub client: Option<IpAddr>,
    /// The key's place among its requests in flight; to be kept until the last byte.
    pub slot: Option<Slot>,
}

/// A no, and what was found on the way to it.
#[derive(Debug)]
pub struct Refused {
    /// The no.
    pub refusal: Refusal,
    /// What was found.
    pub trail: Trail,
}

/// What a decision would be; nothing is spent, and nothing can be forwarded with it.
pub enum Outlook {
    /// It would be let through.
    Forward {
        /// Where it would go.
        upstream: UpstreamId,
        /// What the upstream would be told about the caller.
        identity: IdentityHeaders,
        /// What was found.
        trail: Trail,
    },
    /// Keygate itself would answer.
    Answer {
        /// How.
        answer: Answer,
        /// What was found.
        trail: Trail,
    },
    /// It would be refused.
    Refuse(Refused),
    /// This has to be asked first.
    Verify(SlowCheck),
    /// The issuer of users' tokens has to be asked for its keys first.
    AskKeys,
    /// It could not be decided.
    Fail(Failure),
}
