//! The sample messaging service stands behind every profile: as `keygate demo` starts it, on a socket of its own.
//!
//! It takes messages, so the cases that send one are what it can answer; the others are about recording upstreams.

use serde_json::Value;
use tempfile::TempDir;

use super::cases::{self, Case};
use super::profiles;
use super::replay::{bytes, compare_headers};
use super::stage::Stage;
use crate::demo::Demo;
use crate::harness::Connection;

const MESSAGE: &str = r#"{"to":"+15550100","text":"Hello"}"#;

/// Whether this is one call, from here, that sends a message and arrives.
fn sends(case: &Case) -> bool {
    let path = case.request.split('?').next().unwrap_or_default();
    path.starts_with("POST ")
        && (path.ends_with("/messages") || path.ends_with("/message"))
        && case.upstream.reached != "nothing"
        && case.calls.is_none()
        && case.from.is_none()
}

#[test]
fn messages_go_through_every_profile_to_the_sample_service() {
    let temporary = TempDir::new().unwrap();
    let demo = Demo::start(&temporary, &[]);
    let mut wrong = Vec::new();
    for profile in profiles() {
        let cases: Vec<Case> = cases::of(&profile).into_iter().filter(sends).collect();
        assert!(!cases.is_empty(), "{profile}: no case sends a message");
        for mut case in cases {
            MESSAGE.clone_into(&mut case.body);
            let stage = Stage::files(&profile).before(demo.service()).start();
            let mut connection = Connection::open(stage.gate.ingress());
            connection.send(bytes(&case));
            let answer = connection.answer();
            let mut differences = Vec::new();
            let (there, absent) = (&case.answer.headers, &case.answer.absent);
            compare_headers(there, absent, |name| answer.head.all(name), "answer", &mut differences);
            let message: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let accepted = message["id"].as_str().is_some_and(|id| id.starts_with("msg_"));
            if answer.status() != 202 || !accepted || message["text"] != "Hello" {
                differences.push(format!("the answer is {} {}", answer.status(), answer.text()));
            }
            wrong.extend(
                differences
                    .into_iter()
                    .map(|what| format!("{profile}: {}: {what}", case.name)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
