//! Listeners: several addresses, TCP and Unix sockets.

use std::net::TcpListener;

use crate::harness::{ALPHA, Connection, Gate, Home, Setup, Upstream, curl, exchange, get, presents, wait_until};

#[test]
fn it_listens_on_several_addresses_and_a_unix_socket_at_once() {
    let upstream = Upstream::hello();
    let setup = Setup {
        listen: "[\"127.0.0.1:0\", \"127.0.0.2:0\", \"unix:in.sock\"]".to_owned(),
        ..Setup::before(&upstream)
    };
    let gate = Gate::start(&setup);
    let listeners = gate.listeners("ingress");
    assert_eq!(listeners.len(), 3, "{listeners:?}");
    for address in &listeners[..2] {
        assert_eq!(
            exchange(address.parse().unwrap(), get("/", &presents(ALPHA))).status(),
            200,
            "{address}"
        );
    }
    assert_ne!(listeners[0].split(':').next(), listeners[1].split(':').next());
    let socket = listeners[2].strip_prefix("unix:").unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let key = format!("X-API-Key: {ALPHA}");
        let answer = curl(&[
            version,
            "--unix-socket",
            socket,
            "-H",
            &key,
            "http://gate.test/over-unix",
        ]);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "hello"),
            "{}",
            answer.complaints
        );
    }
    let request = upstream.last_request();
    assert_eq!(request.header("host").as_deref(), Some("gate.test"));
    assert_eq!(request.header("x-auth-key-id").as_deref(), Some("key_alpha"));
}

#[test]
fn http1_and_http2_share_a_cleartext_port() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for (option, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let answer = curl(&[option, "-H", &format!("X-API-Key: {ALPHA}"), &gate.url("/")]);
        assert_eq!((answer.status, answer.version.as_str()), (200, version));
    }
    // RFC 9113 section 3.1: the Upgrade to h2c is gone; who asks for it is served over HTTP/1.1.
    let answer = curl(&["--http2", "-H", &format!("X-API-Key: {ALPHA}"), &gate.url("/")]);
    assert_eq!((answer.status, answer.version.as_str()), (200, "1.1"));
}

#[test]
fn the_http2_preface_may_come_in_pieces() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for byte in preface {
        client.send([*byte]);
    }
    // The server's own SETTINGS frame: type 4, stream 0.
    let frame = client.bytes(9);
    assert_eq!((frame[3], &frame[5..9]), (4, [0; 4].as_slice()));
}

#[test]
fn the_streams_of_one_connection_are_limited() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[limits]\nstreams_per_connection = 7\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut client = Connection::open(gate.ingress());
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let head = client.bytes(9);
    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
    // SETTINGS are pairs of two and four bytes; 3 is MAX_CONCURRENT_STREAMS (RFC 9113 section 6.5.2).
    let settings = client.bytes(length);
    let most = settings
        .chunks(6)
        .find(|setting| setting[..2] == [0, 3])
        .expect("a limit");
    assert_eq!(most[2..], [0, 0, 0, 7]);
}

#[test]
fn an_ipv6_listener_serves_where_the_system_has_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        listen: "[\"[::1]:0\"]".to_owned(),
        ..Setup::before(&upstream)
    });
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    assert_eq!(
        upstream.only_request().header("x-forwarded-for").as_deref(),
        Some("::1")
    );
}

#[test]
fn a_trusted_peer_on_a_unix_socket_may_speak_for_its_clients() {
    let upstream = Upstream::hello();
    let setup = |trusted: &str| Setup {
        listen: "[\"unix:in.sock\"]".to_owned(),
        ingress: format!("trusted_proxies = [{trusted}]"),
        ..Setup::before(&upstream)
    };
    for (trusted, expected) in [("\"unix\"", Some("203.0.113.9")), ("", None)] {
        let gate = Gate::start(&setup(trusted));
        let socket = gate.home.text("in.sock");
        let key = format!("X-API-Key: {ALPHA}");
        let answer = curl(&[
            "--unix-socket",
            &socket,
            "-H",
            &key,
            "-H",
            "X-Forwarded-For: 203.0.113.9",
            "http://gate.test/",
        ]);
        assert_eq!(answer.status, 200);
        let seen = upstream.last_request().header("x-forwarded-for");
        assert_eq!(
            seen.as_deref().is_some_and(|seen| seen.contains("203.0.113.9")),
            expected.is_some(),
            "{seen:?}"
        );
    }
}

#[test]
fn a_taken_address_ends_the_start_with_its_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let setup = Setup {
        listen: format!("[\"{address}\"]"),
        ..Setup::url("http://127.0.0.1:3000")
    };
    setup.write(&home);
    let output = home.keygate(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&address));
}

#[test]
fn a_dead_socket_file_is_replaced_and_removed_at_the_end_but_a_living_one_is_not() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup {
        listen: "[\"unix:in.sock\"]".to_owned(),
        more: "[timeouts]\ndrain_delay = \"0s\"\n".to_owned(),
        ..Setup::before(&upstream)
    };
    // What a killed process leaves behind.
    drop(std::os::unix::net::UnixListener::bind(home.path("in.sock")).unwrap());
    let mut gate = Gate::start_in(home, &setup);
    let second = gate.home.keygate(&["run"]);
    assert_eq!(second.status.code(), Some(1), "the first one is alive");
    let socket = gate.home.text("in.sock");
    let key = format!("X-API-Key: {ALPHA}");
    assert_eq!(
        curl(&["--unix-socket", &socket, "-H", &key, "http://gate.test/"]).status,
        200
    );
    assert_eq!(gate.terminate().code(), Some(0));
    assert!(!gate.home.path("in.sock").exists());
}

#[test]
fn many_connections_over_several_workers_are_all_served() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "workers = 3".to_owned(),
        ..Setup::before(&upstream)
    });
    let mut clients: Vec<_> = (0..200).map(|_| Connection::open(gate.ingress())).collect();
    for _ in 0..2 {
        for client in &mut clients {
            client.send(get("/", &presents(ALPHA)));
        }
        for client in &mut clients {
            assert_eq!(client.answer().status(), 200);
        }
    }
    wait_until("all connections in the gauge", || {
        (gate.metric(&["keygate_client_connections "]) == 200.0).then_some(())
    });
    drop(clients);
    wait_until("none in the gauge", || {
        (gate.metric(&["keygate_client_connections "]) == 0.0).then_some(())
    });
}
