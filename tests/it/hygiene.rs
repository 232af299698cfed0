//! Request hygiene, before anything else: what cannot mean the same to Keygate and to the upstream is refused, and the
//! connection is closed where its framing can no longer be trusted.

use crate::harness::{
    ALPHA, BOUND, Connection, Gate, H2Client, Setup, Upstream, block_on, exchange, get, post, presents, wait_until,
};

/// Whether the connection ends with the answer.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Then {
    Closed,
    Either,
}

/// A request with a valid key; its first line and its other header lines are up to the case.
fn request(start: &str, headers: &str) -> Vec<u8> {
    format!("{start}\r\n{headers}{}\r\n", presents(ALPHA)).into_bytes()
}

/// With a good start line and a good `Host`.
fn with(headers: &str) -> Vec<u8> {
    request("POST /x HTTP/1.1", &format!("Host: gate.test\r\n{headers}"))
}

/// As [`with`], and a chunked body behind it.
fn chunked(headers: &str) -> Vec<u8> {
    let mut bytes = with(headers);
    bytes.extend_from_slice(b"3\r\nabc\r\n0\r\n\r\n");
    bytes
}

/// What it is called, its bytes, and what has to come: status, code, and whether the connection ends.
type Row = (&'static str, Vec<u8>, u16, &'static str, Then);

#[rustfmt::skip] // one row, one line
fn table() -> Vec<Row> {
    use Then::{Closed, Either};
    let long_header = format!("X-Long: {}\r\n", "x".repeat(40 * 1024));
    let many_headers: String = (0..120).map(|n| format!("X-{n}: 1\r\n")).collect();
    let long_target = format!("GET /{} HTTP/1.1", "x".repeat(9 * 1024));
    let invalid = "request_invalid";
    let host = "Host: gate.test\r\n";
    vec![
        ("no Host", request("GET /x HTTP/1.1", ""), 400, invalid, Closed),
        ("two Hosts", with("Host: other.test\r\n"), 400, invalid, Closed),
        ("the same Host twice", with("Host: gate.test\r\n"), 400, invalid, Closed),
        ("a Host with a space", request("GET /x HTTP/1.1", "Host: gate test\r\n"), 400, invalid, Closed),
        ("a Host with a path", request("GET /x HTTP/1.1", "Host: gate.test/x\r\n"), 400, invalid, Closed),
        ("a Host with a user", request("GET /x HTTP/1.1", "Host: a@gate.test\r\n"), 400, invalid, Closed),
        ("a list as Host", request("GET /x HTTP/1.1", "Host: a.test, b.test\r\n"), 400, invalid, Closed),
        ("a Host with a wrong port", request("GET /x HTTP/1.1", "Host: a.test:x\r\n"), 400, invalid, Closed),
        ("an empty Host", request("GET /x HTTP/1.1", "Host:\r\n"), 400, invalid, Closed),
        ("both framings", chunked("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400, invalid, Closed),
        ("both framings, the other way", chunked("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400, invalid, Closed),
        ("two lengths", with("Content-Length: 3\r\nContent-Length: 4\r\n"), 400, invalid, Closed),
        ("one length twice", with("Content-Length: 3\r\nContent-Length: 3\r\n"), 400, invalid, Closed),
        ("a list of lengths", with("Content-Length: 3, 3\r\n"), 400, invalid, Closed),
        ("a signed length", with("Content-Length: +3\r\n"), 400, invalid, Closed),
        ("a negative length", with("Content-Length: -3\r\n"), 400, invalid, Closed),
        ("a hexadecimal length", with("Content-Length: 0x3\r\n"), 400, invalid, Closed),
        ("an empty length", with("Content-Length:\r\n"), 400, invalid, Closed),
        ("a length with a space", with("Content-Length: 3 3\r\n"), 400, invalid, Closed),
        ("a length beyond counting", with("Content-Length: 99999999999999999999\r\n"), 400, invalid, Closed),
        ("chunked twice", chunked("Transfer-Encoding: chunked, chunked\r\n"), 400, invalid, Closed),
        ("two transfer codings lines", chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, invalid, Closed),
        ("chunked is not last", chunked("Transfer-Encoding: chunked, identity\r\n"), 400, invalid, Closed),
        ("not chunked at all", chunked("Transfer-Encoding: identity\r\n"), 400, invalid, Closed),
        ("almost chunked", chunked("Transfer-Encoding: xchunked\r\n"), 400, invalid, Closed),
        ("chunked behind a control character", chunked("Transfer-Encoding: \x0bchunked\r\n"), 400, invalid, Closed),
        ("a quoted coding", chunked("Transfer-Encoding: \"chunked\"\r\n"), 400, invalid, Closed),
        ("a coding before chunked", chunked("Transfer-Encoding: gzip, chunked\r\n"), 501, invalid, Closed),
        ("chunked in HTTP/1.0", request("POST /x HTTP/1.0", "Host: gate.test\r\nTransfer-Encoding: chunked\r\n"), 400, invalid, Closed),
        ("a space before the colon", chunked("Transfer-Encoding : chunked\r\n"), 400, invalid, Closed),
        ("a folded header", with("X-Folded: a\r\n b\r\n"), 400, invalid, Closed),
        ("a folded header with a tab", with("X-Folded: a\r\n\tb\r\n"), 400, invalid, Closed),
        ("a folded first header", request("GET /x HTTP/1.1", " X: 1\r\nHost: gate.test\r\n"), 400, invalid, Closed),
        ("a control character in a value", with("X-Control: a\x01b\r\n"), 400, invalid, Closed),
        ("a NUL in a value", with("X-Control: a\0b\r\n"), 400, invalid, Closed),
        ("a DEL in a value", with("X-Control: a\x7fb\r\n"), 400, invalid, Closed),
        ("a bare CR in a value", with("X-Control: a\rb\r\n"), 400, invalid, Closed),
        ("a bare LF as a line end", with("X-Line: a\nX-Next: b\r\n"), 400, invalid, Closed),
        ("only bare LFs", format!("GET /x HTTP/1.1\nHost: gate.test\nX-API-Key: {ALPHA}\n\n").into_bytes(), 400, invalid, Closed),
        ("a header without a colon", with("nonsense\r\n"), 400, invalid, Closed),
        ("a header without a name", with(": nonsense\r\n"), 400, invalid, Closed),
        ("a header name with a space", with("X Y: 1\r\n"), 400, invalid, Closed),
        ("a header name with a control character", with("X\x01Y: 1\r\n"), 400, invalid, Closed),
        ("Connection names Host", with("Connection: host\r\n"), 400, invalid, Closed),
        ("Connection names Content-Length", with("Connection: content-length\r\nContent-Length: 0\r\n"), 400, invalid, Closed),
        ("Connection names Transfer-Encoding", chunked("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n"), 400, invalid, Closed),
        ("Connection names Authorization", with("Connection: keep-alive, authorization\r\n"), 400, invalid, Closed),
        ("Connection is no list of names", with("Connection: a b\r\n"), 400, invalid, Closed),
        ("TRACE", request("TRACE /x HTTP/1.1", host), 405, invalid, Either),
        ("CONNECT", request("CONNECT gate.test:80 HTTP/1.1", "Host: gate.test:80\r\n"), 405, invalid, Either),
        ("no method", request(" /x HTTP/1.1", host), 400, invalid, Closed),
        ("a method that is no token", request("G@T /x HTTP/1.1", host), 400, invalid, Closed),
        ("a target of another host", request("GET http://other.test/x HTTP/1.1", host), 400, invalid, Closed),
        ("a target of another scheme", request("GET ftp://gate.test/x HTTP/1.1", host), 400, invalid, Closed),
        ("a target without a slash", request("GET x HTTP/1.1", host), 400, invalid, Closed),
        ("a target with a fragment", request("GET /x#y HTTP/1.1", host), 400, invalid, Closed),
        ("a target with a space", request("GET /x y HTTP/1.1", host), 400, invalid, Closed),
        ("a target with a control character", request("GET /x\x01 HTTP/1.1", host), 400, invalid, Closed),
        ("an asterisk that is not OPTIONS", request("GET * HTTP/1.1", host), 400, invalid, Closed),
        ("an unknown expectation", with("Expect: miracles\r\n"), 417, invalid, Either),
        ("a head that is too large", with(&long_header), 431, "head_too_large", Closed),
        ("too many headers", with(&many_headers), 431, "head_too_large", Closed),
        ("a target that is too long", request(&long_target, host), 414, "head_too_large", Closed),
        ("HTTP/3.0", request("GET /x HTTP/3.0", host), 505, invalid, Closed),
        ("HTTP/2.0 without its preface", request("GET /x HTTP/2.0", host), 505, invalid, Closed),
        ("no version", b"GET /x\r\n\r\n".to_vec(), 400, invalid, Closed),
        ("an empty version", request("GET /x HTTP/", host), 400, invalid, Closed),
        ("another protocol", b"SSH-2.0-client\r\n\r\n".to_vec(), 400, invalid, Closed),
        ("bytes", b"\x80\x81\x82\x83\r\n\r\n".to_vec(), 400, invalid, Closed),
    ]
}

/// Checks one row; what is wrong with it, if anything.
fn check(gate: &Gate, row: &Row, piece: usize) -> Option<String> {
    let (name, bytes, status, code, then) = row;
    let mut client = Connection::open(gate.ingress());
    for part in bytes.chunks(piece) {
        if !client.try_send(part) {
            break;
        }
    }
    let Some(answer) = client.try_answer() else {
        return Some(format!("{name}: no answer, expected {status}"));
    };
    let got = (answer.status(), answer.code());
    if got != (*status, (*code).to_owned()) {
        return Some(format!("{name}: {got:?}, expected {status} {code}: {}", answer.text()));
    }
    if answer.header("content-type").as_deref() != Some("application/problem+json") {
        return Some(format!("{name}: not a problem document: {}", answer.head.text()));
    }
    if answer.header("x-request-id").is_none() {
        return Some(format!("{name}: no request id"));
    }
    if *then == Then::Closed {
        if answer.header("connection").as_deref() != Some("close") {
            return Some(format!("{name}: does not say that it closes: {}", answer.head.text()));
        }
        let rest = client.rest();
        if !rest.is_empty() {
            return Some(format!(
                "{name}: more behind the answer: {:?}",
                String::from_utf8_lossy(&rest)
            ));
        }
    }
    None
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn malformed_requests_get_the_right_status_code_and_end() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let wrong: Vec<_> = table().iter().filter_map(|row| check(&gate, row, usize::MAX)).collect();
    assert_eq!(upstream.start_lines(), [""; 0], "nothing malformed is forwarded");
    assert_none(&wrong);
}

#[test]
fn malformed_requests_are_recognized_however_they_are_cut_into_packets() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let wrong: Vec<_> = table()
        .iter()
        .flat_map(|row| {
            let small = if row.1.len() > 4096 { 4096 } else { 1 };
            [check(&gate, row, small), check(&gate, row, row.1.len() / 2 + 1)]
        })
        .flatten()
        .collect();
    assert_eq!(upstream.start_lines(), [""; 0], "nothing malformed is forwarded");
    assert_none(&wrong);
}

#[test]
fn method_not_allowed_names_the_allowed_ones() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(gate.ingress(), request("TRACE /x HTTP/1.1", "Host: gate.test\r\n"));
    assert_eq!(answer.status(), 405);
    let allow = answer
        .header("allow")
        .expect("Allow, as RFC 9110 section 15.5.6 demands");
    assert!(!allow.contains("TRACE") && !allow.contains("CONNECT"), "{allow}");
}

#[test]
fn smuggled_requests_never_reach_the_upstream() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let smuggled = get("/smuggled", &presents(ALPHA));
    for (name, bytes, _, _, then) in table() {
        let mut client = Connection::open(gate.ingress());
        let mut bytes = bytes;
        bytes.extend_from_slice(smuggled.as_bytes());
        client.try_send(&bytes);
        client.finish();
        while let Some(answer) = client.try_answer() {
            if answer.status() == 200 && then == Then::Closed {
                panic!("{name}: a request behind it was answered");
            }
        }
        let answer = exchange(gate.ingress(), get("/good", &presents(ALPHA)));
        assert_eq!(answer.status(), 200);
    }
    // Behind a complete, well framed request that was merely refused, the connection may go on; nowhere else.
    let well_framed = table().iter().filter(|row| row.4 == Then::Either).count();
    let reached = upstream.start_lines();
    let count = |target: &str| {
        reached
            .iter()
            .filter(|line| **line == format!("GET {target} HTTP/1.1"))
            .count()
    };
    assert_eq!(count("/good"), table().len());
    assert!(count("/smuggled") <= well_framed, "{reached:?}");
    assert_eq!(count("/good") + count("/smuggled"), reached.len(), "{reached:?}");
}

#[test]
fn a_body_does_not_become_a_request() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let smuggled = get("/smuggled", &presents(ALPHA));
    let mut client = Connection::open(gate.ingress());
    client.send(post("/one", &presents(ALPHA), &smuggled));
    client.send(post("/two", "", &smuggled)); // refused: its body has to be read or the connection closed
    client.try_send(get("/three", &presents(ALPHA)));
    let mut statuses = Vec::new();
    while statuses.len() < 3
        && let Some(answer) = client.try_answer()
    {
        statuses.push(answer.status());
    }
    assert!(statuses == [200, 401, 200] || statuses == [200, 401], "{statuses:?}");
    for request in upstream.requests() {
        assert_ne!(request.target(), "/smuggled");
    }
    assert_eq!(upstream.requests()[0].body, smuggled.as_bytes());
}

#[test]
fn broken_chunked_framing_is_refused_and_never_completes_upstream() {
    let upstream = Upstream::tcp(|it| {
        if it.read_body() {
            it.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        crate::harness::Next::Close
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let smuggled = get("/smuggled", &presents(ALPHA));
    let broken = [
        "x\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabcX0\r\n\r\n",
        "10000000000000000\r\nabc\r\n0\r\n\r\n",
        "3;x=\ny\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
    ];
    let mut wrong = Vec::new();
    for body in broken {
        let mut client = Connection::open(gate.ingress());
        client.try_send(format!(
            "POST /broken HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n{}\r\n{body}{smuggled}",
            presents(ALPHA)
        ));
        match client.try_answer() {
            Some(answer) if answer.status() == 400 => {}
            Some(answer) => wrong.push(format!("{body:?}: {} {}", answer.status(), answer.text())),
            None => wrong.push(format!("{body:?}: no answer")),
        }
        if client.try_answer().is_some() {
            wrong.push(format!("{body:?}: a second answer"));
        }
    }
    for request in upstream.requests() {
        assert!(
            !request.complete,
            "a broken body was completed: {}",
            request.head.start_line()
        );
        assert_eq!(request.target(), "/broken");
    }
    assert_none(&wrong);
}

#[test]
fn an_absolute_target_for_the_same_host_is_forwarded_in_origin_form() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(
        gate.ingress(),
        request("GET http://gate.test/a?b=c HTTP/1.1", "Host: gate.test\r\n"),
    );
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let request = upstream.only_request();
    assert_eq!(request.head.start_line(), "GET /a?b=c HTTP/1.1");
    assert_eq!(request.header("host").as_deref(), Some("gate.test"));
}

#[test]
fn options_for_the_whole_server_and_unusual_methods_pass() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for start in [
        "OPTIONS * HTTP/1.1",
        "PROPFIND /x HTTP/1.1",
        "PATCH /x HTTP/1.1",
        "DELETE /x HTTP/1.1",
    ] {
        let answer = exchange(gate.ingress(), request(start, "Host: gate.test\r\n"));
        assert_eq!(answer.status(), 200, "{start}: {}", answer.text());
        assert_eq!(upstream.last_request().head.start_line(), start);
    }
}

#[test]
fn http_1_0_clients_are_served() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(request("GET /x HTTP/1.0", "Host: gate.test\r\n"));
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.body, b"hello");
    assert_eq!(client.rest(), b"", "without keep-alive the connection ends");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::tcp(|it| {
        let target = it.head.word(1);
        it.answer("200 OK", "", target)
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    let all: String = (0..5).map(|n| get(&format!("/{n}"), &presents(ALPHA))).collect();
    client.send(all);
    for n in 0..5 {
        assert_eq!(client.answer().text(), format!("/{n}"));
    }
}

#[test]
fn http2_requests_obey_the_same_hygiene() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], u16);
        let table: [Case; 6] = [
            ("GET", "/x", &[("host", "other.test")], 400),
            ("GET", "/a/../b", &[], 400),
            ("GET", "/a//b", &[], 400),
            ("GET", "/a%2fb", &[], 400),
            ("TRACE", "/x", &[], 405),
            ("GET", "/x", &[("expect", "miracles")], 417),
        ];
        for (method, target, headers, status) in table {
            let mut all = vec![("x-api-key", ALPHA)];
            all.extend(headers);
            let request = client.request(method, target, &all);
            let answer = client.exchange(request, b"", None).await.unwrap();
            assert_eq!(
                (answer.status(), answer.code().as_str()),
                (status, "request_invalid"),
                "{method} {target} {headers:?}"
            );
        }
        // The connection goes on: only the streams were refused.
        assert_eq!(client.get("/good", &[("x-api-key", ALPHA)]).await.status(), 200);
    });
    assert_eq!(upstream.start_lines(), ["GET /good HTTP/1.1"]);
}

#[test]
fn http2_heads_obey_the_same_limits() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[limits]\nheader_count = 20\ntarget_bytes = 256\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let names: Vec<String> = (0..30).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let answer = client.get("/x", &many).await;
        assert_eq!((answer.status(), answer.code().as_str()), (431, "head_too_large"));
        let answer = client
            .get(&format!("/{}", "x".repeat(256)), &[("x-api-key", ALPHA)])
            .await;
        assert_eq!((answer.status(), answer.code().as_str()), (414, "head_too_large"));
        assert_eq!(client.get("/good", &[("x-api-key", ALPHA)]).await.status(), 200);
    });
    assert_eq!(upstream.start_lines(), ["GET /good HTTP/1.1"]);
}

#[test]
fn a_request_head_that_does_not_arrive_in_time_is_answered_408_and_closed() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[timeouts]\nclient_head = \"500ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send("GET /slow HTTP/1.1\r\nHost: ga");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.code().as_str()), (408, "head_timeout"));
    client.rest();
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[timeouts]\nclient_idle = \"500ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.rest(), b"");
}

#[test]
fn an_idle_http2_connection_is_closed_even_when_its_client_does_not_leave() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[timeouts]\nclient_idle = \"500ms\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    // The preface and empty settings; nothing that comes back is ever answered.
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    client.rest();
}

#[test]
fn connections_beyond_the_limit_are_closed_and_the_others_served() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[limits]\nconnections_per_source = 2\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut first = Connection::open(gate.ingress());
    let mut second = Connection::open(gate.ingress());
    for client in [&mut first, &mut second] {
        client.send(get("/", &presents(ALPHA)));
        assert_eq!(client.answer().status(), 200);
    }
    let mut third = Connection::open(gate.ingress());
    third.try_send(get("/", &presents(ALPHA)));
    assert!(third.try_answer().is_none_or(|answer| answer.status() != 200));
    first.send(get("/", &presents(ALPHA)));
    assert_eq!(first.answer().status(), 200);
    drop(second);
    wait_until(&format!("a free place within {BOUND:?}"), || {
        let mut next = Connection::open(gate.ingress());
        next.try_send(get("/", &presents(ALPHA)));
        next.try_answer().filter(|answer| answer.status() == 200)
    });
}
