//! The way of one decision, rule by rule: what `explain` shows.
//!
//! A room of its own so that the explanation is made by the walk itself, and never tells another story than live traffic
//! does. Without somebody who asks, nothing is recorded and no text is made.

use super::refusal::Refusal;

/// The rules, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The head's size.
    Size,
    /// One meaning for everybody.
    Hygiene,
    /// Who is on the other end.
    Client,
    /// TLS where it is required.
    Tls,
    /// Which door.
    Route,
    /// Who may use it at all.
    Access,
    /// Where the key stands.
    Credential,
    /// Whose it is.
    LookUp,
    /// Whether it is good now.
    State,
    /// Whether a user's token is believed, and whose it is.
    Token,
    /// Where it may be used from.
    Network,
    /// Its prefix and its record agree, and the route takes their environment.
    Environment,
    /// What it may do.
    Permission,
    /// Whether the key files have been seen lately.
    Freshness,
    /// What it is subscribed to.
    Subscription,
    /// Whose data the request names.
    Tenant,
    /// Other credentials that have to be there.
    RequiredHeaders,
    /// The path, as the chosen upstream reads it.
    Path,
    /// The length of the body, where the head declares it.
    Body,
    /// Requests in flight.
    Concurrency,
    /// Windows and quotas.
    Limits,
}

/// What came of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The request goes on.
    Passed,
    /// It ends here.
    Refused(Refusal),
    /// It would end here, if the route enforced its rules.
    WouldRefuse(Refusal),
}

/// One rule that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub rule: Rule,
    /// What came of it.
    pub outcome: Outcome,
    /// What was found, for people; nothing secret.
    pub found: String,
}

/// The rules that were asked, in order.
#[derive(Debug, Default)]
pub struct Trace(pub Vec<Step>);

/// A trace that somebody asked for, or none.
pub(super) struct Record<'t>(pub(super) Option<&'t mut Trace>);

impl Rule {
    /// Stable, for people and machines alike.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Hygiene => "hygiene",
            Self::Client => "client",
            Self::Tls => "tls",
            Self::Route => "route",
            Self::Access => "access",
            Self::Credential => "credential",
            Self::LookUp => "look_up",
            Self::State => "state",
            Self::Token => "token",
            Self::Network => "network",
            Self::Environment => "environment",
            Self::Permission => "permission",
            Self::Freshness => "freshness",
            Self::Subscription => "subscription",
            Self::Tenant => "tenant",
            Self::RequiredHeaders => "required_headers",
            Self::Path => "path",
            Self::Body => "body",
            Self::Concurrency => "concurrency",
            Self::Limits => "limits",
        }
    }
}

impl Rule {
    /// What it asks, for people.
    #[must_use]
    pub fn means(self) -> &'static str {
        match self {
            Self::Size => "the head is not too large",
            Self::Hygiene => "the request means the same to everybody",
            Self::Client => "who calls",
            Self::Tls => "over TLS, where that is required",
            Self::Route => "which route",
            Self::Access => "who may use it",
            Self::Credential => "exactly one key, in its form",
            Self::LookUp => "some record has the key",
            Self::Token => "the user's token is good now",
            Self::State => "the key is good now",
            Self::Network => "the key may come from there",
            Self::Environment => "the key's prefix and its record agree",
            Self::Permission => "the key may do this",
            Self::Freshness => "the key files have been seen lately",
            Self::Subscription => "the key is subscribed",
            Self::Tenant => "the request is about the key's organization",
            Self::RequiredHeaders => "the other headers that the route needs are there",
            Self::Path => "the upstream reads the path in the same way",
            Self::Body => "the declared body is not too long",
            Self::Concurrency => "fewer requests in flight than allowed",
            Self::Limits => "enough is left",
        }
    }
}

impl Record<'_> {
    /// A rule is asked.
    pub(super) fn ask(&mut self, rule: Rule) {
        if let Some(trace) = &mut self.0 {
            trace.0.push(Step {
                rule,
                outcome: Outcome::Passed,
                found: String::new(),
            });
        }
    }

    /// What the rule that was asked last has found.
    pub(super) fn found(&mut self, text: impl FnOnce() -> String) {
        if let Some(step) = self.last() {
            step.found = text();
        }
    }

    /// The rule that was asked last says no.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        if let Some(step) = self.last() {
            step.outcome = Outcome::Refused(refusal.clone());
        }
    }

    /// The rule that was asked last would say no.
    pub(super) fn would_refuse(&mut self, refusal: &Refusal) {
        if let Some(step) = self.last() {
            step.outcome = Outcome::WouldRefuse(refusal.clone());
        }
    }

    fn last(&mut self) -> Option<&mut Step> {
        self.0.as_mut()?.0.last_mut()
    }
}
