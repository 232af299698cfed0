//! What the service sees of a receiver's answer, and what receivers see of the service.

use super::stage::{Stage, webhook};
use crate::harness::{ALPHA, Conversation, Upstream};

fn answering(status: &'static str, headers: &'static str, body: &'static str) -> Upstream {
    Upstream::tcp(move |conversation: &mut Conversation| {
        conversation.read_body();
        conversation.answer(status, headers, body)
    })
}

fn one(receiver: Upstream, options: &str) -> Stage {
    Stage::with(receiver, options, |url| webhook("wh_one", &format!("{url}/in"), ""))
}

#[test]
fn a_redirect_is_not_followed_and_does_not_lead_the_service_elsewhere() {
    let stage = one(answering("302 Found", "Location: http://169.254.169.254/\r\n", ""), "");
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.header("location"), None);
    assert_eq!(stage.receiver.requests().len(), 1);
    assert_eq!(stage.line()["outcome"], "rejected");
}

#[test]
fn headers_that_could_confuse_the_service_are_stripped() {
    let stage = one(
        answering(
            "200 OK",
            "Set-Cookie: a=1\r\nX-Auth-Key-Id: key_forged\r\nX-Webhook-Attempts: 99\r\nRefresh: 0; url=http://x/\r\n\
             Connection: X-Hop\r\nX-Hop: 1\r\nX-Kept: yes\r\nContent-Type: text/plain\r\n",
            "taken",
        ),
        "",
    );
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    for name in ["set-cookie", "x-auth-key-id", "refresh", "x-hop"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("1"));
    assert_eq!(answer.header("x-kept").as_deref(), Some("yes"));
    assert_eq!(answer.text(), "taken");
}

#[test]
fn a_long_answer_is_cut_and_says_so() {
    let body: &'static str = "0123456789abcdef".repeat(64).leak();
    let stage = one(answering("200 OK", "", body), "response_bytes = 100");
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.body, &body.as_bytes()[..100]);
    assert_eq!(answer.header("x-webhook-truncated").as_deref(), Some("true"));
}

#[test]
fn keygates_credentials_do_not_leave() {
    let stage = one(answering("200 OK", "", ""), "strip_headers = [\"X-Internal\"]");
    let answer = stage.send(
        "/webhooks/wh_one",
        &format!(
            "X-API-Key: something\r\nX-Admin-Key: secret\r\nProxy-Authorization: Basic eDp5\r\nX-Internal: 1\r\n\
             X-Note: the key is {ALPHA}\r\nX-Auth-Organization: acme\r\nX-Customer: 7\r\nwebhook-signature: v1,forged\r\n"
        ),
        "{}",
    );
    assert_eq!(answer.status(), 200);
    let event = stage.receiver.only_request();
    let names = event.head.names();
    for name in [
        "x-api-key",
        "x-admin-key",
        "proxy-authorization",
        "x-internal",
        "x-note",
        "x-auth-organization",
    ] {
        assert!(
            !names.iter().any(|other| other.eq_ignore_ascii_case(name)),
            "{name} left"
        );
    }
    assert_eq!(event.header("x-customer").as_deref(), Some("7"));
    assert!(!event.header("webhook-signature").unwrap().contains("forged"));
    assert!(stage.line()["headers_removed"].as_u64().unwrap() >= 5);
}

#[test]
fn static_headers_are_filled_in_and_an_event_without_an_id_gets_one() {
    let stage = Stage::with(answering("204 No Content", "", ""), "", |url| {
        webhook(
            "wh_one",
            &format!("{url}/in"),
            "headers = { X-Org = \"org {organization}\", X-Event = \"{event}\", X-Id = \"{event.id}\" }",
        )
    });
    assert_eq!(
        stage
            .send("/webhooks/wh_one", "X-Event-Type: message\r\n", "{}")
            .status(),
        204
    );
    let event = stage.receiver.only_request();
    assert_eq!(event.header("x-org").as_deref(), Some("org acme"));
    assert_eq!(event.header("x-event").as_deref(), Some("message"));
    let id = event.header("webhook-id").unwrap();
    assert!(id.starts_with("msg_"), "{id}");
    assert_eq!(event.header("x-id"), Some(id));
}
