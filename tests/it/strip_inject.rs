//! What the upstream sees: credentials, reserved names and hop-by-hop headers stripped, identity injected.

use crate::harness::{
    ALPHA, Connection, Gate, H2Client, Recorded, Setup, Upstream, WebSocketClient, block_on, curl, exchange, get, key,
    key_file, post, presents, websocket_server,
};

/// Every way in which a client may try to say who it is.
const FORGED: [(&str, &str); 14] = [
    ("X-Auth-Key-Id", "forged"),
    ("x-auth-key-name", "forged"),
    ("X-AUTH-ORGANIZATION", "forged"),
    ("X-Auth-Permissions", "forged"),
    ("X-Auth-Environment", "forged"),
    ("X-Auth-Subscriptions", "forged"),
    ("X-Auth-Plan", "forged"),
    ("X-Auth-Status", "forged"),
    ("X-Auth-Signature", "forged"),
    ("X_Auth_Key_Id", "forged"),
    ("x-auth_organization", "forged"),
    ("X_AUTH-Permissions", "forged"),
    ("X-Admin-Key", "forged"),
    ("X_Admin_Key", "forged"),
];

/// What has to be there, whatever else is.
#[track_caller]
fn assert_identity(request: &Recorded) {
    let head = request.head.text();
    assert!(!head.contains("forged"), "{head}");
    assert!(!head.contains(ALPHA), "{head}");
    for (name, value) in [
        ("x-auth-key-id", "key_alpha"),
        ("x-auth-key-name", "key_alpha-name"),
        ("x-auth-organization", "acme"),
        ("x-auth-permissions", "read send"),
        ("x-auth-status", "key"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(request.header(name).as_deref(), Some(value), "{name} in {head}");
    }
    assert!(request.header("x-forwarded-host").is_some(), "{head}");
    assert!(
        request.header("x-request-id").is_some_and(|id| !id.is_empty()),
        "{head}"
    );
    assert!(
        is_traceparent(&request.header("traceparent").unwrap_or_default()),
        "{head}"
    );
}

/// The names of a head without those that Keygate injects.
fn own_names(request: &Recorded) -> Vec<String> {
    request
        .head
        .names()
        .into_iter()
        .filter(|name| {
            !name.starts_with("x-auth-")
                && !name.starts_with("x-forwarded-")
                && name != "x-request-id"
                && name != "traceparent"
        })
        .collect()
}

fn is_traceparent(value: &str) -> bool {
    let parts: Vec<_> = value.split('-').collect();
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == 4 && hex(parts[0], 2) && hex(parts[1], 32) && hex(parts[2], 16) && hex(parts[3], 2)
}

fn forged_lines() -> String {
    FORGED
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

#[test]
fn strip_and_inject_on_http1_without_a_body() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(
        gate.ingress(),
        get(
            "/v1/a?b=c",
            &format!(
                "{}{}Accept: */*\r\nX-Own: kept\r\nX-Own: twice\r\n",
                presents(ALPHA),
                forged_lines()
            ),
        ),
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.head.start_line(), "GET /v1/a?b=c HTTP/1.1");
    assert_identity(&request);
    assert_eq!(request.header("host").as_deref(), Some("gate.test"));
    assert_eq!(request.header("x-forwarded-host").as_deref(), Some("gate.test"));
    assert_eq!(request.head.all("x-own"), ["kept", "twice"]);
    assert_eq!(own_names(&request), ["accept", "host", "x-own", "x-own"]);
}

#[test]
fn strip_and_inject_on_http1_with_a_body() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(
        gate.ingress(),
        post("/v1/a", &format!("{}{}", presents(ALPHA), forged_lines()), "the body"),
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_identity(&request);
    assert_eq!(request.body, b"the body");
    assert_eq!(request.header("content-length").as_deref(), Some("8"));
    assert_eq!(own_names(&request), ["content-length", "host"]);
}

#[test]
fn strip_and_inject_on_http1_with_a_chunked_body() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut client = Connection::open(gate.ingress());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: gate.test\r\nTransfer-Encoding: chunked\r\n{}{}\r\n3\r\nthe\r\n5\r\n body\r\n0\r\n\r\n",
        presents(ALPHA),
        forged_lines()
    ));
    assert_eq!(client.answer().status(), 200);
    let request = upstream.only_request();
    assert_identity(&request);
    assert_eq!(request.body, b"the body");
    assert_eq!(own_names(&request), ["host", "transfer-encoding"]);
}

#[test]
fn strip_and_inject_on_http2() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        for body in ["", "the body"] {
            let mut headers = vec![("x-api-key", ALPHA), ("x-own", "kept")];
            let lower: Vec<_> = FORGED
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), *value))
                .collect();
            headers.extend(lower.iter().map(|(name, value)| (name.as_str(), *value)));
            let request = client.request("POST", "/v1/a?b=c", &headers);
            let answer = client.exchange(request, body.as_bytes(), None).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.body, b"hello");
            let request = upstream.last_request();
            assert_eq!(request.head.start_line(), "POST /v1/a?b=c HTTP/1.1");
            assert_identity(&request);
            assert_eq!(request.header("host"), Some(gate.ingress().to_string()));
            assert_eq!(request.header("x-own").as_deref(), Some("kept"));
            assert_eq!(request.body, body.as_bytes());
        }
    });
}

#[test]
fn cookies_split_over_http2_fields_are_one_header_for_the_upstream() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        let mut request = client.request("GET", "/", &[("x-api-key", ALPHA)]);
        for cookie in ["a=1", "b=2"] {
            request.headers_mut().append("cookie", cookie.parse().unwrap());
        }
        assert_eq!(client.exchange(request, b"", None).await.unwrap().status(), 200);
    });
    assert_eq!(upstream.only_request().head.all("cookie"), ["a=1; b=2"]);
}

#[test]
fn strip_and_inject_on_a_websocket_upgrade() {
    let upstream = Upstream::tcp(websocket_server);
    let gate = Gate::start(&Setup::before(&upstream));
    block_on(async {
        let mut headers = vec![("x-api-key", ALPHA), ("x-own", "kept")];
        headers.extend(FORGED);
        let mut client = WebSocketClient::open(gate.ingress(), "/events?x=1", &headers)
            .await
            .unwrap();
        client.send("one").await;
        assert_eq!(client.text().await, "one");
    });
    let request = upstream.only_request();
    assert_eq!(request.head.start_line(), "GET /events?x=1 HTTP/1.1");
    assert_identity(&request);
    assert_eq!(
        own_names(&request),
        [
            "connection",
            "host",
            "sec-websocket-key",
            "sec-websocket-version",
            "upgrade",
            "x-own"
        ]
    );
    assert_eq!(request.header("upgrade").as_deref(), Some("websocket"));
    assert!(request.header("connection").unwrap().eq_ignore_ascii_case("upgrade"));
}

#[test]
fn a_header_that_only_looks_like_a_credential_stays() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[[credentials]]\nheader = \"ConnXio-Api-Key\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = exchange(
        gate.ingress(),
        get(
            "/",
            &format!(
                "ConnXio-Api-Key: {ALPHA}\r\nAuthorization: Bearer oauth-token\r\nOcp-Apim-Subscription-Key: tracking\r\n\
                 X-API-Key: the-upstreams-own\r\n"
            ),
        ),
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.header("connxio-api-key"), None);
    assert_eq!(request.header("authorization").as_deref(), Some("Bearer oauth-token"));
    assert_eq!(request.header("ocp-apim-subscription-key").as_deref(), Some("tracking"));
    assert_eq!(request.header("x-api-key").as_deref(), Some("the-upstreams-own"));
}

#[test]
fn hop_by_hop_headers_and_every_name_on_every_connection_line_are_removed() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(
        gate.ingress(),
        get(
            "/",
            &format!(
                "{}Connection: keep-alive, X-Hop-One\r\nConnection: x-hop-two , X-HOP-THREE\r\nX-Hop-One: 1\r\n\
                 X-Hop-Two: 2\r\nX-Hop-Three: 3\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                 Proxy-Authorization: Basic eDp5\r\nUpgrade: never\r\nX-Own: kept\r\n",
                presents(ALPHA)
            ),
        ),
    );
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(own_names(&upstream.only_request()), ["host", "x-own"]);
}

#[test]
fn a_connection_line_cannot_remove_what_keygate_injects() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let named = "X-Auth-Key-Id, X-Auth-Organization, X-Auth-Permissions, X-Auth-Status, X-Forwarded-For, X-Request-Id";
    let answer = exchange(
        gate.ingress(),
        get("/", &format!("{}Connection: {named}\r\n", presents(ALPHA))),
    );
    // Either the request is refused, or the injected headers are there all the same.
    if answer.status() == 200 {
        assert_identity(&upstream.only_request());
    } else {
        assert_eq!((answer.status(), answer.code().as_str()), (400, "request_invalid"));
        assert_eq!(upstream.requests().len(), 0);
    }
}

#[test]
fn forwarded_headers_of_untrusted_clients_are_replaced() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(
        gate.ingress(),
        get(
            "/",
            &format!(
                "{}X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.10\r\nX_Forwarded_For: 203.0.113.11\r\n\
                 X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nForwarded: for=203.0.113.12;proto=https\r\n",
                presents(ALPHA)
            ),
        ),
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_identity(&request);
    assert_eq!(request.header("x-forwarded-host").as_deref(), Some("gate.test"));
    let head = request.head.text();
    assert!(!head.contains("203.0.113"), "{head}");
    assert!(!head.contains("evil.test"), "{head}");
}

#[test]
fn forwarded_headers_of_trusted_proxies_are_kept_and_combined() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "trusted_proxies = [\"127.0.0.0/8\"]".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = exchange(
        gate.ingress(),
        get(
            "/",
            &format!(
                "{}X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
                 X-Forwarded-Host: public.test\r\n",
                presents(ALPHA)
            ),
        ),
    );
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_eq!(
        request.header("x-forwarded-for").as_deref(),
        Some("198.51.100.1, 203.0.113.9, 127.0.0.1")
    );
    assert_eq!(request.header("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(request.header("x-forwarded-host").as_deref(), Some("public.test"));
}

#[test]
fn the_forwarded_header_is_written_where_configured() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "forwarded_headers = \"forwarded\"".to_owned(),
        ..Setup::before(&upstream)
    });
    let forged = "Forwarded: for=203.0.113.12\r\nX-Forwarded-For: 203.0.113.9\r\n";
    let answer = exchange(gate.ingress(), get("/", &format!("{}{forged}", presents(ALPHA))));
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.head.all("x-forwarded-for"), [""; 0]);
    let forwarded = request.header("forwarded").unwrap().to_ascii_lowercase();
    assert!(!forwarded.contains("203.0.113"), "{forwarded}");
    for part in ["for=127.0.0.1", "proto=http", "host=gate.test"] {
        let bare = forwarded.replace('"', "");
        assert!(bare.contains(part), "{part} in {forwarded}");
    }
}

#[test]
fn request_id_and_traceparent_are_kept_only_from_trusted_peers_and_when_valid() {
    let upstream = Upstream::hello();
    let id = "req-0123456789.abc";
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = format!("{}X-Request-Id: {id}\r\ntraceparent: {trace}\r\n", presents(ALPHA));

    let gate = Gate::start(&Setup::before(&upstream));
    let answer = exchange(gate.ingress(), get("/", &sent));
    let request = upstream.last_request();
    let made = request.header("x-request-id").unwrap();
    assert_ne!(made, id);
    assert_eq!(
        answer.header("x-request-id"),
        Some(made.clone()),
        "one id for everybody"
    );
    assert_eq!(gate.access_line("/")["request_id"], made);
    assert_ne!(request.header("traceparent").as_deref(), Some(trace));

    let gate = Gate::start(&Setup {
        ingress: "trusted_proxies = [\"127.0.0.1\"]".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = exchange(gate.ingress(), get("/", &sent));
    let request = upstream.last_request();
    assert_eq!(request.header("x-request-id").as_deref(), Some(id));
    assert_eq!(answer.header("x-request-id").as_deref(), Some(id));
    let kept = request.header("traceparent").unwrap();
    assert_eq!(kept[..36], trace[..36], "the trace goes on");

    let invalid = format!(
        "{}X-Request-Id: {}\r\ntraceparent: nonsense\r\n",
        presents(ALPHA),
        "x".repeat(4000)
    );
    exchange(gate.ingress(), get("/", &invalid));
    let request = upstream.last_request();
    assert!(request.header("x-request-id").unwrap().len() < 200);
    assert!(is_traceparent(&request.header("traceparent").unwrap()));
}

#[test]
fn identity_headers_are_configurable_and_the_default_names_stay_reserved() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[identity.headers]\nX-Consumer-Id = \"{key.id}\"\nX-Consumer-Groups = \"{organization.id}/{permissions}\"\n"
            .to_owned(),
        ..Setup::before(&upstream)
    });
    let forged = format!(
        "{}X-Consumer-Id: forged\r\nX_Consumer_Groups: forged\r\n",
        forged_lines()
    );
    let answer = exchange(gate.ingress(), get("/", &format!("{}{forged}", presents(ALPHA))));
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.header("x-consumer-id").as_deref(), Some("key_alpha"));
    assert_eq!(request.header("x-consumer-groups").as_deref(), Some("acme/read send"));
    assert!(!request.head.text().contains("forged"));
    assert_eq!(
        request
            .head
            .names()
            .iter()
            .filter(|name| name.starts_with("x-auth-"))
            .count(),
        0
    );
}

#[test]
fn subscriptions_environment_and_plan_are_told_where_set() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[environments.live]\nprefixes = [\"kg_\"]\n\n[plans.gold]\n".to_owned(),
        records: key_file(&[key(
            "key_alpha",
            ALPHA,
            "subscriptions = [\"sub-1\", \"sub-2\"]\nenvironment = \"live\"\nplan = \"gold\"",
        )]),
        ..Setup::before(&upstream)
    });
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.header("x-auth-subscriptions").as_deref(), Some("sub-1 sub-2"));
    assert_eq!(request.header("x-auth-environment").as_deref(), Some("live"));
    assert_eq!(request.header("x-auth-plan").as_deref(), Some("gold"));
    assert_eq!(request.head.all("x-auth-permissions").concat(), "", "it has none");
}

#[test]
fn public_routes_carry_no_forged_identity() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[[routes]]\npath = \"/open\"\naccess = \"public\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = exchange(gate.ingress(), get("/open", &forged_lines()));
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert!(!request.head.text().contains("forged"), "{}", request.head.text());
    assert_eq!(request.header("x-auth-status").as_deref(), Some("public"));
    assert_eq!(request.header("x-auth-key-id"), None);
}

#[test]
fn the_host_header_is_preserved_unless_the_upstream_wants_its_own() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        upstream: "preserve_host = false".to_owned(),
        ..Setup::before(&upstream)
    });
    let answer = curl(&["-H", &format!("X-API-Key: {ALPHA}"), &gate.url("/")]);
    assert_eq!(answer.status, 200);
    let request = upstream.only_request();
    assert_eq!(request.header("host"), Some(upstream.address().to_string()));
    assert_eq!(request.header("x-forwarded-host"), Some(gate.ingress().to_string()));
}

#[test]
fn a_live_key_never_reaches_a_public_routes_upstream_whatever_stands_beside_it() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[[routes]]\npath = \"/open\"\naccess = \"public\"\n".to_owned(),
        ..Setup::before(&upstream)
    });
    for beside in ["Bearer of-somebody-else", "Bearer", "Digest x"] {
        let lines = format!("Authorization: {beside}\r\nX-API-Key: {ALPHA}\r\n");
        assert_eq!(exchange(gate.ingress(), get("/open", &lines)).status(), 200);
        let request = upstream.last_request();
        assert_eq!(request.header("x-api-key"), None, "{beside}");
        assert_eq!(request.header("authorization").as_deref(), Some(beside));
    }
}

#[test]
fn nobody_asks_the_service_for_another_method_or_target_than_the_one_decided_on() {
    let upstream = Upstream::hello();
    let mut setup = Setup::before(&upstream);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: api\r\nX-API-Key: {ALPHA}\r\nConnection: close\r\nX-HTTP-Method-Override: DELETE\r\n\
         X_HTTP_Method: DELETE\r\nX-Method-Override: DELETE\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let gate = Gate::start(&setup);
    assert_eq!(exchange(gate.ingress(), &request).status(), 200);
    let head = upstream.last_request().head.text().to_lowercase();
    assert!(!head.contains("delete") && !head.contains("/admin"), "{head}");
    drop(gate);
    setup.ingress = "override_headers = \"pass\"".to_owned();
    let gate = Gate::start(&setup);
    assert_eq!(exchange(gate.ingress(), &request).status(), 200);
    let passed = upstream.last_request().header("x-http-method-override");
    assert_eq!(passed.as_deref(), Some("DELETE"));
}
