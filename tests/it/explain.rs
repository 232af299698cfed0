//! `keygate explain`: what would become of a request, offline and on a running sidecar, without spending anything or showing
//! the key.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::{
    ALPHA, BETA, Gate, Home, Setup, Upstream, curl, exchange, get, key, key_file, keygate, presents, sha256,
};
use crate::keyring::argon2id;

const LIMITED: &str = "[plans.default]\nlimits = [{ name = \"hour\", requests = 3, per = \"1h\" }]\n\
                       [[routes]]\npath = \"/v1/send\"\nmethods = [\"POST\"]\npermission = \"send\"\ncost = 2\n\
                       [[routes]]\npath = \"/v1/rule\"\npermission = \"rule\"\n\
                       [[routes]]\npath = \"/v1/seen\"\npermission = \"rule\"\nenforcement = \"observe\"\n";
const JSON: &str = "Content-Type: application/json";
const TOKEN: &str = "kga_a-token-for-tests-only";

fn setup() -> Setup {
    Setup {
        more: LIMITED.to_owned(),
        ..Setup::url("http://127.0.0.1:9")
    }
}

fn with_token(setup: Setup) -> Setup {
    let more = format!(
        "{}\n[[admin.tokens]]\nname = \"ops\"\nhash = \"{}\"\n",
        setup.more,
        sha256(TOKEN)
    );
    Setup { more, ..setup }
}

/// `keygate explain` with these arguments, and this on standard input.
fn explain(home: &Home, key: &str, arguments: &[&str]) -> Output {
    let mut child = keygate()
        .env_remove("KEYGATE_ADMIN_TOKEN")
        .arg("explain")
        .arg("--config")
        .arg(home.path("config.toml"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        assert!(
            key.is_empty() || !text.contains(key.trim_end()),
            "the key is shown:\n{text}"
        );
    }
    output
}

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn offline_it_names_every_step_the_key_the_limits_and_the_upstream() {
    let home = Home::new();
    setup().write(&home);
    let output = explain(&home, &format!("{ALPHA}\n"), &["--request", "POST /v1/send"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    for part in [
        "header authorization (Bearer)",
        "key_alpha",
        "state        active",
        "/v1/send",
        "needs send; the key has read, send",
        "spends 2 of hour: 1 left of 3",
        "upstream default (127.0.0.1:9)",
        "x-auth-key-id: key_alpha",
    ] {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
}

#[test]
fn a_refusal_shows_the_answer_that_the_caller_would_get_and_is_exit_code_1() {
    let home = Home::new();
    setup().write(&home);
    let told = json(&explain(&home, ALPHA, &["--request", "GET /v1/rule", "--json"]), 1);
    assert_eq!(
        (&told["verdict"], &told["code"]),
        (&"refuse".into(), &"permission_denied".into())
    );
    assert_eq!(told["answer"]["status"], 403);
    let body: Value = serde_json::from_str(told["answer"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["code"], "permission_denied");
    let last = told["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["rule"], &last["outcome"]),
        (&"permission".into(), &"refused".into())
    );

    for (key, request, code) in [
        ("", "GET /v1/rule", "credential_missing"),
        ("kg_nobody", "GET /v1/rule", "credential_invalid"),
        (ALPHA, "GET /elsewhere", "route_unknown"),
        (ALPHA, "GET /v1/send", "route_unknown"),
        (ALPHA, "GET /v1/../rule", "request_invalid"),
    ] {
        let told = json(&explain(&home, key, &["--request", request, "--json"]), 1);
        assert_eq!(told["code"], code, "{request}");
    }
}

#[test]
fn what_a_route_only_observes_passes_and_says_what_it_would_have_been() {
    let home = Home::new();
    setup().write(&home);
    let told = json(&explain(&home, ALPHA, &["--request", "GET /v1/seen", "--json"]), 0);
    assert_eq!(
        (&told["verdict"], &told["code"]),
        (&"forward".into(), &"permission_denied".into())
    );
    assert_eq!(told["forward"]["status"], "would-refuse; reason=permission_denied");
}

#[test]
fn the_key_stands_where_the_configuration_looks_for_it_or_where_it_is_told_to() {
    let home = Home::new();
    let sources = "[[credentials]]\nname = \"url\"\nquery = \"api_key\"\n[[credentials]]\ncookie = \"api\"\n\
                   [[credentials]]\nbasic = \"password\"\n";
    Setup {
        more: format!("{LIMITED}{sources}"),
        ..setup()
    }
    .write(&home);
    for (source, expected) in [
        (None, "url"),
        (Some("0"), "url"),
        (Some("url"), "url"),
        (Some("cookie"), "cookie api"),
        (Some("2"), "basic password"),
    ] {
        let mut arguments = vec!["--request", "POST /v1/send?x=1", "--json"];
        arguments.extend(source.into_iter().flat_map(|source| ["--in", source]));
        assert_eq!(json(&explain(&home, ALPHA, &arguments), 0)["source"], expected);
    }
    let unknown = explain(&home, ALPHA, &["--request", "POST /v1/send", "--in", "nowhere"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("cookie api"));
}

#[test]
fn a_head_that_is_too_long_is_refused_as_it_is_on_the_wire() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        url: upstream.url(),
        ..setup()
    });
    // With 52 bytes for the rest: 32 KiB, and a byte more.
    for length in [32_716, 32_717] {
        let long = format!("X-Long: {}", "a".repeat(length));
        let told = json(
            &explain(&gate.home, "", &["--request", "GET /v1/rule", "-H", &long, "--json"]),
            1,
        );
        let request = format!(
            "GET /v1/rule HTTP/1.1\r\nx-long: {}\r\nhost: localhost\r\n\r\n",
            "a".repeat(length)
        );
        let answer = exchange(gate.ingress(), request);
        assert_eq!(
            (&told["code"], &told["answer"]["status"]),
            (&answer.code().into(), &answer.status().into())
        );
    }
}

#[test]
fn what_makes_no_request_is_exit_code_2() {
    let home = Home::new();
    for arguments in [
        &["--request", "POST"][..],
        &["--request", "GET x"],
        &["--request", "GET /x#y"],
        &["--request", "GET /", "-H", "x"],
    ] {
        setup().write(&home);
        let output = explain(&home, "", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains("help: "), "{}", text(&output.stderr));
    }
    home.write("config.toml", "[nonsense]");
    assert_eq!(explain(&home, "", &["--request", "GET /"]).status.code(), Some(2));
}

#[test]
fn address_tls_host_and_version_are_taken_into_account() {
    let home = Home::new();
    Setup {
        ingress: "require_tls = true\ntrusted_proxies = [\"192.0.2.1\"]".to_owned(),
        records: key_file(&[key(
            "key_alpha",
            ALPHA,
            "permissions = [\"send\"]\nallowed_sources = [\"10.0.0.0/8\"]",
        )]),
        ..setup()
    }
    .write(&home);
    let send = ["--request", "POST /v1/send", "--json"];
    let with = |more: &[&str], code| json(&explain(&home, ALPHA, &[&send[..], more].concat()), code)["code"].clone();
    assert_eq!(with(&[], 1), "tls_required");
    assert_eq!(with(&["--tls"], 1), "source_denied");
    assert_eq!(with(&["--tls", "--from", "10.1.2.3"], 0), Value::Null);
    assert_eq!(
        with(
            &["--tls", "--from", "10.1.2.3", "--http", "2", "--host", "a.example"],
            0
        ),
        Value::Null
    );
    assert_eq!(
        with(&["--tls", "--from", "10.1.2.3", "-H", "Host: b c"], 1),
        "request_invalid"
    );
}

#[test]
fn a_running_sidecar_answers_with_its_own_limits_and_keeps_them() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&with_token(Setup {
        url: upstream.url(),
        ..setup()
    }));
    let admin = format!("http://{}", gate.admin());
    gate.home.write("token", format!("{TOKEN}\n"));
    let token = gate.home.text("token");
    let ask = |code| {
        let arguments = [
            "--request",
            "GET /v1/seen",
            "--json",
            "--admin",
            &admin,
            "--token-file",
            &token,
        ];
        json(&explain(&gate.home, BETA, &arguments), code)
    };
    gate.home.replace(
        "keys.toml",
        key_file(&[
            key("key_alpha", ALPHA, ""),
            key("key_beta", BETA, "permissions = [\"rule\"]"),
        ]),
    );
    gate.wait_for_log("the reload", |line| line["message"] == "reloaded");
    for _ in 0..5 {
        assert_eq!(ask(0)["limits"][0]["left_after"], 2, "asking spends nothing");
    }
    for _ in 0..3 {
        assert_eq!(exchange(gate.ingress(), get("/v1/seen", &presents(BETA))).status(), 200);
    }
    let told = ask(0);
    assert_eq!(told["code"], "rate_limited", "{told}");
    assert_eq!(told["generation"], 2);
    assert_eq!(upstream.requests().len(), 3, "nothing was sent");
    let log = gate.log_lines().join("\n");
    assert!(!log.contains(BETA) && !log.contains(TOKEN));
}

#[test]
fn asked_over_the_wire_questions_are_bounded_and_errors_are_problems() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&with_token(Setup::before(&upstream)));
    let url = gate.admin_url("/admin/v1/explain");
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let post = |body: &str| {
        curl(&[
            "-H",
            &authorization,
            "-H",
            JSON,
            "-H",
            "Expect:",
            "--data-binary",
            body,
            &url,
        ])
    };
    let good = post("{\"request\":\"GET /\",\"key\":\"kg_nobody\"}");
    assert_eq!(good.status, 200);
    assert!(good.text().contains("credential_invalid") && !good.text().contains("kg_nobody"));
    for (body, expected) in [
        ("", (400, "request_invalid")),
        ("{", (400, "request_invalid")),
        ("{\"request\":\"GET /\",\"ky\":\"kg_secret\"}", (400, "request_invalid")),
        ("{\"request\":\"GET\"}", (409, "question_unanswerable")),
    ] {
        let answer = post(body);
        assert_eq!((answer.status, answer.code().as_str()), expected, "{body}");
        assert!(!answer.text().contains("kg_secret"));
    }
    let long = post(&"x".repeat(70_000));
    assert_eq!((long.status, long.code().as_str()), (413, "body_too_large"));
    assert_eq!(curl(&["-H", &authorization, &url]).status, 405);
}

#[test]
fn slow_hashes_are_computed_for_an_explanation() {
    let home = Home::new();
    let hash = argon2id("slow-and-chosen");
    let record = format!(
        "[[keys]]\nid = \"key_slow\"\nname = \"slow\"\norganization = \"acme\"\nhash = \"{hash}\"\nlead = \"slow\"\n\
         permissions = [\"send\"]\n"
    );
    Setup {
        records: key_file(&[record]),
        ..setup()
    }
    .write(&home);
    let send = ["--request", "POST /v1/send", "--json"];
    assert_eq!(
        json(&explain(&home, "slow-and-chosen", &send), 0)["key"]["id"],
        "key_slow"
    );
    let other = json(&explain(&home, "slow-and-guessed", &send), 1);
    assert_eq!(
        (&other["code"], &other["key"]),
        (&"credential_invalid".into(), &Value::Null)
    );
}

#[test]
fn the_header_in_which_answers_tell_a_keys_end_is_among_what_the_caller_gets() {
    let home = Home::new();
    let records = key_file(&[key("key_alpha", ALPHA, "expires_at = 2200-01-01T00:00:00Z")]);
    let expiry = "[keys.expiry]\nheader = \"X-Key-Ends\"\nheader_within = \"3650d\"\n";
    let setup = |expiry: String| Setup {
        more: format!("{LIMITED}{expiry}"),
        records: records.replace("2200", &(jiff::Zoned::now().year() + 1).to_string()),
        ..setup()
    };
    setup(expiry.to_owned()).write(&home);
    let date = format!("01 Jan {} 00:00:00 GMT", jiff::Zoned::now().year() + 1);
    let tells = |value: &Value| value[0].as_str().is_some_and(|value| value.ends_with(&date));
    let passes = json(&explain(&home, ALPHA, &["--json", "--request", "GET /v1/seen"]), 0);
    assert!(tells(&passes["forward"]["answer_headers"]["x-key-ends"]), "{passes}");
    let refused = json(&explain(&home, ALPHA, &["--json", "--request", "GET /v1/rule"]), 1);
    assert!(tells(&refused["answer"]["headers"]["x-key-ends"]), "{refused}");
    setup(String::new()).write(&home);
    let silent = json(&explain(&home, ALPHA, &["--json", "--request", "GET /v1/seen"]), 0);
    assert!(silent["forward"]["answer_headers"]["x-key-ends"].is_null(), "{silent}");
}
