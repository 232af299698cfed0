//! Keygate itself tells callers who they are, from their records, and asks nobody else.

use serde_json::{Value, json};

use crate::harness::{
    ALPHA, BETA, Connection, Gate, H2Client, Home, Setup, Upstream, block_on, exchange, get, key, presents, wait_until,
};

const ORGANIZATION: &str = r#"
[[organizations]]
id = "42"
name = "Acme \"Production\""
plan = "standard"
created_at = 2026-01-15T10:00:00Z
metadata = { webhookUrl = "https://api.acme.example/hooks", limits = { seats = 5, tags = ["a", "b"] }, internal = "secret note" }

[[organizations]]
id = "acme"

"#;

fn records() -> String {
    let full = key(
        "key_alpha",
        ALPHA,
        "permissions = [\"send\", \"read\"]\nsubscriptions = [\"messaging\"]\nhint = \"kg_al…HIJ\"\nowner = \"ops@acme.example\"\n\
         created_at = 2026-02-01T00:00:00Z\nexpires_at = 2999-01-01T00:00:00Z\nmetadata = { team = \"core\", tier = 3 }",
    );
    let bare = key("key_beta", BETA, "");
    format!("{ORGANIZATION}{}{bare}", full.replace("\"acme\"", "\"42\""))
}

fn setup(upstream: &Upstream, whoami: &str) -> Setup {
    Setup {
        more: format!(
            "[plans.standard]\nlimits = [{{ name = \"hour\", requests = 3, per = \"1h\" }}]\n[whoami]\npath = \"/v1/me\"\n{whoami}\n"
        ),
        records: records(),
        ..Setup::before(upstream)
    }
}

fn head(target: &str, more: &str) -> String {
    format!("HEAD {target} HTTP/1.1\r\nHost: gate\r\n{more}\r\n")
}

#[test]
fn the_default_answer_tells_the_record_and_neither_owner_nor_metadata() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, ""));
    let answer = exchange(gate.ingress(), get("/v1/me?x=1", &presents(ALPHA)));
    assert_eq!(answer.status(), 200);
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.body).unwrap(),
        json!({
            "key": {
                "id": "key_alpha", "name": "key_alpha-name", "hint": "kg_al…HIJ",
                "created_at": "2026-02-01T00:00:00Z", "expires_at": "2999-01-01T00:00:00Z",
            },
            "organization": { "id": "42", "name": "Acme \"Production\"" },
            "permissions": ["read", "send"], "subscriptions": ["messaging"], "environment": null, "plan": "standard",
        })
    );
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    assert!(answer.header("date").is_some() && answer.header("x-request-id").is_some());
    let bare = exchange(gate.ingress(), get("/v1/me", &presents(BETA)));
    assert_eq!(
        serde_json::from_slice::<Value>(&bare.body).unwrap(),
        json!({
            "key": { "id": "key_beta", "name": "key_beta-name", "hint": null, "created_at": null, "expires_at": null },
            "organization": { "id": "acme", "name": null },
            "permissions": [], "subscriptions": [], "environment": null, "plan": null,
        })
    );
    assert_eq!(upstream.requests().len(), 0, "nothing is forwarded");
}

#[test]
fn a_body_of_ones_own_is_filled_from_the_record_as_text_or_as_json() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(
        &upstream,
        r#"
body = '''{"id":"{organization.id}","name":"{organization.name}","webhookUrl":{organization.metadata.webhookUrl},
"createdAt":"{organization.created_at}","seats":{organization.metadata.limits.seats},"seatsText":"{organization.metadata.limits.seats}",
"tags":{organization.metadata.limits.tags},"limits":{organization.metadata.limits},"none":{organization.metadata.none},
"noneText":"{organization.metadata.none}","team":"{key.metadata.team}","key":{key.metadata},"owner":{key.owner},
"may":"{permissions}","status":"{status}"}'''
[whoami.headers]
Content-Type = "application/vnd.acme+json; charset=utf-8"
X-Organization = "{organization.name} {key.owner}"
Cache-Control = "private, max-age=5"
"#,
    ));
    let answer = exchange(gate.ingress(), get("/v1/me", &presents(ALPHA)));
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.body).unwrap(),
        json!({
            "id": "42", "name": "Acme \"Production\"", "webhookUrl": "https://api.acme.example/hooks",
            "createdAt": "2026-01-15T10:00:00Z", "seats": 5, "seatsText": "5", "tags": ["a", "b"],
            "limits": { "seats": 5, "tags": ["a", "b"] }, "none": null, "noneText": "", "team": "core",
            "key": { "team": "core", "tier": 3 }, "owner": "ops@acme.example", "may": "read send", "status": "key",
        })
    );
    assert_eq!(
        answer.header("content-type").as_deref(),
        Some("application/vnd.acme+json; charset=utf-8")
    );
    assert_eq!(
        answer.header("x-organization").as_deref(),
        Some("Acme \"Production\" ops@acme.example")
    );
    assert_eq!(answer.header("cache-control").as_deref(), Some("private, max-age=5"));
    let bare = exchange(gate.ingress(), get("/v1/me", &presents(BETA)));
    let bare: Value = serde_json::from_slice(&bare.body).expect("JSON without any of it, too");
    assert_eq!(
        (&bare["webhookUrl"], &bare["key"], &bare["createdAt"]),
        (&Value::Null, &json!({}), &json!(""))
    );
}

#[test]
fn head_has_the_same_headers_and_no_body() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, ""));
    let mut connection = Connection::open(gate.ingress());
    connection.send(get("/v1/me", &presents(ALPHA)));
    let full = connection.answer();
    connection.send(head("/v1/me", &presents(ALPHA)));
    let short = connection.answer_to_head();
    assert_eq!((full.status(), short.status()), (200, 200));
    assert_eq!(full.head.names(), short.head.names());
    for name in ["content-length", "content-type", "cache-control"] {
        assert_eq!(full.header(name), short.header(name), "{name}");
    }
    assert_eq!(short.header("content-length"), Some(full.body.len().to_string()));
    connection.send(get("/v1/me", &presents(ALPHA)));
    assert_eq!(connection.answer().status(), 200, "the connection goes on");
    assert_eq!(gate.metric(&["keygate_requests_total", "decision=\"answer\""]), 3.0);
}

#[test]
fn it_needs_a_valid_key_and_spends_its_limits() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, ""));
    assert_eq!(exchange(gate.ingress(), get("/v1/me", "")).code(), "credential_missing");
    assert_eq!(
        exchange(gate.ingress(), get("/v1/me", &presents("kg_nobody"))).code(),
        "credential_invalid"
    );
    for left in ["2", "1", "0"] {
        let answer = exchange(gate.ingress(), get("/v1/me", &presents(ALPHA)));
        assert_eq!(answer.status(), 200);
        let told = answer.header("ratelimit").unwrap();
        assert!(told.starts_with(&format!("\"hour\";r={left};")), "{told}");
    }
    let over = exchange(gate.ingress(), get("/v1/me", &presents(ALPHA)));
    assert_eq!((over.status(), &*over.code()), (429, "rate_limited"));
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn the_access_line_says_that_it_was_answered_here() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, ""));
    let answer = exchange(gate.ingress(), get("/v1/me", &presents(ALPHA)));
    let line = gate.access_line("/v1/me");
    assert_eq!(
        (
            &line["decision"],
            &line["status"],
            &line["key_id"],
            &line["route"],
            &line["organization"]
        ),
        (
            &json!("answer"),
            &json!(200),
            &json!("key_alpha"),
            &json!("/v1/me"),
            &json!("42")
        )
    );
    assert_eq!(line["response_bytes"], answer.body.len());
    assert!(line.get("upstream_us").is_none_or(Value::is_null));
}

#[test]
fn without_routes_all_other_paths_are_forwarded_for_a_key() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, ""));
    for path in ["/v1/other", "/v1/me/more", "/v1/met", "/"] {
        assert_eq!(
            exchange(gate.ingress(), get(path, "")).code(),
            "credential_missing",
            "{path}"
        );
        assert_eq!(
            exchange(gate.ingress(), get(path, &presents(BETA))).status(),
            200,
            "{path}"
        );
    }
    assert_eq!(upstream.requests().len(), 4);
    let answer = exchange(gate.ingress(), get("/v1/me/", &presents(BETA)));
    assert_eq!(answer.code(), "request_invalid", "servers may take it for the other");
    let posted = format!(
        "POST /v1/me HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\n{}\r\n",
        presents(BETA)
    );
    assert_eq!(
        exchange(gate.ingress(), posted).code(),
        "route_unknown",
        "only GET and HEAD"
    );
    assert_eq!(upstream.requests().len(), 4);
}

#[test]
fn with_routes_it_goes_before_less_specific_ones_and_beside_other_methods() {
    let upstream = Upstream::hello();
    let mut setup = setup(&upstream, "");
    setup.more.push_str(
        "[[routes]]\npath = \"/v1/{*rest}\"\npermission = \"nobody-has-it\"\n[[routes]]\npath = \"/v1/me\"\nmethods = [\"POST\"]\n",
    );
    let gate = Gate::start(&setup);
    assert_eq!(exchange(gate.ingress(), get("/v1/me", &presents(ALPHA))).status(), 200);
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(
        exchange(gate.ingress(), get("/v1/it", &presents(ALPHA))).code(),
        "permission_denied"
    );
    let posted = format!(
        "POST /v1/me HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\n{}\r\n",
        presents(BETA)
    );
    assert_eq!(exchange(gate.ingress(), posted).status(), 200);
    assert_eq!(upstream.requests().len(), 1, "another method's route is forwarded");
    assert_eq!(
        exchange(gate.ingress(), get("/other", &presents(ALPHA))).code(),
        "route_unknown"
    );
}

#[test]
fn callers_who_may_come_without_a_key_have_no_record_to_be_told() {
    let upstream = Upstream::hello();
    let mut setup = setup(&upstream, "");
    setup
        .more
        .push_str("[[legacy]]\nname = \"old\"\nheader = \"X-Old\"\nuntil = 2999-01-01\n");
    let gate = Gate::start(&setup);
    assert_eq!(exchange(gate.ingress(), get("/other", "X-Old: 1\r\n")).status(), 200);
    assert_eq!(
        exchange(gate.ingress(), get("/v1/me", "X-Old: 1\r\n")).code(),
        "credential_missing"
    );
}

#[test]
fn a_changed_record_is_told_without_a_restart() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(
        &upstream,
        "body = '{organization.name}'\nheaders = { Content-Type = \"text/plain\" }",
    ));
    assert_eq!(exchange(gate.ingress(), get("/v1/me", &presents(BETA))).text(), "");
    gate.home.replace(
        "keys.toml",
        records().replace("id = \"acme\"\n", "id = \"acme\"\nname = \"Renamed\"\n"),
    );
    wait_until("the new name", || {
        (exchange(gate.ingress(), get("/v1/me", &presents(BETA))).text() == "Renamed").then_some(())
    });
}

#[test]
fn check_shows_it_and_refuses_what_stands_in_its_way() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let mut wanted = setup(&upstream, "");
    wanted.write(&home);
    let output = home.keygate(&["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("route      GET,HEAD /v1/me  key  whoami"), "{said}");
    wanted
        .more
        .push_str("[[routes]]\npath = \"/v1/me\"\nmethods = [\"GET\"]\n");
    wanted.write(&home);
    let output = home.keygate(&["check"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("whoami.path: is a route already, at "), "{said}");
}

#[test]
fn over_http2_too() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, ""));
    block_on(async {
        let mut client = H2Client::open(gate.ingress()).await;
        for method in ["GET", "HEAD"] {
            let request = client.request(method, "/v1/me", &[("x-api-key", ALPHA)]);
            let answer = client.exchange(request, b"", None).await.unwrap();
            assert_eq!(answer.status(), 200, "{method}");
            let length: usize = answer.header("content-length").unwrap().parse().unwrap();
            assert!(length > 100);
            assert_eq!(answer.body.len(), if method == "GET" { length } else { 0 }, "{method}");
        }
    });
}
