//! WebSocket and other HTTP/1.1 upgrades tunnel both ways.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use crate::harness::{
    ALPHA, Connection, Gate, Next, Setup, Upstream, WebSocketClient, accept_websocket, block_on, exchange, get, key,
    key_file, presents, wait_until, websocket_server,
};

const KEYED: [(&str, &str); 1] = [("x-api-key", ALPHA)];

/// An upgrade to something that is not WebSocket.
fn upgrade(target: &str) -> String {
    get(
        target,
        &format!("{}Connection: Upgrade\r\nUpgrade: echo\r\n", presents(ALPHA)),
    )
}

/// Upgrades and sends every byte back; ends when the other side does.
fn echo_server() -> Upstream {
    Upstream::tcp(|it| {
        if it.head.header("upgrade").is_none() {
            return it.answer("200 OK", "", "hello");
        }
        it.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Own: kept\r\n\r\n");
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match it.receive(&mut buffer) {
                0 => return Next::Close,
                read => {
                    if !it.send(&buffer[..read]) {
                        return Next::Close;
                    }
                }
            }
        }
    })
}

#[test]
fn a_websocket_tunnels_both_ways() {
    let upstream = Upstream::tcp(websocket_server);
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = WebSocketClient::open(gate.ingress(), "/events", &KEYED).await.unwrap();
        assert_eq!(client.response.status(), 101);
        assert!(client.response.headers().contains_key("x-request-id"));
        let long = "x".repeat(300_000);
        for text in ["one", "two", &long] {
            client.send(text).await;
            assert_eq!(client.text().await, text);
        }
        client.close().await;
    });
    wait_until("the upstream's end of the tunnel", || {
        (upstream.closed() == 1).then_some(())
    });
}

#[test]
fn the_server_speaks_first_and_its_protocol_is_told() {
    let upstream = Upstream::tcp(|it| {
        let mut socket = accept_websocket(it, "Sec-WebSocket-Protocol: chat\r\n");
        let _ = socket.send(Message::text("welcome"));
        let _ = socket.read();
        Next::Close
    });
    let gate = Gate::start(&Setup {
        more: "[[credentials]]\nwebsocket_protocol = \"keygate.key.\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    block_on(async {
        let offered = format!("chat, keygate.key.{ALPHA}");
        let headers = [("sec-websocket-protocol", offered.as_str())];
        let mut client = WebSocketClient::open(gate.ingress(), "/", &headers).await.unwrap();
        assert_eq!(client.response.headers()["sec-websocket-protocol"], "chat");
        assert_eq!(client.text().await, "welcome");
    });
    assert_eq!(
        upstream.only_request().header("sec-websocket-protocol").as_deref(),
        Some("chat")
    );
}

#[test]
fn a_refused_upgrade_reaches_no_upstream() {
    let upstream = Upstream::tcp(websocket_server);
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let refused = WebSocketClient::open(gate.ingress(), "/", &[]).await.err().unwrap();
        assert_eq!(refused.status(), 401);
        let refused = WebSocketClient::open(gate.ingress(), "/", &[("x-api-key", "kg_nobody")]).await;
        assert_eq!(refused.err().unwrap().status(), 401);
    });
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn other_upgrades_tunnel_byte_for_byte() {
    let upstream = echo_server();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    // The first bytes of the new protocol come with the request itself.
    client.send(format!("{}early", upgrade("/")));
    let head = client.head();
    assert_eq!(head.word(1), "101");
    assert_eq!(head.header("upgrade").as_deref(), Some("echo"));
    assert_eq!(head.header("x-own").as_deref(), Some("kept"));
    assert_eq!(client.bytes(5), b"early");
    let all: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    for part in all.chunks(100_000) {
        client.send(part);
        assert_eq!(client.bytes(part.len()), part);
    }
    let request = upstream.only_request();
    assert_eq!(request.header("upgrade").as_deref(), Some("echo"));
    assert_eq!(request.header("x-auth-key-id").as_deref(), Some("key_alpha"));
}

#[test]
fn one_side_may_end_before_the_other() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match it.receive(&mut buffer) {
                0 => break,
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
        // Only after the client's end: everything that it sent, counted.
        it.send(format!("{} bytes", all.len()));
        Next::Close
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(upgrade("/"));
    assert_eq!(client.head().word(1), "101");
    client.send("0123456789");
    client.finish();
    assert_eq!(client.rest(), b"10 bytes");
}

#[test]
fn an_upgrade_that_the_upstream_declines_is_an_ordinary_answer() {
    let upstream = Upstream::tcp(|it| {
        if it.head.word(1) == "/no" {
            it.answer("426 Upgrade Required", "Upgrade: other\r\n", "no")
        } else {
            it.answer("200 OK", "", "hello")
        }
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(upgrade("/no"));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (426, "no"));
    if answer.header("connection").as_deref() != Some("close") {
        client.send(get("/", &presents(ALPHA)));
        assert_eq!(client.answer().status(), 200);
    }
}

#[test]
fn an_idle_tunnel_is_ended() {
    let upstream = echo_server();
    let gate = Gate::start(&Setup {
        more: "[timeouts]\ntunnel_idle = \"1s\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(upgrade("/"));
    assert_eq!(client.head().word(1), "101");
    // Traffic keeps it open for longer than the limit.
    for _ in 0..15 {
        client.send("x");
        assert_eq!(client.bytes(1), b"x");
        std::thread::sleep(Duration::from_millis(100));
    }
    client.rest();
    wait_until("the upstream's end of the tunnel", || {
        (upstream.closed() == 1).then_some(())
    });
}

#[test]
fn a_tunnel_has_a_total_limit_where_configured() {
    let upstream = echo_server();
    let gate = Gate::start(&Setup {
        more: "[timeouts]\ntunnel_total = \"1s\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(upgrade("/"));
    assert_eq!(client.head().word(1), "101");
    wait_until("the end of a busy tunnel", || {
        let alive = client.try_send("x") && client.reader.get_mut().write_all(b"y").is_ok();
        (!alive).then_some(())
    });
}

#[test]
fn tunnels_count_as_concurrency_of_their_key() {
    let upstream = echo_server();
    let gate = Gate::start(&Setup {
        more: "[plans.default]\nconcurrency = 1\n".to_owned(),
        records: key_file(&[key("key_alpha", ALPHA, ""), key("key_other", "kg_other", "")]),
        ..Setup::before(&upstream)
    });
    let mut tunnel = Connection::open(gate.ingress());
    tunnel.send(upgrade("/"));
    assert_eq!(tunnel.head().word(1), "101");
    let refused = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    assert_eq!(
        (refused.status(), refused.code().as_str()),
        (429, "concurrency_exceeded")
    );
    let refused = exchange(gate.ingress(), upgrade("/"));
    assert_eq!(refused.status(), 429);
    assert_eq!(exchange(gate.ingress(), get("/", &presents("kg_other"))).status(), 200);
    drop(tunnel);
    wait_until("the place to be free again", || {
        (exchange(gate.ingress(), get("/", &presents(ALPHA))).status() == 200).then_some(())
    });
}

#[test]
fn tunnels_have_a_limit_over_all_keys() {
    let upstream = echo_server();
    let gate = Gate::start(&Setup {
        more: "[limits]\ntunnels = 1\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut tunnel = Connection::open(gate.ingress());
    tunnel.send(upgrade("/"));
    assert_eq!(tunnel.head().word(1), "101");
    let answer = exchange(gate.ingress(), upgrade("/"));
    assert_eq!((answer.status(), answer.code().as_str()), (503, "tunnels_exhausted"));
    assert_eq!(
        exchange(gate.ingress(), get("/", &presents(ALPHA))).status(),
        200,
        "requests go on"
    );
}

#[test]
fn tunnels_that_are_asked_for_at_once_do_not_pass_the_limit() {
    let (upstream, switch) = slow_server();
    let gate = Gate::start(&Setup {
        more: "[limits]\ntunnels = 1\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut first = Connection::open(gate.ingress());
    first.send(upgrade("/"));
    upstream.wait_for_requests(1);
    let answer = exchange(gate.ingress(), upgrade("/"));
    assert_eq!((answer.status(), answer.code().as_str()), (503, "tunnels_exhausted"));
    assert_eq!(gate.metric(&["keygate_tunnels"]), 0.0, "not open yet");
    switch.send(()).unwrap();
    assert_eq!(first.head().word(1), "101");
    assert_eq!(gate.metric(&["keygate_tunnels"]), 1.0);
}

#[test]
fn a_tunnel_that_is_declined_takes_no_place_among_them() {
    let (finish, told) = channel();
    let told = Mutex::new(told);
    let upstream = Upstream::tcp(move |it| {
        it.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nn");
        let _ = told.lock().unwrap().recv();
        it.send("o");
        Next::Keep
    });
    let gate = Gate::start(&Setup {
        more: "[limits]\ntunnels = 1\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut clients: Vec<_> = (0..2).map(|_| Connection::open(gate.ingress())).collect();
    for client in &mut clients {
        client.send(upgrade("/"));
        assert_eq!(client.head().word(1), "200");
        assert_eq!(client.bytes(1), b"n");
    }
    // Which of the two hears of it first is nobody's to say.
    clients.iter().for_each(|_| finish.send(()).unwrap());
    for client in &mut clients {
        assert_eq!(client.bytes(1), b"o");
    }
}

#[test]
fn a_tunnel_gets_one_access_line_at_its_end() {
    let upstream = echo_server();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(upgrade("/tunnel?x=1"));
    assert_eq!(client.head().word(1), "101");
    client.send("0123456789");
    assert_eq!(client.bytes(10), b"0123456789");
    assert_eq!(gate.access().len(), 0, "not before its end");
    drop(client);
    let line = gate.access_line("/tunnel");
    assert_eq!(line["message"], "tunnel");
    assert_eq!(line["status"], 101);
    assert_eq!(line["key_id"], "key_alpha");
    assert_eq!(line["decision"], "forward");
    assert_eq!(line["request_bytes"], 10);
    assert_eq!(line["response_bytes"], 10);
}

#[test]
fn a_tunnel_survives_a_reload_of_unrelated_keys() {
    let upstream = Upstream::tcp(|it| {
        if it.head.header("upgrade").is_none() {
            return it.answer("200 OK", "", "hello");
        }
        websocket_server(it)
    });
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = WebSocketClient::open(gate.ingress(), "/", &KEYED).await.unwrap();
        client.send("one").await;
        assert_eq!(client.text().await, "one");
        gate.home.write(
            "keys.toml",
            key_file(&[key("key_alpha", ALPHA, ""), key("key_new", "kg_new", "")]),
        );
        wait_until("the new generation", || {
            (exchange(gate.ingress(), get("/", &presents("kg_new"))).status() != 401).then_some(())
        });
        client.send("two").await;
        assert_eq!(client.text().await, "two");
    });
}

/// Upgrades when told to, and keeps the tunnel open as long as the other side does.
fn slow_server() -> (Upstream, Sender<()>) {
    let (switch, told) = channel();
    let told = Mutex::new(told);
    let upstream = Upstream::tcp(move |it| {
        let _ = told.lock().unwrap().recv();
        it.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        it.wait_for_end()
    });
    (upstream, switch)
}

#[test]
fn a_tunnel_whose_client_vanished_before_it_began_holds_nothing() {
    let (upstream, switch) = slow_server();
    let gate = Gate::start(&Setup {
        more: "[plans.default]\nconcurrency = 1\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(upgrade("/vanished"));
    upstream.wait_for_requests(1);
    client.finish();
    client.reset();
    switch.send(()).unwrap();
    wait_until("the upstream's end of the tunnel", || {
        (upstream.closed() == 1).then_some(())
    });
    assert_eq!(gate.access_line("/vanished")["key_id"], "key_alpha");
    assert_eq!(gate.metric(&["keygate_tunnels"]), 0.0);
    wait_until("the connection to be gone", || {
        (gate.metric(&["keygate_client_connections"]) == 0.0).then_some(())
    });
}
