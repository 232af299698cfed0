//! The check is honest: it finds out a service that no gateway protects, and a promise that is wrong.

use std::net::TcpListener;

use hyper::StatusCode;

use super::super::call::{Call, Places};
use super::super::fact::Form;
use super::super::sandbox::{Sandbox, Setup};
use super::super::service::{self, Service};
use super::super::steps::{Switch, steps};
use super::*;

fn bare_service() -> (Service, Sandbox) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let service = service::start(listener).expect("started");
    let setup = Setup {
        service: service.address(),
        receiver: service.address(),
        port: 0,
        log: false,
    };
    (service, Sandbox::new(setup).expect("a sandbox"))
}

async fn checked(steps: &[Step], service: &Service, sandbox: &Sandbox) -> (usize, String) {
    let client = Client {
        places: Places::only(service.address()),
    };
    let taking = Taking {
        client,
        key_file: &sandbox.key_file(),
        receiver: None,
    };
    let mut out = Vec::new();
    let different = check(steps, taking, Paint::PLAIN, &mut out).await;
    (
        different.expect("memory can be written to"),
        String::from_utf8(out).expect("text"),
    )
}

fn listing(facts: Vec<Fact>) -> Step {
    Step {
        title: "List",
        about: "",
        action: Action::Call(Call::to("/v1/messages")),
        facts,
    }
}

#[tokio::test]
async fn a_kept_promise_is_told_from_a_broken_one() {
    let (service, sandbox) = bare_service();
    let steps = [
        listing(vec![Fact::Status(StatusCode::OK)]),
        listing(vec![
            Fact::Status(StatusCode::NO_CONTENT),
            Fact::Header("Content-Type", Form::Something),
        ]),
    ];
    let (different, text) = checked(&steps, &service, &sandbox).await;
    let expected = " 1  List
    ✓ status 200 OK
 2  List
    ✗ status 204 No Content
      came: 200 OK
    ✓ header Content-Type (came: application/json)

1 of 2 steps are not as promised.
";
    assert_eq!((different, text.as_str()), (1, expected));
}

#[tokio::test]
async fn what_cannot_be_done_is_a_difference() {
    let (service, sandbox) = bare_service();
    let switch = Switch {
        key: "nobody",
        active: false,
    };
    let action = Action::Switch {
        switch,
        call: Call::to("/v1/messages"),
    };
    let step = Step {
        title: "Switch",
        about: "",
        action,
        facts: Vec::new(),
    };
    let (different, text) = checked(&[step], &service, &sandbox).await;
    assert_eq!(different, 1);
    assert!(
        text.contains("✗ could not be done: ") && text.contains("has no key nobody"),
        "{text}"
    );
}

#[tokio::test]
async fn a_service_without_a_gateway_is_found_out() {
    let (service, sandbox) = bare_service();
    let steps = steps(&sandbox);
    let without_switches = &steps[..8];
    let (different, text) = checked(without_switches, &service, &sandbox).await;
    // Only the stream promises nothing that the service itself does not keep.
    assert_eq!(different, 7, "{text}");
    for broken in [
        "status 401 Unauthorized",
        "status 403 Forbidden",
        "did not see X-API-Key",
        "header X-Request-Id",
    ] {
        assert!(
            text.lines().any(|line| line.contains('✗') && line.contains(broken)),
            "{broken}\n{text}"
        );
    }
}
