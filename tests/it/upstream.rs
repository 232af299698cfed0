//! The way to the upstream: pooled, retried only where that is safe, timed, over TCP, Unix sockets and h2c.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;

use crate::harness::{
    ALPHA, Connection, Gate, H2Client, H2Upstream, Home, Next, Setup, Upstream, block_on, curl, exchange, get, post,
    presents, wait_until,
};

/// One worker, so that there is one pool to look at.
fn one_worker(upstream: &Upstream) -> Setup {
    Setup {
        ingress: "workers = 1".to_owned(),
        ..Setup::before(upstream)
    }
}

#[test]
fn upstream_connections_are_pooled() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&one_worker(&upstream));
    for n in 0..10 {
        // Every client on a connection of its own, with and without a body.
        let request = if n % 2 == 0 {
            get("/", &presents(ALPHA))
        } else {
            post("/", &presents(ALPHA), "the body")
        };
        assert_eq!(exchange(gate.ingress(), request).status(), 200);
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_connection_whose_answer_asked_to_close_is_not_reused() {
    let upstream = Upstream::tcp(|it| {
        it.answer("200 OK", "Connection: close\r\n", "hello");
        Next::Keep // it would go on, but said that it would not
    });
    let gate = Gate::start(&one_worker(&upstream));
    for _ in 0..3 {
        let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn a_connection_with_an_unfinished_exchange_is_not_reused() {
    let upstream = Upstream::tcp(|it| match it.head.word(1).as_str() {
        // An answer before the request was read: the rest of the body would be taken for the next request.
        "/early" => {
            it.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
            it.wait_for_end()
        }
        _ => it.answer("200 OK", "", "hello"),
    });
    let gate = Gate::start(&one_worker(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST /early HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 100\r\n{}\r\nnot all",
        presents(ALPHA)
    ));
    assert_eq!(client.answer().text(), "early");
    drop(client);
    let answer = exchange(gate.ingress(), get("/next", &presents(ALPHA)));
    assert_eq!(answer.text(), "hello");
    let requests = upstream.requests();
    assert_ne!(requests[0].connection, requests[1].connection);
}

#[test]
fn bytes_behind_an_answer_are_never_another_callers_answer() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen");
        Next::Keep
    });
    let gate = Gate::start(&one_worker(&upstream));
    for _ in 0..4 {
        let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    }
}

/// Answers the first request of each connection, and closes on the second without a word.
fn stale() -> Upstream {
    let used: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    Upstream::tcp(move |it| {
        let mut used = used.lock().unwrap();
        if used.contains(&it.connection) {
            it.read_body();
            return Next::Close;
        }
        used.push(it.connection);
        drop(used);
        it.answer("200 OK", "", "hello")
    })
}

#[test]
fn an_idempotent_request_on_a_connection_that_was_just_closed_is_retried_once_on_a_fresh_one() {
    let upstream = stale();
    let gate = Gate::start(&one_worker(&upstream));
    for target in ["/one", "/two", "/three"] {
        let answer = exchange(gate.ingress(), get(target, &presents(ALPHA)));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"), "{target}");
    }
    let two = upstream
        .start_lines()
        .iter()
        .filter(|line| line.contains("/two"))
        .count();
    assert_eq!(
        two,
        2,
        "sent to the closed connection and then to a fresh one: {:?}",
        upstream.start_lines()
    );
}

#[test]
fn a_post_is_never_sent_twice() {
    let upstream = stale();
    let gate = Gate::start(&one_worker(&upstream));
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    for (target, body) in [("/with", "the body"), ("/without", "")] {
        let answer = exchange(gate.ingress(), post(target, &presents(ALPHA), body));
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (502, "upstream_invalid"),
            "{target}"
        );
        let sent = upstream
            .start_lines()
            .iter()
            .filter(|line| line.contains(target))
            .count();
        assert_eq!(sent, 1, "{target}");
        assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    }
}

#[test]
fn a_request_that_was_never_sent_survives_an_upstream_that_restarts() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&one_worker(&upstream));
    for round in 0..20 {
        let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
        assert_eq!(answer.status(), 200, "round {round}");
        upstream.close_connections();
        wait_until("the closed connection", || {
            (upstream.closed() == upstream.connections()).then_some(())
        });
    }
    assert_eq!(upstream.requests().len(), 20);
}

#[test]
fn a_fresh_connection_that_fails_is_not_tried_for_ever() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        Next::Close
    });
    let gate = Gate::start(&one_worker(&upstream));
    let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_invalid"));
    assert!(upstream.requests().len() <= 2, "{:?}", upstream.start_lines());
}

#[test]
fn idle_connections_expire() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[upstreams.default.pool]\nidle = \"300ms\"\n".to_owned(),
        ..one_worker(&upstream)
    });
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    wait_until("the idle connection to be closed", || {
        (upstream.closed() == 1).then_some(())
    });
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn an_upstream_that_is_not_there_is_502_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let gate = Gate::start(&Setup::url(&format!("http://{address}")));
    let answer = exchange(gate.ingress(), post("/", &presents(ALPHA), "the body"));
    assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_unreachable"));
    assert_eq!(gate.access_line("/")["decision"], "upstream_unreachable");
    // And when it comes, it is used.
    let upstream = Upstream::tcp_on(address, |it| it.answer("200 OK", "", "hello"));
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    drop(upstream);
}

#[test]
fn a_connection_that_is_not_accepted_in_time_is_504_with_its_own_code() {
    // A listener whose queue is full: the kernel drops further attempts.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queued.push(stream);
        assert!(queued.len() < 64, "the queue has an end");
    }
    let gate = Gate::start(&Setup {
        more: "[upstreams.default.timeouts]\nconnect = \"300ms\"\n".to_owned(),
        ..Setup::url(&format!("http://{address}"))
    });
    let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (504, "upstream_connect_timeout")
    );
}

#[test]
fn an_upstream_that_never_answers_is_504() {
    let upstream = Upstream::tcp(|it| it.wait_for_end());
    let gate = Gate::start(&Setup {
        more: "[upstreams.default.timeouts]\nhead = \"300ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, "-H", &format!("X-API-Key: {ALPHA}"), &gate.url("/")]);
        assert_eq!((answer.status, answer.code().as_str()), (504, "upstream_timeout"));
    }
    wait_until("both upstream connections to be given up", || {
        (upstream.closed() == 2).then_some(())
    });
}

#[test]
fn an_answer_that_stops_is_cut_with_its_own_code() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this");
        it.wait_for_end()
    });
    let gate = Gate::start(&Setup {
        more: "[upstreams.default.timeouts]\nidle = \"300ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = curl(&["-H", &format!("X-API-Key: {ALPHA}"), &gate.url("/")]);
    assert_ne!(answer.exit, 0);
    assert_eq!(answer.text(), "only this");
    assert_eq!(gate.access_line("/")["decision"], "upstream_idle_timeout");
}

#[test]
fn an_exchange_that_takes_too_long_has_its_own_code() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        if it.head.word(1) == "/silent" {
            return it.wait_for_end();
        }
        it.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while it.send("1\r\n.\r\n") {
            std::thread::sleep(Duration::from_millis(20));
        }
        Next::Close
    });
    let gate = Gate::start(&Setup {
        more: "[upstreams.default.timeouts]\ntotal = \"500ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = exchange(gate.ingress(), get("/silent", &presents(ALPHA)));
    assert_eq!((answer.status(), answer.code().as_str()), (504, "total_timeout"));
    let answer = curl(&["-H", &format!("X-API-Key: {ALPHA}"), &gate.url("/drip")]);
    assert_ne!(answer.exit, 0);
    assert_eq!(gate.access_line("/drip")["decision"], "total_timeout");
}

#[test]
fn an_answer_that_is_not_http_is_502_invalid() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send(match it.head.word(1).as_str() {
            "/garbage" => "this is not HTTP\r\n\r\n",
            "/length" => "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "/lengths" => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "/half" => "HTTP/1.1 200 OK\r\nContent-Le",
            _ => "",
        });
        Next::Close
    });
    let gate = Gate::start(&Setup::before(&upstream));
    for target in ["/garbage", "/length", "/lengths", "/half", "/nothing"] {
        let answer = exchange(gate.ingress(), get(target, &presents(ALPHA)));
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (502, "upstream_invalid"),
            "{target}"
        );
    }
}

#[test]
fn an_upstream_on_a_unix_socket_is_served() {
    let home = Home::new();
    let upstream = Upstream::unix(&home.path("upstream.sock"), |it| it.answer("200 OK", "", "hello"));
    let gate = Gate::start_in(home, &one_worker(&upstream));
    for _ in 0..3 {
        let answer = exchange(gate.ingress(), post("/a?b", &presents(ALPHA), "the body"));
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    }
    assert_eq!(upstream.connections(), 1, "pooled as well");
    let request = upstream.last_request();
    assert_eq!(request.head.start_line(), "POST /a?b HTTP/1.1");
    assert_eq!(request.header("host").as_deref(), Some("gate.test"));
    assert_eq!(request.body, b"the body");
}

#[test]
fn an_h2c_upstream_is_served_from_both_protocols_with_trailers() {
    let upstream = H2Upstream::start();
    let gate = Gate::start(&Setup::url(&upstream.url()));
    let answer = exchange(
        gate.ingress(),
        post(
            "/a?b=c",
            &format!("{}X-Auth-Key-Id: forged\r\n", presents(ALPHA)),
            "the body",
        ),
    );
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    let request = upstream.requests().remove(0);
    assert_eq!(request.head.method, "POST");
    assert_eq!(request.head.uri.path_and_query().unwrap(), "/a?b=c");
    assert_eq!(request.head.headers["x-auth-key-id"], "key_alpha");
    assert_eq!(request.head.headers.get("x-api-key"), None);
    assert_eq!(request.head.headers.get("connection"), None);
    assert_eq!(request.body, b"the body");
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("POST", "/x", &[("x-api-key", ALPHA), ("te", "trailers")]);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        let answer = client.exchange(request, b"the body", Some(trailers)).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.trailers.expect("trailers")["x-end"], "yes");
    });
    let request = upstream.requests().remove(0);
    assert_eq!(request.trailers.expect("trailers")["x-sum"], "42");
    assert_eq!(request.head.headers["te"], "trailers");
}

#[test]
fn a_slow_upstream_does_not_hold_up_other_requests() {
    let blocked = Arc::new(AtomicBool::new(true));
    let theirs = Arc::clone(&blocked);
    let upstream = Upstream::tcp(move |it| {
        if it.head.word(1) == "/slow" {
            while theirs.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        it.answer("200 OK", "", "hello")
    });
    let gate = Gate::start(&one_worker(&upstream));
    let mut slow: Vec<_> = (0..50)
        .map(|_| {
            let mut client = Connection::open(gate.ingress());
            client.send(get("/slow", &presents(ALPHA)));
            client
        })
        .collect();
    upstream.wait_for_requests(50);
    assert_eq!(exchange(gate.ingress(), get("/quick", &presents(ALPHA))).status(), 200);
    blocked.store(false, Ordering::SeqCst);
    for client in &mut slow {
        assert_eq!(client.answer().status(), 200);
    }
}

#[test]
fn concurrent_http2_streams_are_answered_each_with_its_own() {
    let upstream = Upstream::tcp(|it| {
        let target = it.head.word(1);
        it.answer("200 OK", "", target)
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let done = AtomicUsize::new(0);
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let mut answers = Vec::new();
        for n in 0..64 {
            let request = client.request("GET", &format!("/{n}"), &[("x-api-key", ALPHA)]);
            let (answer, _) = client.start(request, true).await.unwrap();
            answers.push(answer);
        }
        for (n, answer) in answers.into_iter().enumerate() {
            let answer = crate::harness::finish(answer.await.unwrap()).await.unwrap();
            assert_eq!(answer.body, format!("/{n}").as_bytes());
            done.fetch_add(1, Ordering::SeqCst);
        }
    });
    assert_eq!(done.into_inner(), 64);
}
