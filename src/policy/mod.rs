//! Decide: the immutable snapshot that says yes or no.
//!
//! A room of its own so that every decision can be read, tested as a truth table and explained without a socket. Nothing
//! here is `async`, reads a clock or a file, or logs: time and heads come as arguments, effects go back as data.
//!
//! # Security
//! Only [`decide`] builds a [`permit::Permit`], its fields are private to this room, and what forwards takes one by value:
//! nothing reaches an upstream without a decision. One [`Policy`] is one generation; a request uses one from start to end.

pub mod answer;
pub mod caller;
pub mod credential;
pub mod current;
mod decide;
pub mod forwarded;
pub mod head;
pub mod header_law;
pub mod hygiene;
pub mod keyring;
pub mod limits;
pub mod permit;
pub mod refusal;
pub mod route;

use std::sync::{Arc, OnceLock};

pub use decide::{Decision, Refused, SlowCheck, Verdict};

use crate::config::Config;
use caller::Caller;
use keyring::{KeyIndex, Keyring};

/// One generation: configuration and keys, compiled.
pub struct Policy {
    /// Counts up from 1.
    pub generation: u64,
    /// What it was compiled from.
    pub config: Config,
    /// The shape of refusals and failures.
    pub answers: answer::Answers,
    keyring: Keyring,
    routes: route::Routes,
    law: Arc<header_law::HeaderLaw>,
    environments: credential::Prefixes,
    plans: Vec<Arc<permit::PlanHeaders>>,
    callers: Vec<OnceLock<Arc<Caller>>>,
    running: Arc<Running>,
}

/// What outlives a generation: the state of limits, by key id and by source.
#[derive(Default)]
struct Running {
    accounts: limits::Accounts,
    failures: limits::Failures,
}
