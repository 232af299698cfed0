//! Users with tokens of their own: who they are, what they may do, and what is not believed.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{
    ALPHA, Gate, Home, Response, Setup, SigningKey, Upstream, exchange, get, hmac_token, key, key_file, key_set,
    presents,
};

/// Routes for users, for keys, and for both.
pub const ROUTES: &str = r#"
[[routes]]
path = "/user/{*rest}"
access = "user"

[[routes]]
path = "/both/{*rest}"
access = "key-or-user"

[[routes]]
path = "/key/{*rest}"
access = "key"

[[routes]]
path = "/observed"
access = "user"
enforcement = "observe"

[[routes]]
path = "/send"
access = "key-or-user"
permission = "send"
"#;

const SECTION: &str = r#"
[user_tokens]
issuer = "https://id.example"
audience = ["gateway", "other"]
jwks = { file = "jwks.json" }
claims = { organization = "org_id", permissions = "/realm/roles" }
"#;

/// Seconds since the epoch.
pub fn unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Good claims of this user.
pub fn claims(user: &str) -> Value {
    json!({
        "iss": "https://id.example", "aud": "gateway", "sub": user, "org_id": "acme", "iat": unix(),
        "exp": unix() + 600, "realm": {"roles": ["read", "chat"]},
    })
}

/// `claims` of `user-1` with one member in place of its own.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims("user-1");
    claims[name] = value;
    claims
}

/// A gate that knows this key.
fn gate(upstream: &Upstream, key: &SigningKey, more: &str) -> Gate {
    let home = Home::new();
    home.write("jwks.json", key_set(&[key]));
    Gate::start_in(
        home,
        &Setup {
            more: format!("{ROUTES}{SECTION}{more}"),
            ..Setup::before(upstream)
        },
    )
}

/// `Authorization: Bearer` with this token, as a header line.
pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Status and code of an answer.
#[track_caller]
pub fn said(answer: &Response) -> (u16, String) {
    let code = if answer.status() < 400 {
        String::new()
    } else {
        answer.code()
    };
    (answer.status(), code)
}

/// A refusal as [`said`] tells it.
pub fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_user_of_no_organization_reaches_none() {
    let upstream = Upstream::hello();
    let key = SigningKey::rsa("k1");
    let routes = "[[routes]]\npath = \"/query\"\naccess = \"user\"\norganization = { query = \"org\" }\n\
                  [[routes]]\npath = \"/header\"\naccess = \"user\"\norganization = { header = \"X-Org\" }\n";
    let gate = gate(&upstream, &key, routes);
    let mut nobodys = claims("user-1");
    nobodys.as_object_mut().unwrap().remove("org_id");
    let nobodys = [nobodys, with("org_id", json!(""))];
    for token in nobodys.map(|claims| bearer(&key.token(&claims))) {
        for (target, lines) in [
            ("/query?org=", ""),
            ("/query?org", ""),
            ("/query", ""),
            ("/header", "X-Org: \r\n"),
        ] {
            let answer = exchange(gate.ingress(), get(target, &format!("{token}{lines}")));
            assert_eq!(said(&answer), refused(403, "tenant_denied"), "{target}");
        }
    }
    let acme = bearer(&key.token(&claims("user-1")));
    let answer = exchange(gate.ingress(), get("/query?org=acme", &acme));
    assert_eq!(answer.status(), 200);
}

#[test]
fn a_user_is_let_in_and_named_and_the_token_goes_no_further() {
    let upstream = Upstream::hello();
    let key = SigningKey::rsa("k1");
    let gate = gate(&upstream, &key, "");
    let token = key.token(&claims("Ann Önder"));
    let spoofed = "X-Auth-User: admin\r\nX_Auth_User: admin\r\nX-Auth-Permissions: all\r\n";
    let answer = exchange(gate.ingress(), get("/user/a", &format!("{}{spoofed}", bearer(&token))));
    assert_eq!(answer.status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.header("authorization"), None);
    let names = request.head.names();
    let identity: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("x-auth") || name.contains('_'))
        .collect();
    assert_eq!(
        identity,
        [
            "x-auth-organization",
            "x-auth-permissions",
            "x-auth-status",
            "x-auth-user"
        ]
    );
    assert_eq!(request.header("x-auth-user").as_deref(), Some("Ann %C3%96nder"));
    assert_eq!(request.header("x-auth-organization").as_deref(), Some("acme"));
    assert_eq!(request.header("x-auth-permissions").as_deref(), Some("chat read"));
    assert_eq!(request.header("x-auth-status").as_deref(), Some("user"));

    let line = gate.access_line("/user/a");
    assert_eq!(line["user"], "Ann Önder");
    assert_eq!(line["organization"], "acme");
    assert_eq!(line["key_id"], Value::Null);
    assert_eq!(gate.metric(&["keygate_passages_total", "user"]), 1.0);
    let log = gate.log_lines().join("\n");
    assert!(token.split('.').all(|part| !log.contains(part)));
}

#[test]
fn the_token_stands_where_the_configuration_says_and_may_go_on() {
    let upstream = Upstream::hello();
    let key = SigningKey::ec("k1");
    let cookie = gate(&upstream, &key, "source = { cookie = \"access\" }\n");
    let token = key.token(&claims("user-1"));
    let lines = format!("Cookie: a=1; access={token}; b=2\r\n{}", bearer("kept"));
    assert_eq!(exchange(cookie.ingress(), get("/user/a", &lines)).status(), 200);
    let request = upstream.last_request();
    assert_eq!(request.header("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(request.header("authorization").as_deref(), Some("Bearer kept"));
    let missing = exchange(cookie.ingress(), get("/user/a", ""));
    assert_eq!(said(&missing), refused(401, "credential_missing"));

    let forwarding = gate(&upstream, &key, "forward = true\n");
    assert_eq!(
        exchange(forwarding.ingress(), get("/user/a", &bearer(&token))).status(),
        200
    );
    let request = upstream.last_request();
    assert_eq!(request.header("authorization"), Some(format!("Bearer {token}")));
    assert_eq!(request.header("x-auth-user").as_deref(), Some("user-1"));
}

#[test]
fn bad_tokens_look_alike_to_the_caller_and_differ_in_the_log() {
    let upstream = Upstream::hello();
    let (key, stranger) = (SigningKey::rsa("k1"), SigningKey::rsa("k1"));
    let gate = gate(&upstream, &key, "");
    let body = claims("user-1").to_string();
    let jwk = stranger.jwk();
    let header = |more: &str| format!("{{\"alg\":\"RS256\",\"kid\":\"k1\"{more}}}");
    let good = key.token(&claims("user-1"));
    let table = [
        ("signature", stranger.token(&claims("user-1"))),
        (
            "algorithm",
            hmac_token(&key.public(), "{\"alg\":\"HS256\",\"kid\":\"k1\"}", &body),
        ),
        ("algorithm", key.sign("{\"alg\":\"none\",\"kid\":\"k1\"}", &body)),
        ("key_mismatch", key.sign("{\"alg\":\"ES256\",\"kid\":\"k1\"}", &body)),
        ("key_unknown", key.sign("{\"alg\":\"RS256\",\"kid\":\"k2\"}", &body)),
        (
            "embedded_key",
            stranger.sign(&header(&format!(",\"jwk\":{jwk}")), &body),
        ),
        ("critical", key.sign(&header(",\"crit\":[\"x\"],\"x\":1"), &body)),
        ("issuer", key.token(&with("iss", "https://evil.example".into()))),
        ("audience", key.token(&with("aud", "elsewhere".into()))),
        ("expired", key.token(&with("exp", (unix() - 31).into()))),
        ("not_yet_valid", key.token(&with("nbf", (unix() + 100).into()))),
        ("claim", key.token(&with("sub", "".into()))),
        ("too_long", key.token(&with("padding", "x".repeat(9000).into()))),
        ("form", "not-a-token".to_owned()),
        (
            "form",
            format!("{}.x", good.rsplit_once('.').unwrap().0.rsplit_once('.').unwrap().0),
        ),
    ];
    let mut bodies = Vec::new();
    for (index, (reason, token)) in table.iter().enumerate() {
        let path = format!("/user/{index}");
        let answer = exchange(gate.ingress(), get(&path, &bearer(token)));
        assert_eq!(said(&answer), refused(401, "credential_invalid"), "{reason}");
        assert_eq!(
            answer.header("www-authenticate").as_deref(),
            Some("Bearer realm=\"keygate\", error=\"invalid_token\""),
            "{reason}"
        );
        assert_eq!(gate.access_line(&path)["reason"], format!("token_{reason}"));
        let body: Value = serde_json::from_str(&answer.text()).unwrap();
        bodies.push(body["detail"].clone());
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(upstream.requests().len(), 0);

    let missing = exchange(gate.ingress(), get("/user/a", ""));
    assert_eq!(said(&missing), refused(401, "credential_missing"));
    let log = gate.log_lines().join("\n");
    for (_, token) in &table {
        assert!(!log.contains(token.as_str()));
        assert!(!log.contains(token.rsplit('.').next().unwrap()) || token.len() < 80);
    }
}

#[test]
fn keys_and_users_keep_to_their_routes() {
    let upstream = Upstream::hello();
    let signing = SigningKey::ed("k1");
    let gate = gate(&upstream, &signing, "");
    let token = bearer(&signing.token(&claims("user-1")));
    let invalid = || refused(401, "credential_invalid");
    for (path, lines, expected) in [
        ("/key/a", presents(ALPHA), refused(200, "")),
        ("/key/b", token.clone(), invalid()),
        ("/user/a", token.clone(), refused(200, "")),
        ("/user/b", presents(ALPHA), invalid()),
        ("/user/c", bearer(ALPHA), invalid()),
        ("/user/d", presents("kg_unknown0123456789"), invalid()),
        ("/both/a", token.clone(), refused(200, "")),
        ("/both/b", presents(ALPHA), refused(200, "")),
        ("/both/c", bearer(ALPHA), refused(200, "")),
        (
            "/both/d",
            format!("{token}{}", presents(ALPHA)),
            refused(401, "credential_conflict"),
        ),
        (
            "/both/e",
            format!("{token}X-API-Key: kg_unknown0123456789\r\n"),
            invalid(),
        ),
        ("/both/f", bearer("kg_unknown0123456789"), invalid()),
        ("/both/g", String::new(), refused(401, "credential_missing")),
        (
            "/both/h",
            "Authorization: Digest x\r\n".to_owned(),
            refused(401, "credential_malformed"),
        ),
    ] {
        let answer = exchange(gate.ingress(), get(path, &lines));
        assert_eq!(said(&answer), expected, "{path}");
    }
    assert_eq!(gate.access_line("/user/b")["reason"], "not_a_user");
    assert_eq!(gate.access_line("/both/a")["user"], "user-1");
    assert_eq!(gate.access_line("/both/c")["key_id"], "key_alpha");
}

#[test]
fn beside_a_valid_key_a_token_that_does_not_hold_is_the_upstreams_own() {
    let upstream = Upstream::hello();
    let signing = SigningKey::ed("k1");
    let gate = gate(&upstream, &signing, "");
    let expired = signing.token(&with("exp", 1000.into()));
    let lines = format!("{}X-API-Key: {ALPHA}\r\n", bearer(&expired));
    assert_eq!(exchange(gate.ingress(), get("/both/a", &lines)).status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.header("authorization"), Some(format!("Bearer {expired}")));
    assert_eq!(request.header("x-api-key"), None);
    assert_eq!(request.header("x-auth-key-id").as_deref(), Some("key_alpha"));
    assert_eq!(request.header("x-auth-user"), None);
}

#[test]
fn a_live_key_never_reaches_the_upstream_of_a_user() {
    let upstream = Upstream::hello();
    let signing = SigningKey::ed("k1");
    let gate = gate(&upstream, &signing, "");
    let lines = format!("{}X-API-Key: {ALPHA}\r\n", bearer(&signing.token(&claims("user-1"))));
    assert_eq!(exchange(gate.ingress(), get("/user/a", &lines)).status(), 200);
    assert_eq!(upstream.only_request().header("x-api-key"), None);
}

#[test]
fn permissions_come_with_the_token_and_from_the_configuration() {
    let upstream = Upstream::hello();
    let signing = SigningKey::ed("k1");
    let plain = gate(&upstream, &signing, "");
    let may = with("realm", json!({"roles": "send read"}));
    for (claims, expected) in [
        (claims("user-1"), refused(403, "permission_denied")),
        (may, refused(200, "")),
        (with("realm", Value::Null), refused(403, "permission_denied")),
    ] {
        let answer = exchange(plain.ingress(), get("/send", &bearer(&signing.token(&claims))));
        assert_eq!(said(&answer), expected, "{claims}");
    }
    let granting = gate(&upstream, &signing, "permissions = [\"send\"]\n");
    let answer = exchange(
        granting.ingress(),
        get("/send", &bearer(&signing.token(&claims("user-1")))),
    );
    assert_eq!(answer.status(), 200);
    let told = upstream.last_request().header("x-auth-permissions");
    assert_eq!(told.as_deref(), Some("chat read send"));
}

#[test]
fn every_user_has_limits_of_its_own_by_the_organizations_plan_or_that_of_users() {
    let upstream = Upstream::hello();
    let signing = SigningKey::ed("k1");
    let home = Home::new();
    home.write("jwks.json", key_set(&[&signing]));
    let plans = "[plans.two]\nlimits = [{ name = \"h\", requests = 2, per = \"1h\" }]\n\
                 [plans.one]\nlimits = [{ name = \"h\", requests = 1, per = \"1h\" }]\n";
    let gate = Gate::start_in(
        home,
        &Setup {
            more: format!("{ROUTES}{SECTION}plan = \"one\"\n{plans}"),
            records: format!(
                "{}\n[[organizations]]\nid = \"other\"\nplan = \"two\"\n",
                key_file(&[key("key_alpha", ALPHA, "")])
            ),
            ..Setup::before(&upstream)
        },
    );
    let ask = |token: &str| exchange(gate.ingress(), get("/user/a", &bearer(token))).status();
    // Two tokens of one user are one user.
    let first = signing.token(&claims("user-1"));
    let second = signing.token(&with("jti", "2".into()));
    assert_eq!([ask(&first), ask(&second), ask(&first)], [200, 429, 429]);
    assert_eq!(ask(&signing.token(&claims("user-2"))), 200);
    let other = signing.token(
        &with("org_id", "other".into())
            .as_object()
            .map_or(Value::Null, |claims| {
                let mut claims = claims.clone();
                claims.insert("sub".to_owned(), "user-3".into());
                claims.into()
            }),
    );
    assert_eq!([ask(&other), ask(&other), ask(&other)], [200, 200, 429]);

    // And stay spent over a reload.
    let config = std::fs::read_to_string(gate.home.path("config.toml")).unwrap();
    gate.home.replace("config.toml", format!("{config}\n# changed\n"));
    gate.wait_for_log("the reload", |line| line["message"] == "reloaded");
    assert_eq!(ask(&first), 429);
}

#[test]
fn bad_tokens_spend_from_the_bucket_of_bad_keys() {
    let upstream = Upstream::hello();
    let signing = SigningKey::ed("k1");
    let limits = "[limits]\ncredential_failures = { requests = 2, per = \"1h\" }\n";
    let gate = gate(&upstream, &signing, limits);
    let stranger = SigningKey::ed("k1").token(&claims("user-1"));
    let ask = |token: &str| exchange(gate.ingress(), get("/user/a", &bearer(token))).status();
    assert_eq!([ask(&stranger), ask("x.y.z"), ask(&stranger)], [401, 401, 429]);
    let good = signing.token(&claims("user-1"));
    assert_eq!([ask(&good), ask(&good)], [200, 200], "a valid token is never held back");
}

#[test]
fn a_token_that_was_remembered_ends_when_it_says() {
    let upstream = Upstream::hello();
    let signing = SigningKey::ed("k1");
    let gate = gate(&upstream, &signing, "leeway = \"0s\"\n");
    let ends = unix() + 3;
    let token = signing.token(&with("exp", ends.into()));
    let ask = || exchange(gate.ingress(), get("/user/a", &bearer(&token))).status();
    assert_eq!(ask(), 200);
    crate::harness::wait_until("the token's end", || (unix() >= ends).then_some(()));
    assert_eq!(ask(), 401);
}

#[test]
fn users_and_keys_of_an_organization_spend_its_quota_together() {
    let upstream = Upstream::hello();
    let signing = SigningKey::ed("k1");
    let quotas = "[plans.default]\nquota = [{ name = \"month\", requests = 3, per = \"month\" },\n\
                  { name = \"each\", requests = 1, per = \"day\", scope = \"key\" }]\n";
    let gate = gate(&upstream, &signing, quotas);
    let user = bearer(&signing.token(&claims("user-1")));
    let ask = |lines: &str| said(&exchange(gate.ingress(), get("/both/a", lines)));
    assert_eq!(ask(&presents(ALPHA)), refused(200, ""));
    assert_eq!(
        ask(&presents(ALPHA)),
        refused(429, "quota_exceeded"),
        "each key has one a day"
    );
    assert_eq!([ask(&user), ask(&user)], [refused(200, ""), refused(200, "")]);
    assert_eq!(ask(&user), refused(429, "quota_exceeded"), "three a month for all");
    let stranger = bearer(&signing.token(&with("org_id", "unknown".into())));
    assert_eq!(
        ask(&stranger),
        refused(200, ""),
        "nothing is kept of what the key file does not know"
    );
}

#[test]
fn a_user_who_is_called_like_a_key_is_another_caller() {
    let upstream = Upstream::hello();
    let key = SigningKey::ed("k1");
    let observed = "[[routes]]\npath = \"/watched\"\naccess = \"key-or-user\"\npermission = \"nobody-has-it\"\n\
                    enforcement = \"observe\"\n";
    let gate = gate(&upstream, &key, observed);
    let namesake = bearer(&key.token(&claims("key_alpha")));
    for lines in [presents(ALPHA), namesake] {
        assert_eq!(exchange(gate.ingress(), get("/watched", &lines)).status(), 200);
        let told = upstream.last_request().header("x-auth-status");
        assert_eq!(told.as_deref(), Some("would-refuse; reason=permission_denied"));
    }
    gate.wait_for_log("the user's line", |line| line["user"] == "key_alpha");
    assert_eq!(gate.metric(&["keygate_would_refuse_callers"]), 2.0);
}
