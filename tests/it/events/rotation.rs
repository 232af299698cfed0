//! A secret changes: receivers take the new one when it suits them, and no event is lost for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::stage::{Stage, config, egress};
use super::storm::Dice;
use crate::harness::{Conversation, Gate, Home, Next, Setup, Upstream, exchange, rows, wait_until};

const OLD: &str = "the-old-secret-of-a-receiver-which-is-long";
const NEW: &str = "the-new-secret-of-a-receiver-which-is-long";

/// Events for each webhook, over two connections at a time.
const EVENTS: usize = 40;

/// How a receiver knows the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Standard,
    List,
    Lines,
    Learn,
    Raw,
    Bearer,
}

const SCHEMES: [Scheme; 6] = [
    Scheme::Standard,
    Scheme::List,
    Scheme::Lines,
    Scheme::Learn,
    Scheme::Raw,
    Scheme::Bearer,
];

impl Scheme {
    fn sign(self) -> &'static str {
        match self {
            Self::Standard => "{ scheme = \"standard\" }",
            Self::List => "{ scheme = \"hmac\", header = \"X-Signature\", prefix = \"sha256=\" }",
            Self::Lines => {
                "{ scheme = \"hmac\", header = \"X-Signature\", prefix = \"sha256=\", rotation = \"lines\" }"
            }
            Self::Learn => {
                "{ scheme = \"hmac\", header = \"X-Signature\", prefix = \"sha256=\", rotation = \"learn\" }"
            }
            Self::Raw => "{ scheme = \"authorization\", header = \"X-Secret\" }",
            Self::Bearer => "{ scheme = \"authorization\", word = \"Bearer\" }",
        }
    }

    /// Whether one message can carry one secret only.
    fn is_single(self) -> bool {
        match self {
            Self::Learn | Self::Raw | Self::Bearer => true,
            Self::Standard | Self::List | Self::Lines => false,
        }
    }

    /// As a receiver verifies that has one secret.
    fn verifies(self, it: &Conversation, secret: &str) -> bool {
        let values = |name: &str| it.head.all(name);
        let one = |name: &str| values(name).concat();
        let tag = |message: &[u8]| sign(&Key::new(HMAC_SHA256, secret.as_bytes()), message);
        let body = it.body();
        match self {
            Self::Standard => {
                let mut message = format!("{}.{}.", one("webhook-id"), one("webhook-timestamp")).into_bytes();
                message.extend_from_slice(&body);
                let wanted = format!("v1,{}", STANDARD.encode(tag(&message)));
                one("webhook-signature").split(' ').any(|signature| signature == wanted)
            }
            Self::List | Self::Lines | Self::Learn => {
                let wanted = format!("sha256={}", hex::encode(tag(&body)));
                let lines = values("x-signature");
                match self {
                    Self::List => lines.concat().split(',').any(|signature| signature == wanted),
                    Self::Lines => lines.contains(&wanted),
                    Self::Standard | Self::Learn | Self::Raw | Self::Bearer => lines == [wanted],
                }
            }
            Self::Raw => values("x-secret") == [secret],
            Self::Bearer => values("authorization") == [format!("Bearer {secret}")],
        }
    }
}

/// One receiver that changes from the old secret to the new one.
struct Side {
    id: String,
    scheme: Scheme,
    is_queued: bool,
    receiver: Upstream,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Side {
    fn new(scheme: Scheme, is_queued: bool, moment: usize) -> Self {
        let taken: Arc<Mutex<Vec<String>>> = Arc::default();
        let theirs = Arc::clone(&taken);
        let arrived = AtomicUsize::new(0);
        let receiver = Upstream::tcp(move |it: &mut Conversation| {
            it.read_body();
            let secret = if arrived.fetch_add(1, Ordering::SeqCst) < moment {
                OLD
            } else {
                NEW
            };
            if !scheme.verifies(it, secret) {
                let status = if moment.is_multiple_of(2) {
                    "401 Unauthorized"
                } else {
                    "403 Forbidden"
                };
                return it.answer(status, "", "");
            }
            theirs
                .lock()
                .unwrap()
                .push(it.head.header("webhook-id").or_else(|| it.head.header("x-id")).unwrap());
            it.answer("204 No Content", "", "")
        });
        let delivery = if is_queued { "queued" } else { "request" };
        Self {
            id: format!("wh_{scheme:?}_{delivery}").to_lowercase(),
            scheme,
            is_queued,
            receiver,
            taken,
        }
    }

    fn record(&self, secrets: &str) -> String {
        let queued =
            "delivery = \"queued\"\nschedule = [\"0s\", \"20ms\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]\n";
        // `standard` writes the id itself.
        let id = if self.scheme == Scheme::Standard {
            ""
        } else {
            "headers = { X-Id = \"{event.id}\" }\n"
        };
        format!(
            "[[webhooks]]\nid = \"{}\"\norganization = \"acme\"\nurl = \"{}/in\"\nsign = [{}]\n{secrets}\n{id}{}\n",
            self.id,
            self.receiver.url(),
            self.scheme.sign(),
            if self.is_queued { queued } else { "" },
        )
    }

    /// Brings one event.
    fn send(&self, gate: &Gate, id: &str) {
        let request = format!(
            "POST /webhooks/{} HTTP/1.1\r\nHost: x\r\nX-Event-Id: {id}\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{{\"n\": 12}}",
            self.id
        );
        let answer = exchange(egress(gate), request);
        let expected = if self.is_queued { 202 } else { 204 };
        assert_eq!(answer.status(), expected, "{} {id}: {}", self.id, answer.text());
    }
}

fn rotates_at(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut moment = || usize::try_from(dice.roll(EVENTS as u64 / 2)).unwrap() + 3;
    let sides: Vec<Side> = SCHEMES
        .into_iter()
        .flat_map(|scheme| [(scheme, false), (scheme, true)])
        .map(|(scheme, is_queued)| Side::new(scheme, is_queued, moment()))
        .collect();
    let records = |secrets: &str| sides.iter().map(|side| side.record(secrets)).collect::<String>();
    let home = Home::new();
    home.write("webhooks.toml", records(&format!("secret = \"{OLD}\"")));
    let receivers: Vec<&Upstream> = sides.iter().map(|side| &side.receiver).collect();
    let setup = Setup {
        more: config(&receivers, "\n[state]\npath = \"keygate.db\"\n", ""),
        ..Setup::url("http://127.0.0.1:9")
    };
    let gate = Gate::start_in(home, &setup);
    let reload = |secrets: &str, generation: u64| {
        gate.home.replace("webhooks.toml", records(secrets));
        gate.wait_for_log("the reload", |line| {
            line["message"] == "reloaded" && line["generation"].as_u64() >= Some(generation)
        });
    };
    // One with the old secret, while everything is as it was.
    sides.iter().for_each(|side| side.send(&gate, "evt_before"));
    reload(
        &format!("secret = \"{NEW}\"\nprevious_secret = \"{OLD}\"\nprevious_until = 2099-01-01T00:00:00Z"),
        2,
    );
    let is_done = |line: &serde_json::Value| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("every receiver takes its new secret"))
    };
    assert!(!gate.log().iter().any(is_done));
    thread::scope(|scope| {
        for side in &sides {
            for half in 0..2 {
                let gate = &gate;
                scope.spawn(move || {
                    for number in (half..EVENTS).step_by(2) {
                        side.send(gate, &format!("evt_{number}"));
                    }
                });
            }
        }
    });
    let database = gate.home.path("keygate.db");
    let waiting = "SELECT count(*) FROM webhook_events WHERE state = 'waiting'";
    wait_until("the queue to be empty", || {
        (rows(&database, waiting) == ["0"]).then_some(())
    });
    for side in &sides {
        let mut taken = side.taken.lock().unwrap().clone();
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), EVENTS + 1, "{} lost some", side.id);
    }
    let line = gate.wait_for_log("the end of the rotation", is_done);
    let singles = sides.iter().filter(|side| side.scheme.is_single()).count();
    assert_eq!(line["moved"].as_u64(), Some(singles as u64));
    assert!(gate.metric(&["keygate_webhook_previous_secrets"]).abs() < f64::EPSILON);

    reload(&format!("secret = \"{NEW}\""), 3);
    sides.iter().for_each(|side| side.send(&gate, "evt_after"));
    wait_until("the queue to be empty", || {
        (rows(&database, waiting) == ["0"]).then_some(())
    });
    let dead = "SELECT webhook, event_id FROM webhook_events WHERE state = 'dead'";
    assert!(rows(&database, dead).is_empty());
}

#[test]
fn no_event_is_lost_while_receivers_change_to_the_new_secret_at_random_moments() {
    for seed in [1, 20, 300] {
        rotates_at(seed);
    }
}

fn rotating(receiver: Upstream, sign: &str) -> Stage {
    Stage::with(receiver, "", |url| {
        format!(
            "[[webhooks]]\nid = \"wh_one\"\norganization = \"acme\"\nurl = \"{url}/in\"\nsign = [{sign}]\nsecret = \"{NEW}\"\n\
             previous_secret = \"{OLD}\"\nprevious_until = 2099-01-01T00:00:00Z\n"
        )
    })
}

#[test]
fn a_receiver_that_changes_between_two_tries_of_the_same_event_gets_it() {
    let receiver = Upstream::tcp(|it: &mut Conversation| {
        it.read_body();
        // Up to the first try it has the old secret, from then on the new one.
        let secret = if it.number == 1 { OLD } else { NEW };
        if Scheme::Bearer.verifies(it, secret) {
            it.answer("204 No Content", "", "")
        } else {
            it.answer("401 Unauthorized", "", "")
        }
    });
    let stage = rotating(receiver, Scheme::Bearer.sign());
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 204);
    assert_eq!(stage.receiver.requests().len(), 3);
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 204);
    assert_eq!(stage.receiver.requests().len(), 4, "it is known to take the new one");
}

#[test]
fn a_receiver_that_takes_neither_is_tried_a_few_times_and_the_service_gets_its_answer() {
    let receiver = Upstream::tcp(|it: &mut Conversation| it.answer("403 Forbidden", "", "no"));
    let stage = rotating(receiver, Scheme::Raw.sign());
    for _ in 0..3 {
        let before = stage.receiver.requests().len();
        let answer = stage.send("/webhooks/wh_one", "", "{}");
        assert_eq!((answer.status(), answer.text().as_str()), (403, "no"));
        assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("1"));
        assert!(stage.receiver.requests().len() - before <= 3);
    }
}

#[test]
fn a_refusal_that_says_nothing_about_the_secret_does_not_turn_to_the_other() {
    let receiver = Upstream::tcp(|it: &mut Conversation| {
        it.read_body();
        match it.number {
            1 => it.answer("400 Bad Request", "", ""),
            2 => Next::Close,
            _ => it.answer("204 No Content", "", ""),
        }
    });
    let stage = rotating(receiver, Scheme::Bearer.sign());
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 400);
    stage.receiver.close_connections();
    for event in stage.receiver.requests() {
        assert_eq!(event.header("authorization"), Some(format!("Bearer {NEW}")));
    }
}
