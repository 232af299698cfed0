//! One access line per request or tunnel, and no secret anywhere.

use std::io::Read;
use std::process::Stdio;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::harness::{
    ALPHA, BETA, Connection, GAMMA, Gate, H2Client, Home, Setup, Upstream, block_on, curl, exchange, get, key,
    key_file, post, presents, wait_until,
};

fn with_log(upstream: &Upstream, access_log: &str) -> Gate {
    Gate::start(&Setup {
        more: format!("[timeouts]\ndrain_delay = \"0s\"\n[telemetry]\naccess_log = {access_log}\n"),
        ..Setup::before(upstream)
    })
}

#[test]
fn the_access_line_says_who_what_and_how_long() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[[routes]]\npath = \"/v1/messages/{id}\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = exchange(
        gate.ingress(),
        post("/v1/messages/7?to=x", &presents(ALPHA), "the body"),
    );
    assert_eq!(answer.status(), 200);
    let line = gate.access_line("/v1/messages/7");
    for (field, value) in [
        ("message", "request"),
        ("level", "INFO"),
        ("key_id", "key_alpha"),
        ("organization", "acme"),
        ("route", "/v1/messages/{id}"),
        ("decision", "forward"),
        ("method", "POST"),
        ("client", "127.0.0.1"),
        ("protocol", "HTTP/1.1"),
    ] {
        assert_eq!(line[field], value, "{field} in {line}");
    }
    assert_eq!(line["status"], 200);
    assert_eq!(line["request_bytes"], 8);
    assert_eq!(line["response_bytes"], 5);
    assert_eq!(line["request_id"].as_str(), answer.header("x-request-id").as_deref());
    let (total, upstream) = (
        line["duration_us"].as_u64().unwrap(),
        line["upstream_us"].as_u64().unwrap(),
    );
    assert!(total > 0 && upstream > 0 && upstream <= total, "{line}");
}

#[test]
fn http2_requests_say_so() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    curl(&[
        "--http2-prior-knowledge",
        "-H",
        &format!("X-API-Key: {ALPHA}"),
        &gate.url("/two"),
    ]);
    let line = gate.access_line("/two");
    assert!(line["protocol"].as_str().unwrap().starts_with("HTTP/2"), "{line}");
    assert_eq!(line["response_bytes"], 5);
}

#[test]
fn refusals_say_their_code_and_reason() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for (path, headers, decision) in [
        ("/missing", String::new(), "credential_missing"),
        ("/invalid", presents(BETA), "credential_invalid"),
        (
            "/malformed",
            "Authorization: Nonsense\r\n".to_owned(),
            "credential_malformed",
        ),
    ] {
        let answer = exchange(gate.ingress(), get(path, &headers));
        let line = gate.access_line(path);
        assert_eq!(line["decision"], decision);
        assert_eq!(line["status"], 401);
        assert!(
            line["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
            "{line}"
        );
        assert_eq!(line["response_bytes"], answer.body.len(), "{line}");
    }
}

#[test]
fn what_looks_alike_to_the_caller_differs_in_the_log() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        records: key_file(&[
            key("key_off", ALPHA, "active = false"),
            key("key_old", GAMMA, "expires_at = 2020-01-01T00:00:00Z"),
        ]),
        more: "[errors.templates.credential_invalid]\nbody = '{\"key\":\"{key.id}{organization}\"}'\n".to_owned(),
        ..Setup::before(&upstream)
    });
    for (path, presented, reason, id) in [
        ("/off", ALPHA, "disabled", Some("key_off")),
        ("/old", GAMMA, "expired", Some("key_old")),
        ("/none", BETA, "unknown", None),
    ] {
        let answer = exchange(gate.ingress(), get(path, &presents(presented)));
        assert_eq!((answer.status(), answer.text().as_str()), (401, "{\"key\":\"\"}"));
        let line = gate.access_line(path);
        assert_eq!(
            (line["reason"].as_str(), line["key_id"].as_str()),
            (Some(reason), id),
            "{line}"
        );
        assert_eq!(line["organization"].is_string(), id.is_some(), "{line}");
    }
}

#[test]
fn there_is_exactly_one_line_per_request() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    for n in 0..20 {
        client.send(get(
            &format!("/{n}"),
            if n % 2 == 0 { "X-API-Key: none\r\n" } else { "" },
        ));
        client.answer();
    }
    wait_until("20 lines", || (gate.access().len() >= 20).then_some(()));
    gate.access_line("/19");
    assert_eq!(gate.access().len(), 20);
}

#[test]
fn a_client_that_goes_away_is_logged_too() {
    let upstream = Upstream::tcp(|it| it.wait_for_end());
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let request = client.request("GET", "/gone", &[("x-api-key", ALPHA)]);
        let (answer, stream) = client.start(request, true).await.unwrap();
        tokio::select! {
            _ = answer => panic!("there is no answer"),
            () = async { while upstream.requests().is_empty() { tokio::task::yield_now().await } } => drop(stream),
        }
        while gate.access().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    let line = gate.access_line("/gone");
    assert_eq!(line["key_id"], "key_alpha");
    assert_eq!(line["decision"], "client_gone");

    // And over HTTP/1.1, by a reset in the middle of a request.
    let mut client = Connection::open(gate.ingress());
    client.send(get("/gone-1", &presents(ALPHA)));
    upstream.wait_for_requests(2);
    socket2::SockRef::from(client.reader.get_ref())
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    assert_eq!(gate.access_line("/gone-1")["decision"], "client_gone");
}

#[test]
fn the_access_log_can_be_off() {
    let upstream = Upstream::hello();
    let mut gate = with_log(&upstream, "\"off\"");
    exchange(gate.ingress(), get("/", &presents(ALPHA)));
    exchange(gate.ingress(), get("/", ""));
    finish(&mut gate);
    assert_eq!(gate.access(), [Value::Null; 0]);
}

#[test]
fn the_access_log_can_hold_refusals_only() {
    let upstream = Upstream::hello();
    let mut gate = with_log(&upstream, "\"refused\"");
    exchange(gate.ingress(), get("/forwarded", &presents(ALPHA)));
    exchange(gate.ingress(), get("/refused", ""));
    finish(&mut gate);
    let paths: Vec<_> = gate.access().iter().map(|line| line["path"].clone()).collect();
    assert_eq!(paths, ["/refused"]);
}

#[test]
fn the_access_log_can_be_sampled_and_refusals_are_always_in_it() {
    for (share, low, high) in [("0.0", 0, 0), ("1.0", 200, 200), ("0.5", 40, 160)] {
        let upstream = Upstream::hello();
        let mut gate = with_log(&upstream, &format!("{{ sample = {share} }}"));
        let mut client = Connection::open(gate.ingress());
        for _ in 0..200 {
            client.send(get("/forwarded", &presents(ALPHA)));
            client.answer();
        }
        for _ in 0..5 {
            client.send(get("/refused", ""));
            client.answer();
        }
        drop(client);
        finish(&mut gate);
        let count = |path: &str| gate.access().iter().filter(|line| line["path"] == path).count();
        assert_eq!(count("/refused"), 5);
        assert!(
            (low..=high).contains(&count("/forwarded")),
            "{share}: {}",
            count("/forwarded")
        );
    }
}

#[test]
fn a_changed_access_log_takes_effect_at_reload() {
    let upstream = Upstream::hello();
    let mut gate = with_log(&upstream, "\"off\"");
    let on = Setup {
        more: "[timeouts]\ndrain_delay = \"0s\"\n[telemetry]\naccess_log = \"all\"\n".to_owned(),
        ..Setup::before(&upstream)
    };
    gate.home.write("config.toml", on.config());
    wait_until("the access log to be on", || {
        exchange(gate.ingress(), get("/", &presents(ALPHA)));
        (!gate.access().is_empty()).then_some(())
    });
    finish(&mut gate);
}

#[test]
fn the_log_can_be_text() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup {
        listen: format!("[\"unix:{}\"]", home.text("in.sock")),
        more: "[telemetry]\nlog_format = \"text\"\n".to_owned(),
        ..Setup::before(&upstream)
    };
    setup.write(&home);
    let gate = Gate::spawn(home, |_| ());
    let said = |text: &str| gate.log_lines().iter().any(|line| line.contains(text));
    wait_until("ready, in words", || said("ready").then_some(()));
    let socket = gate.home.text("in.sock");
    let answer = curl(&[
        "--unix-socket",
        &socket,
        "-H",
        &format!("X-API-Key: {ALPHA}"),
        "http://gate.test/in-words",
    ]);
    assert_eq!(answer.status, 200);
    wait_until("the line", || said("/in-words").then_some(()));
    assert_eq!(gate.log().len(), 0, "no JSON");
    assert!(!gate.log_lines().join("\n").contains('\x1b'), "no colours into a pipe");
}

#[test]
fn a_log_that_nobody_reads_delays_no_request_and_its_losses_are_counted() {
    let upstream = Upstream::hello();
    let home = Home::new();
    // stderr is a pipe that is never read: it fills after 64 KiB, then the queue of lines does.
    let setup = Setup {
        listen: format!("[\"unix:{}\"]", home.text("in.sock")),
        ..Setup::before(&upstream)
    };
    setup.write(&home);
    let admin = home.text("admin.sock");
    let config = setup.config().replace(
        "[admin]\nlisten = [\"127.0.0.1:0\"]",
        &format!("[admin]\nlisten = [\"unix:{admin}\"]"),
    );
    home.write("config.toml", config);
    let mut child = crate::harness::keygate()
        .args(["run", "--config"])
        .arg(home.path("config.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = wait_until("the admin socket", || {
        let answer = curl(&["--unix-socket", &admin, "http://admin/readyz"]);
        (answer.status == 200).then_some(answer.status)
    });
    assert_eq!(ready, 200);
    let stream = std::os::unix::net::UnixStream::connect(home.path("in.sock")).unwrap();
    stream.set_read_timeout(Some(crate::harness::BOUND)).unwrap();
    let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
    let mut dropped = 0.0;
    let requests = get("/", "").repeat(256);
    let mut sent = 0;
    while dropped == 0.0 && sent < 200_000 {
        std::io::Write::write_all(&mut &stream, requests.as_bytes()).unwrap();
        // All answers are of one length, so there is no need to parse each.
        let first = crate::harness::Response::read(&mut reader, false).unwrap().unwrap();
        let length = first.head.bytes.len() + first.body.len();
        let mut others = vec![0; 255 * length];
        reader.read_exact(&mut others).unwrap();
        assert!(others.chunks(length).all(|answer| answer.starts_with(b"HTTP/1.1 401 ")));
        sent += 256;
        if sent % 8192 == 0 {
            let metrics = curl(&["--unix-socket", &admin, "http://admin/metrics"]).text();
            dropped = metrics
                .lines()
                .find_map(|line| {
                    line.strip_prefix("keygate_log_lines_dropped_total ")?
                        .parse::<f64>()
                        .ok()
                })
                .unwrap();
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(dropped > 0.0, "the lines that were lost are counted");
}

#[test]
fn no_secret_is_in_any_output() {
    let seeds = [
        "seedAlpha0123456789", // a valid key
        "seedBeta00123456789", // an unknown one
        "seedGamma0123456789", // in a malformed header
        "seedDelta0123456789", // in the query
        "seedEpsilon12345678", // in a cookie
        "seedZeta00123456789", // as the Basic password
        "seedEta000123456789", // a disabled key
        "seedPepper0123456789seedPepper0123456789",
        "seedTheta0123456789", // an upstream's own header
        "seedIota00123456789", // in a body
        "seedKappa0123456789", // in a WebSocket protocol
    ];
    let [
        alpha,
        beta,
        gamma,
        delta,
        epsilon,
        zeta,
        eta,
        pepper,
        theta,
        iota,
        kappa,
    ] = seeds;
    let upstream = Upstream::hello();
    let home = Home::new();
    home.write("pepper.txt", pepper);
    let setup = Setup {
        keys: "peppers = [{ id = \"a\", file = \"pepper.txt\" }]".to_owned(),
        more: "[timeouts]\ndrain_delay = \"0s\"\n[telemetry]\nlog_level = \"trace\"\n\
               [[credentials]]\nheader = \"Authorization\"\nscheme = \"Bearer\"\n[[credentials]]\nheader = \"X-API-Key\"\n\
               [[credentials]]\nbasic = \"password\"\n[[credentials]]\nquery = \"api_key\"\n\
               [[credentials]]\ncookie = \"api_key\"\n[[credentials]]\nwebsocket_protocol = \"keygate.key.\"\n"
            .to_owned(),
        records: key_file(&[key("key_alpha", alpha, ""), key("key_eta", eta, "active = false")]),
        ..Setup::before(&upstream)
    };
    let mut gate = Gate::start_in(home, &setup);
    let requests = [
        get("/", &presents(alpha)),
        post(
            "/",
            &format!("{}Authorization: Bearer {alpha}\r\nX-Own: {theta}\r\n", presents(alpha)),
            iota,
        ),
        get("/", &presents(beta)),
        get("/", &presents(eta)),
        get("/", &format!("Authorization: {gamma}\r\n")),
        get("/", &format!("Authorization: Bearer {alpha}\r\n{}", presents(beta))),
        get(&format!("/q?a=1&api_key={delta}"), ""),
        get(&format!("/q?api_key={alpha}"), ""),
        get(&format!("/q?api_key=%73{}", &delta[1..]), ""),
        get("/", &format!("Cookie: a=b; api_key={epsilon}\r\n")),
        get(
            "/",
            &format!(
                "Authorization: Basic {}\r\n",
                BASE64_STANDARD.encode(format!("u:{zeta}"))
            ),
        ),
        get("/", &format!("Sec-WebSocket-Protocol: chat, keygate.key.{kappa}\r\n")),
        // Malformed in ways that could make a parser quote what it read.
        format!("GET / HTTP/1.1\r\nHost: gate.test\r\nX-API-Key: {gamma}\x01\r\n\r\n"),
        format!("GET /?api_key={delta}#x HTTP/1.1\r\nHost: gate.test\r\n\r\n"),
        format!("GET /..?api_key={delta} HTTP/1.1\r\nHost: gate.test\r\n\r\n"),
        format!(
            "GET / HTTP/1.1\r\nHost: gate.test\r\n{}X-Broken\r\n\r\n",
            presents(gamma)
        ),
        format!("GET / HTTP/1.1\r\nHost: gate.test\r\nX-API-Key: {gamma} {gamma}\r\n\r\n"),
    ];
    let mut outputs = String::new();
    for request in &requests {
        let answer = exchange(gate.ingress(), request);
        outputs.push_str(&answer.head.text());
        outputs.push_str(&answer.text());
    }
    // HTTP/2 too, whose library logs at these levels as well; and a WebSocket.
    for headers in [
        vec![("x-api-key", alpha), ("x-own", theta)],
        vec![("authorization", gamma)],
        vec![("x-api-key", beta)],
        vec![("cookie", epsilon)],
    ] {
        block_on(async {
            let mut client = H2Client::open(gate.ingress()).await;
            let target = format!("/?a=1&api_key={}", if headers[0].1 == alpha { alpha } else { delta });
            let request = client.request("POST", &target, &headers);
            let answer = client.exchange(request, iota.as_bytes(), None).await.unwrap();
            outputs.push_str(&format!("{:?}", answer.head));
            outputs.push_str(&String::from_utf8_lossy(&answer.body));
        });
    }
    // Frames that no client library would send: a path and values that do not parse.
    for (path, key) in [
        (format!("/ x?api_key={delta}"), alpha.to_owned()),
        (format!("/?api_key={delta}\u{1}"), alpha.to_owned()),
        (format!("no-slash?api_key={delta}"), alpha.to_owned()),
        ("/".to_owned(), format!("{gamma}\u{1}")),
        ("/".to_owned(), format!("{gamma}\r\nx: y")),
    ] {
        let mut client = Connection::open(gate.ingress());
        client.send(http2_request(&path, &key));
        client.finish();
        outputs.push_str(&String::from_utf8_lossy(&client.rest()));
    }
    // A broken key file with a secret in the broken line, and with a plaintext key that is not allowed.
    gate.home
        .write("keys.toml", format!("[[keys]]\nkey = \"{alpha}\"\nhash = \"{beta}\n"));
    gate.wait_for_log("the broken file", |line| line["level"] == "ERROR");
    let check = gate.home.keygate(&["check"]);
    outputs.push_str(&String::from_utf8_lossy(&check.stdout));
    outputs.push_str(&String::from_utf8_lossy(&check.stderr));
    outputs.push_str(&gate.metrics());
    let _ = gate.wait_for_log("all requests", |line| line["message"] == "request");
    gate.terminate();
    outputs.push_str(&gate.log_lines().join("\n"));
    outputs.push_str(&String::from_utf8_lossy(&gate.stdout()));

    let mut found = Vec::new();
    for seed in seeds {
        for spelling in [
            seed.to_owned(),
            BASE64_STANDARD.encode(seed),
            format!("%73{}", &seed[1..]),
        ] {
            if let Some(at) = outputs.find(&spelling) {
                let start = outputs[..at].rfind('\n').map_or(0, |n| n + 1);
                let end = outputs[at..].find('\n').map_or(outputs.len(), |n| at + n);
                found.push(outputs[start..end].to_owned());
            }
        }
    }
    assert_eq!(found, [""; 0], "secrets in output");
}

/// The bytes of an HTTP/2 connection with one request, whatever its path and key hold.
fn http2_request(path: &str, key: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // GET and http by their numbers, then literals without indexing (RFC 7541 section 6.2.2).
    let mut fields = vec![0x82, 0x86, 0x04];
    fields.extend(text(path));
    fields.push(0x01);
    fields.extend(text("gate.test"));
    fields.push(0x00);
    fields.extend(text("x-api-key"));
    fields.extend(text(key));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // HEADERS, END_STREAM and END_HEADERS, stream 1.
    bytes.extend([0, 0, u8::try_from(fields.len()).unwrap(), 0x01, 0x05, 0, 0, 0, 1]);
    bytes.extend(fields);
    bytes
}

#[test]
fn stdout_stays_empty() {
    let upstream = Upstream::hello();
    let mut gate = with_log(&upstream, "\"all\"");
    exchange(gate.ingress(), get("/", &presents(ALPHA)));
    finish(&mut gate);
    assert_eq!(gate.stdout(), b"");
}

/// Ends the gate at once and in order, so that everything that it had to write is written.
fn finish(gate: &mut Gate) {
    gate.signal("TERM");
    gate.wait_for_end();
    gate.wait_for_log("the end", |line| line["message"] == "ended");
}
