//! Tries within one request: when, how often, and what stays the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::stage::{Stage, webhook};
use crate::harness::{Connection, Conversation, Next, Recorded, Upstream, exchange, post};

/// A receiver that answers so, in turn, and 200 from then on.
fn in_turn(answers: &'static [(&'static str, &'static str)]) -> Upstream {
    let count = Arc::new(AtomicUsize::new(0));
    Upstream::tcp(move |conversation: &mut Conversation| {
        conversation.read_body();
        let number = count.fetch_add(1, Ordering::SeqCst);
        match answers.get(number) {
            Some(("close", _)) => Next::Close,
            Some((status, headers)) => conversation.answer(status, headers, ""),
            None => conversation.answer("200 OK", "", ""),
        }
    })
}

fn retried(receiver: Upstream, retry: &str) -> Stage {
    Stage::with(receiver, "", |url| webhook("wh_one", &format!("{url}/in"), retry))
}

const QUICK: &str = "retry = { attempts = 3, delays = [\"10ms\"] }";

#[test]
fn what_may_pass_is_tried_again_with_the_same_id_and_body_and_another_signature() {
    let stage = retried(
        in_turn(&[
            ("503 Service Unavailable", ""),
            ("429 Too Many Requests", "Retry-After: 1\r\n"),
        ]),
        QUICK,
    );
    let answer = stage.send("/webhooks/wh_one", "X-Event-Id: evt_1\r\n", "{\"n\":1}");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("3"));
    let tries = stage.receiver.requests();
    assert_eq!(tries.len(), 3);
    for event in &tries {
        assert_eq!(event.header("webhook-id").as_deref(), Some("evt_1"));
        assert_eq!(event.body, b"{\"n\":1}");
    }
    let timestamp = |n: usize| tries[n].header("webhook-timestamp").unwrap().parse::<i64>().unwrap();
    assert!(
        timestamp(2) > timestamp(1),
        "Retry-After was waited for, and the time is that of the try"
    );
    assert_ne!(
        tries[2].header("webhook-signature"),
        tries[1].header("webhook-signature")
    );
}

#[test]
fn an_answer_that_will_not_change_is_given_at_once() {
    for status in [
        "400 Bad Request",
        "404 Not Found",
        "410 Gone",
        "500 Internal Server Error",
        "501 Not Implemented",
    ] {
        let all: &'static [(&str, &str)] = vec![(status, ""); 3].leak();
        let stage = retried(in_turn(all), QUICK);
        let answer = stage.send("/webhooks/wh_one", "", "{}");
        assert_eq!(answer.status().to_string(), status[..3], "{status}");
        assert_eq!(stage.receiver.requests().len(), 1, "{status}");
    }
}

#[test]
fn what_may_have_arrived_is_not_sent_twice() {
    let stage = retried(in_turn(&[("close", "")]), QUICK);
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!((answer.status(), answer.code().as_str()), (502, "receiver_invalid"));
    assert_eq!(answer.header("x-webhook-attempts").as_deref(), Some("1"));
}

/// A receiver that keeps its connections, and closes one when it has read its second event.
fn hanging_up() -> Upstream {
    Upstream::tcp(|conversation: &mut Conversation| {
        conversation.read_body();
        if conversation.number == 2 {
            return Next::Close;
        }
        conversation.answer("200 OK", "", "")
    })
}

#[test]
fn over_a_kept_connection_it_is_sent_twice_only_where_the_receiver_can_tell() {
    let stage = retried(hanging_up(), "sign = [{ scheme = \"authorization\" }]");
    assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 200);
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!((answer.status(), answer.code().as_str()), (502, "receiver_invalid"));
    assert_eq!(stage.receiver.requests().len(), 2);

    for tells in [
        "",
        "sign = [{ scheme = \"authorization\" }]\nheaders = { X-Id = \"{event.id}\" }",
        "sign = [{ scheme = \"hmac\", header = \"X-Signature\", id_header = \"X-Id\" }]",
    ] {
        let stage = retried(hanging_up(), tells);
        assert_eq!(stage.send("/webhooks/wh_one", "", "{}").status(), 200);
        let answer = stage.send("/webhooks/wh_one", "X-Event-Id: evt_2\r\n", "{}");
        assert_eq!(answer.status(), 200, "{tells}");
        let events = stage.receiver.requests();
        let id = |event: &Recorded| event.header("webhook-id").or_else(|| event.header("x-id"));
        assert_eq!(events.len(), 3);
        assert_eq!(
            (id(&events[1]), id(&events[2])),
            (Some("evt_2".into()), Some("evt_2".into()))
        );
    }
}

#[test]
fn nothing_is_tried_that_the_service_would_not_wait_for() {
    let answers = &[("503 Service Unavailable", "Retry-After: 60\r\n")];
    let stage = retried(in_turn(answers), QUICK);
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!(answer.status(), 503, "the receiver's own answer");
    assert_eq!(answer.header("retry-after").as_deref(), Some("60"));
    assert_eq!(stage.receiver.requests().len(), 1);

    let answers = &[("503 Service Unavailable", "Retry-After: 3\r\n")];
    let stage = retried(in_turn(answers), QUICK);
    let answer = stage.send("/webhooks/wh_one", "Prefer: wait=2\r\n", "{}");
    assert_eq!(answer.status(), 503, "the service's own deadline counts");
}

#[test]
fn a_receiver_that_does_not_answer_is_given_up_in_time() {
    let receiver = Upstream::tcp(|conversation: &mut Conversation| {
        conversation.read_body();
        conversation.wait_for_end()
    });
    let stage = retried(receiver, "timeouts = { head = \"200ms\" }");
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!((answer.status(), answer.code().as_str()), (504, "receiver_timeout"));
    let after = stage.send("/webhooks/wh_one", "Prefer: wait=1\r\n", "{}");
    assert_eq!(after.status(), 504);
}

#[test]
fn an_answer_whose_body_stalls_counts_by_its_status() {
    let receiver = Upstream::tcp(|conversation: &mut Conversation| {
        conversation.read_body();
        conversation.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx");
        conversation.wait_for_end()
    });
    let stage = retried(receiver, "timeouts = { total = \"500ms\" }");
    let answer = stage.send("/webhooks/wh_one", "", "{}");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "x"));
    assert_eq!(answer.header("x-webhook-truncated").as_deref(), Some("true"));
    assert_eq!(stage.receiver.requests().len(), 1);
    assert_eq!(stage.line()["outcome"], "delivered");
}

#[test]
fn an_event_on_a_kept_connection_that_was_reset_goes_over_another() {
    let receiver = Upstream::tcp(|conversation: &mut Conversation| {
        conversation.read_body();
        conversation.answer("200 OK", "", "");
        Next::Close
    });
    let stage = retried(receiver, "");
    for number in 0..20 {
        let answer = stage.send("/webhooks/wh_one", "", "{}");
        assert_eq!(answer.status(), 200, "number {number}: {}", answer.text());
    }
}

#[test]
fn a_receiver_has_no_more_connections_than_it_may() {
    let receiver = Upstream::tcp(|conversation: &mut Conversation| {
        conversation.read_body();
        conversation.wait_for_end()
    });
    let stage = Stage::with(receiver, "connections_per_receiver = 1", |url| {
        webhook(
            "wh_one",
            &format!("{url}/in"),
            "timeouts = { connect = \"200ms\" }\nretry = { attempts = 1 }",
        )
    });
    let egress = stage.egress();
    let mut first = Connection::open(egress);
    first.send(post("/webhooks/wh_one", "", "{}"));
    stage.receiver.wait_for_requests(1);
    let second = exchange(egress, post("/webhooks/wh_one", "Connection: close\r\n", "{}"));
    assert_eq!((second.status(), second.code().as_str()), (503, "receiver_busy"));
    assert_eq!(stage.receiver.connections(), 1);
}
