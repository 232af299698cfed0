//! TLS on the ingress: ALPN, versions, reloaded certificates, client certificates, and `require_tls`.

use crate::harness::{
    ALPHA, Answer, Authority, Connection, Gate, Home, Setup, Upstream, curl, exchange, get, presents, wait_until,
};

const TLS: &str = "[ingress.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n";

/// A home with a fresh authority's certificate for `localhost`.
fn home() -> (Home, Authority) {
    let home = Home::new();
    let authority = Authority::new();
    let (certificate, key) = authority.server("first");
    home.write("tls.crt", certificate);
    home.write("tls.key", key);
    home.write("ca.crt", authority.pem());
    (home, authority)
}

fn start(home: Home, upstream: &Upstream, more: &str) -> Gate {
    let setup = Setup {
        more: format!("{TLS}{more}"),
        ..Setup::before(upstream)
    };
    Gate::start_in(home, &setup)
}

/// curl over TLS with a key, and with these extra arguments.
fn https(gate: &Gate, extra: &[&str]) -> Answer {
    let key = format!("X-API-Key: {ALPHA}");
    let mut arguments = vec!["-H", &key];
    arguments.extend(extra);
    https_without_key(gate, &arguments)
}

fn https_without_key(gate: &Gate, extra: &[&str]) -> Answer {
    let (ca, port) = (gate.home.text("ca.crt"), gate.ingress().port());
    let (url, resolve) = (
        format!("https://localhost:{port}/"),
        format!("localhost:{port}:127.0.0.1"),
    );
    let mut arguments = vec!["--cacert", &ca, "--resolve", &resolve];
    arguments.extend(extra);
    arguments.push(&url);
    curl(&arguments)
}

#[test]
fn http2_and_http1_are_agreed_on_by_alpn_on_the_same_port() {
    let upstream = Upstream::hello();
    let (home, _authority) = home();
    let gate = start(home, &upstream, "");
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let answer = https(&gate, &[option]);
        assert_eq!(
            (answer.status, answer.version.as_str()),
            (200, version),
            "{}",
            answer.complaints
        );
        let request = upstream.last_request();
        assert_eq!(request.header("x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(request.header("x-auth-key-id").as_deref(), Some("key_alpha"));
    }
}

#[test]
fn tls_1_2_is_the_oldest_version() {
    let upstream = Upstream::hello();
    let (home, _authority) = home();
    let gate = start(home, &upstream, "");
    for (options, accepted) in [
        (["--tlsv1.3", "--tls-max", "1.3"], true),
        (["--tlsv1.2", "--tls-max", "1.2"], true),
        (["--tlsv1.1", "--tls-max", "1.1"], false),
        (["--tlsv1.0", "--tls-max", "1.0"], false),
    ] {
        // A lower security level lets curl offer the old versions at all.
        let mut arguments = vec!["--ciphers", "DEFAULT@SECLEVEL=0"];
        arguments.extend(options);
        let answer = https(&gate, &arguments);
        assert_eq!(answer.status == 200, accepted, "{options:?}: {}", answer.complaints);
    }
}

#[test]
fn cleartext_on_a_tls_listener_is_not_served() {
    let upstream = Upstream::hello();
    let (home, _authority) = home();
    let gate = start(home, &upstream, "");
    let mut client = Connection::open(gate.ingress());
    client.try_send(get("/", &presents(ALPHA)));
    assert!(client.try_answer().is_none_or(|answer| answer.status() != 200));
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_handshake_that_does_not_come_is_given_up() {
    let upstream = Upstream::hello();
    let (home, _authority) = home();
    let gate = start(home, &upstream, "[timeouts]\ntls_handshake = \"300ms\"\n");
    let mut client = Connection::open(gate.ingress());
    client.send([0x16, 0x03, 0x01]); // the first bytes of a handshake record
    client.rest();
}

#[test]
fn a_changed_certificate_is_served_without_a_restart() {
    let upstream = Upstream::hello();
    let (home, authority) = home();
    let gate = start(home, &upstream, "");
    assert_eq!(https(&gate, &[]).status, 200);

    let (certificate, key) = authority.server("second");
    gate.home.replace("tls.crt", certificate);
    gate.home.replace("tls.key", key);
    wait_until("the second certificate", || {
        let answer = https(&gate, &["--verbose"]);
        (answer.status == 200 && answer.complaints.contains("CN=second")).then_some(())
    });

    // One of another authority's: those who trust only the first no longer connect.
    let other = Authority::new();
    let (certificate, key) = other.server("third");
    gate.home.replace("tls.crt", certificate);
    gate.home.replace("tls.key", key);
    wait_until("the third certificate", || {
        (https(&gate, &[]).status == 0).then_some(())
    });
    gate.home.replace("ca.crt", other.pem());
    assert_eq!(https(&gate, &[]).status, 200);
}

#[test]
fn a_certificate_that_does_not_match_its_key_changes_nothing_and_is_logged() {
    let upstream = Upstream::hello();
    let (home, authority) = home();
    let gate = start(home, &upstream, "");
    gate.home.replace("tls.crt", authority.server("alone").0);
    gate.wait_for_log("the refusal", |line| line["level"] == "ERROR");
    assert_eq!(https(&gate, &[]).status, 200, "the last good pair stays");
}

#[test]
fn client_certificates_can_be_required() {
    let upstream = Upstream::hello();
    let (home, authority) = home();
    let clients = Authority::new();
    home.write("clients.crt", clients.pem());
    let (certificate, key) = clients.client("a client");
    home.write("client.crt", certificate);
    home.write("client.key", key);
    let (certificate, key) = authority.client("a stranger");
    home.write("stranger.crt", certificate);
    home.write("stranger.key", key);
    let gate = start(
        home,
        &upstream,
        "client_ca = \"clients.crt\"\nclient_certificates = \"required\"\n",
    );
    let with = |name: &str| {
        let (certificate, key) = (
            gate.home.text(&format!("{name}.crt")),
            gate.home.text(&format!("{name}.key")),
        );
        https(&gate, &["--cert", &certificate, "--key", &key])
    };
    assert_eq!(with("client").status, 200);
    assert_eq!(https(&gate, &[]).status, 0, "none shown");
    assert_eq!(with("stranger").status, 0, "of another authority");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn client_certificates_can_be_optional() {
    let upstream = Upstream::hello();
    let (home, _authority) = home();
    let clients = Authority::new();
    home.write("clients.crt", clients.pem());
    let gate = start(
        home,
        &upstream,
        "client_ca = \"clients.crt\"\nclient_certificates = \"optional\"\n",
    );
    assert_eq!(https(&gate, &[]).status, 200);
}

#[test]
fn a_client_certificate_replaces_no_key() {
    let upstream = Upstream::hello();
    let (home, _authority) = home();
    let clients = Authority::new();
    let (certificate, key) = clients.client("a client");
    home.write("clients.crt", clients.pem());
    home.write("client.crt", certificate);
    home.write("client.key", key);
    let gate = start(
        home,
        &upstream,
        "client_ca = \"clients.crt\"\nclient_certificates = \"required\"\n",
    );
    let (certificate, key) = (gate.home.text("client.crt"), gate.home.text("client.key"));
    let answer = https_without_key(&gate, &["--cert", &certificate, "--key", &key]);
    assert_eq!((answer.status, answer.code().as_str()), (401, "credential_missing"));
}

#[test]
fn cleartext_is_refused_where_tls_is_required_unless_a_trusted_proxy_terminated_it() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "require_tls = true\ntrusted_proxies = [\"127.0.0.1\"]".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    assert_eq!((answer.status(), answer.code().as_str()), (403, "tls_required"));
    let http = format!(
        "{}X-Forwarded-Proto: http\r\nX-Forwarded-For: 203.0.113.1\r\n",
        presents(ALPHA)
    );
    assert_eq!(exchange(gate.ingress(), get("/", &http)).status(), 403);
    let https = format!(
        "{}X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.1\r\n",
        presents(ALPHA)
    );
    assert_eq!(exchange(gate.ingress(), get("/", &https)).status(), 200);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn an_untrusted_client_cannot_claim_that_tls_was_terminated() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "require_tls = true\ntrusted_proxies = [\"203.0.113.0/24\"]".to_owned(),
        ..Setup::before(&upstream)
    });
    let claimed = format!(
        "{}X-Forwarded-Proto: https\r\nForwarded: proto=https\r\n",
        presents(ALPHA)
    );
    let answer = exchange(gate.ingress(), get("/", &claimed));
    assert_eq!((answer.status(), answer.code().as_str()), (403, "tls_required"));
}

#[test]
fn callers_on_the_local_host_may_be_excepted_from_tls() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "require_tls = \"except-loopback\"\ntrusted_proxies = [\"127.0.0.1\"]".to_owned(),
        ..Setup::before(&upstream)
    });
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    let far = format!(
        "{}X-Forwarded-Proto: http\r\nX-Forwarded-For: 203.0.113.1\r\n",
        presents(ALPHA)
    );
    let answer = exchange(gate.ingress(), get("/", &far));
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (403, "tls_required"),
        "a proxy's client is not local"
    );
}

#[test]
fn an_https_upstream_is_verified() {
    // The upstream is a second gate with TLS, in front of the real one.
    let service = Upstream::hello();
    let (home, authority) = home();
    let inner = start(home, &service, "[[credentials]]\nheader = \"X-Inner-Key\"\n");
    let port = inner.ingress().port();
    let outer = |ca: String| {
        let home = Home::new();
        home.write("ca.crt", ca);
        let setup = Setup {
            more: "[upstreams.default.tls]\nca = \"ca.crt\"\n".to_owned(),
            ..Setup::url(&format!("https://localhost:{port}"))
        };
        Gate::start_in(home, &setup)
    };
    let both = format!("{}X-Inner-Key: {ALPHA}\r\n", presents(ALPHA));
    let gate = outer(authority.pem());
    let answer = exchange(gate.ingress(), get("/", &both));
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    let gate = outer(Authority::new().pem());
    let answer = exchange(gate.ingress(), get("/", &both));
    assert_eq!((answer.status(), answer.code().as_str()), (502, "upstream_unreachable"));
    assert_eq!(service.requests().len(), 1);
}
