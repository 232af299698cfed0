//! `keygate check`, the configuration's place, and help that teaches.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use crate::harness::{ALPHA, BETA, Gate, Home, Setup, Upstream, exchange, get, key, key_file, keygate, presents};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The line numbers that problems of this file are reported at, in order of appearance.
fn lines_of(stderr: &str, file: &str) -> Vec<usize> {
    stderr
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(&format!("{file}:"))?;
            let mut numbers = rest.split(':');
            let line: usize = numbers.next()?.parse().ok()?;
            let column: usize = numbers.next()?.parse().expect("a column behind the line");
            assert!(column > 0);
            Some(line)
        })
        .collect()
}

#[test]
fn every_problem_of_every_file_is_told_at_once_with_its_place() {
    let home = Home::new();
    home.write(
        "config.toml",
        "[ingress]\n\
         listen = [\"nonsense\"]\n\
         wrokers = 2\n\
         [upstreams.default]\n\
         url = \"127.0.0.1:3000\"\n\
         [keys]\n\
         file = \"keys.toml\"\n\
         refresh = \"2 lightyears\"\n\
         [plans.default]\n\
         limits = [{ name = \"sec\", requests = 0, per = \"1s\" }]\n\
         [telemetry]\n\
         access_log = \"sometimes\"\n",
    );
    home.write(
        "keys.toml",
        "[[keys]]\n\
         id = \"key_a\"\n\
         name = \"a\"\n\
         organization = \"nobody\"\n\
         hash = \"sha256:123\"\n\
         colour = \"red\"\n",
    );
    let output = home.keygate(&["check", "--config", "config.toml"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(lines_of(&stderr, "config.toml"), [2, 3, 5, 8, 10, 12], "{stderr}");
    let mut in_keys = lines_of(&stderr, "keys.toml");
    in_keys.sort_unstable();
    assert_eq!(in_keys, [4, 5, 6], "{stderr}");
    // The key path, the offending line, and what to write instead.
    for part in [
        "ingress.listen",
        "listen = [\"nonsense\"]",
        "ingress.wrokers",
        "workers",
        "upstreams.default.url",
        "http://127.0.0.1:3000",
        "keys.refresh",
        "plans.default.limits[0].requests",
        "telemetry.access_log",
        "\"refused\"",
        "keys[0].organization",
        "keys[0].hash",
        "keys[0].colour",
    ] {
        assert!(stderr.contains(part), "{part} in\n{stderr}");
    }
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn key_files_are_read_whatever_else_is_wrong() {
    let home = Home::new();
    Setup {
        keys: "prefix = \"ä\"\nrefresh = \"0s\"\nargon2_concurrency = 0".to_owned(),
        records: "[[keys]]\nid = 7\n".to_owned(),
        ..Setup::url("http://127.0.0.1:3000")
    }
    .write(&home);
    let stderr = text(&home.keygate(&["check"]).stderr);
    assert_eq!(lines_of(&stderr, "config.toml").len(), 3, "{stderr}");
    assert!(lines_of(&stderr, "keys.toml").contains(&2), "{stderr}");
}

#[test]
fn problems_that_are_too_many_to_print_are_said_to_be_there() {
    let home = Home::new();
    Setup::url("http://127.0.0.1:3000").write(&home);
    let config = std::fs::read_to_string(home.path("config.toml")).unwrap();
    home.write("config.toml", config.replace("keys.toml", "keys.jsonl"));
    let lines: String = (0..3_000)
        .map(|id| format!("{{\"id\":\"{id}\",\"hash\":1}}\n"))
        .collect();
    home.write("keys.jsonl", lines);
    let output = home.keygate(&["check"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.contains("perhaps"),
        "{}",
        stderr.lines().rev().take(4).collect::<String>()
    );
}

#[test]
fn a_reader_that_has_had_enough_is_no_bug() {
    let home = Home::new();
    Setup::url("http://127.0.0.1:3000").write(&home);
    home.write("broken.toml", "[ingres]\n");
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for (arguments, code) in [
        (&["check"][..], 0),
        (&["check", "--config", "broken.toml"], 2),
        (&["run", "--config", "broken.toml"], 2),
        (&["completions", "bash"], 0),
        (&["keys", "list"], 0),
        (&["keys", "list", "--file", "nowhere.toml"], 2),
    ] {
        let mut command = keygate();
        command.args(arguments).current_dir(home.path("."));
        let status = command.stdin(Stdio::null()).stdout(gone()).stderr(gone()).status();
        assert_eq!(status.unwrap().code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_with_its_option() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let setup = Setup::url("http://127.0.0.1:3000");
    setup.write(&home);
    home.write(
        "config.toml",
        setup.config().replace(
            "[admin]\nlisten = [\"127.0.0.1:0\"]",
            &format!("[admin]\nlisten = [\"{address}\"]"),
        ),
    );
    let output = home.keygate(&["run"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("admin.listen") && stderr.contains(&address), "{stderr}");
}

#[test]
fn text_that_is_not_toml_is_told_with_its_place() {
    let home = Home::new();
    home.write(
        "config.toml",
        "[ingress]\nlisten = [\"127.0.0.1:0\"\n\n[keys]\nfile = \"keys.toml\"\n",
    );
    let output = home.keygate(&["check"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(!lines_of(&stderr, "config.toml").is_empty(), "{stderr}");
}

#[test]
fn missing_files_and_sections_are_told() {
    let home = Home::new();
    let output = home.keygate(&["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("config.toml"), "{}", text(&output.stderr));
    home.write("config.toml", "");
    let output = home.keygate(&["check"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    for section in ["ingress", "upstreams", "keys"] {
        assert!(stderr.contains(section), "{section} in\n{stderr}");
    }
}

fn run_check(home: &Home) -> Output {
    home.keygate(&["check"])
}

#[test]
fn a_good_configuration_is_summed_up() {
    let home = Home::new();
    let setup = Setup {
        listen: "[\"127.0.0.1:8080\", \"unix:in.sock\"]".to_owned(),
        more: "[[routes]]\npath = \"/v1/messages\"\nmethods = [\"POST\"]\n[[routes]]\npath = \"/health\"\naccess = \"public\"\n"
            .to_owned(),
        records: key_file(&[
            key("key_a", ALPHA, ""),
            key("key_b", BETA, ""),
            key("key_c", "kg_c", "active = false"),
            key("key_d", "kg_d", "expires_at = 2020-01-01T00:00:00Z"),
            key("key_e", "kg_e", "revoked_at = 2020-01-01T00:00:00Z"),
            key("key_f", "kg_f", "not_before = 2099-01-01T00:00:00Z"),
        ]),
        ..Setup::url("http://127.0.0.1:3000")
    };
    setup.write(&home);
    let output = run_check(&home);
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for part in [
        "127.0.0.1:8080",
        "in.sock",
        "http://127.0.0.1:3000",
        "/v1/messages",
        "/health",
        "6 keys",
        "2 active",
        "1 disabled",
        "1 expired",
        "1 revoked",
        "1 not yet valid",
    ] {
        assert!(stdout.contains(part), "{part} in\n{stdout}");
    }
}

#[test]
fn warnings_do_not_fail_it() {
    let home = Home::new();
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 3))
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string();
    let setup = Setup {
        more: "[plans.nobody]\n".to_owned(),
        records: key_file(&[key("key_soon", ALPHA, &format!("expires_at = {soon}"))]),
        ..Setup::url("http://127.0.0.1:3000")
    };
    setup.write(&home);
    std::fs::set_permissions(home.path("keys.toml"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = run_check(&home);
    let all = format!("{}{}", text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{all}");
    let warnings: Vec<_> = all.lines().filter(|line| line.contains("warning: ")).collect();
    for what in ["plans.nobody", "keys[0].expires_at", "keys.toml"] {
        assert!(warnings.iter().any(|line| line.contains(what)), "{what} in\n{all}");
    }
    assert_eq!(warnings.len(), 3, "each on a line of its own:\n{all}");
}

#[test]
fn run_refuses_what_check_refuses() {
    let home = Home::new();
    Setup {
        more: "[nonsense]\n".to_owned(),
        ..Setup::url("http://127.0.0.1:3000")
    }
    .write(&home);
    let output = home.keygate(&["run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("nonsense"));
}

#[test]
fn the_configuration_is_found_by_option_environment_or_default() {
    let upstream = Upstream::hello();
    let setup = Setup::before(&upstream);
    let home = Home::new();
    setup.write(&home);
    std::fs::create_dir(home.path("empty")).unwrap();
    assert_eq!(home.keygate(&["check"]).status.code(), Some(0), "./config.toml");
    let from_elsewhere = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = keygate();
        command.arg("check").current_dir(home.path("empty"));
        change(&mut command);
        command.output().unwrap().status.code()
    };
    assert_eq!(from_elsewhere(&|_| ()), Some(2));
    assert_eq!(
        from_elsewhere(&|command| {
            command.env("KEYGATE_CONFIG", home.path("config.toml"));
        }),
        Some(0)
    );
    assert_eq!(
        from_elsewhere(&|command| {
            command.args(["--config", "../config.toml"]);
        }),
        Some(0)
    );

    let mut command = keygate();
    command.arg("run").env("KEYGATE_CONFIG", home.path("config.toml"));
    let mut gate = Gate::spawn_command(home, &mut command);
    gate.wait_ready();
    assert_eq!(exchange(gate.ingress(), get("/", &presents(ALPHA))).status(), 200);
}

#[test]
fn help_teaches_and_completions_are_printed() {
    let home = Home::new();
    let top = home.keygate(&["--help"]);
    assert!(top.status.success());
    let top = text(&top.stdout);
    for command in ["run", "check", "keys", "demo", "completions"] {
        assert!(top.contains(command), "{command} in\n{top}");
        let help = home.keygate(&[command, "--help"]);
        assert!(help.status.success());
        assert!(
            text(&help.stdout).lines().count() >= 8,
            "{command} --help teaches:\n{}",
            text(&help.stdout)
        );
    }
    for command in ["new", "list", "verify"] {
        assert!(
            home.keygate(&["keys", command, "--help"]).status.success(),
            "keys {command}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let completions = home.keygate(&["completions", shell]);
        assert!(completions.status.success());
        assert!(text(&completions.stdout).contains("keygate"), "{shell}");
    }
    assert_eq!(home.keygate(&["--version"]).status.code(), Some(0));
    assert_eq!(home.keygate(&["nonsense"]).status.code(), Some(2));
    assert_eq!(home.keygate(&["run", "--nonsense"]).status.code(), Some(2));
}

#[test]
fn what_routes_demand_is_shown_on_one_line_each() {
    let home = Home::new();
    let mut setup = Setup::url("http://127.0.0.1:3000");
    setup.ingress = "unmatched = \"key\"".to_owned();
    setup.more = "[[routes]]\npath = \"/orgs/{org}\"\nmethods = [\"GET\", \"POST\"]\norganization = \"{org}\"\n\
                  permission = { any = [\"read\", \"send\"] }\n\
                  [[routes]]\npath = \"/old\"\nenforcement = \"observe\"\npermission = { all = [\"read\", \"send\"] }\n\
                  [[routes]]\npath = \"/open\"\nenforcement = \"off\"\n\
                  [[legacy]]\nname = \"batch\"\npath = \"/x\"\nuntil = 2037-01-01\n"
        .to_owned();
    setup.write(&home);
    let output = home.keygate(&["check"]);
    let said = text(&output.stdout);
    for line in [
        "route      GET,POST /orgs/{org}  key  permission any of read, send  own organization",
        "route      * /old  key  permission read and send  observes only",
        "route      * /open  key  not enforced",
        "unmatched  key",
        "legacy     batch  without a key until 2037-01-01T00:00:00Z",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} in {said}");
    }
}

#[test]
fn what_holds_without_routes_is_said_as_it_is_configured() {
    for (ingress, expected, other) in [
        ("", "routes     none: every path needs a valid key", "unmatched"),
        ("unmatched = \"public\"", "unmatched  public", "routes"),
        ("unmatched = \"deny\"", "unmatched  deny", "routes"),
    ] {
        let home = Home::new();
        let mut setup = Setup::url("http://127.0.0.1:3000");
        setup.ingress = ingress.to_owned();
        setup.write(&home);
        let said = text(&home.keygate(&["check"]).stdout);
        assert!(said.lines().any(|line| line == expected), "{expected} in {said}");
        assert!(!said.lines().any(|line| line.starts_with(other)), "{other} in {said}");
    }
}

#[test]
fn required_headers_that_never_go_on_are_errors() {
    let home = Home::new();
    let mut setup = Setup::url("http://127.0.0.1:3000");
    setup.more = "[[credentials]]\nname = \"mine\"\nheader = \"X-Mine\"\n\
                  [[credentials]]\nheader = \"Authorization\"\nscheme = \"Bearer\"\n\
                  [[routes]]\npath = \"/a\"\nrequires_headers = [{ name = \"Authorization\", scheme = \"bearer\" }]\n\
                  [[routes]]\npath = \"/b\"\nrequires_headers = [\"x-mine\"]\n\
                  [[routes]]\npath = \"/c\"\nrequires_headers = [\"X-Auth-User\"]\n\
                  [[routes]]\npath = \"/d\"\ncredentials = [\"mine\"]\n\
                  requires_headers = [\"X-Theirs\", { name = \"Authorization\", scheme = \"Bearer\" }]\n\
                  [[routes]]\npath = \"/e\"\nrequires_headers = [\"Authorization\"]\n"
        .to_owned();
    setup.write(&home);
    let said = text(&home.keygate(&["check"]).stderr);
    let errors: Vec<&str> = said.lines().filter(|line| line.contains(": error: ")).collect();
    for (index, (line, what)) in [
        (
            "routes[0].requires_headers",
            "`authorization` is where keys are taken from, and goes with them",
        ),
        (
            "routes[1].requires_headers",
            "`x-mine` is where keys are taken from, and goes with them",
        ),
        (
            "routes[2].requires_headers",
            "`x-auth-user` never comes from a client: it is removed, and said anew",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(errors[index].ends_with(&format!("{line}: {what}")), "{said}");
    }
    assert_eq!(errors.len(), 3, "{said}");
}
