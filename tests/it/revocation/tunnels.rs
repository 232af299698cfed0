//! A WebSocket whose key dies is told so at a frame boundary, by a frame of its own, and nothing follows it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::stage::{KEY_REVOKED, MASKED_CLOSE, MASKED_HI, WEBSOCKET};
use super::{records, revoke, setup, told};
use crate::harness::{
    ALPHA, BETA, Connection, Gate, Next, Setup, Upstream, WebSocketClient, block_on, exchange, get, presents,
    wait_until, websocket_server,
};

/// An upstream that switches, then sends what it is given, and records what comes.
struct Raw {
    upstream: Upstream,
    send: Sender<Vec<u8>>,
    came: Arc<Mutex<Vec<u8>>>,
}

impl Raw {
    fn new() -> Self {
        let (send, parts) = channel::<Vec<u8>>();
        let parts: Mutex<Receiver<Vec<u8>>> = Mutex::new(parts);
        let came = Arc::<Mutex<Vec<u8>>>::default();
        let ours = Arc::clone(&came);
        let upstream = Upstream::tcp(move |it| {
            it.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            let (reader, writer) = it.halves();
            std::thread::scope(|scope| {
                let reading = scope.spawn(|| {
                    let mut buffer = [0; 4096];
                    while let Ok(read @ 1..) = reader.read(&mut buffer) {
                        ours.lock().unwrap().extend_from_slice(&buffer[..read]);
                    }
                });
                let parts = parts.lock().unwrap();
                while !reading.is_finished() {
                    match parts.recv_timeout(Duration::from_millis(10)) {
                        Ok(part) if writer.write_all(&part).is_ok() => {}
                        Ok(_) | Err(_) => {}
                    }
                }
            });
            Next::Close
        });
        Self { upstream, send, came }
    }

    fn send(&self, bytes: &[u8]) {
        self.send.send(bytes.to_vec()).unwrap();
    }

    fn came(&self) -> Vec<u8> {
        self.came.lock().unwrap().clone()
    }

    /// Waits until this has come, and nothing else.
    #[track_caller]
    fn wait_for(&self, bytes: &[u8]) {
        wait_until("bytes at the upstream", || {
            (self.came().len() >= bytes.len()).then_some(())
        });
        assert_eq!(self.came(), bytes);
    }
}

#[track_caller]
fn websocket(gate: &Gate, path: &str, key: &str) -> Connection {
    let mut client = Connection::open(gate.ingress());
    client.send(get(path, &format!("{}{WEBSOCKET}", presents(key))));
    assert_eq!(client.head().word(1), "101");
    client
}

/// What came for an upstream: these bytes, then one close frame under a mask, and nothing else.
#[track_caller]
fn told_after(came: &[u8], before: &[u8]) {
    let frame = came.strip_prefix(before).unwrap_or_else(|| panic!("{came:?}"));
    let (head, masked) = frame.split_at(6);
    assert_eq!(head[..2], [0x88, 0x80 | 13]);
    let payload: Vec<u8> = masked
        .iter()
        .zip(head[2..].iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    assert_eq!(payload, KEY_REVOKED[2..]);
}

#[test]
fn both_sides_are_told_by_a_close_frame() {
    let upstream = Upstream::tcp(websocket_server);
    let gate = Gate::start(&setup(&upstream));
    block_on(async {
        let mut client = WebSocketClient::open(gate.ingress(), "/", &[("x-api-key", ALPHA)])
            .await
            .unwrap();
        client.send("one").await;
        assert_eq!(client.text().await, "one");
        revoke(&gate);
        let Some(Ok(tokio_tungstenite::tungstenite::Message::Close(Some(frame)))) = client.next().await else {
            panic!("a close frame");
        };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "key revoked"));
        assert!(client.next().await.is_none(), "and then the end");
    });
    let line = gate.access_line("/");
    assert_eq!((&line["message"], &line["end"]), (&"tunnel".into(), &"closed".into()));
    assert_eq!((&line["status"], &line["reason"]), (&101.into(), &"revoked".into()));
}

#[test]
fn the_close_code_can_be_chosen() {
    let raw = Raw::new();
    let gate = Gate::start(&Setup {
        keys: "close_code = 4001".to_owned(),
        ..setup(&raw.upstream)
    });
    let mut client = websocket(&gate, "/", ALPHA);
    revoke(&gate);
    assert_eq!(client.bytes(KEY_REVOKED.len())[..4], [0x88, 13, 0x0f, 0xa1]);
    client.send(MASKED_CLOSE);
    raw.send(b"\x88\x02\x0f\xa1");
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_frame_that_is_passing_is_let_pass_before_the_goodbye_and_nothing_after_it() {
    let raw = Raw::new();
    let gate = Gate::start(&setup(&raw.upstream));
    let mut client = websocket(&gate, "/", ALPHA);
    // A fragment of a message passes towards the client, of which half is here. The client is between two frames.
    client.send(MASKED_HI);
    raw.wait_for(MASKED_HI);
    raw.send(b"\x01\x08half");
    assert_eq!(client.bytes(6), b"\x01\x08half");
    revoke(&gate);
    wait_until("the goodbye at the upstream", || {
        (raw.came().len() > MASKED_HI.len()).then_some(())
    });
    // The rest of the frame, and a frame that nobody gets. So it goes to the client's.
    raw.send(b"ling\x80\x02no");
    client.try_send(MASKED_HI);
    assert_eq!(client.bytes(4), b"ling");
    assert_eq!(client.bytes(KEY_REVOKED.len()), KEY_REVOKED);
    client.try_send(MASKED_CLOSE);
    raw.send(b"\x88\x02\x03\xf0");
    assert_eq!(client.rest(), b"");
    told_after(&raw.came(), MASKED_HI);
}

#[test]
fn half_a_frame_whose_rest_does_not_come_is_cut_soon_and_the_other_side_is_told() {
    let raw = Raw::new();
    let gate = Gate::start(&setup(&raw.upstream));
    let mut client = websocket(&gate, "/", ALPHA);
    raw.send(b"\x82\x7e\x10\x00half");
    assert_eq!(client.bytes(8), b"\x82\x7e\x10\x00half");
    revoke(&gate);
    // No close frame can be put into the middle of a frame: only the end of the connection is left.
    assert_eq!(client.rest(), b"");
    wait_until("the end at the upstream", || (raw.upstream.closed() == 1).then_some(()));
    told_after(&raw.came(), b"");
}

#[test]
fn a_client_that_sends_half_a_frame_is_told_and_the_upstream_gets_no_more_of_it() {
    let raw = Raw::new();
    let gate = Gate::start(&setup(&raw.upstream));
    let mut client = websocket(&gate, "/", ALPHA);
    client.send(&MASKED_HI[..7]);
    raw.wait_for(&MASKED_HI[..7]);
    revoke(&gate);
    assert_eq!(client.bytes(KEY_REVOKED.len()), KEY_REVOKED);
    wait_until("the end at the upstream", || (raw.upstream.closed() == 1).then_some(()));
    client.try_send(&MASKED_HI[7..]);
    assert_eq!(client.rest(), b"");
    assert_eq!(raw.came(), &MASKED_HI[..7]);
}

#[test]
fn a_peer_that_does_not_answer_the_goodbye_is_gone_soon() {
    let raw = Raw::new();
    let gate = Gate::start(&setup(&raw.upstream));
    let mut client = websocket(&gate, "/", ALPHA);
    revoke(&gate);
    assert_eq!(client.rest(), KEY_REVOKED);
    wait_until("the end at the upstream", || (raw.upstream.closed() == 1).then_some(()));
    told_after(&raw.came(), b"");
    told(&gate, "/", "credential_invalid", "revoked");
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let frame = [b"\x82\x7e\xff\x00".as_slice(), &[0; 0xff00]].concat();
        while it.send(&frame) {}
        Next::Close
    });
    let gate = Gate::start(&setup(&upstream));
    let mut client = websocket(&gate, "/flood", ALPHA);
    revoke(&gate);
    // Before anything is taken.
    told(&gate, "/flood", "credential_invalid", "revoked");
    wait_until("the end at the upstream", || (upstream.closed() == 1).then_some(()));
    client.rest();
}

/// Small messages without a pause in both directions: there is never a moment in which nothing is there to be carried.
#[test]
fn a_tunnel_that_is_never_idle_ends_like_any_other() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: flood\r\n\r\n");
        let (reader, writer) = it.halves();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 16];
                while let Ok(1..) = reader.read(&mut buffer) {}
            });
            while writer.write_all(b"y").is_ok() {}
        });
        Next::Close
    });
    let gate = Gate::start(&setup(&upstream));
    let mut client = Connection::open(gate.ingress());
    let lines = format!("{}Connection: Upgrade\r\nUpgrade: flood\r\n", presents(ALPHA));
    client.send(get("/busy", &lines));
    assert_eq!(client.head().word(1), "101");
    assert_eq!(client.bytes(1000), [b'y'; 1000]);
    revoke(&gate);
    client.rest();
    told(&gate, "/busy", "credential_invalid", "revoked");
}

#[test]
fn a_tunnel_of_another_key_carries_every_byte_through_the_revocation() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: count\r\n\r\n");
        let mut number = 0_u64;
        while it.send(number.to_be_bytes()) {
            number += 1;
        }
        Next::Close
    });
    let gate = Gate::start(&setup(&upstream));
    let lines = format!("{}Connection: Upgrade\r\nUpgrade: count\r\n", presents(BETA));
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &lines));
    assert_eq!(client.head().word(1), "101");
    let mut next = 0_u64;
    let mut count_on = |client: &mut Connection| {
        for _ in 0..1000 {
            assert_eq!(client.bytes(8), next.to_be_bytes());
            next += 1;
        }
    };
    count_on(&mut client);
    gate.home.write("keys.toml", records(super::REVOKED));
    while exchange(gate.ingress(), get("/", &presents(ALPHA))).status() != 401 {
        count_on(&mut client);
    }
    count_on(&mut client);
}
