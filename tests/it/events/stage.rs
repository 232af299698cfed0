//! A gate with a listener for events, a receiver, and a service that brings some.

use std::net::SocketAddr;

use crate::harness::{Conversation, Gate, Home, Response, Setup, Upstream, exchange};

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

    /// Where the service brings its events.
    pub fn egress(&self) -> SocketAddr {
        egress(&self.gate)
    }

    /// The service sends an event.
    pub fn send(&self, target: &str, headers: &str, body: &str) -> Response {
        exchange(
            self.egress(),
            format!(
                "POST {target} HTTP/1.1\r\nHost: keygate\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
                body.len()
            ),
        )
    }

    /// What the log says of the only event so far.
    pub fn line(&self) -> serde_json::Value {
        self.gate
            .wait_for_log("the event's line", |line| line["message"] == "event")
    }
}

/// Where the service brings its events.
pub fn egress(gate: &Gate) -> SocketAddr {
    gate.listeners("egress")[0].parse().unwrap()
}
