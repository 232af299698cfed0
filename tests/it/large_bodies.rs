//! However large a body is, no more than a bounded buffer of it is held.

use std::io::Read;

use bytes::Bytes;

use crate::harness::{ALPHA, Connection, Gate, H2Client, Next, Setup, Upstream, block_on, get, presents, wait_until};

const MIB: u64 = 1024 * 1024;

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 512 * MIB));
        let block = vec![b'x'; MIB as usize];
        while it.send(&block) {}
        Next::Close
    });
    let gate = Gate::start(&Setup {
        more: "[timeouts]\nclient_write = \"500ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    wait_until("the upstream's connection to be closed", || {
        (upstream.closed() == 1).then_some(())
    });
}

#[test]
fn a_large_download_holds_no_more_than_a_bounded_buffer() {
    let length = 512 * MIB;
    let upstream = Upstream::tcp(move |it| {
        it.read_body();
        it.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
        let block = vec![b'x'; MIB as usize];
        for _ in 0..length / MIB {
            if !it.send(&block) {
                return Next::Close;
            }
        }
        Next::Keep
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.head().length(), Some(length));
    let before = gate.resident();
    let mut most = before;
    let mut buffer = vec![0; MIB as usize];
    let mut received = 0;
    let mut looked = 0;
    while received < length {
        let read = client.reader.read(&mut buffer).unwrap() as u64;
        assert!(read > 0, "cut after {received} bytes");
        received += read;
        if received / (16 * MIB) > looked {
            looked = received / (16 * MIB);
            most = most.max(gate.resident());
        }
    }
    assert!(most < before + 16 * MIB, "{before} bytes before, {most} bytes at most");
}

#[test]
fn a_client_that_does_not_read_makes_the_upstream_wait() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 512 * MIB));
        let block = vec![b'x'; MIB as usize];
        while it.send(&block) {}
        Next::Close
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    client.head();
    // The kernel's buffers fill and everything stops; what the gate holds has settled when it no longer grows.
    let mut last = 0;
    let resident = wait_until("the gate's memory to settle", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        let resident = gate.resident();
        (std::mem::replace(&mut last, resident) == resident).then_some(resident)
    });
    assert!(
        resident < 128 * MIB,
        "{resident} bytes for one client that does not read"
    );
}

#[test]
fn a_large_upload_holds_no_more_than_a_bounded_buffer() {
    let length = 512 * MIB;
    let upstream = Upstream::tcp(|it| {
        let mut left = it.head.length().unwrap();
        let mut buffer = vec![0; MIB as usize];
        while left > 0 {
            match it.receive(&mut buffer) {
                0 => return Next::Close,
                read => left -= read as u64,
            }
        }
        it.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        Next::Keep
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: gate.test\r\nContent-Length: {length}\r\n{}\r\n",
        presents(ALPHA)
    ));
    let before = gate.resident();
    let mut most = before;
    let block = vec![b'x'; MIB as usize];
    for n in 0..length / MIB {
        client.send(&block);
        if n % 16 == 0 {
            most = most.max(gate.resident());
        }
    }
    assert_eq!(client.answer().text(), "done");
    assert!(most < before + 16 * MIB, "{before} bytes before, {most} bytes at most");
}

#[test]
fn a_large_http2_transfer_is_complete_and_bounded() {
    let length = 64 * MIB;
    let upstream = Upstream::tcp(move |it| {
        it.read_body();
        it.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
        let block = vec![b'x'; MIB as usize];
        for _ in 0..length / MIB {
            if !it.send(&block) {
                return Next::Close;
            }
        }
        Next::Keep
    });
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("GET", "/", &[("x-api-key", ALPHA)]);
        let (answer, _) = client.start(request, true).await.unwrap();
        let mut body = answer.await.unwrap().into_body();
        let before = gate.resident();
        let mut received = 0;
        while let Some(data) = body.data().await {
            let data: Bytes = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            received += data.len() as u64;
        }
        assert_eq!(received, length);
        assert!(gate.resident() < before + 32 * MIB);
    });
}
