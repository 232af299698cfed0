//! Telling: to the log, to the audit trail, and to the webhook.
//!
//! A room of its own because many keys may end at once: what is told goes out in batches, each of them on record before the
//! next one begins, so that neither the log nor the audit trail is flooded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::{Sender, UnboundedReceiver};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{error, warn};

use super::deliver::Message;
use super::watch::{Alert, News};
use crate::clock;
use crate::control::Control;
use crate::ledger::audit::{Action, Actor, Entry, Source};
use crate::policy::Policy;
use crate::secret::Digest;

/// A key ends soon.
pub(super) const SOON: &str = "key.expiring";
/// A key has ended.
pub(super) const ENDED: &str = "key.expired";

/// How many keys are told of at once.
const BATCH: usize = 100;
/// How long to wait behind each batch: the log's writer has to keep up.
const BREATH: Duration = Duration::from_millis(10);
const DAY: i64 = 24 * 60 * 60;

/// Alerts about the keys of one generation.
pub(super) struct Batch {
    pub(super) policy: Arc<Policy>,
    pub(super) alerts: Vec<Alert>,
}

/// One key, as a webhook tells of it.
#[derive(Debug, Serialize)]
struct Named<'a> {
    key_id: &'a str,
    name: &'a str,
    organization: &'a str,
    expires_at: Timestamp,
    days_left: i64,
}

/// Tells of everything that comes, one batch after the other.
pub(super) async fn follow(control: Arc<Control>, mut batches: UnboundedReceiver<Batch>, deliveries: Sender<Message>) {
    while let Some(Batch { policy, mut alerts }) = batches.recv().await {
        alerts.sort_by_key(|alert| rank(alert.news));
        for alike in alerts.chunk_by(|a, b| a.news == b.news) {
            for alerts in alike.chunks(BATCH) {
                control.tell(&policy, alerts, &deliveries).await;
                sleep(BREATH).await;
            }
        }
    }
}

/// What is over comes first, and then what ends soonest.
fn rank(news: News) -> i64 {
    match news {
        News::Ended => 0,
        News::Soon(window) => window.seconds(),
    }
}

fn event(news: News) -> (&'static str, Option<String>) {
    match news {
        News::Ended => (ENDED, None),
        News::Soon(window) => (SOON, Some(window.to_string())),
    }
}

impl Control {
    /// Tells of keys about which there is the same to tell; comes back when that is on record, or cannot be for now.
    async fn tell(&self, policy: &Policy, alerts: &[Alert], deliveries: &Sender<Message>) {
        let Some(first) = alerts.first() else { return };
        let now = clock::unix();
        let (event, within) = event(first.news);
        let keys: Vec<Named<'_>> = alerts.iter().map(|alert| named(policy, alert, now)).collect();
        for key in &keys {
            log(first.news, key, within.as_deref());
        }
        if policy.config.expiry.webhook.is_some() {
            self.announce(event, within.as_deref(), &keys, now, deliveries);
        }
        let (recorded, on_record) = oneshot::channel();
        let mut recorded = Some(recorded);
        for (left, key) in (0..keys.len()).rev().zip(&keys) {
            let entry = Entry {
                at: now,
                actor: Actor::Keygate,
                source: Source::Keygate,
                action: Action::KeyExpire,
                target: Some(key.key_id.to_owned()),
                detail: json!({ "event": event, "expires_at": key.expires_at, "within": within }),
            };
            match recorded.take_if(|_| left == 0) {
                Some(recorded) => self
                    .audit
                    .record_then(entry, move |outcome| drop(recorded.send(outcome))),
                None => self.audit.record(entry),
            }
        }
        // Whatever became of it is counted and logged there.
        let _ = on_record.await;
    }

    /// Hands a message over to be delivered. What does not fit is given up: a receiver that is away for long must not cost
    /// memory without end.
    fn announce(
        &self,
        event: &'static str,
        within: Option<&str>,
        keys: &[Named<'_>],
        now: i64,
        deliveries: &Sender<Message>,
    ) {
        let mut data = json!({ "keys": keys });
        if let Some(within) = within {
            data["within"] = within.into();
        }
        let timestamp = Timestamp::from_second(now).unwrap_or(Timestamp::MIN);
        let body = json!({ "type": event, "timestamp": timestamp, "data": data }).to_string();
        let digest = Digest::of(body.as_bytes());
        let message = Message {
            id: format!("msg_{}", hex::encode(&digest.0[..16])),
            event,
            keys: keys.len(),
            body: Bytes::from(body),
        };
        if deliveries.try_send(message).is_err() {
            self.count("dropped");
            error!(
                message = "a webhook is given up: too many wait already; the log and the audit trail have what it says",
                event,
                keys = keys.len()
            );
        }
    }
}

fn named<'a>(policy: &'a Policy, alert: &Alert, now: i64) -> Named<'a> {
    let key = policy.keyring().key(alert.key);
    Named {
        key_id: key.id(),
        name: key.name(),
        organization: &key.organization().id,
        expires_at: Timestamp::from_second(alert.ends_at).unwrap_or(Timestamp::MAX),
        days_left: (alert.ends_at - now).max(0) / DAY,
    }
}

fn log(news: News, key: &Named<'_>, within: Option<&str>) {
    let Named {
        key_id,
        name,
        organization,
        expires_at,
        days_left,
    } = key;
    match news {
        News::Soon(_) => warn!(
            message = "a key expires soon",
            key_id, name, organization, %expires_at, within, days_left
        ),
        News::Ended => warn!(message = "a key has expired", key_id, name, organization, %expires_at),
    }
}
