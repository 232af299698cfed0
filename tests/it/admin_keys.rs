//! `/admin/v1/keys`: keys are listed, shown and changed, and what an answer says is in force.

use serde_json::{Value, json};

use crate::admin::tokens;
use crate::harness::{
    ALPHA, BETA, GAMMA, Gate, Home, Setup, Upstream, curl, exchange, get, key, key_file, presents, sha256,
};

fn setup(upstream: &Upstream) -> Setup {
    Setup {
        more: format!(
            "[environments.test]\nprefixes = [\"kg_test_\"]\n[environments.live]\nprefixes = [\"kg_live_\"]\n\
             [plans.small]\nlimits = [{{ name = \"sec\", requests = 1000, per = \"1s\" }}]\n{}",
            tokens(&["admin"])
        ),
        ..Setup::before(upstream)
    }
}

/// Calls as an admin; the status and the body.
#[track_caller]
fn call(gate: &Gate, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let (url, body) = (gate.admin_url(path), body.map(Value::to_string));
    let mut arguments = vec!["-H", "X-Admin-Key: kga_admin", "-X", method, &url];
    if let Some(body) = &body {
        arguments.extend(["--json", body]);
    }
    let answer = curl(&arguments);
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn status_of(gate: &Gate, secret: &str) -> u16 {
    exchange(gate.ingress(), get("/", &presents(secret))).status()
}

#[test]
fn a_key_that_is_made_works_when_the_answer_is_there() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    let wish = json!({
        "name": "backend-prod", "organization": "42", "organization_name": "The Answer", "permissions": ["send", "send"],
        "environment": "test", "plan": "small", "expires": "90d", "allowed_sources": ["127.0.0.1/8"], "owner": "Ada",
        "subscriptions": ["news"],
    });
    for _ in 0..3 {
        let (status, made) = call(&gate, "POST", "/admin/v1/keys", Some(&wish));
        assert_eq!(status, 201, "{made}");
        let secret = made["secret"].as_str().unwrap();
        assert!(secret.starts_with("kg_test_"));
        assert_eq!(status_of(&gate, secret), 200);
        let key = &made["key"];
        assert_eq!(
            (&key["organization_name"], &key["permissions"], &key["allowed_sources"]),
            (&json!("The Answer"), &json!(["send"]), &json!(["127.0.0.0/8"]))
        );
        let (status, shown) = call(
            &gate,
            "GET",
            &format!("/admin/v1/keys/{}", key["id"].as_str().unwrap()),
            None,
        );
        assert_eq!((status, &shown), (200, key));
        let files = std::fs::read_to_string(gate.home.path("keys.toml")).unwrap();
        assert!(files.contains(&sha256(secret)) && !files.contains(secret));
        assert!(!gate.log_lines().join("\n").contains(secret));
    }
    let (_, listed) = call(&gate, "GET", "/admin/v1/keys?organization=42", None);
    assert_eq!(listed["keys"].as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains("sha256:"));
}

#[test]
fn what_the_configuration_does_not_have_makes_no_key() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    let before = std::fs::read(gate.home.path("keys.toml")).unwrap();
    for (more, code) in [
        (json!({"plan": "large"}), "plan_unknown"),
        (json!({"environment": "prod"}), "environment_unknown"),
        (
            json!({"environment": "test", "prefix": "kg_live_"}),
            "prefix_of_other_environment",
        ),
        (json!({"expires": "2020-01-01"}), "expiry_unreachable"),
        (json!({"expires": "9999-12-31T23:59:59Z"}), "expiry_unreachable"),
    ] {
        let mut wish = json!({"name": "n", "organization": "42"});
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, problem) = call(&gate, "POST", "/admin/v1/keys", Some(&wish));
        assert_eq!(
            (status, problem["code"].as_str()),
            (409, Some(code)),
            "{wish}: {problem}"
        );
    }
    assert_eq!(std::fs::read(gate.home.path("keys.toml")).unwrap(), before);
}

#[test]
fn a_list_is_no_body_and_a_secret_is_no_text() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    let before = std::fs::read(gate.home.path("keys.toml")).unwrap();
    let (status, made) = call(
        &gate,
        "POST",
        "/admin/v1/keys",
        Some(&json!({ "name": "a", "organization": "42" })),
    );
    assert_eq!(status, 201, "{made}");
    let after = std::fs::read(gate.home.path("keys.toml")).unwrap();
    assert_ne!(before, after);
    let secret = made["secret"].as_str().unwrap();
    for (path, body) in [
        ("/admin/v1/keys", json!(["a", "42"])),
        ("/admin/v1/keys/key_alpha/revoke", json!([])),
        (
            "/admin/v1/keys/key_alpha/revoke",
            json!({ "reason": format!("leaked: {secret}") }),
        ),
        ("/admin/v1/keys", json!({ "name": secret, "organization": "42" })),
    ] {
        let (status, told) = call(&gate, "POST", path, Some(&body));
        assert_eq!(
            (status, told["code"].as_str()),
            (400, Some("request_invalid")),
            "{told}"
        );
        assert!(!told.to_string().contains(secret), "{told}");
    }
    assert_eq!(std::fs::read(gate.home.path("keys.toml")).unwrap(), after);
    assert_eq!(status_of(&gate, ALPHA), 200);
}

#[test]
fn lists_are_filtered_and_come_in_pages_that_skip_nothing() {
    let upstream = Upstream::hello();
    let mut records: Vec<String> = (0..25)
        .map(|n| {
            key(
                &format!("key_{n:02}"),
                &format!("kg_plain_{n}"),
                "permissions = [\"read\"]",
            )
        })
        .collect();
    records.push(key(
        "old",
        ALPHA,
        "created_at = 2020-01-01T00:00:00Z\nowner = \"Ada Lovelace\"",
    ));
    records.push(key("gone", BETA, "revoked_at = 2020-01-01T00:00:00Z"));
    records.push(key("off/1", GAMMA, "active = false"));
    let gate = Gate::start(&Setup {
        records: key_file(&records),
        ..setup(&upstream)
    });
    let ids = |query: &str| -> Vec<String> {
        let (status, page) = call(&gate, "GET", &format!("/admin/v1/keys?{query}"), None);
        assert_eq!(status, 200, "{query}: {page}");
        let keys = page["keys"].as_array().unwrap();
        keys.iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("").len(), 28);
    assert_eq!(ids("state=revoked"), ["gone"]);
    assert_eq!(ids("state=disabled"), ["off/1"]);
    assert_eq!(ids("q=LOVELACE"), ["old"]);
    assert_eq!(ids("older_than=90d"), ["old"]);
    assert_eq!(ids("name=key_0&limit=2"), ["key_00", "key_01"]);
    assert_eq!(ids("id=key_2").len(), 5);
    assert_eq!(ids("permission=read&organization=acme").len(), 25);
    assert_eq!(ids("organization=nobody"), [""; 0]);
    assert_eq!(ids("expiring=14d"), [""; 0]);
    let (status, shown) = call(&gate, "GET", "/admin/v1/keys/off%2F1", None);
    assert_eq!((status, &shown["state"]), (200, &json!("disabled")));

    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let (_, page) = call(&gate, "GET", &format!("/admin/v1/keys?limit=7{after}"), None);
        let keys = page["keys"].as_array().unwrap();
        seen.extend(keys.iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
        if seen.len() == 7 {
            // A key that goes meanwhile does not move the next page.
            let others: Vec<String> = records
                .iter()
                .filter(|one| !one.contains("\"gone\""))
                .cloned()
                .collect();
            gate.home.replace("keys.toml", key_file(&others));
            assert_eq!(call(&gate, "POST", "/admin/v1/reload", None).0, 200);
        }
    }
    let mut sorted = ids("limit=1000");
    assert!(seen.contains(&"gone".to_owned()));
    sorted.insert(0, "gone".to_owned());
    assert_eq!(seen, sorted);
}

#[test]
fn key_files_that_do_not_load_are_said_with_their_places_and_without_their_lines() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    let broken = key_file(&[key("key_alpha", ALPHA, "nonsense = \"kg_a_secret\"")]);
    gate.home.replace("keys.toml", broken);
    let wish = json!({"name": "n", "organization": "42"});
    let (status, problem) = call(&gate, "POST", "/admin/v1/keys", Some(&wish));
    assert_eq!(
        (status, problem["code"].as_str()),
        (409, Some("key_files_invalid")),
        "{problem}"
    );
    assert_eq!(problem["problems"][0]["option"], "keys[0].nonsense");
    assert!(problem["problems"][0]["line"].is_number() && !problem.to_string().contains("kg_a_secret"));
    let (status, outcome) = call(&gate, "POST", "/admin/v1/reload", None);
    assert_eq!((status, outcome["result"].as_str()), (200, Some("refused")));
}

#[test]
fn a_key_is_turned_off_and_on_and_saying_it_twice_is_no_error() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    for (verb, serves, state) in [("disable", 401, "disabled"), ("enable", 200, "active")] {
        let path = format!("/admin/v1/keys/key_alpha/{verb}");
        let (status, done) = call(&gate, "POST", &path, Some(&json!({})));
        assert_eq!(
            (status, &done["changed"], &done["reload"]),
            (200, &json!(true), &json!("applied"))
        );
        assert_eq!(done["key"]["state"], state);
        assert_eq!(status_of(&gate, ALPHA), serves);
        let (status, again) = call(&gate, "POST", &path, None);
        assert_eq!((status, &again["changed"]), (200, &json!(false)), "{again}");
        assert_eq!(again["generation"], done["generation"]);
        let (status, _) = call(&gate, "POST", &format!("/admin/v1/keys/key_alpha-name/{verb}"), None);
        assert_eq!(status, 404, "a name is no id");
    }
}

#[test]
fn a_rotated_key_has_a_new_secret_and_the_old_one_ends_as_was_said() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    let rotate = |body: Option<&Value>| {
        let (status, rotated) = call(&gate, "POST", "/admin/v1/keys/key_alpha/rotate", body);
        assert_eq!(status, 200, "{rotated}");
        assert_eq!(rotated["key"]["id"], "key_alpha");
        (rotated["secret"].as_str().unwrap().to_owned(), rotated)
    };
    let (second, rotated) = rotate(Some(&json!({"overlap": "24h"})));
    assert!(rotated["overlap_ends"].is_string());
    assert_eq!((status_of(&gate, ALPHA), status_of(&gate, &second)), (200, 200));
    let (third, rotated) = rotate(None);
    assert_eq!(rotated["overlap_ends"], Value::Null);
    assert_eq!(rotated["key"]["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(
        (
            status_of(&gate, ALPHA),
            status_of(&gate, &second),
            status_of(&gate, &third)
        ),
        (401, 401, 200)
    );
    let log = gate.log_lines().join("\n");
    assert!(!log.contains(&second) && !log.contains(&third));
}

#[test]
fn a_revocation_goes_both_ways_is_for_good_and_may_be_said_twice() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: format!("{}[state]\npath = \"keygate.db\"\n", setup(&upstream).more),
        ..setup(&upstream)
    });
    let path = "/admin/v1/keys/key_alpha/revoke";
    let (status, done) = call(&gate, "POST", path, Some(&json!({"reason": "found in a repository"})));
    assert_eq!((status, &done["changed"]), (200, &json!(true)), "{done}");
    assert_eq!(status_of(&gate, ALPHA), 401);
    assert!(
        done["push"]["ms"].is_number() && done["file"]["ms"].is_number(),
        "{done}"
    );
    assert_eq!(
        (&done["push"]["durable"], &done["file"]["outcome"]),
        (&json!(true), &json!("written"))
    );
    assert_eq!(done["key"]["revoked_reason"], "found in a repository");
    let files = std::fs::read_to_string(gate.home.path("keys.toml")).unwrap();
    assert!(files.contains("[[tombstones]]") && files.contains("found in a repository"));
    let (status, again) = call(&gate, "POST", path, None);
    assert_eq!((status, &again["changed"]), (200, &json!(false)), "{again}");
    assert_eq!(again["revoked_at"], done["revoked_at"]);
    for verb in ["enable", "rotate"] {
        let (status, problem) = call(&gate, "POST", &format!("/admin/v1/keys/key_alpha/{verb}"), None);
        assert_eq!(
            (status, problem["code"].as_str()),
            (409, Some("key_revoked")),
            "{verb}: {problem}"
        );
    }
    assert_eq!(call(&gate, "POST", "/admin/v1/keys/nobody/revoke", None).0, 404);
}

#[test]
fn where_the_key_file_is_mounted_changes_say_what_to_do_and_a_push_revokes_all_the_same() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = setup(&upstream);
    setup.write(&home);
    // As kubelet mounts a Secret.
    std::fs::create_dir_all(home.path("keys/..1")).unwrap();
    std::fs::rename(home.path("keys.toml"), home.path("keys/..1/keys.toml")).unwrap();
    std::os::unix::fs::symlink("..1", home.path("keys/..data")).unwrap();
    std::os::unix::fs::symlink("..data/keys.toml", home.path("keys/keys.toml")).unwrap();
    home.write(
        "config.toml",
        setup.config().replace("file = \"keys.toml\"", "file = \"keys\""),
    );
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    let before = std::fs::read(gate.home.path("keys/keys.toml")).unwrap();
    let wish = json!({"name": "n", "organization": "42"});
    for (path, body) in [
        ("/admin/v1/keys", Some(&wish)),
        ("/admin/v1/keys/key_alpha/disable", None),
        ("/admin/v1/keys/key_alpha/rotate", None),
    ] {
        let (status, problem) = call(&gate, "POST", path, body);
        assert_eq!(
            (status, problem["code"].as_str()),
            (409, Some("key_file_read_only")),
            "{path}: {problem}"
        );
        assert!(problem["detail"].as_str().unwrap().contains("where it comes from"));
    }
    assert_eq!(status_of(&gate, ALPHA), 200);
    let (status, done) = call(&gate, "POST", "/admin/v1/keys/key_alpha/revoke", None);
    assert_eq!((status, &done["file"]["outcome"]), (200, &json!("read_only")), "{done}");
    assert!(
        done["file"]["problem"]
            .as_str()
            .unwrap()
            .contains("where it comes from")
    );
    assert_eq!(
        (&done["changed"], &done["key"]["state"]),
        (&json!(true), &json!("revoked"))
    );
    assert_eq!(
        (&done["push"]["durable"], status_of(&gate, ALPHA)),
        (&json!(false), 401)
    );
    assert_eq!(std::fs::read(gate.home.path("keys/keys.toml")).unwrap(), before);
    let (_, listed) = call(&gate, "GET", "/admin/v1/keys?state=revoked", None);
    assert_eq!(listed["keys"][0]["id"], "key_alpha");
}

#[test]
fn every_change_and_every_refusal_is_on_record_with_who_and_from_where() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: format!("{}{}", setup(&upstream).more, tokens(&["viewer"])),
        ..setup(&upstream)
    });
    let wish = json!({"name": "n", "organization": "42"});
    let (_, made) = call(&gate, "POST", "/admin/v1/keys", Some(&wish));
    let id = made["key"]["id"].as_str().unwrap();
    for verb in ["disable", "enable", "rotate", "revoke"] {
        assert_eq!(call(&gate, "POST", &format!("/admin/v1/keys/{id}/{verb}"), None).0, 200);
    }
    for (action, field) in [
        ("key.create", "name"),
        ("key.disable", "active"),
        ("key.enable", "active"),
        ("key.rotate", "hint"),
        ("key.revoke", "revoked_at"),
    ] {
        let line = gate.wait_for_log(action, |line| line["target"] == "audit" && line["action"] == action);
        assert_eq!(
            (&line["actor"], &line["source"], &line["subject"]),
            (&json!("token:admin"), &json!("127.0.0.1"), &json!(id))
        );
        let detail: Value = serde_json::from_str(line["detail"].as_str().unwrap()).unwrap();
        assert!(detail["after"][field] != detail["before"][field], "{action}: {detail}");
        assert!(!detail.to_string().contains("sha256:"));
    }
    let url = gate.admin_url("/admin/v1/keys/key_alpha/revoke");
    for (token, actor, reason) in [
        ("kga_viewer", "token:viewer", "admin_role_denied"),
        ("kga_nobody", "unknown", "admin_token_invalid"),
    ] {
        curl(&["-X", "POST", "-H", &format!("X-Admin-Key: {token}"), &url]);
        let line = gate.wait_for_log(reason, |line| {
            line["action"] == "admin.refused" && line["detail"].as_str().is_some_and(|text| text.contains(reason))
        });
        assert_eq!(line["actor"], actor);
        assert!(
            line["detail"]
                .as_str()
                .unwrap()
                .contains("/admin/v1/keys/key_alpha/revoke")
        );
    }
    assert_eq!(status_of(&gate, ALPHA), 200);
    // Whoever can only connect does not fill the trail.
    for _ in 0..60 {
        curl(&["-X", "POST", &url]);
    }
    let log = gate.log();
    let recorded = log.iter().filter(|line| line["action"] == "admin.refused").count();
    assert!((10..=35).contains(&recorded), "{recorded}");
}
