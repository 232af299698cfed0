//! Bodies stream both ways without buffering.

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use http::HeaderMap;

use crate::harness::{
    ALPHA, Connection, Gate, H2Client, Next, Setup, Upstream, block_on, curl, exchange, finish, get, post, presents,
    wait_until,
};

const MIB: u64 = 1024 * 1024;

/// An upstream that starts a chunked answer and sends an event for each message on the channel, until it is dropped.
fn events() -> (Upstream, Sender<&'static str>) {
    let (send, receive) = channel();
    let receive: Mutex<Receiver<&'static str>> = Mutex::new(receive);
    let upstream = Upstream::tcp(move |it| {
        it.read_body();
        it.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for event in receive.lock().unwrap().iter() {
            let data = format!("data: {event}\n\n");
            if !it.send(format!("{:x}\r\n{data}\r\n", data.len())) {
                return Next::Close;
            }
        }
        it.send("0\r\n\r\n");
        Next::Keep
    });
    (upstream, send)
}

#[test]
fn server_sent_events_are_flushed_as_they_come() {
    let (upstream, events) = events();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(get("/events", &presents(ALPHA)));
    let head = client.head();
    assert_eq!(head.word(1), "200", "the head comes before the first event");
    assert_eq!(head.header("content-type").as_deref(), Some("text/event-stream"));
    for event in ["one", "two", "three"] {
        events.send(event).unwrap();
        client.until(&format!("data: {event}\n\n"));
    }
    drop(events);
    client.until("0\r\n\r\n");
}

#[test]
fn server_sent_events_are_flushed_over_http2_too() {
    let (upstream, events) = events();
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("GET", "/events", &[("x-api-key", ALPHA)]);
        let (answer, _) = client.start(request, true).await.unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        for event in ["one", "two", "three"] {
            events.send(event).unwrap();
            let data = body.data().await.unwrap().unwrap();
            assert_eq!(data, format!("data: {event}\n\n"));
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        drop(events);
        // Nothing more but the end, which may be an empty frame.
        while let Some(data) = body.data().await {
            assert_eq!(data.unwrap(), "");
        }
    });
}

#[test]
fn a_chunked_request_body_reaches_the_upstream_chunk_by_chunk() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n{}\r\n",
        presents(ALPHA)
    ));
    let mut expected = Vec::new();
    for chunk in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        expected.extend_from_slice(chunk.as_bytes());
        wait_until("the chunk to arrive before the next is sent", || {
            upstream
                .requests()
                .first()
                .filter(|request| request.body == expected)
                .map(|_| ())
        });
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    assert!(upstream.only_request().complete);
}

#[test]
fn chunked_answers_and_their_trailers_pass() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Other\r\n\r\n5\r\nhello\r\n0\r\n\
             X-Sum: 42\r\nX-Other: yes\r\n\r\n",
        );
        Next::Keep
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(
        gate.ingress(),
        get("/", &format!("{}TE: trailers\r\nConnection: TE\r\n", presents(ALPHA))),
    );
    assert_eq!(answer.text(), "hello");
    let mut trailers = answer.trailers.clone();
    trailers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    trailers.sort();
    assert_eq!(
        trailers,
        [
            ("x-other".to_owned(), "yes".to_owned()),
            ("x-sum".to_owned(), "42".to_owned())
        ]
    );
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let answer = client.get("/", &[("x-api-key", ALPHA), ("te", "trailers")]).await;
        assert_eq!(answer.body, b"hello");
        assert_eq!(answer.trailers.expect("trailers")["x-sum"], "42");
    });
}

#[test]
fn trailers_of_requests_pass() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n{}\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n",
        presents(ALPHA)
    ));
    assert_eq!(client.answer().status(), 200);
    let request = upstream.last_request();
    assert_eq!(request.trailers.len(), 1, "{:?}", request.trailers);
    assert!(request.trailers[0].0.eq_ignore_ascii_case("x-sum") && request.trailers[0].1 == "42");
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("POST", "/", &[("x-api-key", ALPHA), ("trailer", "x-sum")]);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "43".parse().unwrap());
        let answer = client.exchange(request, b"hello", Some(trailers)).await.unwrap();
        assert_eq!(answer.status(), 200);
    });
    let request = upstream.last_request();
    assert!(
        request
            .trailers
            .iter()
            .any(|(name, value)| name.eq_ignore_ascii_case("x-sum") && value == "43")
    );
}

#[test]
fn trailers_cannot_forge_an_identity() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Auth-Key-Id, X-Sum\r\n{}\r\n5\r\nhello\r\n0\r\nX-Auth-Key-Id: forged\r\nX-Sum: 42\r\n\r\n",
        presents(ALPHA)
    ));
    client.try_answer();
    for request in upstream.requests() {
        assert!(
            !format!("{:?}", request.trailers).contains("forged"),
            "{:?}",
            request.trailers
        );
    }
}

#[test]
fn expect_100_continue_is_met_when_the_request_is_admitted() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n{}\r\n",
        presents(ALPHA)
    ));
    assert_eq!(client.head().word(1), "100", "before any byte of the body");
    client.send("abcde");
    assert_eq!(client.answer().status(), 200);
    assert_eq!(upstream.only_request().body, b"abcde");
}

#[test]
fn expect_100_continue_of_a_refused_request_gets_the_refusal_at_once() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send("POST / HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().word(1), "401");
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn curl_uploads_with_expect_100_continue() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let file = gate.home.write("body", vec![b'x'; 2 * 1024 * 1024]);
    let answer = curl(&[
        "-H",
        "Expect: 100-continue",
        "-H",
        &format!("X-API-Key: {ALPHA}"),
        "--data-binary",
        &format!("@{}", file.display()),
        &gate.url("/"),
    ]);
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.only_request().body.len(), 2 * 1024 * 1024);
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 413 Too Much\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much");
        it.wait_for_end()
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 1000000\r\n{}\r\nthe first bytes only",
        presents(ALPHA)
    ));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "too much"));
}

#[test]
fn a_client_that_sends_everything_before_it_reads_gets_the_early_answer() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 413 Too Much\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much");
        Next::Close
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let body = vec![b'x'; 16 * MIB as usize];
    // Refused by the upstream, and by Keygate itself.
    for (headers, status) in [(presents(ALPHA), 413), (String::new(), 401)] {
        let mut client = Connection::open(gate.ingress());
        let length = body.len();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: gate.test\r\nContent-Length: {length}\r\n{headers}\r\n"
        ));
        client.send(&body);
        assert_eq!(client.answer().status(), status);
    }
}

#[test]
fn an_early_answer_of_an_upstream_that_closes_at_once_is_not_lost() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 413 Too Much\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much");
        Next::Close
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let file = gate.home.write("body", vec![b'x'; 8 * 1024 * 1024]);
    let answer = curl(&[
        "-H",
        "Expect:",
        "-H",
        &format!("X-API-Key: {ALPHA}"),
        "--data-binary",
        &format!("@{}", file.display()),
        &gate.url("/"),
    ]);
    // The upstream may have reset the connection before its answer was read; but never anything else.
    assert!(
        answer.status == 413 || (answer.status == 502 && answer.code() == "upstream_invalid"),
        "{} {}",
        answer.status,
        answer.text()
    );
}

#[test]
fn a_half_closed_client_still_gets_its_answer() {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let upstream = Upstream::tcp(move |it| {
        it.read_body();
        let _ = wait.lock().unwrap().recv();
        it.answer("200 OK", "", "late")
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(post("/", &presents(ALPHA), "the body"));
    client.finish();
    upstream.wait_for_requests(1);
    release.send(()).unwrap();
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "late"));
}

#[test]
fn a_half_closed_client_may_take_its_time_as_long_as_it_takes_something() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(100));
            it.send("x");
        }
        Next::Keep
    });
    let gate = Gate::start(&Setup {
        more: "[timeouts]\nclient_half_closed = \"500ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    client.finish();
    assert_eq!(client.answer().text(), "x".repeat(20));
}

#[test]
fn a_client_that_vanishes_before_its_upgrade_is_decided_takes_it_with_it() {
    let upstream = Upstream::tcp(|it| it.wait_for_end());
    let gate = Gate::start(&Setup::before(&upstream));
    for upgrade in ["Upgrade\r\nUpgrade: websocket", "Upgrade\r\nUpgrade: h2c"] {
        let before = upstream.closed();
        let mut client = Connection::open(gate.ingress());
        client.send(get("/", &format!("{}Connection: {upgrade}\r\n", presents(ALPHA))));
        upstream.wait_for_requests(before + 1);
        client.reset();
        wait_until("the upstream's connection to be closed", || {
            (upstream.closed() > before).then_some(())
        });
    }
}

#[test]
fn a_client_that_goes_away_takes_its_upstream_request_with_it() {
    let upstream = Upstream::tcp(|it| it.wait_for_end());
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("GET", "/", &[("x-api-key", ALPHA)]);
        let (answer, stream) = client.start(request, true).await.unwrap();
        tokio::select! {
            _ = answer => panic!("there is no answer"),
            () = async { while upstream.requests().is_empty() { tokio::task::yield_now().await } } => {}
        }
        drop(stream); // only the stream is reset; the connection goes on
        wait_until_closed(&upstream).await;
    });
}

async fn wait_until_closed(upstream: &Upstream) {
    while upstream.closed() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_body_that_is_cut_short_is_not_completed_upstream() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for framing in ["Content-Length: 1000", "Transfer-Encoding: chunked"] {
        let mut client = Connection::open(gate.ingress());
        client.send(format!(
            "POST /cut HTTP/1.1\r\nHost: gate.test\r\n{framing}\r\n{}\r\n3\r\nabc\r\n",
            presents(ALPHA)
        ));
        let seen = upstream.requests().len();
        upstream.wait_for_requests(seen.max(1));
        drop(client);
        gate.wait_for_log("the end of the cut request", |line| {
            line["target"] == "access" && (line["decision"] == "client_gone" || line["decision"] == "body_invalid")
        });
    }
    for request in upstream.requests() {
        assert!(!request.complete);
    }
}

#[test]
fn an_answer_that_is_cut_short_is_cut_short_for_the_client_too() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        if it.head.word(1) == "/length" {
            it.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
        } else {
            it.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n");
        }
        Next::Close
    });
    let gate = Gate::start(&Setup::before(&upstream));
    for target in ["/length", "/chunked"] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let answer = curl(&[version, "-H", &format!("X-API-Key: {ALPHA}"), &gate.url(target)]);
            assert_ne!(answer.exit, 0, "{target} {version}: curl must notice");
            // Over HTTP/2 the reset may overtake what was not sent yet.
            assert!("only this".starts_with(&answer.text()), "{}", answer.text());
            assert!(version == "--http2-prior-knowledge" || answer.text() == "only this");
        }
    }
}

/// An HTTP/2 upstream that begins every answer and resets it in the same packet.
fn resetting() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let frame = |kind: u8, flags: u8, id: [u8; 4], payload: &[u8]| {
            let mut bytes = vec![0, 0, payload.len() as u8, kind, flags];
            bytes.extend_from_slice(&id);
            bytes.extend_from_slice(payload);
            bytes
        };
        stream.write_all(&frame(4, 0, [0; 4], b"")).unwrap();
        stream.read_exact(&mut [0; 24]).unwrap();
        let mut head = [0; 9];
        while stream.read_exact(&mut head).is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream.read_exact(&mut vec![0; length as usize]).unwrap();
            if head[3] == 1 {
                let id = [head[5], head[6], head[7], head[8]];
                // `:status: 200`, some data, and INTERNAL_ERROR.
                let answer = [
                    frame(1, 4, id, &[0x88]),
                    frame(0, 0, id, b"only"),
                    frame(3, 0, id, &[0, 0, 0, 2]),
                ];
                stream.write_all(&answer.concat()).unwrap();
            }
        }
    });
    url
}

#[test]
fn what_came_of_an_answer_before_it_was_cut_short_is_passed_on() {
    let gate = Gate::start(&Setup {
        ingress: "workers = 1".to_owned(),
        ..Setup::url(&resetting())
    });
    for _ in 0..10 {
        let mut client = Connection::open(gate.ingress());
        client.send(get("/", &presents(ALPHA)));
        let rest = client.rest();
        let text = String::from_utf8_lossy(&rest);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text:?}");
        assert!(!text.ends_with("0\r\n\r\n"), "{text:?}");
    }
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        for _ in 0..10 {
            let request = client.request("GET", "/", &[("x-api-key", ALPHA)]);
            let (answer, _stream) = client.start(request, true).await.unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(finish(answer).await.is_err(), "a cut answer does not end well");
        }
    });
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[limits]\nbody_bytes = \"1KiB\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    assert_eq!(
        exchange(gate.ingress(), post("/", &presents(ALPHA), &"x".repeat(1024))).status(),
        200
    );
    let answer = exchange(gate.ingress(), post("/", &presents(ALPHA), &"x".repeat(1025)));
    assert_eq!((answer.status(), answer.code().as_str()), (413, "body_too_large"));
    assert_eq!(
        upstream.requests().len(),
        1,
        "a declared length is refused before anything is forwarded"
    );
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n{}\r\n",
        presents(ALPHA)
    ));
    for _ in 0..4 {
        client.try_send(format!("200\r\n{}\r\n", "x".repeat(512)));
    }
    client.try_send("0\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.code().as_str()), (413, "body_too_large"));
    assert!(upstream.requests().iter().skip(1).all(|request| !request.complete));
}

#[test]
fn a_body_that_stops_is_answered_408() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[timeouts]\nclient_body = \"500ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 1000\r\n{}\r\nthe first bytes only",
        presents(ALPHA)
    ));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.code().as_str()), (408, "body_timeout"));
}

#[test]
fn an_http2_stream_whose_answer_is_not_taken_is_given_up_and_the_others_go_on() {
    let upstream = Upstream::tcp(|it| {
        if it.head.word(1) == "/small" {
            return it.answer("200 OK", "", "small");
        }
        it.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 512 * MIB));
        let block = vec![b'x'; MIB as usize];
        while it.send(&block) {}
        Next::Close
    });
    let gate = Gate::start(&Setup {
        more: "[timeouts]\nclient_write = \"500ms\"\n[plans.default]\nconcurrency = 2\n".to_owned(),
        ..Setup::before(&upstream)
    });
    block_on(async {
        for window in [1000, 100_000] {
            let before = upstream.closed();
            let mut settings = h2::client::Builder::new();
            settings
                .initial_window_size(window)
                .initial_connection_window_size(1 << 30);
            let mut client = H2Client::open_with(gate.ingress(), &settings).await;
            let request = client.request("GET", "/large", &[("x-api-key", ALPHA)]);
            let (answer, _stream) = client.start(request, true).await.unwrap();
            let mut large = answer.await.unwrap().into_body();
            while upstream.closed() == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let cut = loop {
                match large.data().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error,
                    None => panic!("an answer that was cut ends well"),
                }
            };
            assert_eq!(cut.reason(), Some(h2::Reason::CANCEL));
            assert_eq!(client.get("/small", &[("x-api-key", ALPHA)]).await.status(), 200);
        }
    });
}

#[test]
fn a_refusal_that_an_http2_client_does_not_take_is_given_up_too() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[timeouts]\nclient_write = \"500ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    block_on(async {
        let mut client = H2Client::open_with(gate.ingress(), h2::client::Builder::new().initial_window_size(0)).await;
        let request = client.request("GET", "/", &[]);
        let (answer, _stream) = client.start(request, true).await.unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 401);
        let cut = finish(answer).await.err().expect("the stream is reset");
        assert_eq!(cut.reason(), Some(h2::Reason::CANCEL));
    });
}
