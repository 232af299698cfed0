//! What Keygate does not judge: passed on as it came, with the upstream told so.

use crate::harness::{
    ALPHA, Gate, Home, Setup, SigningKey, Upstream, WebSocketClient, block_on, exchange, get, key_set, presents,
    websocket_server,
};
use crate::users::{ROUTES, bearer, claims, refused, said};

const BEARER: &str = "[[credentials]]\nheader = \"Authorization\"\nscheme = \"Bearer\"\nprefix = \"kg_\"\n\
                      [[credentials]]\nheader = \"X-API-Key\"\n";
const VERIFIED: &str = "issuer = \"https://id.example\"\naudience = \"gateway\"\njwks = { file = \"jwks.json\" }\n";
const DELEGATE: &str = "[[user_tokens.delegate]]\ncookie = \"session\"\n[[user_tokens.delegate]]\nbearer = true\n";

fn gate(upstream: &Upstream, key: &SigningKey, section: &str) -> Gate {
    let home = Home::new();
    home.write("jwks.json", key_set(&[key]));
    Gate::start_in(
        home,
        &Setup {
            more: format!("{BEARER}{ROUTES}[user_tokens]\n{section}{DELEGATE}"),
            ..Setup::before(upstream)
        },
    )
}

#[test]
fn a_cookie_and_a_bearer_go_on_untouched() {
    let upstream = Upstream::hello();
    let gate = gate(&upstream, &SigningKey::ed("k1"), "");
    for (path, lines) in [
        ("/user/a", "Cookie: a=1; session=s3cr3t-session; b=2\r\n".to_owned()),
        ("/both/b", "Cookie: session=s3cr3t-session\r\n".to_owned()),
        ("/both/c", bearer("s3cr3t-opaque")),
        ("/user/d", bearer("s3cr3t.with.dots")),
    ] {
        let spoofed = "X-Auth-User: admin\r\nX-Auth-Status: user\r\n";
        let answer = exchange(gate.ingress(), get(path, &format!("{lines}{spoofed}")));
        assert_eq!(answer.status(), 200, "{path}");
        let request = upstream.last_request();
        let (name, value) = lines.trim().split_once(": ").unwrap();
        assert_eq!(request.header(name).as_deref(), Some(value), "{path}");
        let names = request.head.names();
        let identity: Vec<_> = names.iter().filter(|name| name.starts_with("x-auth")).collect();
        assert_eq!(identity, ["x-auth-status"], "{path}");
        assert_eq!(request.header("x-auth-status").as_deref(), Some("delegated"), "{path}");
    }
    assert_eq!(gate.metric(&["keygate_passages_total", "delegated"]), 4.0);
    assert!(!gate.log_lines().join("\n").contains("s3cr3t"));
}

#[test]
fn only_where_users_are_let_in() {
    let upstream = Upstream::hello();
    let gate = gate(&upstream, &SigningKey::ed("k1"), "");
    let session = "Cookie: session=abc\r\n";
    let answer = exchange(gate.ingress(), get("/key/a", session));
    assert_eq!(said(&answer), refused(401, "credential_missing"));
    let answer = exchange(gate.ingress(), get("/key/b", &bearer("opaque")));
    assert_eq!(said(&answer), refused(401, "credential_malformed"));
    for other in [
        "Cookie: session=\r\n",
        "Cookie: sessions=abc\r\n",
        "Cookie: other=abc\r\n",
    ] {
        let answer = exchange(gate.ingress(), get("/user/a", other));
        assert_eq!(said(&answer), refused(401, "credential_missing"), "{other}");
    }
}

#[test]
fn a_request_with_a_key_is_the_keys() {
    let upstream = Upstream::hello();
    let gate = gate(&upstream, &SigningKey::ed("k1"), "");
    let session = "Cookie: session=abc\r\n";
    for key in [bearer(ALPHA), presents(ALPHA)] {
        let answer = exchange(gate.ingress(), get("/both/a", &format!("{session}{key}")));
        assert_eq!(answer.status(), 200);
        let request = upstream.last_request();
        assert_eq!(request.header("x-auth-status").as_deref(), Some("key"));
        assert_eq!(request.header("cookie").as_deref(), Some("session=abc"));
        assert_eq!(request.header("authorization"), None);
    }
    let before = upstream.requests().len();
    for bad in [
        bearer("kg_unknown0123456789"),
        "X-API-Key: kg_unknown0123456789\r\n".to_owned(),
    ] {
        let answer = exchange(gate.ingress(), get("/both/a", &format!("{session}{bad}")));
        assert_eq!(said(&answer), refused(401, "credential_invalid"), "{bad}");
    }
    let answer = exchange(gate.ingress(), get("/user/a", &format!("{session}{}", presents(ALPHA))));
    assert_eq!(said(&answer), refused(401, "credential_invalid"));
    assert_eq!(upstream.requests().len(), before);
}

#[test]
fn what_looks_like_a_token_must_verify() {
    let upstream = Upstream::hello();
    let (key, stranger) = (SigningKey::ed("k1"), SigningKey::ed("k1"));
    let gate = gate(&upstream, &key, VERIFIED);
    let session = "Cookie: session=abc\r\n";
    let token = key.token(&claims("user-1"));
    let answer = exchange(gate.ingress(), get("/both/a", &format!("{session}{}", bearer(&token))));
    assert_eq!(answer.status(), 200);
    let request = upstream.last_request();
    assert_eq!(
        request.header("x-auth-user").as_deref(),
        Some("user-1"),
        "the verified one wins"
    );
    assert_eq!(request.header("cookie").as_deref(), Some("session=abc"));

    let before = upstream.requests().len();
    for bad in [
        stranger.token(&claims("user-1")),
        format!("{token}x"),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ] {
        for path in ["/user/a", "/both/a"] {
            let answer = exchange(gate.ingress(), get(path, &format!("{session}{}", bearer(&bad))));
            assert_eq!(said(&answer), refused(401, "credential_invalid"), "{path} {bad}");
        }
    }
    assert_eq!(upstream.requests().len(), before);
    let answer = exchange(gate.ingress(), get("/both/a", &bearer("opaque")));
    assert_eq!(
        answer.status(),
        200,
        "an opaque bearer is still the upstream's to judge"
    );
}

#[test]
fn a_websocket_opens_with_a_ticket_in_its_query() {
    let upstream = Upstream::tcp(websocket_server);
    let ticket = "[[user_tokens.delegate]]\nquery = \"ticket\"\n";
    let gate = gate(&upstream, &SigningKey::ed("k1"), &format!("{VERIFIED}{ticket}"));
    block_on(async {
        let target = "/user/events?room=1&ticket=s3cr3t%2Fticket";
        let mut client = WebSocketClient::open(gate.ingress(), target, &[]).await.unwrap();
        client.send("one").await;
        assert_eq!(client.text().await, "one");
        client.close().await;
        for other in ["/user/events?ticket=", "/user/events?Ticket=a", "/key/events?ticket=a"] {
            let refused = WebSocketClient::open(gate.ingress(), other, &[]).await.err().unwrap();
            assert_eq!(refused.status(), 401, "{other}");
        }
    });
    let request = upstream.only_request();
    assert_eq!(request.target(), "/user/events?room=1&ticket=s3cr3t%2Fticket");
    assert_eq!(request.header("x-auth-status").as_deref(), Some("delegated"));
    assert!(!gate.log_lines().join("\n").contains("s3cr3t"));
}

#[test]
fn a_list_of_bearers_is_nobodys_to_judge() {
    let upstream = Upstream::hello();
    let gate = gate(&upstream, &SigningKey::ed("k1"), "");
    for path in ["/user/a", "/both/a"] {
        for joined in [
            format!("opaque, Bearer {ALPHA}"),
            format!("opaque,{ALPHA}"),
            format!("opaque {ALPHA}"),
        ] {
            let answer = exchange(gate.ingress(), get(path, &bearer(&joined)));
            assert_eq!(said(&answer), refused(401, "credential_invalid"), "{path} {joined}");
        }
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_websocket_opens_with_a_delegated_cookie() {
    let upstream = Upstream::tcp(websocket_server);
    let gate = gate(&upstream, &SigningKey::ed("k1"), "");
    block_on(async {
        let cookie = [("cookie", "session=abc")];
        let mut client = WebSocketClient::open(gate.ingress(), "/both/events", &cookie)
            .await
            .unwrap();
        client.send("one").await;
        assert_eq!(client.text().await, "one");
        client.close().await;
        let refused = WebSocketClient::open(gate.ingress(), "/both/events", &[])
            .await
            .err()
            .unwrap();
        assert_eq!(refused.status(), 401);
    });
    let request = upstream.only_request();
    assert_eq!(request.header("cookie").as_deref(), Some("session=abc"));
    assert_eq!(request.header("x-auth-status").as_deref(), Some("delegated"));
}
