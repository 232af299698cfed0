//! What routes demand: tenants, subscriptions, environments, other credentials, sources of keys; and what they change.

use crate::harness::{ALPHA, BETA, Connection, Gate, Recorded, Response, Setup, Upstream, exchange, key, key_file};

/// A gate with these routes, and `more`, in front of an upstream that says hello.
fn gate(more: &str, records: String) -> (Gate, Upstream) {
    let upstream = Upstream::hello();
    let mut setup = Setup::before(&upstream);
    setup.more = more.to_owned();
    setup.records = records;
    (Gate::start(&setup), upstream)
}

fn alpha(more: &str) -> String {
    key_file(&[key("key_alpha", ALPHA, more)])
}

#[track_caller]
fn ask(gate: &Gate, start: &str, lines: &str) -> Response {
    exchange(
        gate.ingress(),
        format!("{start} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n{lines}\r\n"),
    )
}

/// As [`ask`], with [`ALPHA`].
#[track_caller]
fn ask_with_key(gate: &Gate, start: &str, lines: &str) -> Response {
    ask(gate, start, &format!("X-API-Key: {ALPHA}\r\n{lines}"))
}

#[track_caller]
fn assert_refused(response: &Response, status: u16, code: &str) {
    assert_eq!((response.status(), response.code().as_str()), (status, code));
}

#[track_caller]
fn assert_status(request: &Recorded, status: &str) {
    assert_eq!(request.header("x-auth-status").as_deref(), Some(status));
}

#[test]
fn a_key_reaches_its_own_organization_only() {
    let (gate, upstream) = gate(
        "[[routes]]\npath = \"/orgs/{org}/messages/{*rest}\"\norganization = \"{org}\"\n\
         [[routes]]\npath = \"/query\"\norganization = { query = \"org\" }\n\
         [[routes]]\npath = \"/header\"\norganization = { header = \"X-Org\" }\n",
        alpha(""),
    );
    for (start, lines) in [
        ("GET /orgs/acme/messages/1", ""),
        ("GET /orgs/%61cme/messages/1", ""),
        ("GET /query?a=b&org=acme", ""),
        ("GET /query?%6Frg=%61cme", ""),
        ("GET /query?a=1;b&org=acme&organization=c&org_id=d", ""),
        ("GET /header", "X-Org: acme\r\n"),
    ] {
        assert_eq!(ask_with_key(&gate, start, lines).status(), 200, "{start}");
    }
    let reached = upstream.requests().len();
    for (start, lines) in [
        ("GET /orgs/other/messages/1", ""),
        ("GET /orgs/ACME/messages/1", ""),
        ("GET /orgs/acme;x/messages/1", ""),
        ("GET /query", ""),
        ("GET /query?org=other", ""),
        ("GET /query?org=acme&org=other", ""),
        ("GET /query?org=acme&%6frg=acme", ""),
        ("GET /query?org=%zz", ""),
        ("GET /query?org=acme&ORG=other", ""),
        ("GET /query?org=acme&org[]=other", ""),
        ("GET /query?org=acme&org%5B0%5D=other", ""),
        ("GET /query?org=acme&+org=other", ""),
        ("GET /query?org=acme&org%20=other", ""),
        ("GET /query?org=acme&org%00=other", ""),
        ("GET /query?a=b;org=other&org=acme", ""),
        ("GET /query?org=acme;a=b", ""),
        ("GET /query?ORG=acme", ""),
        ("GET /query?org=acme+", ""),
        ("GET /header", ""),
        ("GET /header", "X-Org: other\r\n"),
        ("GET /header", "X-Org: acme\r\nX-Org: other\r\n"),
    ] {
        assert_refused(&ask_with_key(&gate, start, lines), 403, "tenant_denied");
    }
    // Nobody may keep the header that was compared from the service, or send it a second one in another spelling.
    let dropped = ask_with_key(&gate, "GET /header", "X-Org: acme\r\nConnection: X-Org\r\n");
    assert_refused(&dropped, 400, "request_invalid");
    assert_eq!(upstream.requests().len(), reached);
    let twice = ask_with_key(&gate, "GET /header", "X-Org: acme\r\nX_Org: other\r\n");
    assert_eq!(twice.status(), 200);
    let seen = upstream.last_request();
    assert_eq!(seen.header("x-org").as_deref(), Some("acme"));
    assert_eq!(seen.header("x_org"), None);
}

#[test]
fn a_mismatch_looks_the_same_whether_the_other_tenant_exists_or_not() {
    let records = alpha("") + "\n[[organizations]]\nid = \"other\"\n";
    let (gate, _upstream) = gate(
        "[[routes]]\npath = \"/orgs/{org}\"\norganization = \"{org}\"\n",
        records,
    );
    let without_id = |response: Response| {
        let mut body: serde_json::Value = serde_json::from_str(&response.text()).unwrap();
        body["request_id"].take();
        (response.head.start_line(), body)
    };
    let there = without_id(ask_with_key(&gate, "GET /orgs/other", ""));
    let nowhere = without_id(ask_with_key(&gate, "GET /orgs/nobody", ""));
    assert_eq!(there, nowhere);
}

#[test]
fn subscriptions_environments_and_permissions_are_asked_for_in_order() {
    let (gate, _upstream) = gate(
        "[environments.live]\nprefixes = [\"kg_alpha\"]\n[environments.test]\nprefixes = [\"kg_beta\"]\n\
         [permissions.admin]\nincludes = [\"messages:*\"]\n\
         [[routes]]\npath = \"/live\"\nenvironment = \"live\"\n\
         [[routes]]\npath = \"/test\"\nenvironment = [\"test\"]\npermission = \"nothing\"\n\
         [[routes]]\npath = \"/send\"\npermission = \"messages:send\"\n\
         [[routes]]\npath = \"/manage\"\npermission = \"manage\"\nsubscription = \"sub-2\"\n\
         [[routes]]\npath = \"/one\"\nsubscription = \"sub-1\"\n\
         [[routes]]\npath = \"/two\"\nsubscription = \"sub-2\"\norganization = { header = \"X-Org\" }\n\
         [[routes]]\npath = \"/subs/{sub}\"\nsubscription = \"{sub}\"\n",
        alpha("permissions = [\"admin\"]\nsubscriptions = [\"sub-1\"]"),
    );
    for path in ["/live", "/send", "/one", "/subs/sub-1"] {
        assert_eq!(ask_with_key(&gate, &format!("GET {path}"), "").status(), 200, "{path}");
    }
    for (path, code) in [
        ("/test", "environment_denied"),
        ("/manage", "permission_denied"),
        ("/two", "subscription_denied"),
        ("/subs/sub-2", "subscription_denied"),
    ] {
        assert_refused(&ask_with_key(&gate, &format!("GET {path}"), ""), 403, code);
    }
}

#[test]
fn the_service_is_told_what_sets_come_to() {
    let (gate, upstream) = gate(
        "[permissions.admin]\nincludes = [\"manage\", \"send\"]\n",
        alpha("permissions = [\"admin\", \"read\"]"),
    );
    assert_eq!(ask_with_key(&gate, "GET /", "").status(), 200);
    let told = upstream.only_request().header("x-auth-permissions");
    assert_eq!(told.as_deref(), Some("admin manage read send"));
}

#[test]
fn permissions_are_those_of_the_generation_in_force() {
    let (gate, _upstream) = gate(
        "[[routes]]\npath = \"/send\"\npermission = \"send\"\n",
        alpha("permissions = [\"send\"]"),
    );
    let mut connection = Connection::open(gate.ingress());
    let request = format!("GET /send HTTP/1.1\r\nHost: api\r\nX-API-Key: {ALPHA}\r\n\r\n");
    connection.send(&request);
    assert_eq!(connection.answer().status(), 200);
    gate.home.replace("keys.toml", alpha("permissions = [\"read\"]"));
    gate.wait_for_log("the reload", |line| line["message"] == "reloaded");
    connection.send(&request);
    assert_refused(&connection.answer(), 403, "permission_denied");
}

#[test]
fn other_credentials_have_to_be_there_and_travel_on_untouched() {
    let upstream = Upstream::hello();
    let mut setup = Setup::before(&upstream);
    setup.more = "[[credentials]]\nheader = \"X-API-Key\"\n[[routes]]\npath = \"/{*rest}\"\n\
                  requires_headers = [\"Track-Key\", { name = \"Authorization\", scheme = \"Bearer\" }]\n"
        .to_owned();
    setup.records = alpha("");
    let gate = Gate::start(&setup);
    let there = "Track-Key: t+/=1\r\nAuthorization: bearer abc.def\r\n";
    assert_eq!(ask_with_key(&gate, "GET /", there).status(), 200);
    let seen = upstream.only_request();
    assert_eq!(seen.header("track-key").as_deref(), Some("t+/=1"));
    assert_eq!(seen.header("authorization").as_deref(), Some("bearer abc.def"));
    assert_eq!(seen.header("x-api-key"), None);
    for lines in [
        "",
        "Track-Key: t\r\n",
        "Track-Key: \r\nAuthorization: Bearer a\r\n",
        "Track-Key: t\r\nAuthorization: Basic a\r\n",
        "Track-Key: t\r\nAuthorization: Bearer \r\n",
    ] {
        let refused = ask_with_key(&gate, "GET /", lines);
        assert_refused(&refused, 401, "header_missing");
        assert!(refused.header("www-authenticate").is_some());
    }
    let dropped = ask_with_key(&gate, "GET /", &format!("{there}Connection: Track-Key\r\n"));
    assert_refused(&dropped, 400, "request_invalid");
}

#[test]
fn the_key_itself_is_no_other_credential() {
    let (gate, upstream) = gate(
        "[[credentials]]\nheader = \"X-API-Key\"\n\
         [[credentials]]\nheader = \"Authorization\"\nscheme = \"Bearer\"\nprefix = \"kg_\"\n\
         [[routes]]\npath = \"/{*rest}\"\nrequires_headers = [\"Authorization\"]\n",
        alpha(""),
    );
    let key = format!("Authorization: Bearer {ALPHA}\r\n");
    assert_refused(&ask(&gate, "GET /", &key), 401, "header_missing");
    assert_refused(&ask_with_key(&gate, "GET /", &key), 401, "header_missing");
    assert!(upstream.requests().is_empty());
    let other = ask_with_key(&gate, "GET /", "Authorization: Bearer theirs\r\n");
    assert_eq!(other.status(), 200);
    let seen = upstream.only_request();
    assert_eq!(seen.header("authorization").as_deref(), Some("Bearer theirs"));
}

#[test]
fn a_source_can_count_on_some_routes_only() {
    let (gate, upstream) = gate(
        "[[credentials]]\nname = \"header\"\nheader = \"X-API-Key\"\n\
         [[credentials]]\nname = \"basic\"\ndefault = false\nbasic = \"password\"\n\
         [[routes]]\npath = \"/hooks\"\ncredentials = [\"basic\", \"header\"]\n\
         [[routes]]\npath = \"/messages\"\n",
        key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")]),
    );
    let basic = |key: &str| {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("user:{key}"));
        format!("Authorization: Basic {encoded}\r\n")
    };
    assert_eq!(ask(&gate, "GET /hooks", &basic(ALPHA)).status(), 200);
    assert_eq!(upstream.last_request().header("authorization"), None);
    assert_eq!(gate.access_line("/hooks")["source"], "basic");
    assert_eq!(ask_with_key(&gate, "GET /hooks", "").status(), 200);
    assert_refused(
        &ask_with_key(&gate, "GET /hooks", &basic(BETA)),
        401,
        "credential_conflict",
    );

    let elsewhere = ask(&gate, "GET /messages", &basic(ALPHA));
    assert_refused(&elsewhere, 401, "credential_missing");
    let challenges = elsewhere.head.all("www-authenticate");
    assert!(
        !challenges.iter().any(|challenge| challenge.starts_with("Basic")),
        "{challenges:?}"
    );
    let challenges = ask(&gate, "GET /hooks", "").head.all("www-authenticate");
    assert!(
        challenges.iter().any(|challenge| challenge.starts_with("Basic")),
        "{challenges:?}"
    );

    // What stands there may be the service's own; a key of ours must not reach it.
    assert_eq!(ask_with_key(&gate, "GET /messages", &basic("theirs")).status(), 200);
    assert!(upstream.last_request().header("authorization").is_some());
    assert_eq!(ask_with_key(&gate, "GET /messages", &basic(BETA)).status(), 200);
    assert_eq!(upstream.last_request().header("authorization"), None);
}

#[test]
fn unmatched_requests_get_what_is_configured() {
    let upstream = Upstream::hello();
    let mut setup = Setup::before(&upstream);
    setup.more = "[[routes]]\npath = \"/admin/{*rest}\"\nmethods = [\"POST\"]\npermission = \"manage\"\n".to_owned();
    setup.records = alpha("");
    let closed = Gate::start(&setup);
    assert_refused(&ask_with_key(&closed, "GET /other", ""), 404, "route_unknown");
    drop(closed);
    setup.ingress = "unmatched = \"key\"".to_owned();
    let open = Gate::start(&setup);
    assert_eq!(ask_with_key(&open, "GET /other", "").status(), 200);
    assert_refused(&ask(&open, "GET /other", ""), 401, "credential_missing");
    // Neither another method nor another spelling is a way around the route.
    assert_refused(&ask_with_key(&open, "GET /admin/x", ""), 404, "route_unknown");
    assert_refused(&ask_with_key(&open, "POST /admin/x", ""), 403, "permission_denied");
    assert_refused(&ask_with_key(&open, "POST /adm%69n/x", ""), 400, "request_invalid");
    assert_refused(&ask_with_key(&open, "POST /admin;v=1/x", ""), 400, "request_invalid");
}

#[test]
fn routes_have_limits_and_timeouts_of_their_own() {
    let upstream = Upstream::tcp(|conversation| {
        conversation.read_body();
        if conversation.head.word(1) == "/slow" {
            return conversation.wait_for_end();
        }
        conversation.answer("200 OK", "", "hello")
    });
    let mut setup = Setup::before(&upstream);
    setup.more = "[limits]\nbody_bytes = 10\n\
                  [[routes]]\npath = \"/small\"\nbody_bytes = 4\n\
                  [[routes]]\npath = \"/usual\"\n\
                  [[routes]]\npath = \"/large\"\nbody_bytes = false\n\
                  [[routes]]\npath = \"/slow\"\ntimeouts = { head = \"200ms\" }\n"
        .to_owned();
    setup.records = alpha("");
    let gate = Gate::start(&setup);
    let send = |path: &str, length: usize| {
        let body = "x".repeat(length);
        exchange(
            gate.ingress(),
            format!(
                "POST {path} HTTP/1.1\r\nHost: api\r\nX-API-Key: {ALPHA}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{body}"
            ),
        )
    };
    assert_eq!(send("/small", 4).status(), 200);
    assert_refused(&send("/small", 5), 413, "body_too_large");
    assert_eq!(send("/usual", 10).status(), 200);
    assert_refused(&send("/usual", 11), 413, "body_too_large");
    assert_eq!(send("/large", 100_000).status(), 200);
    assert_refused(&send("/slow", 1), 504, "upstream_timeout");
}

#[test]
fn a_route_that_is_off_asks_nothing_and_lets_no_key_through() {
    let (gate, upstream) = gate(
        "[[routes]]\npath = \"/{*rest}\"\npermission = \"send\"\nenforcement = \"off\"\n",
        alpha(""),
    );
    assert_eq!(ask(&gate, "GET /a", "").status(), 200);
    assert_status(&upstream.last_request(), "public");
    assert_eq!(ask_with_key(&gate, "GET /b", "").status(), 200);
    let seen = upstream.last_request();
    assert_status(&seen, "public");
    assert!(!seen.head.text().contains(ALPHA));
}

#[test]
fn what_follows_a_path_includes_nothing_at_all() {
    let (gate, _upstream) = gate(
        "[[routes]]\npath = \"/{*rest}\"\npermission = \"read\"\n\
         [[routes]]\npath = \"/admin/{*rest}\"\npermission = \"manage\"\n\
         [[routes]]\npath = \"/orgs/{org}/{*rest}\"\npermission = \"read\"\norganization = \"{org}\"\n",
        alpha("permissions = [\"read\"]"),
    );
    for path in ["/admin", "/admin/", "/admin/x"] {
        assert_refused(
            &ask_with_key(&gate, &format!("GET {path}"), ""),
            403,
            "permission_denied",
        );
    }
    assert_eq!(ask_with_key(&gate, "GET /orgs/acme", "").status(), 200);
    assert_refused(&ask_with_key(&gate, "GET /orgs/other", ""), 403, "tenant_denied");
}
