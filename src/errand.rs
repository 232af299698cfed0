//! What `control` has the return path do, and what that answers, without either naming the other.
//!
//! An operator's test of a webhook has to go the way of real events, and which secret a receiver takes is known there only. Both
//! are asked for here, and answered by the thread that sends events.
//!
//! # Security
//! What is answered goes to operators: headers come masked, and of URLs the origin alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// How many samples are on their way at once: an operator looks at one.
const SAMPLES: usize = 8;
/// How long anybody waits for what is only known, not done.
const PATIENCE: Duration = Duration::from_secs(2);

/// The side that asks; cheap to clone.
#[derive(Debug, Clone)]
pub struct Errands {
    door: mpsc::Sender<Errand>,
    samples: Arc<Semaphore>,
}

/// The side that does it.
#[derive(Debug)]
pub struct Inbox(mpsc::Receiver<Errand>);

/// One wish.
#[derive(Debug)]
pub enum Errand {
    /// To send a sample event.
    Sample(Sample, oneshot::Sender<Sent>),
    /// To tell of each webhook with two secrets whether its receiver takes the new one, as far as that was seen.
    Moved(oneshot::Sender<HashMap<String, bool>>),
}

/// A sample event.
#[derive(Debug)]
pub struct Sample {
    /// The id of the webhook that it is for.
    pub webhook: String,
    /// Its type; one that the webhook asks for where it is `None`.
    pub event: Option<String>,
    /// Its body; one that says what it is where it is `None`.
    pub body: Option<String>,
}

/// What was sent, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The webhook's id.
    pub webhook: String,
    /// The method.
    pub method: String,
    /// Where to, without what could be a secret.
    pub url: String,
    /// The event's type.
    pub event: String,
    /// The event's id.
    pub event_id: String,
    /// The headers of the last request, masked; empty where none was sent.
    pub headers: Vec<Header>,
    /// `delivered`, `rejected`, or a code that says why it was not sent.
    pub outcome: String,
    /// What the receiver answered, if it did.
    pub status: Option<u16>,
    /// How long it took.
    pub duration_ms: u64,
    /// Why it was not taken, in plain words.
    pub detail: Option<String>,
}

/// A header as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// In lower case.
    pub name: String,
    /// Masked where it is, or may be, a secret; signatures are cut short.
    pub value: String,
}

/// Why no sample was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// As many as may be are on their way.
    Busy,
    /// Nobody sends events any more.
    Ended,
}

/// The two sides.
#[must_use]
pub fn channel() -> (Errands, Inbox) {
    let (door, inbox) = mpsc::channel(SAMPLES);
    let samples = Arc::new(Semaphore::new(SAMPLES));
    (Errands { door, samples }, Inbox(inbox))
}

impl Errands {
    /// Sends a sample event, and waits for what comes of it.
    ///
    /// # Errors
    /// Why it was not sent.
    pub async fn send(&self, sample: Sample) -> Result<Sent, Unsent> {
        let _place = self.samples.try_acquire().map_err(|_| Unsent::Busy)?;
        let (reply, sent) = oneshot::channel();
        let asked = self.door.send(Errand::Sample(sample, reply)).await;
        asked.map_err(|_| Unsent::Ended)?;
        sent.await.map_err(|_| Unsent::Ended)
    }

    /// Of each webhook with two secrets, by id: whether its receiver was seen to take the new one. Without those of which
    /// nothing was seen yet; empty where nobody answers.
    pub async fn moved(&self) -> HashMap<String, bool> {
        let (reply, moved) = oneshot::channel();
        let asked = async {
            self.door.send(Errand::Moved(reply)).await.ok()?;
            moved.await.ok()
        };
        timeout(PATIENCE, asked).await.ok().flatten().unwrap_or_default()
    }
}

impl Inbox {
    /// The next wish; `None` where nobody is left who could have one.
    pub async fn next(&mut self) -> Option<Errand> {
        self.0.recv().await
    }
}
