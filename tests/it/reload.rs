//! The key file and the configuration are refreshed while traffic runs.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    ALPHA, BETA, Connection, GAMMA, Gate, Home, Setup, Upstream, exchange, get, key, key_file, presents, sha256,
    wait_until,
};

fn status(gate: &Gate, presented: &str) -> u16 {
    exchange(gate.ingress(), get("/", &presents(presented))).status()
}

fn only(records: &[(&str, &str)]) -> String {
    key_file(&records.iter().map(|(id, plain)| key(id, plain, "")).collect::<Vec<_>>())
}

#[track_caller]
fn wait_for(gate: &Gate, admitted: &str, refused: &str) {
    wait_until("the new generation", || {
        (status(gate, admitted) == 200 && status(gate, refused) == 401).then_some(())
    });
}

#[test]
fn a_plain_rewrite_of_the_key_file_changes_who_is_admitted() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (200, 401));
    gate.home.write("keys.toml", only(&[("key_beta", BETA)]));
    wait_for(&gate, BETA, ALPHA);
    gate.home.write("keys.toml", only(&[("key_alpha", ALPHA)]));
    wait_for(&gate, ALPHA, BETA);
}

#[test]
fn a_file_that_an_editor_renamed_into_place_is_noticed_every_time() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for _ in 0..3 {
        gate.home.replace("keys.toml", only(&[("key_beta", BETA)]));
        wait_for(&gate, BETA, ALPHA);
        gate.home.replace("keys.toml", only(&[("key_alpha", ALPHA)]));
        wait_for(&gate, ALPHA, BETA);
    }
}

#[test]
fn an_editor_that_keeps_a_backup_is_noticed() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    std::fs::rename(gate.home.path("keys.toml"), gate.home.path("keys.toml~")).unwrap();
    gate.home.write("keys.toml", only(&[("key_beta", BETA)]));
    wait_for(&gate, BETA, ALPHA);
}

#[test]
fn the_symlink_swap_of_kubernetes_is_noticed_every_time() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup::before(&upstream);
    home.write(
        "config.toml",
        setup.config().replace("\"keys.toml\"", "\"secret/keys.toml\""),
    );
    std::fs::create_dir(home.path("secret")).unwrap();
    let volume = |name: &str, keys: String| {
        std::fs::create_dir(home.path(&format!("secret/{name}"))).unwrap();
        home.write(&format!("secret/{name}/keys.toml"), keys);
    };
    // secret/keys.toml -> ..data/keys.toml, secret/..data -> ..2026_01: what the kubelet makes.
    volume("..2026_01", only(&[("key_alpha", ALPHA)]));
    volume("..2026_02", only(&[("key_beta", BETA)]));
    volume("..2026_03", only(&[("key_gamma", GAMMA)]));
    symlink("..2026_01", home.path("secret/..data")).unwrap();
    symlink("..data/keys.toml", home.path("secret/keys.toml")).unwrap();
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (200, 401));
    for (name, old, admitted, refused) in [
        ("..2026_02", "..2026_01", BETA, ALPHA),
        ("..2026_03", "..2026_02", GAMMA, BETA),
    ] {
        symlink(name, gate.home.path("secret/..data_tmp")).unwrap();
        std::fs::rename(gate.home.path("secret/..data_tmp"), gate.home.path("secret/..data")).unwrap();
        std::fs::remove_dir_all(gate.home.path(&format!("secret/{old}"))).unwrap();
        wait_for(&gate, admitted, refused);
    }
}

#[test]
fn a_file_that_joins_a_directory_of_key_files_is_noticed() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup::before(&upstream);
    home.write("config.toml", setup.config().replace("\"keys.toml\"", "\"keys\""));
    std::fs::create_dir(home.path("keys")).unwrap();
    home.write("keys/one.toml", only(&[("key_alpha", ALPHA)]));
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (200, 401));
    gate.home.write(
        "keys/two.jsonl",
        format!(
            "{{\"id\":\"key_beta\",\"name\":\"n\",\"organization\":\"acme\",\"hash\":\"{}\"}}\n",
            sha256(BETA)
        ),
    );
    wait_until("the second file", || (status(&gate, BETA) == 200).then_some(()));
    std::fs::remove_file(gate.home.path("keys/two.jsonl")).unwrap();
    wait_for(&gate, ALPHA, BETA);
}

#[test]
fn a_broken_file_changes_nothing_is_logged_with_its_position_and_shows_in_the_gauge() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    assert_eq!(gate.metric(&["keygate_reload_failed"]), 0.0);
    let broken = format!("{}\nthis is = = not TOML\n", only(&[("key_beta", BETA)]));
    let line = 1 + broken.lines().position(|line| line.contains("not TOML")).unwrap();
    gate.home.write("keys.toml", broken);
    let logged = gate.wait_for_log("the broken file", |line| {
        line["level"] == "ERROR" && line["file"].as_str().is_some_and(|file| file.ends_with("keys.toml"))
    });
    assert_eq!(logged["line"], line);
    assert!(logged["column"].as_u64().is_some_and(|column| column > 0), "{logged}");
    wait_until("the gauge", || {
        (gate.metric(&["keygate_reload_failed"]) == 1.0).then_some(())
    });
    assert_eq!(
        (status(&gate, ALPHA), status(&gate, BETA)),
        (200, 401),
        "the last good generation stays"
    );
    gate.home.write("keys.toml", only(&[("key_beta", BETA)]));
    wait_for(&gate, BETA, ALPHA);
    assert_eq!(gate.metric(&["keygate_reload_failed"]), 0.0);
}

#[test]
fn a_half_written_or_missing_key_file_changes_nothing() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let whole = only(&[("key_beta", BETA)]);
    let half = &whole[..whole.len() - 30];
    let failed = |what: &str| {
        wait_until(what, || (gate.metric(&["keygate_reload_failed"]) == 1.0).then_some(()));
        assert_eq!(status(&gate, ALPHA), 200, "{what}");
        gate.home.write("keys.toml", only(&[("key_alpha", ALPHA)]));
        wait_until("the good file", || {
            (gate.metric(&["keygate_reload_failed"]) == 0.0).then_some(())
        });
    };
    gate.home.write("keys.toml", half);
    failed("a half-written file");
    gate.home.write("keys.toml", "");
    failed("a file that was emptied before it is written");
    std::fs::remove_file(gate.home.path("keys.toml")).unwrap();
    failed("a missing file");
}

#[test]
fn a_key_file_that_is_meant_to_hold_no_keys_says_so() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    gate.home.write("keys.toml", "\n");
    wait_until("nobody is admitted", || (status(&gate, ALPHA) == 401).then_some(()));
}

#[test]
fn what_else_happens_in_the_directory_delays_no_reload() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        keys: "refresh = \"1h\"".to_owned(),
        ..Setup::before(&upstream)
    });
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                // A log is written, and files come and go.
                gate.home.write("keygate.log", format!("{line}\n"));
                gate.home.replace("status.json", format!("{line}\n"));
            }
        });
        let began = Instant::now();
        gate.home.write("keys.toml", only(&[("key_beta", BETA)]));
        wait_for(&gate, BETA, ALPHA);
        let took = began.elapsed();
        over.store(true, Ordering::Relaxed);
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
}

#[test]
fn a_changed_configuration_is_in_force_without_a_restart() {
    let upstream = Upstream::tcp(|it| it.answer("200 OK", "", "first"));
    let second = Upstream::tcp(|it| it.answer("200 OK", "", "second"));
    let gate = Gate::start(&Setup::before(&upstream));
    let changed = Setup {
        more: "[[credentials]]\nheader = \"X-Other-Key\"\n".to_owned(),
        ..Setup::before(&second)
    };
    gate.home.write("config.toml", changed.config());
    wait_until("the new configuration", || {
        let answer = exchange(gate.ingress(), get("/", &format!("X-Other-Key: {ALPHA}\r\n")));
        (answer.text() == "second").then_some(())
    });
    assert_eq!(status(&gate, ALPHA), 401, "X-API-Key is no source any more");
}

#[test]
fn an_invalid_configuration_changes_nothing() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let setup = Setup {
        more: "[unknown]\nx = 1\n".to_owned(),
        ..Setup::before(&upstream)
    };
    gate.home.write("config.toml", setup.config());
    gate.wait_for_log("the unknown table", |line| {
        line["level"] == "ERROR" && line.to_string().contains("unknown")
    });
    assert_eq!(status(&gate, ALPHA), 200);
}

#[test]
fn what_needs_a_restart_is_said_so_and_the_rest_is_in_force() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let changed = Setup {
        listen: "[\"127.0.0.1:0\", \"127.0.0.2:0\"]".to_owned(),
        more: "[[credentials]]\nheader = \"X-Other-Key\"\n".to_owned(),
        ..Setup::before(&upstream)
    };
    gate.home.write("config.toml", changed.config());
    let line = gate.wait_for_log("what needs a restart", |line| {
        line["level"] == "WARN" && line["option"] == "ingress.listen"
    });
    assert!(line["message"].as_str().unwrap().contains("start"), "{line}");
    wait_until("the rest", || {
        let answer = exchange(gate.ingress(), get("/", &format!("X-Other-Key: {ALPHA}\r\n")));
        (answer.status() == 200).then_some(())
    });
}

#[test]
fn what_is_changed_back_needs_no_restart() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let reload = |config: &str, generation: u64| {
        gate.home.write("config.toml", config);
        gate.wait_for_log("the reload", |line| line["generation"] == generation);
        let lines = gate.log();
        lines
            .iter()
            .filter(|line| line["option"] == "telemetry.log_level")
            .count()
    };
    let config = Setup::before(&upstream).config();
    let debug = format!("{config}[telemetry]\nlog_level = \"debug\"\n");
    assert_eq!(reload(&debug, 2), 1);
    assert_eq!(reload(&format!("{debug}\n"), 3), 2, "it still does");
    assert_eq!(reload(&config, 4), 2, "what is in force is what the file says");
}

#[test]
fn sighup_reloads_at_once() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        keys: "refresh = \"1h\"".to_owned(),
        ..Setup::before(&upstream)
    });
    let before = gate.metric(&["keygate_reloads_total", "applied"]);
    gate.signal("HUP");
    wait_until("the reload", || {
        (gate.metric(&["keygate_reloads_total", "applied"]) > before).then_some(())
    });
    assert_eq!(status(&gate, ALPHA), 200);
}

#[test]
fn an_unchanged_file_is_not_reloaded_however_often_it_is_touched() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        keys: "refresh = \"100ms\"".to_owned(),
        ..Setup::before(&upstream)
    });
    let generation = gate.metric(&["keygate_generation"]);
    let same = std::fs::read(gate.home.path("keys.toml")).unwrap();
    for _ in 0..5 {
        gate.home.replace("keys.toml", &same);
    }
    // Then one real change, so that there is something to wait for.
    gate.home
        .replace("keys.toml", only(&[("key_alpha", ALPHA), ("key_beta", BETA)]));
    wait_until("the change", || (status(&gate, BETA) == 200).then_some(()));
    assert_eq!(gate.metric(&["keygate_generation"]), generation + 1.0);
}

#[test]
fn spent_limits_survive_a_reload() {
    let upstream = Upstream::hello();
    let setup = Setup {
        more: "[plans.default]\nlimits = [{ name = \"hour\", requests = 2, per = \"1h\" }]\n".to_owned(),
        ..Setup::before(&upstream)
    };
    let gate = Gate::start(&setup);
    assert_eq!(
        [status(&gate, ALPHA), status(&gate, ALPHA), status(&gate, ALPHA)],
        [200, 200, 429]
    );
    gate.home
        .write("keys.toml", only(&[("key_alpha", ALPHA), ("key_beta", BETA)]));
    wait_until("the new generation", || (status(&gate, BETA) == 200).then_some(()));
    assert_eq!(status(&gate, ALPHA), 429, "a reload is no fresh start");
}

#[test]
fn a_request_in_flight_goes_on_through_a_reload_while_its_key_lives_and_ends_with_it() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::tcp(move |it| {
        if it.head.word(1) == "/slow" {
            let _ = wait.lock().unwrap().recv();
        }
        it.answer("200 OK", "", "late")
    });
    let gate = Gate::start(&Setup::before(&upstream));
    let mut slow = Connection::open(gate.ingress());
    slow.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(1);
    gate.home
        .write("keys.toml", only(&[("key_alpha", ALPHA), ("key_beta", BETA)]));
    wait_until("the new generation", || (status(&gate, BETA) == 200).then_some(()));
    release.send(()).unwrap();
    assert_eq!(slow.answer().status(), 200);

    slow.send(get("/slow", &presents(ALPHA)));
    upstream.wait_for_requests(3);
    gate.home.write("keys.toml", only(&[("key_beta", BETA)]));
    assert_eq!(slow.answer().status(), 401, "while the upstream still thinks");
}

/// Editing the key file while 64 connections are under load changes who is admitted within 2 s, with no failed request of
/// any other key and no reconnect.
#[test]
fn under_load_of_64_connections_an_edit_is_in_force_within_2_s_and_nobody_else_notices() {
    const CONNECTIONS: usize = 64;
    let upstream = Upstream::tcp(|it| it.answer("200 OK", "", "hello"));
    let gate = Gate::start(&Setup {
        records: only(&[("key_alpha", ALPHA), ("key_beta", BETA)]),
        ..Setup::before(&upstream)
    });
    let address = gate.ingress();
    let stop = AtomicBool::new(false);
    let answered: Vec<AtomicUsize> = (0..CONNECTIONS).map(|_| AtomicUsize::new(0)).collect();
    let total = || answered.iter().map(|count| count.load(Ordering::SeqCst)).sum::<usize>();
    std::thread::scope(|scope| {
        let clients: Vec<_> = answered
            .iter()
            .map(|count| {
                let stop = &stop;
                scope.spawn(move || {
                    // One connection for the whole test: a close by the gate would fail it.
                    let mut client = Connection::open(address);
                    while !stop.load(Ordering::SeqCst) {
                        client.send(get("/", &presents(ALPHA)));
                        let answer = client.answer();
                        assert_eq!(answer.status(), 200, "{}", answer.text());
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        wait_until("every connection to be in use", || {
            answered
                .iter()
                .all(|count| count.load(Ordering::SeqCst) > 0)
                .then_some(())
        });
        // Beta leaves, gamma comes; alpha, which all the load uses, stays. Three times.
        let mut other = Connection::open(address);
        let mut ask = |presented: &str| {
            other.send(get("/", &presents(presented)));
            other.answer().status()
        };
        for (leaves, comes, id) in [
            (BETA, GAMMA, "key_gamma"),
            (GAMMA, BETA, "key_beta"),
            (BETA, GAMMA, "key_gamma"),
        ] {
            assert_eq!((ask(leaves), ask(comes)), (200, 401));
            let before = total();
            let edited = Instant::now();
            gate.home
                .replace("keys.toml", only(&[("key_alpha", ALPHA), (id, comes)]));
            while ask(comes) != 200 || ask(leaves) != 401 {
                assert!(edited.elapsed() < Duration::from_secs(2), "not in force after 2 s");
            }
            assert!(total() > before, "the load went on meanwhile");
        }
        stop.store(true, Ordering::SeqCst);
        for client in clients {
            client
                .join()
                .expect("no request of another key failed, and no connection was closed");
        }
    });
    assert_eq!(gate.metric(&["keygate_reload_failed"]), 0.0);
}
