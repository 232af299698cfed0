//! One line for each request of the service, from a guard, so that one that goes away is told, too.
//!
//! # Security
//! Ids, codes and numbers: no header's value, no URL, nothing of a body.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, StatusCode};
use tracing::info;

use super::deliver;
use super::office::Office;
use super::stop::Stop;
use crate::clock;
use crate::config::telemetry::AccessLog;
use crate::config::webhooks::Webhook;
use crate::policy::Policy;
use crate::policy::egress::{Event, Refusal};
use crate::policy::header_law::kept_request_id;
use crate::telemetry::metrics::Outcome;

/// What is known of it so far; written when it is dropped.
pub(super) struct Line {
    office: Rc<Office>,
    log: AccessLog,
    opened: u64,
    /// `X-Request-Id`.
    pub(super) request_id: HeaderValue,
    /// The webhook's id.
    pub(super) webhook: Option<String>,
    /// The organization's.
    pub(super) organization: Option<String>,
    event: Option<Event>,
    /// In a word: what became of it.
    pub(super) outcome: &'static str,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// How many of the service's headers must not leave.
    pub(super) removed: usize,
    status: Option<StatusCode>,
    /// The public id of a key that was in it.
    leaked: Option<String>,
}

/// The service went away.
const GONE: &str = "client_gone";

impl Line {
    pub(super) fn open(office: &Rc<Office>, policy: &Policy, headers: &HeaderMap) -> Self {
        Self {
            office: Rc::clone(office),
            log: policy.config.telemetry.access_log,
            // Whoever reaches this listener is trusted with its own request's name.
            request_id: kept_request_id(headers, true).unwrap_or_else(|| office.ids.request()),
            opened: clock::monotonic(),
            webhook: None,
            organization: None,
            event: None,
            outcome: GONE,
            attempts: 0,
            removed: 0,
            status: None,
            leaked: None,
        }
    }

    /// It is for this webhook.
    pub(super) fn at(&mut self, webhook: &Webhook) {
        self.webhook = Some(webhook.id.clone());
        self.organization = Some(webhook.organization.clone());
    }

    /// It is this event.
    pub(super) fn tells(&mut self, event: &Event) {
        self.event = Some(event.clone());
    }

    /// Keygate itself says why there is no answer.
    pub(super) fn stopped(&mut self, stop: &Stop) {
        self.outcome = stop.code();
        if let Stop::Refused(Refusal::KeyInBody(key)) = stop {
            self.leaked = Some(key.clone());
        }
    }

    /// This is what the service gets.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let result = self.outcome;
        let metrics = &self.office.metrics.webhooks;
        metrics.events.get_or_create(&Outcome { result }).inc();
        metrics
            .headers_removed
            .inc_by(u64::try_from(self.removed).unwrap_or(u64::MAX));
        if !self.log.tells(!deliver::is_well(result), || self.office.ids.share()) {
            return;
        }
        info!(
            message = "event",
            request_id = self.request_id.to_str().unwrap_or_default(),
            webhook = self.webhook,
            organization = self.organization,
            event = self.event.as_ref().and_then(|event| event.kind.as_deref()),
            event_id = self.event.as_ref().map(|event| event.id.as_str()),
            outcome = result,
            status = self.status.map(|status| status.as_u16()),
            attempts = self.attempts,
            headers_removed = self.removed,
            key_in_body = self.leaked,
            duration_ms = clock::monotonic().saturating_sub(self.opened) / 1_000_000
        );
    }
}
