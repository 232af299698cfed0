//! Bodies: held to be signed, streamed where nothing needs them.

use super::stage::{Stage, taking, webhook};
use crate::harness::{ALPHA, exchange};

const BIG: usize = 3 << 20;

fn big() -> String {
    "x".repeat(BIG)
}

#[test]
fn a_body_that_is_too_long_to_be_signed_is_refused_and_nothing_is_sent() {
    let stage = Stage::simple();
    let answer = stage.send("/webhooks/wh_one", "", &big());
    assert_eq!((answer.status(), answer.code().as_str()), (413, "body_too_large"));
    let chunk = "x".repeat(1 << 20);
    let chunks = format!("{:x}\r\n{chunk}\r\n", chunk.len()).repeat(2);
    let request = format!(
        "POST /webhooks/wh_one HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    assert_eq!(exchange(stage.egress(), request).code(), "body_too_large");
    assert!(stage.receiver.requests().is_empty());
}

#[test]
fn a_long_body_streams_to_a_receiver_whose_scheme_needs_none_of_it() {
    let stage = Stage::with(taking(), "", |url| {
        webhook(
            "wh_one",
            &format!("{url}/in"),
            "sign = [{ scheme = \"authorization\", word = \"Bearer\" }]",
        )
    });
    let answer = stage.send("/webhooks/wh_one", "", &big());
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let event = stage.receiver.only_request();
    assert_eq!(event.body.len(), BIG);
    assert!(event.header("authorization").unwrap().starts_with("Bearer a-secret"));
}

#[test]
fn a_key_in_a_body_blocks_the_event_where_bodies_are_scanned() {
    let stage = Stage::with(taking(), "scan_bodies = true", |url| {
        webhook("wh_one", &format!("{url}/in"), "")
    });
    let answer = stage.send("/webhooks/wh_one", "", &format!("{{\"text\":\"my key is {ALPHA}!\"}}"));
    assert_eq!((answer.status(), answer.code().as_str()), (422, "key_in_body"));
    assert!(answer.text().contains("key_alpha"), "its public id is told");
    assert!(!answer.text().contains(ALPHA));
    assert!(stage.receiver.requests().is_empty());
    assert_eq!(
        stage.send("/webhooks/wh_one", "", "{\"text\":\"no key\"}").status(),
        200
    );
}
