//! What is measured of the return path: by outcome, never by receiver.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::metrics::{Outcome, State};

/// Metrics of events.
#[derive(Debug)]
pub struct Webhooks {
    /// `keygate_webhook_events_total{result}`: requests of the service, by what became of them: `delivered`, `rejected`,
    /// `not_subscribed`, `failed` (several webhooks, not all well), `client_gone`, or the code of a refusal or failure.
    pub events: Family<Outcome, Counter>,
    /// `keygate_webhook_attempts_total{result}`: tries: `delivered`, `rejected`, or the code of a refusal or failure.
    pub attempts: Family<Outcome, Counter>,
    /// `keygate_webhook_attempt_duration_seconds`
    pub attempt_duration: Histogram,
    /// `keygate_webhook_previous_secrets`: webhooks whose receivers were not seen yet to take the new secret of a rotation, where a
    /// header can carry only one.
    pub on_previous_secret: Gauge,
    /// `keygate_webhook_pauses_total`: webhooks that Keygate has paused by itself.
    pub paused: Counter,
    /// `keygate_webhooks_paused`: webhooks to which nothing is sent for now, whoever paused them.
    pub paused_now: Gauge,
    /// `keygate_webhook_queue_events{state="waiting|dead|delivered"}`
    queue_events: Family<State, Gauge>,
    /// `keygate_webhook_queue_bytes`: what these take.
    queue_bytes: Gauge,
    /// `keygate_webhook_queue_oldest_seconds`: for how long the first event that waits has done so.
    pub queue_oldest: Gauge,
    /// `keygate_webhook_activity_dropped_total`: attempts in requests whose line was given up.
    pub activity_dropped: Counter,
    /// `keygate_webhook_headers_removed_total`: headers of the service that must not leave.
    pub headers_removed: Counter,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            events: Family::default(),
            attempts: Family::default(),
            attempt_duration: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
            on_previous_secret: Gauge::default(),
            paused: Counter::default(),
            paused_now: Gauge::default(),
            queue_events: Family::default(),
            queue_bytes: Gauge::default(),
            queue_oldest: Gauge::default(),
            activity_dropped: Counter::default(),
            headers_removed: Counter::default(),
        }
    }
}

impl Webhooks {
    /// How many queued events wait, are dead, and were delivered, and how many bytes they take.
    pub fn queue(&self, events: [i64; 3], bytes: i64) {
        for (state, events) in ["waiting", "dead", "delivered"].into_iter().zip(events) {
            self.queue_events.get_or_create(&State { state }).set(events);
        }
        self.queue_bytes.set(bytes);
    }

    /// How many queued events wait, and are dead, as it was told last.
    #[must_use]
    pub fn queue_now(&self) -> (i64, i64) {
        let now = |state| self.queue_events.get_or_create(&State { state }).get();
        (now("waiting"), now("dead"))
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.queue([0; 3], 0);
        for result in ["delivered", "rejected"] {
            self.events.get_or_create(&Outcome { result }).inc_by(0);
            self.attempts.get_or_create(&Outcome { result }).inc_by(0);
        }
        registry.register(
            "webhook_events",
            "Events that the service brought, by what became of them",
            self.events.clone(),
        );
        registry.register(
            "webhook_attempts",
            "Tries to deliver an event, by how they went",
            self.attempts.clone(),
        );
        registry.register(
            "webhook_attempt_duration_seconds",
            "How long a try took, from the search for the address to the answer's last byte",
            self.attempt_duration.clone(),
        );
        registry.register(
            "webhook_previous_secrets",
            "Webhooks that were not seen yet to take the new secret of a rotation",
            self.on_previous_secret.clone(),
        );
        registry.register(
            "webhook_pauses",
            "Webhooks that were paused because they kept failing, or are gone",
            self.paused.clone(),
        );
        registry.register(
            "webhooks_paused",
            "Webhooks to which nothing is sent for now",
            self.paused_now.clone(),
        );
        registry.register(
            "webhook_queue_events",
            "Queued events that wait for their receivers, are not tried any more, or were delivered and are kept",
            self.queue_events.clone(),
        );
        registry.register(
            "webhook_queue_bytes",
            "Room that queued events take, about",
            self.queue_bytes.clone(),
        );
        registry.register(
            "webhook_queue_oldest_seconds",
            "For how long the first queued event that waits has done so",
            self.queue_oldest.clone(),
        );
        registry.register(
            "webhook_activity_dropped",
            "Attempts to deliver whose line was given up because too many waited for the state file",
            self.activity_dropped.clone(),
        );
        registry.register(
            "webhook_headers_removed",
            "Headers of the service that hold credentials and did not leave",
            self.headers_removed.clone(),
        );
    }
}
