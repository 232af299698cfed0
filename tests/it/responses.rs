//! What the caller gets back: hop-by-hop headers stripped, `X-Request-Id` added, everything else untouched; and the
//! shape of Keygate's own answers.

use crate::harness::{
    ALPHA, Connection, Gate, Next, Setup, Upstream, curl, exchange, get, key_file, post, presents, sha256,
};

#[test]
fn hop_by_hop_headers_of_the_answer_are_stripped_and_everything_else_is_untouched() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send(
            "HTTP/1.1 207 Some Reason\r\nConnection: keep-alive, X-Hop-One\r\nConnection: x-hop-two\r\nX-Hop-One: 1\r\n\
             X-Hop-Two: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\n\
             Server: TheUpstream/1.0\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\nSet-Cookie: a=1; Path=/\r\n\
             Set-Cookie: b=2; HttpOnly\r\nContent-Type: application/x-thing\r\nContent-Encoding: gzip\r\n\
             ETag: W/\"x\"\r\nX-Auth-Key-Id: the upstream may say so\r\nX-Latin: caf\u{e9}\r\nContent-Length: 4\r\n\r\n\0\u{1}ab",
        );
        Next::Keep
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    assert_eq!(answer.status(), 207);
    assert_eq!(answer.body, b"\0\x01ab");
    let names: Vec<_> = answer
        .head
        .names()
        .into_iter()
        .filter(|name| name != "connection")
        .collect();
    assert_eq!(
        names,
        [
            "content-encoding",
            "content-length",
            "content-type",
            "date",
            "etag",
            "server",
            "set-cookie",
            "set-cookie",
            "x-auth-key-id",
            "x-latin",
            "x-request-id"
        ]
    );
    assert_eq!(answer.head.all("set-cookie"), ["a=1; Path=/", "b=2; HttpOnly"]);
    assert_eq!(answer.header("date").as_deref(), Some("Mon, 01 Jan 2001 00:00:00 GMT"));
    assert_eq!(answer.header("server").as_deref(), Some("TheUpstream/1.0"));
    assert_eq!(answer.header("x-latin").as_deref(), Some("caf\u{e9}"));
    assert_eq!(
        answer.header("x-request-id"),
        upstream.only_request().header("x-request-id")
    );
}

#[test]
fn nothing_is_added_but_the_request_id() {
    let upstream = Upstream::tcp(|it| it.answer("200 OK", "", "hello"));
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    let names: Vec<_> = answer
        .head
        .names()
        .into_iter()
        .filter(|name| name != "connection")
        .collect();
    assert_eq!(names, ["content-length", "x-request-id"]);
}

#[test]
fn an_upstreams_own_request_id_does_not_make_two() {
    let upstream = Upstream::tcp(|it| it.answer("200 OK", "X-Request-Id: its-own\r\n", "hello"));
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    assert_eq!(answer.head.all("x-request-id").len(), 1, "{}", answer.head.text());
}

#[test]
fn statuses_pass_as_they_are() {
    let upstream = Upstream::tcp(|it| {
        let status = it.head.word(1)[1..].to_owned();
        it.answer(&format!("{status} As Is"), "", "body")
    });
    let gate = Gate::start(&Setup::before(&upstream));
    for status in [200, 201, 299, 301, 400, 401, 403, 404, 418, 429, 500, 502, 503, 599] {
        let answer = exchange(gate.ingress(), get(&format!("/{status}"), &presents(ALPHA)));
        assert_eq!(answer.status(), status);
        assert_eq!(answer.body, b"body", "not replaced by a document of Keygate's");
    }
}

#[test]
fn reason_phrases_pass_and_none_is_made_up() {
    let upstream = Upstream::tcp(|it| {
        let status = it.head.word(1)[1..].replace('_', " ");
        it.answer(&status, "", "")
    });
    let gate = Gate::start(&Setup::before(&upstream));
    for (sent, told) in [
        ("200_All_Is_Well", "HTTP/1.1 200 All Is Well"),
        ("299_Odd", "HTTP/1.1 299 Odd"),
        ("299_", "HTTP/1.1 299 "),
        ("404_Not_Found", "HTTP/1.1 404 Not Found"),
    ] {
        let answer = exchange(gate.ingress(), get(&format!("/{sent}"), &presents(ALPHA)));
        assert_eq!(answer.head.start_line(), told);
    }
}

#[test]
fn answers_to_head_have_headers_but_no_body() {
    let upstream = Upstream::tcp(|it| it.answer("200 OK", "X-Own: kept\r\n", "hello"));
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    for _ in 0..2 {
        client.send(format!("HEAD / HTTP/1.1\r\nHost: gate.test\r\n{}\r\n", presents(ALPHA)));
        let answer = client.answer_to_head();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.header("content-length").as_deref(), Some("5"));
        assert_eq!(answer.header("x-own").as_deref(), Some("kept"));
    }
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().body, b"hello");
}

#[test]
fn a_refused_head_request_has_no_body_either() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send("HEAD / HTTP/1.1\r\nHost: gate.test\r\n\r\n");
    assert_eq!(client.answer_to_head().status(), 401);
    client.send(get("/", &presents(ALPHA)));
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn no_content_and_not_modified_have_no_body_and_keep_the_connection() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send(match it.head.word(1).as_str() {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 500\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        });
        Next::Keep
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    for (target, status, body) in [
        ("/204", 204, ""),
        ("/304", 304, ""),
        ("/304", 304, ""),
        ("/200", 200, "hello"),
    ] {
        client.send(get(target, &presents(ALPHA)));
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (status, body));
    }
}

#[test]
fn interim_answers_do_not_disturb_the_final_one() {
    let upstream = Upstream::tcp(|it| {
        it.send("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n");
        it.answer("200 OK", "", "hello")
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    for _ in 0..2 {
        client.send(get("/", &presents(ALPHA)));
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_complete() {
    let upstream = Upstream::tcp(|it| {
        it.read_body();
        it.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        Next::Close
    });
    let gate = Gate::start(&Setup::before(&upstream));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[version, "-H", &format!("X-API-Key: {ALPHA}"), &gate.url("/")]);
        assert_eq!(
            (answer.exit, answer.status, answer.text().as_str()),
            (0, 200, "until the end")
        );
    }
}

#[test]
fn refusals_are_problem_documents() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(gate.ingress(), post("/", "", "ignored"));
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        answer.header("content-type").as_deref(),
        Some("application/problem+json")
    );
    assert_eq!(problem["status"], 401);
    assert_eq!(problem["code"], "credential_missing");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    assert_eq!(problem["request_id"].as_str(), answer.header("x-request-id").as_deref());
}

#[test]
fn placeholders_in_templates_are_filled_and_escaped_for_their_content_type() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: r#"
[plans.default]
limits = [{ name = "hour", requests = 1, per = "1h" }]

[errors.templates.rate_limited]
headers = { "Content-Type" = "application/json", "X-Limit" = "{limit} per {window}" }
body = '{"code":"{code}","status":{status},"key":"{key.name}","id":"{request_id}","retry":"{retry_after}"}'
"#
        .to_owned(),
        records: key_file(&[
            "[[keys]]\nid = \"key_quoted\"\nname = 'a \"quoted\" name'\norganization = \"acme\"\n".to_owned()
                + &format!("hash = \"{}\"\n", sha256(ALPHA)),
        ]),
        ..Setup::before(&upstream)
    });
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    assert_eq!(answer.status(), 429);
    let body: serde_json::Value = serde_json::from_slice(&answer.body).expect("still JSON");
    assert_eq!(body["code"], "rate_limited");
    assert_eq!(body["status"], 429);
    assert_eq!(body["key"], "a \"quoted\" name");
    assert_eq!(body["id"].as_str(), answer.header("x-request-id").as_deref());
    assert_eq!(body["retry"].as_str(), answer.header("retry-after").as_deref());
    assert_eq!(answer.header("x-limit").as_deref(), Some("1 per hour"));
}

#[test]
fn templates_replace_status_headers_and_body_per_code() {
    let upstream = Upstream::hello();
    let template = r#"
[errors.templates.credential_missing]
status = 418
headers = { "Content-Type" = "application/json", "X-Gateway" = "old" }
body = '{"isSuccess":false,"errors":{"code":"AUTH_002"}}'
"#;
    let gate = Gate::start(&Setup {
        more: template.to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = exchange(gate.ingress(), get("/", ""));
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.text(), r#"{"isSuccess":false,"errors":{"code":"AUTH_002"}}"#);
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(answer.header("x-gateway").as_deref(), Some("old"));
    assert_eq!(gate.access_line("/")["decision"], "credential_missing");
    let other = exchange(gate.ingress(), get("/", &presents("kg_nobody")));
    assert_eq!(
        (other.status(), other.code().as_str()),
        (401, "credential_invalid"),
        "the others keep theirs"
    );
}

#[test]
fn keygates_own_answers_carry_their_date() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(gate.ingress(), get("/", ""));
    assert_eq!(answer.status(), 401);
    let date = answer.header("date").expect("a date");
    assert!(
        date.ends_with(" GMT") && date.len() == "Sun, 06 Nov 1994 08:49:37 GMT".len(),
        "{date}"
    );
}
