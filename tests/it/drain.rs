//! The orderly end: SIGTERM and SIGINT drain, a second signal ends at once, nothing is cut that could finish.

use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::{
    ALPHA, Connection, Gate, H2Client, Setup, Upstream, WebSocketClient, block_on, curl, finish, get, presents,
    wait_until, websocket_server,
};

/// An upstream whose `/slow` waits for the test.
fn held() -> (Upstream, Sender<()>) {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::tcp(move |it| {
        if it.head.word(1) == "/slow" {
            let _ = wait.lock().unwrap().recv();
        }
        it.answer("200 OK", "", "done")
    });
    (upstream, release)
}

fn with(upstream: &Upstream, delay: &str, drain: &str) -> Gate {
    Gate::start(&Setup {
        more: format!("[timeouts]\ndrain_delay = \"{delay}\"\ndrain = \"{drain}\"\n"),
        ..Setup::before(upstream)
    })
}

#[test]
fn an_idle_gate_ends_with_success_after_the_delay() {
    for signal in ["TERM", "INT"] {
        let upstream = Upstream::hello();
        let mut gate = with(&upstream, "0s", "10s");
        gate.signal(signal);
        assert_eq!(gate.wait_for_end().code(), Some(0), "{signal}");
        gate.wait_for_log("the end", |line| line["message"] == "ended");
    }
}

#[test]
fn readiness_goes_off_first_while_new_connections_are_still_served() {
    let upstream = Upstream::hello();
    let mut gate = with(&upstream, "5s", "10s");
    let (ready, live) = (gate.admin_url("/readyz"), gate.admin_url("/livez"));
    assert_eq!(curl(&[&ready]).status, 200);
    gate.signal("TERM");
    wait_until("readiness to go off", || (curl(&[&ready]).status == 503).then_some(()));
    assert_eq!(curl(&[&live]).status, 200);
    // Within the propagation delay the balancer may not know yet.
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().status(), 200);
    drop(client);
    assert_eq!(gate.wait_for_end().code(), Some(0));
}

#[test]
fn listeners_close_after_the_delay() {
    let (upstream, release) = held();
    let mut gate = with(&upstream, "0s", "10s");
    let address = gate.ingress();
    let mut client = Connection::open(address);
    client.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(1);
    gate.signal("TERM");
    wait_until("the listener to close", || TcpStream::connect(address).err());
    release.send(()).unwrap();
    assert_eq!(client.answer().status(), 200);
    assert_eq!(gate.wait_for_end().code(), Some(0));
}

#[test]
fn requests_in_flight_finish_and_their_connections_are_told_to_close() {
    let (upstream, release) = held();
    let mut gate = with(&upstream, "0s", "10s");
    let address = gate.ingress();
    let mut client = Connection::open(address);
    client.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(1);
    gate.signal("TERM");
    wait_until("the listener to close", || TcpStream::connect(address).err());
    release.send(()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    assert_eq!(client.rest(), b"");
    assert_eq!(gate.wait_for_end().code(), Some(0));
}

#[test]
fn keep_alive_connections_are_told_to_close_within_the_delay() {
    let upstream = Upstream::hello();
    let mut gate = with(&upstream, "3s", "10s");
    let ready = gate.admin_url("/readyz");
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().header("connection"), None);
    gate.signal("TERM");
    wait_until("readiness to go off", || (curl(&[&ready]).status == 503).then_some(()));
    client.send(get("/", &presents(ALPHA)));
    let answer = client.answer();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    assert_eq!(client.rest(), b"");
    assert_eq!(gate.wait_for_end().code(), Some(0));
}

#[test]
fn idle_keep_alive_connections_do_not_hold_up_the_end() {
    let upstream = Upstream::hello();
    let mut gate = with(&upstream, "0s", "60s");
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().status(), 200);
    gate.signal("TERM");
    assert_eq!(client.rest(), b"", "closed without a word");
    assert_eq!(gate.wait_for_end().code(), Some(0));
}

#[test]
fn clients_that_say_nothing_do_not_hold_up_the_end() {
    let upstream = Upstream::hello();
    let mut gate = Gate::start(&Setup {
        more: "[timeouts]\ndrain_delay = \"0s\"\ndrain = \"60s\"\nclient_head = \"60s\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut clients: Vec<_> = (0..3).map(|_| Connection::open(gate.ingress())).collect();
    clients[1].send("P");
    clients[2].send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    // Whatever was accepted after them has found them accepted.
    assert_eq!(curl(&[&gate.url("/")]).status, 401);
    assert_eq!(gate.terminate().code(), Some(0));
    for client in &mut clients {
        client.rest();
    }
}

#[test]
fn http2_connections_get_goaway_and_their_streams_finish() {
    let (upstream, release) = held();
    let mut gate = with(&upstream, "0s", "10s");
    let address = gate.ingress();
    block_on(async {
        let mut client = H2Client::open(address).await;
        let request = client.request("GET", "/slow", &[("x-api-key", ALPHA)]);
        let (answer, _) = client.start(request, true).await.unwrap();
        // The answer is awaited in a task, so that the connection moves while this test looks elsewhere.
        let answer = tokio::spawn(async move { finish(answer.await?).await });
        while upstream.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        gate.signal("TERM");
        // GOAWAY: no new stream is taken.
        loop {
            let request = client.request("GET", "/new", &[("x-api-key", ALPHA)]);
            match client.exchange(request, b"", None).await {
                Ok(answer) => assert_eq!(answer.status(), 200),
                Err(error) => {
                    assert!(
                        error.is_go_away() || error.is_library() || error.is_reset(),
                        "{error:?}"
                    );
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        release.send(()).unwrap();
        let answer = answer.await.unwrap().expect("the stream finishes");
        assert_eq!((answer.status(), answer.body.as_slice()), (200, b"done".as_slice()));
        client.closed().await.expect("a proper end of the connection");
    });
    assert_eq!(gate.wait_for_end().code(), Some(0));
}

#[test]
fn what_takes_longer_than_the_drain_time_is_cut() {
    let (upstream, _release) = held();
    let mut gate = with(&upstream, "0s", "500ms");
    let mut client = Connection::open(gate.ingress());
    client.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(1);
    gate.signal("TERM");
    gate.wait_for_end();
    assert!(client.try_answer().is_none_or(|answer| answer.status() >= 500));
}

#[test]
fn websockets_are_closed_properly_at_the_deadline() {
    let upstream = Upstream::tcp(websocket_server);
    let mut gate = with(&upstream, "0s", "1s");
    block_on(async {
        let mut client = WebSocketClient::open(gate.ingress(), "/", &[("x-api-key", ALPHA)])
            .await
            .unwrap();
        client.send("one").await;
        assert_eq!(client.text().await, "one");
        gate.signal("TERM");
        // Until the deadline it goes on.
        client.send("two").await;
        assert_eq!(client.text().await, "two");
        match client.next().await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(frame.code, CloseCode::Away, "1001"),
            other => panic!("a close frame, not {other:?}"),
        }
    });
    assert_eq!(gate.wait_for_end().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (upstream, _release) = held();
    let mut gate = with(&upstream, "60s", "60s");
    let mut client = Connection::open(gate.ingress());
    client.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(1);
    gate.signal("TERM");
    gate.wait_for_log("the beginning of the drain", |line| line["message"] == "draining");
    assert!(gate.is_running());
    gate.signal("TERM");
    assert_ne!(gate.wait_for_end().code(), Some(0), "it did not end well, and says so");
}

#[test]
fn requests_of_the_drain_are_in_the_log_before_the_end() {
    let (upstream, release) = held();
    let mut gate = with(&upstream, "0s", "10s");
    let address = gate.ingress();
    let mut client = Connection::open(address);
    client.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(1);
    gate.signal("TERM");
    wait_until("the listener to close", || TcpStream::connect(address).err());
    release.send(()).unwrap();
    client.answer();
    gate.wait_for_end();
    assert_eq!(gate.access_line("/slow")["status"], 200);
}
