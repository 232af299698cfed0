//! What the service has sent, brought to one webhook: refused, left out, queued, or delivered.

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};

use super::answer::Answer;
use super::body::Outgoing;
use super::deadline::Deadline;
use super::deliver::{self, Delivered, Told};
use super::office::Office;
use super::queue;
use super::stop::Stop;
use crate::clock;
use crate::config::webhooks::Delivery;
use crate::policy::Policy;
use crate::policy::egress::{Cleared, Dispatch, Egress, Event, Judged, Path, Refusal, WebhookIndex};

/// The caller's own deadline (RFC 7240 §4.3): `Prefer: wait=10`.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What the service has sent.
pub(super) struct Sent<'s> {
    /// What all events share.
    pub(super) office: &'s Rc<Office>,
    /// The generation.
    pub(super) policy: &'s Policy,
    /// What of it concerns events.
    pub(super) egress: &'s Egress,
    /// How it was sent.
    pub(super) method: Method,
    /// With what.
    pub(super) headers: HeaderMap,
}

/// What became of it at one webhook.
pub(super) struct Brought {
    /// How it ended.
    pub(super) fate: Result<Fate, Stop>,
    /// How often it was tried.
    pub(super) attempts: u32,
    /// How many of the service's headers must not leave.
    pub(super) removed: usize,
}

/// How it ended, where nothing stopped it.
pub(super) enum Fate {
    /// The webhook did not ask for it.
    NotSubscribed,
    /// It is on disk; what the service gets.
    Queued(Answer),
    /// What the receiver says.
    Told(Told),
}

impl Sent<'_> {
    /// What event it is.
    pub(super) fn event(&self, body: Option<&Cleared>) -> Result<Event, Refusal> {
        self.policy
            .event(&self.headers, body, clock::unix(), || self.office.make_id())
    }

    /// To this webhook. `passing` is there where the body is not held.
    pub(super) async fn bring(
        &self,
        place: (WebhookIndex, &Path),
        event: Event,
        body: Option<&Cleared>,
        passing: Option<Outgoing>,
    ) -> Brought {
        let judged = self.policy.dispatch(place, event, &self.headers, body, clock::unix());
        let dispatch = match judged {
            Ok(Judged::Deliver(dispatch)) => dispatch,
            Ok(Judged::NotSubscribed(_)) => return Brought::untried(Ok(Fate::NotSubscribed)),
            Err(refusal) => return Brought::untried(Err(refusal.into())),
        };
        let brought = match dispatch.webhook().delivery {
            Delivery::Queued { .. } if self.method != Method::POST => {
                Brought::untried(Err(Refusal::MethodUnsupported.into()))
            }
            Delivery::Queued { .. } => Brought::untried(queue::accept(self.office, &dispatch).await.map(Fate::Queued)),
            Delivery::Request if self.office.queue.pause_of(&dispatch.webhook().id).is_some() => {
                Brought::untried(Err(Refusal::WebhookPaused.into()))
            }
            Delivery::Request => self.deliver(&dispatch, passing).await,
        };
        Brought {
            removed: dispatch.removed().len(),
            ..brought
        }
    }

    async fn deliver(&self, dispatch: &Dispatch, passing: Option<Outgoing>) -> Brought {
        let total = dispatch.webhook().timeouts.total;
        let total = wanted(&self.headers).map_or(total, |wanted| wanted.min(total));
        let end = Deadline::after(total);
        let delivered = deliver::deliver(self.office, self.egress, dispatch, &self.method, passing, end).await;
        let Delivered { told, attempts } = delivered;
        Brought {
            fate: told.map(Fate::Told),
            attempts,
            removed: 0,
        }
    }
}

impl Brought {
    fn untried(fate: Result<Fate, Stop>) -> Self {
        Self {
            fate,
            attempts: 0,
            removed: 0,
        }
    }
}

/// How long the service waits, where it says so.
fn wanted(headers: &HeaderMap) -> Option<Duration> {
    let preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut waits = preferences
        .flat_map(|value| value.split([',', ';']))
        .filter_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            let seconds = value.trim().trim_matches('"').parse().ok()?;
            (name.trim().eq_ignore_ascii_case("wait") && seconds > 0).then_some(seconds)
        });
    waits.next().map(Duration::from_secs)
}
