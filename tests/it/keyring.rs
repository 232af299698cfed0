//! Keys at rest and what their records say: hashes, states, sources, environments.

use std::fmt::Write;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};

use crate::harness::{
    ALPHA, BETA, Gate, Home, Setup, Upstream, exchange, get, key, key_file, presents, sha256, wait_until,
};

const PEPPER: &str = "0123456789abcdef0123456789abcdef";

fn status(gate: &Gate, presented: &str) -> u16 {
    exchange(gate.ingress(), get("/", &presents(presented))).status()
}

/// A record with this `hash` line and more lines.
fn hashed(id: &str, hash: &str, more: &str) -> String {
    format!("[[keys]]\nid = \"{id}\"\nname = \"n\"\norganization = \"acme\"\nhash = \"{hash}\"\n{more}\n")
}

fn hmac_sha256(pepper: &str, plain: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, pepper.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, plain.as_bytes());
    tag.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A PHC string of this key.
pub fn argon2id(plain: &str) -> String {
    let params = Params::new(8 * 1024, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(plain.as_bytes(), b"some-salt-here")
        .unwrap()
        .to_string()
}

#[test]
fn a_key_is_found_by_its_sha256() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        records: key_file(&[
            hashed("key_lower", &sha256(ALPHA), ""),
            hashed("key_other", &sha256("any visible ASCII: +/=~!"), ""),
        ]),
        ..Setup::before(&upstream)
    });
    assert_eq!(status(&gate, ALPHA), 200);
    assert_eq!(
        upstream.last_request().header("x-auth-key-id").as_deref(),
        Some("key_lower")
    );
    assert_eq!(status(&gate, BETA), 401);
    assert_eq!(status(&gate, &sha256(ALPHA)), 401, "the hash itself opens nothing");
}

#[test]
fn peppered_keys_are_found_with_peppers_from_file_and_environment() {
    let other = "fedcba9876543210fedcba9876543210";
    let upstream = Upstream::hello();
    let home = Home::new();
    home.write("pepper.txt", format!("{PEPPER}\n"));
    Setup {
        keys: "peppers = [{ id = \"a\", file = \"pepper.txt\" }, { id = \"b\", env = \"KEYGATE_TEST_PEPPER\" }]"
            .to_owned(),
        records: key_file(&[
            hashed("key_a", &format!("hmac-sha256:a:{}", hmac_sha256(PEPPER, ALPHA)), ""),
            hashed("key_b", &format!("hmac-sha256:b:{}", hmac_sha256(other, BETA)), ""),
            hashed(
                "key_swapped",
                &format!("hmac-sha256:b:{}", hmac_sha256(PEPPER, "kg_swapped")),
                "",
            ),
            hashed("key_plain", &sha256("kg_plain"), ""),
        ]),
        ..Setup::before(&upstream)
    }
    .write(&home);
    let mut gate = Gate::spawn(home, |command| {
        command.env("KEYGATE_TEST_PEPPER", other);
    });
    gate.wait_ready();
    for (presented, id) in [(ALPHA, "key_a"), (BETA, "key_b"), ("kg_plain", "key_plain")] {
        assert_eq!(status(&gate, presented), 200, "{id}");
        assert_eq!(upstream.last_request().header("x-auth-key-id").as_deref(), Some(id));
    }
    assert_eq!(
        status(&gate, "kg_swapped"),
        401,
        "hashed with another pepper than it says"
    );
    assert_eq!(
        status(&gate, "kg_swapped"),
        401,
        "hashed with another pepper than it says"
    );
}

#[test]
fn argon2id_keys_are_verified_once_and_the_verdict_is_remembered() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        records: key_file(&[
            hashed("key_slow", &argon2id("human-chosen-key"), "lead = \"human\""),
            hashed("key_too", &argon2id("human-other-key"), "lead = \"human\""),
        ]),
        ..Setup::before(&upstream)
    });
    let computed = || gate.metric(&["keygate_slow_verifications_total"]);
    assert_eq!(computed(), 0.0);
    assert_eq!(status(&gate, "human-chosen-key"), 200);
    assert_eq!(
        upstream.last_request().header("x-auth-key-id").as_deref(),
        Some("key_slow")
    );
    let first = computed();
    assert!(first >= 1.0);
    for _ in 0..5 {
        assert_eq!(status(&gate, "human-chosen-key"), 200);
    }
    assert_eq!(computed(), first, "a valid verdict is remembered");
    assert_eq!(status(&gate, "human-other-key"), 200);
    assert_eq!(
        upstream.last_request().header("x-auth-key-id").as_deref(),
        Some("key_too")
    );

    assert_eq!(status(&gate, "human-wrong-key"), 401);
    let with_wrong = computed();
    for _ in 0..5 {
        assert_eq!(status(&gate, "human-wrong-key"), 401);
    }
    assert_eq!(computed(), with_wrong, "an invalid verdict is remembered too");
    assert_eq!(status(&gate, "other-lead-key"), 401);
    assert_eq!(computed(), with_wrong, "another lead costs nothing");
}

#[test]
fn a_remembered_verdict_does_not_outlive_its_generation() {
    let upstream = Upstream::hello();
    let record = |more: &str| {
        key_file(&[hashed(
            "key_slow",
            &argon2id("human-chosen-key"),
            &format!("lead = \"human\"\n{more}"),
        )])
    };
    let gate = Gate::start(&Setup {
        records: record(""),
        ..Setup::before(&upstream)
    });
    assert_eq!(status(&gate, "human-chosen-key"), 200);
    gate.home.write("keys.toml", record("active = false"));
    wait_until("the key to be off", || {
        (status(&gate, "human-chosen-key") == 401).then_some(())
    });
}

#[test]
fn once_a_source_has_spent_its_failures_no_slow_hash_is_computed_for_it() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[limits]\ncredential_failures = { requests = 3, per = \"1h\" }\n".to_owned(),
        records: key_file(&[
            hashed("key_slow", &argon2id("human-chosen-key"), "lead = \"human\""),
            key("key_alpha", ALPHA, ""),
        ]),
        ..Setup::before(&upstream)
    });
    for n in 0..3 {
        assert_eq!(status(&gate, &format!("human-guess-{n}")), 401);
    }
    let computed = gate.metric(&["keygate_slow_verifications_total"]);
    for n in 3..8 {
        assert_eq!(status(&gate, &format!("human-guess-{n}")), 429);
    }
    assert_eq!(gate.metric(&["keygate_slow_verifications_total"]), computed);
    assert_eq!(
        status(&gate, ALPHA),
        200,
        "a key that is found at once is still admitted"
    );
}

#[test]
fn many_slow_keys_at_once_do_not_hold_up_the_others() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "workers = 1".to_owned(),
        keys: "argon2_concurrency = 1".to_owned(),
        more: "[limits]\ncredential_failures = false\n".to_owned(),
        records: key_file(&[
            hashed("key_slow", &argon2id("human-chosen-key"), "lead = \"human\""),
            key("key_alpha", ALPHA, ""),
        ]),
        ..Setup::before(&upstream)
    });
    let mut slow: Vec<_> = (0..32)
        .map(|n| {
            let mut client = crate::harness::Connection::open(gate.ingress());
            client.send(get("/", &presents(&format!("human-guess-{n}"))));
            client
        })
        .collect();
    assert_eq!(status(&gate, ALPHA), 200);
    for client in &mut slow {
        let status = client.answer().status();
        assert!(status == 401 || status == 503, "{status}");
    }
}

#[test]
fn several_secrets_open_one_key_while_a_rotation_overlaps() {
    let upstream = Upstream::hello();
    let secrets = format!(
        "[[keys]]\nid = \"key_rotating\"\nname = \"n\"\norganization = \"acme\"\nsecrets = [\n  {{ hash = \"{}\" }},\n  \
         {{ hash = \"{}\", expires_at = 2099-01-01T00:00:00Z }},\n  {{ hash = \"{}\", expires_at = 2020-01-01T00:00:00Z }},\n]\n",
        sha256("kg_new"),
        sha256("kg_old"),
        sha256("kg_gone")
    );
    let gate = Gate::start(&Setup {
        records: key_file(&[secrets]),
        ..Setup::before(&upstream)
    });
    for presented in ["kg_new", "kg_old"] {
        assert_eq!(status(&gate, presented), 200, "{presented}");
        assert_eq!(
            upstream.last_request().header("x-auth-key-id").as_deref(),
            Some("key_rotating")
        );
    }
    assert_eq!(status(&gate, "kg_gone"), 401);
}

#[test]
fn a_key_expires_without_a_reload() {
    let upstream = Upstream::hello();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let soon = soon.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let gate = Gate::start(&Setup {
        records: key_file(&[
            key("key_ending", ALPHA, &format!("expires_at = {soon}")),
            key("key_beginning", BETA, &format!("not_before = {soon}")),
        ]),
        ..Setup::before(&upstream)
    });
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (200, 401));
    wait_until("the moment to come", || (status(&gate, ALPHA) == 401).then_some(()));
    assert_eq!(status(&gate, BETA), 200);
}

#[test]
fn a_key_may_be_bound_to_source_networks() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        records: key_file(&[
            key(
                "key_far",
                ALPHA,
                "allowed_sources = [\"203.0.113.0/24\", \"2001:db8::/32\"]",
            ),
            key(
                "key_near",
                BETA,
                "allowed_sources = [\"203.0.113.0/24\", \"127.0.0.0/8\"]",
            ),
        ]),
        ..Setup::before(&upstream)
    });
    let answer = exchange(gate.ingress(), get("/", &presents(ALPHA)));
    assert_eq!((answer.status(), answer.code().as_str()), (403, "source_denied"));
    assert_eq!(status(&gate, BETA), 200);
    let claimed = format!("{}X-Forwarded-For: 203.0.113.7\r\n", presents(ALPHA));
    let answer = exchange(gate.ingress(), get("/", &claimed));
    assert_eq!(answer.status(), 403, "nobody believes an untrusted client");
}

#[test]
fn trusted_proxies_decide_the_client_address() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        ingress: "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]".to_owned(),
        records: key_file(&[key("key_far", ALPHA, "allowed_sources = [\"203.0.113.0/24\"]")]),
        ..Setup::before(&upstream)
    });
    let table = [
        ("203.0.113.7", 200),
        ("198.51.100.1", 403),
        ("203.0.113.7, 10.1.2.3", 200),
        // Only what trusted proxies added counts: the first entry may be forged.
        ("203.0.113.7, 198.51.100.1", 403),
        ("203.0.113.7, 198.51.100.1, 10.1.2.3", 403),
        ("not an address", 403),
    ];
    for (forwarded, expected) in table {
        let headers = format!("{}X-Forwarded-For: {forwarded}\r\n", presents(ALPHA));
        let answer = exchange(gate.ingress(), get("/", &headers));
        assert_eq!(answer.status(), expected, "{forwarded}");
    }
    assert_eq!(status(&gate, ALPHA), 403, "the proxy itself is not in the network");
}

#[test]
fn environments_by_prefix_choose_the_upstream() {
    let live = Upstream::tcp(|it| it.answer("200 OK", "", "live"));
    let sandbox = Upstream::tcp(|it| it.answer("200 OK", "", "sandbox"));
    let gate = Gate::start(&Setup {
        more: format!(
            "[upstreams.sandbox]\nurl = \"{}\"\n\
             [environments.live]\nprefixes = [\"gsk_live_\"]\n\
             [environments.test]\nprefixes = [\"gsk_test_\"]\nupstream = \"sandbox\"\n",
            sandbox.url()
        ),
        records: key_file(&[
            key("key_live", "gsk_live_0123456789", ""),
            key("key_test", "gsk_test_0123456789", "environment = \"test\""),
            key("key_none", ALPHA, ""),
            key("key_mixed", "gsk_test_mixed_up", "environment = \"live\""),
        ]),
        ..Setup::before(&live)
    });
    for (presented, body, environment) in [
        ("gsk_live_0123456789", "live", Some("live")),
        ("gsk_test_0123456789", "sandbox", Some("test")),
        (ALPHA, "live", None),
    ] {
        let answer = exchange(gate.ingress(), get("/", &presents(presented)));
        assert_eq!((answer.status(), answer.text().as_str()), (200, body), "{presented}");
        let upstream = if body == "live" { &live } else { &sandbox };
        assert_eq!(
            upstream.last_request().header("x-auth-environment").as_deref(),
            environment
        );
    }
    let answer = exchange(gate.ingress(), get("/", &presents("gsk_test_mixed_up")));
    assert_eq!((answer.status(), answer.code().as_str()), (403, "environment_denied"));
    gate.wait_for_log("the disagreement", |line| {
        line["decision"] == "environment_denied" && line["reason"] == "prefix"
    });
}

#[test]
fn a_prefix_with_checksum_refuses_a_wrong_one_before_any_lookup() {
    let upstream = Upstream::hello();
    let setup = Setup {
        more: "[environments.live]\nprefixes = [\"kg_live_\"]\nchecksum = true\n".to_owned(),
        ..Setup::before(&upstream)
    };
    let home = Home::new();
    setup.write(&home);
    let made = home.keygate(&[
        "keys",
        "new",
        "--name",
        "made",
        "--organization",
        "acme",
        "--environment",
        "live",
    ]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    // Another key with the prefix, whose hash is in the file but whose last characters are no checksum.
    let foreign = "kg_live_0123456789012345678901234567890123456789";
    let mut records = std::fs::read_to_string(home.path("keys.toml")).unwrap();
    records.push_str(&key("key_foreign", foreign, ""));
    home.write("keys.toml", records);
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();

    assert_eq!(status(&gate, &made), 200);
    let answer = exchange(gate.ingress(), get("/foreign", &presents(foreign)));
    assert_eq!((answer.status(), answer.code().as_str()), (401, "credential_invalid"));
    assert_eq!(gate.access_line("/foreign")["reason"], "checksum");
    let mut typo = made.clone();
    let last = typo.pop().unwrap();
    typo.push(if last == 'x' { 'y' } else { 'x' });
    assert_eq!(status(&gate, &typo), 401);
}

#[test]
fn key_files_may_be_json_lines_or_a_directory_of_both() {
    let upstream = Upstream::hello();
    let home = Home::new();
    std::fs::create_dir(home.path("keys")).unwrap();
    home.write("keys/one.toml", key_file(&[key("key_toml", ALPHA, "")]));
    home.write(
        "keys/two.jsonl",
        format!(
            "{{\"id\":\"key_json\",\"name\":\"n\",\"organization\":\"acme\",\"hash\":\"{}\"}}\n",
            sha256(BETA)
        ),
    );
    let config = Setup::before(&upstream)
        .config()
        .replace("file = \"keys.toml\"", "file = \"keys\"");
    home.write("config.toml", config);
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    for (presented, id) in [(ALPHA, "key_toml"), (BETA, "key_json")] {
        assert_eq!(status(&gate, presented), 200, "{id}");
        assert_eq!(upstream.last_request().header("x-auth-key-id").as_deref(), Some(id));
    }
}

#[test]
fn plaintext_keys_are_accepted_only_where_allowed() {
    let upstream = Upstream::hello();
    let plain = format!("[[keys]]\nid = \"key_plain\"\nname = \"n\"\norganization = \"acme\"\nkey = \"{ALPHA}\"\n");
    let setup = |allow: bool| Setup {
        keys: format!("allow_plaintext_keys = {allow}"),
        records: key_file(std::slice::from_ref(&plain)),
        ..Setup::before(&upstream)
    };
    let home = Home::new();
    setup(false).write(&home);
    let refused = home.keygate(&["check"]);
    assert_eq!(refused.status.code(), Some(2));
    let gate = Gate::start(&setup(true));
    assert_eq!(status(&gate, ALPHA), 200);
    assert!(
        gate.log().iter().any(|line| line["level"] == "WARN"),
        "and warned about"
    );
    assert!(!gate.log_lines().join("\n").contains(&ALPHA[3..]));
}

#[test]
fn routes_decide_methods_permissions_and_upstreams() {
    let default = Upstream::tcp(|it| it.answer("200 OK", "", "default"));
    let other = Upstream::tcp(|it| it.answer("200 OK", "", "other"));
    let gate = Gate::start(&Setup {
        more: format!(
            "[upstreams.other]\nurl = \"{}\"\n\
             [[routes]]\npath = \"/v1/messages/{{id}}\"\nmethods = [\"GET\"]\npermission = \"read\"\n\
             [[routes]]\npath = \"/v1/messages\"\nmethods = [\"POST\"]\npermission = {{ all = [\"read\", \"send\"] }}\n\
             [[routes]]\npath = \"/v1/admin\"\npermission = {{ any = [\"admin\", \"root\"] }}\n\
             [[routes]]\npath = \"/v1/other/{{*rest}}\"\nupstream = \"other\"\n\
             [[routes]]\npath = \"/denied\"\naccess = \"deny\"\n\
             [[routes]]\npath = \"/health\"\naccess = \"public\"\n",
            other.url()
        ),
        ..Setup::before(&default)
    });
    let table = [
        ("GET", "/v1/messages/7", true, 200, "default"),
        ("POST", "/v1/messages", true, 200, "default"),
        ("GET", "/v1/other/a/b", true, 200, "other"),
        ("GET", "/health", false, 200, "default"),
        ("GET", "/v1/messages/7", false, 401, "credential_missing"),
        ("GET", "/v1/admin", true, 403, "permission_denied"),
        ("GET", "/v1/messages/7/parts", true, 404, "route_unknown"),
        ("GET", "/unknown", true, 404, "route_unknown"),
        ("GET", "/denied", true, 404, "route_unknown"),
    ];
    for (method, path, keyed, expected, what) in table {
        let headers = if keyed { presents(ALPHA) } else { String::new() };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: gate.test\r\nContent-Length: 0\r\n{headers}\r\n");
        let answer = exchange(gate.ingress(), request);
        let got = if expected == 200 { answer.text() } else { answer.code() };
        assert_eq!((answer.status(), got.as_str()), (expected, what), "{method} {path}");
    }
    // A known path with another method is refused too, whichever code says so.
    let request = format!(
        "DELETE /v1/messages/7 HTTP/1.1\r\nHost: gate.test\r\n{}\r\n",
        presents(ALPHA)
    );
    let answer = exchange(gate.ingress(), request);
    assert!(matches!(answer.status(), 404 | 405), "{}", answer.status());
}
