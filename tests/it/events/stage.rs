//! A gate with a listener for events, a receiver, and a service that brings some.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use crate::harness::{Conversation, Gate, Home, Response, Setup, Upstream, exchange, rows, wait_until};

/// What the webhooks of these tests are signed with.
pub const SECRET: &str = "a-secret-of-at-least-32-characters";

/// A gate and what stands around it.
pub struct Stage {
    /// The gate.
    pub gate: Gate,
    /// The customer's server.
    pub receiver: Upstream,
}

/// A receiver that answers 200.
pub fn taking() -> Upstream {
    Upstream::tcp(|conversation: &mut Conversation| {
        conversation.read_body();
        conversation.answer("200 OK", "X-Receiver: yes\r\n", "taken")
    })
}

/// The configuration of the return path: loopback is where the tests' receivers are.
pub fn config(receivers: &[&Upstream], webhooks: &str, egress: &str) -> String {
    let ports: Vec<String> = receivers
        .iter()
        .map(|receiver| receiver.address().port().to_string())
        .collect();
    format!(
        "[egress]\nlisten = [\"127.0.0.1:0\"]\n{egress}\n[webhooks]\nfile = \"webhooks.toml\"\nallow_networks = [\"127.0.0.0/8\"]\n\
         allow_ports = [80, 443, {}]\n{webhooks}\n",
        ports.join(", ")
    )
}

/// One record.
pub fn webhook(id: &str, url: &str, more: &str) -> String {
    format!("[[webhooks]]\nid = \"{id}\"\norganization = \"acme\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{more}\n\n")
}

impl Stage {
    /// One webhook, `wh_one`, at `/in` of a receiver that takes everything.
    pub fn simple() -> Self {
        Self::with(taking(), "", |url| webhook("wh_one", &format!("{url}/in"), ""))
    }

    /// This receiver, more options of `[webhooks]`, and the records, which are made of the receiver's URL.
    pub fn with(receiver: Upstream, options: &str, records: impl FnOnce(&str) -> String) -> Self {
        let home = Home::new();
        home.write("webhooks.toml", records(&receiver.url()));
        let setup = Setup {
            more: config(&[&receiver], options, ""),
            ..Setup::url("http://127.0.0.1:9")
        };
        Self {
            gate: Gate::start_in(home, &setup),
            receiver,
        }
    }

    /// As [`Self::with`], with a state file to queue events in.
    pub fn queueing(receiver: Upstream, state: &str, records: impl FnOnce(&str) -> String) -> Self {
        Self::with(receiver, &format!("\n[state]\npath = \"keygate.db\"\n{state}"), records)
    }

    /// What is queued, in the order in which it came: `webhook|id|state`.
    pub fn queue(&self) -> Vec<String> {
        let query = "SELECT webhook, event_id, state FROM webhook_events ORDER BY seq";
        rows(&self.gate.home.path("keygate.db"), query)
    }

    /// The webhooks change: waits until they are in force.
    #[track_caller]
    pub fn change(&self, records: &str) {
        let reloads = || {
            self.gate
                .log()
                .iter()
                .filter(|line| line["message"] == "reloaded")
                .count()
        };
        let before = reloads();
        self.gate.home.replace("webhooks.toml", records);
        wait_until("the reload", || (reloads() > before).then_some(()));
    }

    /// Where the service brings its events.
    pub fn egress(&self) -> SocketAddr {
        egress(&self.gate)
    }

    /// The service sends an event.
    pub fn send(&self, target: &str, headers: &str, body: &str) -> Response {
        post(&self.gate, target, headers, body)
    }

    /// What the log says of the only event so far.
    pub fn line(&self) -> serde_json::Value {
        self.gate
            .wait_for_log("the event's line", |line| line["message"] == "event")
    }
}

/// A receiver whose answers the test chooses, and may change.
#[derive(Clone)]
pub struct Mood(Arc<Mutex<Vec<(&'static str, &'static str)>>>);

impl Mood {
    /// A receiver that answers all but the last of these (status and header lines) once each, in turn, and then the last.
    pub fn of(answers: &[(&'static str, &'static str)]) -> (Upstream, Self) {
        let mood = Self(Arc::new(Mutex::new(answers.to_vec())));
        let theirs = mood.clone();
        let receiver = Upstream::tcp(move |conversation: &mut Conversation| {
            conversation.read_body();
            let (status, headers) = theirs.next();
            conversation.answer(status, headers, "")
        });
        (receiver, mood)
    }

    /// From now on it answers so.
    pub fn turns(&self, status: &'static str) {
        *self.0.lock().unwrap() = vec![(status, "")];
    }

    fn next(&self) -> (&'static str, &'static str) {
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0]
        }
    }
}

/// Where the service brings its events.
pub fn egress(gate: &Gate) -> SocketAddr {
    gate.listeners("egress")[0].parse().unwrap()
}

/// The service sends an event.
pub fn post(gate: &Gate, target: &str, headers: &str, body: &str) -> Response {
    exchange(
        egress(gate),
        format!(
            "POST {target} HTTP/1.1\r\nHost: keygate\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            body.len()
        ),
    )
}
