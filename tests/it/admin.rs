//! The admin listener: probes, metrics, and the manners of its API: who may do what, and what it takes.

use serde_json::Value;

use crate::harness::{ALPHA, Connection, Gate, Setup, Upstream, curl, exchange, get, presents, sha256, wait_until};

/// `[[admin.tokens]]`: `kga_NAME` for each of these, with this role.
pub fn tokens(roles: &[&str]) -> String {
    let tokens = roles.iter().map(|role| {
        let hash = sha256(&format!("kga_{role}"));
        format!("[[admin.tokens]]\nname = \"{role}\"\nrole = \"{role}\"\nhash = \"{hash}\"\n")
    });
    tokens.collect()
}

#[test]
fn the_probes_say_that_it_lives_has_started_and_is_ready() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for probe in ["/livez", "/readyz", "/startupz"] {
        let answer = curl(&[gate.admin_url(probe)]);
        assert_eq!(answer.status, 200, "{probe}");
    }
    assert_eq!(curl(&[gate.admin_url("/nothing")]).status, 404);
}

#[test]
fn probes_do_not_depend_on_the_upstream() {
    let gate = Gate::start(&Setup::url("http://127.0.0.1:1"));
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 502);
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(curl(&[gate.admin_url(probe)]).status, 200, "{probe}");
    }
}

#[test]
fn the_ingress_has_no_probes_and_the_admin_listener_no_way_to_the_upstream() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for probe in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(
            exchange(gate.ingress(), get(probe, "")).status(),
            401,
            "{probe} is a path like any other"
        );
    }
    assert_eq!(exchange(gate.admin(), get("/", &presents(ALPHA))).status(), 404);
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn only_get_and_head_are_answered() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    assert_eq!(curl(&["-X", "POST", &gate.admin_url("/livez")]).status, 405);
    assert_eq!(curl(&["--head", &gate.admin_url("/livez")]).status, 200);
}

#[test]
fn metrics_count_decisions_connections_and_keys() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for _ in 0..3 {
        exchange(gate.ingress(), get("/", &presents(ALPHA)));
    }
    for _ in 0..2 {
        exchange(gate.ingress(), get("/", ""));
    }
    let requests = |decision: &str| gate.metric(&["keygate_requests_total", &format!("decision=\"{decision}\"")]);
    wait_until("the counters", || {
        (requests("forward") == 3.0 && requests("credential_missing") == 2.0).then_some(())
    });
    assert_eq!(gate.metric(&["keygate_keys", "state=\"active\""]), 1.0);
    let _open = Connection::open(gate.ingress());
    wait_until("the open connection", || {
        (gate.metric(&["keygate_client_connections "]) >= 1.0).then_some(())
    });
}

#[test]
fn no_metric_grows_with_keys_or_paths() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    exchange(gate.ingress(), get("/warm", &presents(ALPHA)));
    exchange(gate.ingress(), get("/warm", &presents("kg_nobody")));
    let names = |text: &str| {
        let mut names: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
            .collect();
        names.sort();
        names
    };
    let before = names(&gate.metrics());
    for n in 0..20 {
        exchange(gate.ingress(), get(&format!("/path/{n}"), &presents(ALPHA)));
        exchange(gate.ingress(), get("/", &presents(&format!("kg_nobody_{n}"))));
    }
    let metrics = gate.metrics();
    assert_eq!(names(&metrics), before);
    assert!(!metrics.contains("key_alpha"));
}

#[test]
fn the_admin_listener_is_on_loopback_by_default_and_can_be_off() {
    let upstream = Upstream::hello();
    let setup = Setup::before(&upstream);
    let home = crate::harness::Home::new();
    setup.write(&home);
    let config = setup
        .config()
        .replace("[admin]\nlisten = [\"127.0.0.1:0\"]", "[admin]\nlisten = []");
    home.write("config.toml", config);
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    assert_eq!(gate.listeners("admin"), [""; 0]);
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
}

#[test]
fn connections_that_are_held_open_for_nothing_keep_no_probe_out() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let _held: Vec<_> = (0..100).map(|_| Connection::open(gate.admin())).collect();
    for probe in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(curl(&[gate.admin_url(probe)]).status, 200, "{probe}");
    }
}

#[test]
fn every_route_is_open_to_its_role_and_those_above_and_to_nobody_below() {
    const ROLES: [&str; 3] = ["viewer", "operator", "admin"];
    let gate = Gate::start(&Setup {
        more: tokens(&ROLES),
        ..Setup::url("http://127.0.0.1:9")
    });
    let call = |role: &str, method: &str, path: &str| {
        let token = format!("Authorization: Bearer kga_{role}");
        curl(&["-X", method, "-H", &token, &gate.admin_url(path)])
    };
    let document: Value = serde_json::from_str(&call("viewer", "GET", "/admin/v1/openapi.json").text()).unwrap();
    let mut routes = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "parameters")
        {
            let needed = operation["x-role"].as_str().unwrap();
            let place = |role: &str| ROLES.iter().position(|known| *known == role).unwrap();
            for role in ROLES {
                // Nothing is changed by these: no key has this id, and no body is sent.
                let answer = call(role, &method.to_uppercase(), &path.replace("{id}", "nobody"));
                let case = format!("{role}: {method} {path}: {}", answer.text());
                if place(role) >= place(needed) {
                    assert!(![401, 403].contains(&answer.status), "{case}");
                } else {
                    assert_eq!(
                        (answer.status, answer.code().as_str()),
                        (403, "admin_role_denied"),
                        "{case}"
                    );
                    assert!(answer.text().contains(&format!("the role {needed}")), "{case}");
                }
            }
            assert_eq!(curl(&["-X", method, &gate.admin_url(path)]).status, 401);
            routes += 1;
        }
    }
    assert!(routes > 5, "{routes}");
    let line = gate.wait_for_log("a refusal", |line| line["reason"] == "admin_role_denied");
    assert_eq!(
        (&line["by"], &line["source"]),
        (&"token:viewer".into(), &"127.0.0.1".into())
    );
}

#[test]
fn a_token_without_a_role_only_looks_and_one_with_a_wrong_role_is_an_error() {
    let plain = tokens(&["viewer"]).replace("role = \"viewer\"\n", "");
    let gate = Gate::start(&Setup {
        more: plain.clone(),
        ..Setup::url("http://127.0.0.1:9")
    });
    let token = ["-H", "X-Admin-Key: kga_viewer"];
    assert_eq!(
        curl(&[&token[..], &[&gate.admin_url("/admin/v1/keys")]].concat()).status,
        200
    );
    let reload = gate.admin_url("/admin/v1/reload");
    assert_eq!(curl(&[&token[..], &["-X", "POST", &reload]].concat()).status, 403);

    let home = crate::harness::Home::new();
    Setup {
        more: plain.replace("hash", "role = \"root\"\nhash"),
        ..Setup::url("http://127.0.0.1:9")
    }
    .write(&home);
    let output = home.keygate(&["check"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors.contains("admin.tokens[0].role") && errors.contains("viewer"),
        "{errors}"
    );
}

#[test]
fn of_several_tokens_none_may_be_another() {
    let gate = Gate::start(&Setup {
        more: tokens(&["viewer", "admin"]),
        ..Setup::url("http://127.0.0.1:9")
    });
    let status = |headers: &[&str]| {
        let mut arguments = vec![gate.admin_url("/admin/v1/status")];
        arguments.extend(
            headers
                .iter()
                .flat_map(|header| ["-H".to_owned(), (*header).to_owned()]),
        );
        curl(&arguments).status
    };
    let (bearer, key) = ("Authorization: Bearer kga_viewer", "X-Admin-Key: kga_viewer");
    assert_eq!(status(&[bearer, key]), 200);
    for others in [
        [bearer, "X-Admin-Key: kga_admin"],
        [bearer, "X-Admin-Key: kga_nobody"],
        ["Authorization: Basic a2dhX3ZpZXdlcg==", key],
        [key, "X-Admin-Key: kga_admin"],
    ] {
        assert_eq!(status(&others), 401, "{others:?}");
    }
}

#[test]
fn nothing_is_no_token_even_where_its_digest_is_configured() {
    let gate = Gate::start(&Setup {
        more: format!(
            "[[admin.tokens]]\nname = \"ops\"\nrole = \"admin\"\nhash = \"{}\"\n",
            sha256("")
        ),
        ..Setup::url("http://127.0.0.1:9")
    });
    let url = gate.admin_url("/admin/v1/status");
    for header in ["X-Admin-Key;", "Authorization: Bearer ", "Authorization;"] {
        let answer = curl(&["-H", header, &url]);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "admin_token_invalid"),
            "{header}"
        );
    }
}

#[test]
fn what_a_call_does_not_take_is_refused_in_words() {
    let gate = Gate::start(&Setup {
        more: tokens(&["admin"]),
        ..Setup::url("http://127.0.0.1:9")
    });
    let call = |arguments: &[&str], path: &str| {
        let url = gate.admin_url(path);
        let answer = curl(&[&["-H", "X-Admin-Key: kga_admin"][..], arguments, &[&url]].concat());
        (answer.status, answer.code(), answer.text())
    };
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    let json = ["-H", "Content-Type: application/json"];
    for (arguments, path, status, code, says) in [
        (&[][..], "/admin/v1/nothing", 404, "not_found", "openapi.json"),
        (&[], "/admin/v1/keys/nobody", 404, "not_found", "No key"),
        (&[], "/admin/v1/keys?limt=1", 400, "request_invalid", "`limit`"),
        (&[], "/admin/v1/keys?limit=1&limit=2", 400, "request_invalid", "twice"),
        (&[], "/admin/v1/keys?limit=0", 400, "request_invalid", "1 to 1000"),
        (&[], "/admin/v1/keys?state=dead", 400, "request_invalid", "revoked"),
        (&[], "/admin/v1/keys?q=%ff", 400, "request_invalid", "UTF-8"),
        (
            &["-X", "DELETE"],
            "/admin/v1/keys",
            405,
            "method_not_allowed",
            "GET, POST",
        ),
        (
            &["-X", "POST"],
            "/admin/v1/keys",
            415,
            "content_type_unsupported",
            "JSON",
        ),
        (
            &["-d", "name=a"],
            "/admin/v1/keys",
            415,
            "content_type_unsupported",
            "JSON",
        ),
        (&["--json", "{"], "/admin/v1/keys", 400, "request_invalid", "EOF"),
        (
            &["--json", "{\"nam\":1}"],
            "/admin/v1/keys",
            400,
            "request_invalid",
            "unknown field `nam`",
        ),
        (
            &["--json", "{\"name\":null}"],
            "/admin/v1/keys",
            400,
            "request_invalid",
            "null",
        ),
        (
            &["--json", "{\"name\":\"a\"}"],
            "/admin/v1/keys",
            400,
            "request_invalid",
            "organization",
        ),
        (
            &[json[0], json[1], "--data-binary", &long],
            "/admin/v1/keys",
            413,
            "body_too_large",
            "64 KiB",
        ),
    ] {
        let (found, found_code, text) = call(arguments, path);
        assert_eq!(
            (found, found_code.as_str()),
            (status, code),
            "{arguments:?} {path}: {text}"
        );
        assert!(text.contains(says), "{text}");
    }
    let allow = curl(&[
        "-H",
        "X-Admin-Key: kga_admin",
        "-i",
        "-X",
        "OPTIONS",
        &gate.admin_url("/admin/v1/keys"),
    ]);
    assert_eq!(allow.status, 204);
    assert!(allow.text().to_lowercase().contains("allow: get, post, head, options"));
    let head = ["-H", "X-Admin-Key: kga_admin", "--head"];
    assert_eq!(
        curl(&[&head[..], &[&gate.admin_url("/admin/v1/keys")]].concat()).status,
        200
    );
}
