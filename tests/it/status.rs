//! `keygate status` and the lock of the admin listener: who may ask, and what is told of a migration.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use serde_json::Value;

use crate::harness::{ALPHA, Gate, Home, Setup, Upstream, curl, exchange, get, keygate, presents, sha256, wait_until};

const TOKEN: &str = "kga_a-token-for-tests-only";
const MIGRATING: &str = "[[routes]]\npath = \"/v1/seen\"\npermission = \"rule\"\nenforcement = \"observe\"\n\
                         [[routes]]\npath = \"/v1/{*rest}\"\n\
                         [[legacy]]\nname = \"batch-jobs\"\npath = \"/v1/old\"\nuntil = 2999-01-01\nnote = \"moves in spring\"\n\
                         [[legacy]]\nname = \"nobody\"\npath = \"/v1/older\"\nuntil = 2999-01-01\n";

fn token(name: &str, token: &str) -> String {
    format!("[[admin.tokens]]\nname = \"{name}\"\nhash = \"{}\"\n", sha256(token))
}

fn status(home: &Home, token: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = keygate();
    command.env_remove("KEYGATE_ADMIN_TOKEN").arg("status").args(arguments);
    command.arg("--config").arg(home.path("config.toml"));
    if let Some(token) = token {
        command.env("KEYGATE_ADMIN_TOKEN", token);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn told(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn it_says_whom_enforcing_would_refuse_and_who_still_comes_without_a_key() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: format!("{MIGRATING}{}", token("ops", TOKEN)),
        ..Setup::before(&upstream)
    });
    let admin = format!("http://{}", gate.admin());
    let ask = |more: &[&str]| {
        told(&status(
            &gate.home,
            Some(TOKEN),
            &[&["--admin", &admin][..], more].concat(),
        ))
    };
    let json = || serde_json::from_str::<Value>(&ask(&["--json"])).unwrap();

    let before = json();
    assert_eq!(before["enforcing_would_refuse"], false);
    assert_eq!(before["legacy"][0]["callers"], 0);
    assert!(ask(&[]).contains("would refuse nobody who was seen in the last 24 hours"));

    exchange(gate.ingress(), get("/v1/seen", &presents(ALPHA)));
    exchange(gate.ingress(), get("/v1/old", ""));
    let after = wait_until("both to be counted", || {
        let status = json();
        (status["observed"][0]["callers"] == 1 && status["legacy"][0]["callers"] == 1).then_some(status)
    });
    assert_eq!(after["enforcing_would_refuse"], true);
    assert_eq!(after["observed"][0]["code"], "permission_denied");
    assert_eq!(after["not_enforced"][0]["route"], "/v1/seen");
    assert_eq!(after["legacy"][0]["note"], "moves in spring");
    assert_eq!(
        (&after["generation"], &after["last_reload"]),
        (&1.into(), &"applied".into())
    );
    let text = ask(&[]);
    for part in [
        "1 caller left",
        "batch-jobs: 1, until 2999-01-01T00:00:00Z",
        "nobody: 0",
        "enforcing now would refuse /v1/seen permission_denied (1 caller)",
        "1 active",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn routes_of_one_path_are_told_apart_by_their_methods() {
    let upstream = Upstream::hello();
    let routes = |get: &str| {
        format!(
            "{}[[legacy]]\nname = \"old\"\npath = \"/old\"\nuntil = 2999-01-01\n\
             [[routes]]\npath = \"/x\"\nmethods = [\"GET\"]\npermission = \"manage\"\nenforcement = \"{get}\"\n\
             [[routes]]\npath = \"/x\"\nmethods = [\"POST\"]\npermission = \"manage\"\nenforcement = \"observe\"\n\
             [[routes]]\npath = \"/old\"\n",
            token("ops", TOKEN)
        )
    };
    let mut setup = Setup {
        more: routes("observe"),
        ..Setup::before(&upstream)
    };
    let gate = Gate::start(&setup);
    let admin = format!("http://{}", gate.admin());
    let verdict = || {
        let json = told(&status(&gate.home, Some(TOKEN), &["--admin", &admin, "--json"]));
        let status: Value = serde_json::from_str(&json).unwrap();
        status["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(exchange(gate.ingress(), get("/x", &presents(ALPHA))).status(), 200);
    wait_until("the verdict on GET", || {
        (verdict() == "enforcing now would refuse GET /x permission_denied (1 caller)").then_some(())
    });
    // What observes no more is history, also where another route of the same path still does.
    setup.more = routes("enforce");
    gate.home.replace("config.toml", setup.config());
    gate.wait_for_log("the reload", |line| line["message"] == "reloaded");
    assert_eq!(exchange(gate.ingress(), get("/x", &presents(ALPHA))).status(), 403);
    assert_eq!(exchange(gate.ingress(), get("/old", "")).status(), 200);
    wait_until("the verdict on nobody", || {
        let said = "enforcing now would refuse nobody who was seen in the last 24 hours; without a key, as [[legacy]] lets \
                    them, came 1 caller";
        (verdict() == said).then_some(())
    });
}

#[test]
fn the_first_admin_address_of_the_configuration_is_asked() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup::before(&upstream);
    setup.write(&home);
    let listen = format!("[admin]\nlisten = [\"unix:{}\"]", home.text("admin.sock"));
    home.write(
        "config.toml",
        setup.config().replace("[admin]\nlisten = [\"127.0.0.1:0\"]", &listen),
    );
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    // The same user on a Unix socket needs no token.
    assert!(told(&status(&gate.home, None, &[])).contains("generation   1"));

    gate.terminate();
    let gone = status(&gate.home, None, &[]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("is it running"), "{}", text(&gone.stderr));
}

#[test]
fn without_a_token_there_is_none_to_present_and_the_answer_says_how_to_make_one() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let answer = curl(&[gate.admin_url("/admin/v1/status")]);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "admin_token_not_configured")
    );
    assert!(answer.text().contains("keygate admin new-token"));
    let admin = format!("http://{}", gate.admin());
    let refused = status(&gate.home, None, &["--admin", &admin]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("keygate admin new-token"));
    // Probes are for everybody.
    assert_eq!(curl(&[gate.admin_url("/livez")]).status, 200);
    assert_eq!(curl(&[gate.admin_url("/metrics")]).status, 200);
}

#[test]
fn tokens_are_limited_logged_by_reason_and_changed_by_a_reload() {
    let upstream = Upstream::hello();
    let setup = Setup {
        more: token("ops", TOKEN),
        ..Setup::before(&upstream)
    };
    let gate = Gate::start(&setup);
    let url = gate.admin_url("/admin/v1/status");
    let with = |header: &str| {
        let answer = curl(&["-H", header, &url]);
        (answer.status, answer.code())
    };
    let good = format!("X-Admin-Key: {TOKEN}");
    assert_eq!(curl(&["-H", &good, &url]).status, 200);
    assert_eq!(with("X-Other: 1"), (401, "admin_token_missing".to_owned()));
    for _ in 0..10 {
        assert_eq!(
            with("Authorization: Bearer kga_wrong"),
            (401, "admin_token_invalid".to_owned())
        );
    }
    assert_eq!(
        with("Authorization: Bearer kga_wrong"),
        (429, "admin_failures_exceeded".to_owned())
    );
    assert_eq!(
        curl(&["-H", &good, &url]).status,
        200,
        "a good token is never held back"
    );
    let refused = gate.wait_for_log("the refusal", |line| line["reason"] == "admin_failures_exceeded");
    assert_eq!(
        (&refused["source"], &refused["path"]),
        (&"127.0.0.1".into(), &"/admin/v1/status".into())
    );

    gate.home.replace(
        "config.toml",
        Setup {
            more: token("next", "kga_next"),
            ..setup
        }
        .config(),
    );
    gate.wait_for_log("the reload", |line| line["message"] == "reloaded");
    assert_eq!(curl(&["-H", "X-Admin-Key: kga_next", &url]).status, 200);
    assert_ne!(curl(&["-H", &good, &url]).status, 200);
    let log = gate.log_lines().join("\n");
    assert!(!log.contains(TOKEN) && !log.contains("kga_wrong") && !log.contains("kga_next"));
}

#[test]
fn a_new_token_is_printed_once_with_the_lines_that_let_it_in() {
    let home = Home::new();
    let output = home.keygate(&["admin", "new-token", "--name", "ops"]);
    assert_eq!(output.status.code(), Some(0));
    let made = text(&output.stdout);
    let made = made.strip_suffix('\n').unwrap();
    let lines = text(&output.stderr);
    assert!(made.starts_with("kga_") && !lines.contains(made));

    let lines = &lines[lines.find("[[admin.tokens]]").unwrap()..];
    let gate = Gate::start(&Setup {
        more: lines.to_owned(),
        ..Setup::url("http://127.0.0.1:9")
    });
    let admin = format!("http://{}", gate.admin());
    told(&status(&gate.home, Some(made), &["--admin", &admin]));
    let service = home.keygate(&["admin", "new-token", "--egress", "--name", "service"]);
    assert!(text(&service.stdout).starts_with("kge_"));
    let told = text(&service.stderr);
    assert!(told.contains("[[egress.tokens]]") && !told.contains("role"), "{told}");

    let output = home.keygate(&["admin", "new-token", "--name", "ops", "--role", "admin", "--json"]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hash = sha256(made["token"].as_str().unwrap());
    assert_eq!(
        (&made["role"], &made["hash"]),
        (&"admin".into(), &hash.into()),
        "{made}"
    );
    assert_eq!(
        home.keygate(&["admin", "new-token", "--name", "a b"]).status.code(),
        Some(2)
    );
}

#[test]
fn bad_input_is_exit_code_2_and_says_what_helps() {
    let home = Home::new();
    Setup::url("http://127.0.0.1:9").write(&home);
    home.write("empty", "\n");
    home.write("two", "kga_one\nkga_two\n");
    let (empty, two, nowhere) = (home.text("empty"), home.text("two"), home.text("nowhere"));
    let address = ["--admin", "http://127.0.0.1:9"];
    for arguments in [
        &["--admin", "nonsense"][..],
        &["--admin", "unix:"],
        &["--admin", "http://127.0.0.1"],
        &["--admin", "http://user@127.0.0.1:9"],
        &[&address[..], &["--token-file", &nowhere]].concat(),
        &[&address[..], &["--token-file", &empty]].concat(),
        &[&address[..], &["--token-file", &two]].concat(),
    ] {
        let output = status(&home, None, arguments);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains("  help: ") && !errors.contains("kga_"), "{errors}");
        let explain = [&["explain", "--request", "GET /"], arguments].concat();
        assert_eq!(home.keygate(&explain).status.code(), Some(2), "{arguments:?}");
    }
    let config = Setup::url("http://127.0.0.1:9").config();
    let none = config.replace("[admin]\nlisten = [\"127.0.0.1:0\"]", "[admin]\nlisten = []");
    home.write("config.toml", none);
    let output = status(&home, None, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--admin"));
}

#[test]
fn what_answers_but_is_no_admin_listener_is_not_printed_as_a_status() {
    let upstream = Upstream::hello();
    let (home, url) = (Home::new(), upstream.url());
    for form in [&["--json"][..], &[]] {
        let arguments = [&["--admin", &url][..], form].concat();
        let output = status(&home, None, &arguments);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    }
}

/// Calls over a Unix socket as another user; `None` where this test may not become one.
fn as_nobody(socket: &str, more: &str) -> Option<String> {
    let command = format!("curl -s -w ' %{{http_code}}' --unix-socket {socket} {more}");
    let mut child = std::process::Command::new("setpriv");
    child.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", &command]);
    let output = child.output().ok().filter(|output| output.status.success());
    Some(text(&output?.stdout))
}

#[test]
fn another_user_on_the_unix_socket_needs_a_token() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup {
        more: token("ops", TOKEN),
        ..Setup::before(&upstream)
    };
    setup.write(&home);
    let socket = home.text("admin.sock");
    let listen = format!("[admin]\nlisten = [\"unix:{socket}\"]");
    home.write(
        "config.toml",
        setup.config().replace("[admin]\nlisten = [\"127.0.0.1:0\"]", &listen),
    );
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    // Whoever may connect is for the file system to say; here, everybody.
    for (path, mode) in [(gate.home.path(""), 0o711), (gate.home.path("admin.sock"), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let Some(refused) = as_nobody(&socket, "http://admin/admin/v1/status") else {
        eprintln!("NOT TESTED: this needs root and setpriv, to call as another user");
        return;
    };
    assert!(
        refused.contains("admin_token_missing") && refused.ends_with(" 401"),
        "{refused}"
    );
    let let_in = as_nobody(
        &socket,
        &format!("-H 'X-Admin-Key: {TOKEN}' http://admin/admin/v1/status"),
    )
    .unwrap();
    assert!(let_in.ends_with(" 200"), "{let_in}");
    let probe = as_nobody(&socket, "http://admin/livez").unwrap();
    assert_eq!(probe, "ok\n 200");
    let line = gate.wait_for_log("the refusal", |line| line["reason"] == "admin_token_missing");
    assert_eq!(line["source"], "unix, user 65534");
    // The same user needs none.
    assert!(told(&status(&gate.home, None, &[])).contains("generation   1"));
}

#[test]
fn looking_is_not_written_down_at_info_and_asking_is() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: token("ops", TOKEN),
        ..Setup::before(&upstream)
    });
    let good = format!("X-Admin-Key: {TOKEN}");
    assert_eq!(curl(&["-H", &good, &gate.admin_url("/admin/v1/status")]).status, 200);
    let explain = gate.admin_url("/admin/v1/explain");
    let question = "{\"request\":\"GET /\"}";
    assert_eq!(curl(&["-H", &good, "--json", question, &explain]).status, 200);
    let line = gate.wait_for_log("the question", |line| line["message"] == "admin call");
    assert_eq!(
        (&line["by"], &line["path"]),
        (&"token:ops".into(), &"/admin/v1/explain".into())
    );
}
