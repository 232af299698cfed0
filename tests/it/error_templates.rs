//! A gateway keeps the errors that its callers know: status, headers and body per code, with values that cannot break them.

use crate::harness::{ALPHA, Gate, Home, Setup, Upstream, exchange, get, key_file, presents, sha256};

/// A name that breaks out of JSON, HTML and headers wherever nothing keeps it in.
const NASTY: &str = "\"}</p>{code}\u{e9}";

fn nasty_key() -> String {
    let record = format!(
        "[[keys]]\nid = \"key_nasty\"\nname = '{NASTY}'\norganization = \"acme\"\nhash = \"{}\"\n",
        sha256(ALPHA)
    );
    key_file(&[record])
}

const ROUTES: &str = r#"
[[routes]]
path = "/v1/orgs/{org}/messages"
permission = "send"
[[routes]]
path = "/hidden"
access = "deny"
"#;

fn gate(upstream: &Upstream, templates: &str) -> Gate {
    Gate::start(&Setup {
        more: format!("{ROUTES}{templates}"),
        records: nasty_key(),
        ..Setup::before(upstream)
    })
}

#[test]
fn every_placeholder_is_told_and_escaped_by_where_it_stands() {
    let upstream = Upstream::hello();
    let gate = gate(
        &upstream,
        r#"
[environments.live]
prefixes = ["kg_"]
plan = "standard"
[plans.standard]
[errors.templates.permission_denied]
headers = { X-Who = "{key.name}", X-Wait = "in {retry_after}s", Content-Type = "Application/Problem+JSON; charset=utf-8" }
body = '''{"code":"{code}","n":{status},"title":"{title}","id":{request_id},"call":"{method} {path}","route":{route},
  "key":["{key.id}","<{key.name}>",{key.name}],"org":["{organization.id}",{organization},{organization.name}],
  "on":[{environment},{plan}],"wait":{retry_after},"limit":"{window}{limit}","at":"{time}","literal":"{{code}}"}'''
"#,
    );
    let answer = exchange(
        gate.ingress(),
        get("/v1/orgs/a%20b/messages?secret=1", &presents(ALPHA)),
    );
    assert_eq!(answer.status(), 403);
    let id = answer.header("x-request-id").unwrap();
    let mut body: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let at = body["at"].take();
    assert!(
        at.as_str().is_some_and(|at| at.ends_with('Z') && at.contains('T')),
        "{at}"
    );
    assert_eq!(
        body,
        serde_json::json!({
            "code": "permission_denied", "n": 403, "title": "Forbidden", "id": id,
            "call": "GET /v1/orgs/a%20b/messages", "route": "/v1/orgs/{org}/messages",
            "key": ["key_nasty", format!("<{NASTY}>"), NASTY],
            "org": ["acme", "acme", "Acme Production"], "on": ["live", "standard"],
            "wait": null, "limit": "", "at": null, "literal": "{code}",
        })
    );
    assert_eq!(
        answer.header("x-who").as_deref(),
        Some("\"}</p>{code}%C3%A9"),
        "a header has visible ASCII only"
    );
    assert_eq!(answer.header("x-wait"), None, "a header that tells nothing is left out");
}

#[test]
fn markup_is_escaped_and_plain_text_is_not() {
    let upstream = Upstream::hello();
    for (content_type, expected) in [
        ("Text/HTML; charset=utf-8", "<p>&quot;}&lt;/p&gt;{code}\u{e9}</p>"),
        ("image/svg+xml", "<p>&quot;}&lt;/p&gt;{code}\u{e9}</p>"),
        ("text/plain; charset=utf-8", "<p>\"}</p>{code}\u{e9}</p>"),
    ] {
        let gate = gate(
            &upstream,
            &format!(
                "[errors.templates.permission_denied]\nheaders = {{ content-type = \"{content_type}\" }}\n\
                 body = '<p>{{key.name}}</p>'\n"
            ),
        );
        let answer = exchange(gate.ingress(), get("/v1/orgs/1/messages", &presents(ALPHA)));
        assert_eq!(answer.text(), expected, "{content_type}");
        assert_eq!(answer.header("content-type").as_deref(), Some(content_type));
    }
}

#[test]
fn nothing_is_told_of_a_caller_without_a_valid_key_nor_of_a_door_that_is_denied() {
    let upstream = Upstream::hello();
    let body = r#"body = '[{key.id},{key.name},{organization},{organization.name},{environment},{plan},{route}]'"#;
    let gate = gate(
        &upstream,
        &format!("[errors.templates.credential_invalid]\n{body}\n[errors.templates.route_unknown]\n{body}\n"),
    );
    let answer = exchange(gate.ingress(), get("/v1/orgs/1/messages", &presents("kg_nobody")));
    assert_eq!(
        answer.text(),
        r#"[null,null,null,null,null,null,"/v1/orgs/{org}/messages"]"#
    );
    for path in ["/hidden", "/nowhere"] {
        let answer = exchange(gate.ingress(), get(path, &presents(ALPHA)));
        assert_eq!(
            (answer.status(), &*answer.text()),
            (404, "[null,null,null,null,null,null,null]")
        );
    }
}

#[test]
fn check_refuses_a_body_that_would_not_be_json_and_a_placeholder_that_does_not_exist() {
    let upstream = Upstream::hello();
    for (content_type, body, wanted) in [
        (
            "application/json",
            r#"{"a":-{limit}}"#,
            "is not JSON when some placeholders have no value",
        ),
        (
            "Application/Vnd.Acme+JSON; charset=utf-8",
            r#"{"a":"\{code}"}"#,
            "is not JSON once",
        ),
        ("APPLICATION/JSON", "{{code}", "is not JSON once"),
        ("text/plain", "{cod}", "help: did you mean {code}?"),
        ("json", "{}", "is not a media type"),
    ] {
        let home = Home::new();
        let setup = Setup {
            more: format!(
                "[errors.templates.permission_denied]\nheaders = {{ Content-Type = '{content_type}' }}\nbody = '{body}'\n"
            ),
            ..Setup::before(&upstream)
        };
        setup.write(&home);
        let output = home.keygate(&["check"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{body}: {said}");
        assert!(
            said.contains("config.toml:1") && said.contains(wanted),
            "{body}: {said}"
        );
    }
}
