//! How long a client may take: whoever is at work is not idle, and whoever is idle does not stay.

use std::time::{Duration, Instant};

use crate::harness::{ALPHA, Connection, Gate, H2Client, Next, Setup, Upstream, block_on, get, presents};

/// An HTTP/2 client's first bytes: the preface, and empty settings (RFC 9113 §3.4).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn gate(upstream: &Upstream, timeouts: &str) -> Gate {
    Gate::start(&Setup {
        more: format!("[timeouts]\n{timeouts}\n"),
        ..Setup::before(upstream)
    })
}

#[test]
fn an_http2_connection_on_which_requests_come_is_not_idle() {
    let upstream = Upstream::hello();
    let gate = gate(&upstream, "client_idle = \"1s\"");
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let start = Instant::now();
        // Refused requests begin and end in one go.
        while start.elapsed() < Duration::from_millis(3500) {
            assert_eq!(client.get("/", &[("x-api-key", "wrong")]).await.status(), 401);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn an_idle_http2_client_that_does_not_go_is_cut() {
    let upstream = Upstream::hello();
    let gate = gate(&upstream, "client_idle = \"500ms\"");
    let mut client = Connection::open(gate.ingress());
    client.send(HELLO);
    // It answers neither settings nor pings.
    let told = client.rest();
    assert!(
        told.windows(5).any(|frame| frame == b"\x08\x07\0\0\0"),
        "GOAWAY came first: {told:?}"
    );
}

#[test]
fn an_http2_connection_is_idle_once_its_last_stream_is_reset() {
    let upstream = Upstream::tcp(|it| it.wait_for_end());
    let gate = gate(&upstream, "client_idle = \"500ms\"");
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("GET", "/", &[("x-api-key", ALPHA)]);
        let (answer, mut stream) = client.start(request, false).await.unwrap();
        while upstream.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        drop((answer, stream));
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let late = client.request("GET", "/", &[]);
        assert!(client.start(late, true).await.is_err(), "the connection is closed");
    });
}

#[test]
fn a_half_closed_client_gets_an_answer_that_takes_its_time() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..8 {
            std::thread::sleep(Duration::from_millis(250));
            it.send("4\r\npart\r\n");
        }
        it.send("0\r\n\r\n");
        Next::Close
    });
    let gate = gate(&upstream, "client_half_closed = \"1s\"");
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    client.finish();
    assert_eq!(client.answer().text(), "part".repeat(8));
}
