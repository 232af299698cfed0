//! A rotation: receivers change to the new secret whenever they like, and no delivery is lost, whatever it is signed with.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::stage::Stage;
use crate::harness::{Conversation, Upstream};

const NEW: &str = "the-new-secret-of-32-characters-";
const OLD: &str = "the-old-secret-of-32-characters-";
const SCHEMES: [(&str, &str); 4] = [
    ("authorization", "{ scheme = \"authorization\", word = \"Bearer\" }"),
    ("standard", "{ scheme = \"standard\" }"),
    ("list", "{ scheme = \"hmac\", header = \"X-Signature\" }"),
    (
        "learn",
        "{ scheme = \"hmac\", header = \"X-Signature\", rotation = \"learn\" }",
    ),
];
/// After how many messages a receiver has only the new secret.
const MOVES: [usize; 5] = [0, 1, 5, 11, 20];
/// Each brings so many events to each receiver, at the same time as the others.
const SENDERS: usize = 3;
const EVENTS: usize = 8;

/// Whether a message proves that its sender has this secret.
fn proves(conversation: &Conversation, scheme: &str, body: &[u8], secret: &str) -> bool {
    let header = |name: &str| conversation.head.header(name).unwrap_or_default();
    let tag = |parts: &[&[u8]]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &parts.concat());
    let own = || hex::encode(tag(&[body]));
    match scheme {
        "authorization" => header("authorization") == format!("Bearer {secret}"),
        "list" => header("x-signature").split(',').any(|one| one == own()),
        "learn" => header("x-signature") == own(),
        _ => {
            let head = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
            let signature = format!("v1,{}", STANDARD.encode(tag(&[head.as_bytes(), body])));
            header("webhook-signature").split(' ').any(|one| one == signature)
        }
    }
}

/// Receivers at `/SCHEME/N`, each with the old secret only until it has taken N messages, and with the new one only from then on.
fn receivers() -> Upstream {
    let taken: Mutex<HashMap<String, usize>> = Mutex::default();
    Upstream::tcp(move |conversation: &mut Conversation| {
        let body = conversation.body();
        let path = conversation.head.word(1);
        let mut parts = path.split('/').skip(1);
        let (scheme, moves) = (parts.next().unwrap(), parts.next().unwrap());
        let moves: usize = moves.parse().unwrap();
        let mut taken = taken.lock().unwrap();
        let taken = taken.entry(path.clone()).or_default();
        let secret = if *taken < moves { OLD } else { NEW };
        if proves(conversation, scheme, &body, secret) {
            *taken += 1;
            conversation.answer("200 OK", "", "")
        } else {
            conversation.answer("401 Unauthorized", "", "")
        }
    })
}

fn ids() -> impl Iterator<Item = (String, &'static str, usize)> {
    SCHEMES
        .iter()
        .flat_map(|(name, sign)| MOVES.map(|moves| (format!("{name}/{moves}"), *sign, moves)))
}

#[test]
fn no_delivery_is_lost_while_receivers_change_to_the_new_secret() {
    let stage = Stage::with(receivers(), "", |url| {
        let record = |(path, sign, _): (String, &str, usize)| {
            format!(
                "[[webhooks]]\nid = \"{}\"\norganization = \"acme\"\nurl = \"{url}/{path}\"\nsecret = \"{NEW}\"\n\
                 previous_secret = \"{OLD}\"\nprevious_until = 2999-01-01T00:00:00Z\nsign = [{sign}]\n\n",
                path.replace('/', "_")
            )
        };
        ids().map(record).collect()
    });
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let stage = &stage;
            scope.spawn(move || {
                for event in 0..EVENTS {
                    for (path, _, _) in ids() {
                        let target = format!("/webhooks/{}", path.replace('/', "_"));
                        let answer = stage.send(&target, "", &format!("{{\"event\":\"{sender}-{event}\"}}"));
                        assert_eq!(answer.status(), 200, "event {event} of sender {sender} to {path}");
                    }
                }
            });
        }
    });
    let log = stage.gate.log();
    let moved = |id: &str| {
        let is_it =
            |line: &&serde_json::Value| line["message"] == "a receiver takes the new secret" && line["webhook"] == id;
        log.iter().filter(is_it).count()
    };
    for (path, _, _) in ids() {
        let learns = path.starts_with("authorization") || path.starts_with("learn");
        assert_eq!(moved(&path.replace('/', "_")), usize::from(learns), "{path}");
    }
    let log = stage.gate.log_lines().join("\n");
    assert!(!log.contains(NEW) && !log.contains(OLD));
}
