//! `keygate reload` and `POST /admin/v1/reload`: the outcome is told, and who may let a change through that is held.

use std::process::Output;

use serde_json::{Value, json};

use crate::admin::tokens;
use crate::harness::{ALPHA, Gate, Home, Setup, Upstream, curl, exchange, get, key, key_file, keygate, presents};

fn reload(home: &Home, token: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = keygate();
    command.env_remove("KEYGATE_ADMIN_TOKEN").arg("reload").args(arguments);
    command.arg("--config").arg(home.path("config.toml"));
    if let Some(token) = token {
        command.env("KEYGATE_ADMIN_TOKEN", token);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// On a Unix socket, which is what the command finds in the configuration.
fn start(upstream: &Upstream, records: &str, more: &str) -> Gate {
    let home = Home::new();
    let setup = Setup {
        records: records.to_owned(),
        more: format!("{}{more}", tokens(&["operator", "viewer"])),
        ..Setup::before(upstream)
    };
    setup.write(&home);
    let listen = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", home.text("admin.sock"));
    let config = setup.config();
    let (ingress, rest) = config.split_once("[admin]\n").unwrap();
    let rest = rest.replacen("listen = [\"127.0.0.1:0\"]", &listen, 1);
    home.write("config.toml", format!("{ingress}[admin]\n{rest}"));
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    gate
}

#[test]
fn what_became_of_it_is_told_in_words_in_json_and_as_an_exit_code() {
    let upstream = Upstream::hello();
    let one = key_file(&[key("key_alpha", ALPHA, "")]);
    let gate = start(&upstream, &one, "");
    let told = |arguments: &[&str], code: i32| {
        let output = reload(&gate.home, None, arguments);
        let (out, errors) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{out}{errors}");
        (out, errors)
    };
    assert!(told(&[], 0).0.contains("unchanged"));
    gate.home.replace("keys.toml", one.replace("key_alpha", "key_other"));
    let result: Value = serde_json::from_str(&told(&["--json"], 0).0).unwrap();
    assert!(
        result["result"] == "applied" || result["result"] == "unchanged",
        "{result}"
    );
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
    gate.home.replace("keys.toml", "nonsense = 1\n");
    let (_, errors) = told(&[], 1);
    assert!(
        errors.contains("nonsense") && errors.contains("stays in force"),
        "{errors}"
    );
    let result: Value = serde_json::from_str(&told(&["--json"], 1).0).unwrap();
    assert_eq!(result["result"], "refused");
}

#[test]
fn a_change_that_is_held_is_let_through_by_an_admin_who_means_it() {
    let upstream = Upstream::hello();
    let records: Vec<String> = (0..20)
        .map(|n| key(&format!("key_{n}"), &format!("kg_plain_{n}"), ""))
        .collect();
    let gate = start(&upstream, &key_file(&records), "");
    gate.home.replace("keys.toml", key_file(&records[..2]));
    let output = reload(&gate.home, None, &["--json"]);
    let held: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &held["result"]),
        (Some(1), &json!("held")),
        "{held}"
    );
    assert_eq!((&held["dropped"], &held["of"]), (&json!(18), &json!(20)));
    let words = text(&reload(&gate.home, None, &[]).stderr);
    assert!(words.contains("18 of 20 keys") && words.contains("--accept"), "{words}");

    let (admin, digest) = (format!("http://{}", gate.admin()), held["digest"].as_str().unwrap());
    let refused = reload(&gate.home, Some("kga_operator"), &["--admin", &admin, "--accept"]);
    let errors = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        errors.contains("admin_role_denied") && errors.contains("role admin"),
        "{errors}"
    );
    // As from a variable that nobody has set: not what is held, whatever that is.
    let nothing = reload(&gate.home, None, &["--accept", ""]);
    assert_eq!(nothing.status.code(), Some(2), "{}", text(&nothing.stderr));
    let other = "0".repeat(64);
    assert_eq!(reload(&gate.home, None, &["--accept", &other]).status.code(), Some(1));
    let applied = reload(&gate.home, None, &["--accept", digest]);
    assert_eq!(applied.status.code(), Some(0), "{}", text(&applied.stderr));
    let line = gate.wait_for_log("who accepted it", |line| line["action"] == "reload.accepted");
    assert_eq!(line["source"], "unix");
    let actor = line["actor"].as_str().unwrap();
    assert!(actor.starts_with("user:"), "{actor}");
}

#[test]
fn the_sidecar_is_found_although_the_key_file_is_broken_and_what_keeps_it_is_said() {
    let upstream = Upstream::hello();
    let mut gate = start(&upstream, &key_file(&[key("key_alpha", ALPHA, "")]), "");
    let admin = format!("http://{}", gate.admin());
    let viewer = reload(&gate.home, Some("kga_viewer"), &["--admin", &admin]);
    assert_eq!(viewer.status.code(), Some(1));
    assert!(
        text(&viewer.stderr).contains("role operator"),
        "{}",
        text(&viewer.stderr)
    );
    let operator = reload(&gate.home, Some("kga_operator"), &["--admin", &admin]);
    assert_eq!(operator.status.code(), Some(0), "{}", text(&operator.stderr));
    for arguments in [
        &["--admin", "nonsense"][..],
        &["--accept", "abc", "--admin", "http://127.0.0.1"],
    ] {
        assert_eq!(
            reload(&gate.home, None, arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
    let body = ["-H", "X-Admin-Key: kga_operator", "--json", "{\"accept\": true}"];
    let refused = curl(&[&body[..], &[&gate.admin_url("/admin/v1/reload")]].concat());
    assert_eq!((refused.status, refused.code().as_str()), (403, "admin_role_denied"));
    gate.terminate();
    let gone = reload(&gate.home, None, &[]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("is it running"), "{}", text(&gone.stderr));
}
