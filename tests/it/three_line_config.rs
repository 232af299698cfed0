//! The smallest useful configuration, and a key made by `keygate keys new`, serve traffic to any HTTP service.

use std::net::TcpListener;

use crate::harness::{Gate, Home, Upstream, curl, exchange, get, presents, wait_until};

const CONFIG: &str = r#"
[ingress]
listen = ["0.0.0.0:8080"]

[upstreams.default]
url = "http://127.0.0.1:3000"

[keys]
file = "keys.toml"          # or *.jsonl, or a directory of both
"#;

#[test]
fn the_three_line_configuration_and_a_new_key_serve_traffic() {
    let upstream = Upstream::hello();
    let home = Home::new();
    // Only the two ports are other ones here, since those may be taken on this machine.
    let config = CONFIG
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("127.0.0.1:3000", &upstream.address().to_string());
    home.write("config.toml", config);
    let mut new = vec!["keys", "new", "--name", "backend", "--organization", "acme"];
    new.extend(["--permission", "read", "--permission", "send"]);
    let made = home.keygate(&new);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let secret = String::from_utf8(made.stdout).unwrap();
    let secret = secret.strip_suffix('\n').expect("one line on stdout");
    assert!(!secret.contains(char::is_whitespace) && secret.len() >= 32);
    let keys = std::fs::read_to_string(home.path("keys.toml")).unwrap();
    assert!(!keys.contains(secret), "only its hash is kept");

    // The default admin listener's port has to be free for a moment.
    wait_until("port 9901", || TcpListener::bind("127.0.0.1:9901").ok().map(drop));
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    assert_eq!(gate.listeners("admin"), ["127.0.0.1:9901"], "on loopback");

    for credential in [
        format!("Authorization: Bearer {secret}"),
        format!("X-API-Key: {secret}"),
    ] {
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let answer = curl(&[version, "-H", &credential, "-d", "x", &gate.url("/any/path?x=1")]);
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{credential}");
            let request = upstream.last_request();
            assert_eq!(request.head.start_line(), "POST /any/path?x=1 HTTP/1.1");
            assert_eq!(request.header("x-auth-key-name").as_deref(), Some("backend"));
            assert_eq!(request.header("x-auth-organization").as_deref(), Some("acme"));
            assert_eq!(request.header("x-auth-permissions").as_deref(), Some("read send"));
            assert!(!request.head.text().contains(secret));
        }
    }
    let seen = upstream.requests().len();
    assert_eq!(exchange(gate.ingress(), get("/any", "")).code(), "credential_missing");
    assert_eq!(
        exchange(gate.ingress(), get("/any", &presents("kg_nobody"))).code(),
        "credential_invalid"
    );
    assert_eq!(upstream.requests().len(), seen, "every path needs a valid key");

    // A key made while it runs is admitted without a restart.
    let made = gate
        .home
        .keygate(&["keys", "new", "--name", "second", "--organization", "acme"]);
    let second = String::from_utf8(made.stdout).unwrap();
    wait_until("the second key", || {
        (exchange(gate.ingress(), get("/", &presents(second.trim()))).status() == 200).then_some(())
    });
}
