//! HTTP/1.1: what a client sees of an exchange whose key dies is never complete, and never goes on.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::stage::{Kind, Open, Stage};
use super::{records, revoke, setup, told};
use crate::harness::{
    ALPHA, BETA, Connection, GAMMA, Gate, Next, Setup, Upstream, get, key, key_file, presents, wait_until,
};

#[test]
fn an_answer_whose_end_is_that_of_the_connection_is_not_ended_in_good_order() {
    // HTTP/1.0 knows no chunks: what is sent to such a client ends with its connection.
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    let mut client = Connection::open(gate.ingress());
    let presents = presents(ALPHA);
    client.send(format!("GET /events/old HTTP/1.0\r\nHost: gate.test\r\n{presents}\r\n"));
    client.until("event 0;");
    revoke(&gate);
    let mut rest = Vec::new();
    let end = std::io::Read::read_to_end(&mut client.reader, &mut rest);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    stage.wait_for("/events/old", "cut");
}

#[test]
fn an_upload_in_chunks_does_not_end_well_for_the_upstream() {
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    let mut client = Connection::open(gate.ingress());
    let presents = presents(ALPHA);
    client.send(format!(
        "POST /upload/chunks HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n{presents}\r\n5\r\nfirst\r\n"
    ));
    let body = || Some(stage.upstream.requests().first()?.body.clone());
    wait_until("the first chunk", || (body()? == b"first").then_some(()));
    revoke(&gate);
    stage.wait_for("/upload/chunks", "cut");
    client.try_send("6\r\nsecond\r\n0\r\n\r\n");
    if let Some(answer) = client.try_answer() {
        assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_invalid"));
    }
    assert_eq!(stage.upstream.only_request().body, b"first");
}

#[test]
fn an_upload_whose_answer_has_begun_is_cut_in_both_directions() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n");
        assert!(!it.read_body(), "the upload was cut");
        Next::Close
    });
    let gate = Gate::start(&setup(&upstream));
    let mut client = Connection::open(gate.ingress());
    let presents = presents(ALPHA);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 100\r\n{presents}\r\nfirst"
    ));
    client.until("begun\r\n");
    revoke(&gate);
    assert_eq!(client.rest(), b"");
    wait_until("the end at the upstream", || (upstream.closed() == 1).then_some(()));
    assert_eq!(upstream.only_request().body, b"first");
}

#[test]
fn after_a_withdrawal_before_the_answer_the_connection_serves_another_key() {
    let stage = Stage::new();
    let gate = Gate::start(&setup(&stage.upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(get("/waiting/one", &presents(ALPHA)));
    stage.upstream.wait_for_requests(1);
    revoke(&gate);
    let answer = client.answer();
    assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_invalid"));
    assert!(answer.header("www-authenticate").is_some());
    client.send(get("/", &presents(BETA)));
    assert_eq!(client.answer().status(), 200);
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().status(), 401);
    told(&gate, "/waiting/one", "credential_invalid", "revoked");
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), 1.0);
}

/// A key's place among its requests in flight, and everything else that a request holds, is free again.
#[test]
fn what_was_cut_holds_nothing() {
    let stage = Stage::new();
    let gate = Gate::start(&Setup {
        more: "[limits]\ntunnels = 1\n[plans.default]\nconcurrency = 2\n".to_owned(),
        records: key_file(&[key("key_alpha", ALPHA, "")]),
        ..setup(&stage.upstream)
    });
    for (round, now, next) in [(0, ALPHA, BETA), (1, BETA, GAMMA), (2, GAMMA, ALPHA)] {
        let begin = |kind, whose: &str| Open::begin(gate.ingress(), &stage, kind, now, &format!("{whose}-{round}"));
        let mut tunnel = begin(Kind::WebSocket, "tunnel");
        let mut events = begin(Kind::Events, "events");
        // The same key with another secret.
        gate.home.write("keys.toml", key_file(&[key("key_alpha", next, "")]));
        tunnel.ends(&stage, 401);
        events.ends(&stage, 401);
        // Places are free when the line is written.
        told(&gate, tunnel.target(), "credential_invalid", "unknown");
        told(&gate, events.target(), "credential_invalid", "unknown");
    }
    assert_eq!(gate.metric(&["keygate_tunnels"]), 0.0);
}

#[test]
fn an_exchange_that_has_ended_costs_the_next_on_its_connection_nothing() {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::tcp(move |it| {
        if it.head.word(1) == "/beta" {
            let _ = wait.lock().unwrap().recv();
        }
        it.answer("200 OK", "", "hello")
    });
    let gate = Gate::start(&setup(&upstream));
    // One connection, first with the key that dies, then with one that lives.
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().status(), 200);
    client.send(get("/beta", &presents(BETA)));
    upstream.wait_for_requests(2);
    gate.home.write("keys.toml", records(super::REVOKED));
    wait_until("the revocation", || {
        (crate::harness::exchange(gate.ingress(), get("/", &presents(ALPHA))).status() == 401).then_some(())
    });
    release.send(()).unwrap();
    assert_eq!(client.answer().status(), 200);
    assert_eq!(gate.metric(&["keygate_withdrawn_total"]), 0.0);
}
