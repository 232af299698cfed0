//! The state file: what operators find in it, and that nothing that happens to it ever touches traffic.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{
    ALPHA, BETA, Gate, Home, Response, Setup, Upstream, exchange, get, key, key_file, post, presents, rows, sqlite3,
    wait_until,
};

fn setup(upstream: &Upstream, path: &str) -> Setup {
    Setup {
        more: format!(
            "[state]\npath = \"{path}\"\nflush = \"200ms\"\n\
             [plans.default]\nquota = [{{ name = \"month\", requests = 1000, per = \"month\" }}]\n\
             [[routes]]\npath = \"/messages/{{id}}\"\n[[routes]]\npath = \"/admin/{{*rest}}\"\npermission = \"manage\"\n"
        ),
        records: key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "active = false")]),
        ..Setup::before(upstream)
    }
}

fn call(gate: &Gate, target: &str) -> Response {
    exchange(gate.ingress(), get(target, &presents(ALPHA)))
}

fn database(gate: &Gate) -> PathBuf {
    gate.home.path("keygate.db")
}

#[track_caller]
fn serve(gate: &Gate, calls: usize) {
    for _ in 0..calls {
        assert_eq!(call(gate, "/messages/1").status(), 200);
    }
}

/// Waits until the file says that so much is used of the quota and so many requests came.
#[track_caller]
fn wait_for_counts(database: &Path, expected: u32) {
    let query = "SELECT (SELECT sum(used) FROM quota_balances), (SELECT sum(requests) FROM usage)";
    wait_until(&format!("{expected} in the file"), || {
        (rows(database, query) == [format!("{expected}|{expected}")]).then_some(())
    });
}

/// Calls, and says what is left of the quota.
fn left(gate: &Gate) -> i64 {
    let told = call(gate, "/messages/1").header("ratelimit").unwrap();
    let told = told.strip_prefix("\"month\";r=").unwrap();
    told.split(';').next().unwrap().parse().unwrap()
}

fn degraded(gate: &Gate) -> bool {
    gate.metric(&["keygate_state_degraded "]) > 0.0
}

fn complaints(gate: &Gate) -> usize {
    let log = gate.log();
    log.iter()
        .filter(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("the state cannot be written"))
        })
        .count()
}

#[test]
fn operators_read_usage_and_last_use_with_sqlite3_while_the_gate_runs() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, "keygate.db"));
    let answer = exchange(gate.ingress(), post("/messages/7", &presents(ALPHA), "four"));
    assert_eq!(answer.status(), 200);
    assert_eq!(call(&gate, "/messages/8").status(), 200);
    assert_eq!(call(&gate, "/admin/x").code(), "permission_denied");
    assert_eq!(
        exchange(gate.ingress(), get("/messages/1", &presents(BETA))).status(),
        401
    );
    assert_eq!(
        exchange(gate.ingress(), get("/messages/1", &presents("kg_nobody"))).status(),
        401
    );
    assert_eq!(exchange(gate.ingress(), get("/messages/1", "")).status(), 401);
    let file = database(&gate);
    wait_until("all of it", || {
        (rows(&file, "SELECT sum(requests) FROM usage") == ["4"]).then_some(())
    });

    assert_eq!(
        rows(
            &file,
            "SELECT key_id, organization, requests, refused, failed, bytes_in FROM usage ORDER BY key_id"
        ),
        ["key_alpha|acme|3|1|0|4", "key_beta|acme|1|1|0|0"],
        "only what a key can be found for"
    );
    assert_eq!(
        rows(&file, "SELECT key_id, code, requests FROM refusals ORDER BY key_id"),
        ["key_alpha|permission_denied|1", "key_beta|credential_invalid|1"]
    );
    assert_eq!(
        rows(
            &file,
            "SELECT key_id, requests, refused FROM usage_by_day WHERE day = date() OR day = date('now', '-1 minute')"
        ),
        ["key_alpha|3|1", "key_beta|1|1"]
    );
    assert_eq!(
        rows(
            &file,
            "SELECT key_id, network, route, abs(strftime('%s', used_at) - strftime('%s')) < 60 FROM last_use"
        ),
        ["key_alpha|127.0.0.0/24|/messages/{id}|1"]
    );
    assert_eq!(
        rows(
            &file,
            "SELECT scope, owner, quota, used, allowed, substr(period_begins, 9) FROM quota_balances"
        ),
        ["organization|acme|month|2|1000|01T00:00:00Z"]
    );
    assert_eq!(
        rows(&file, "SELECT value FROM meta WHERE name = 'schema_version'"),
        ["3"]
    );
    for name in ["keygate.db", "keygate.db-wal", "keygate.db-shm", "keygate.db.lock"] {
        let mode = std::fs::metadata(gate.home.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_refused_request_changes_neither_last_use_nor_balance() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, "keygate.db"));
    serve(&gate, 1);
    let file = database(&gate);
    wait_for_counts(&file, 1);
    let query = "SELECT * FROM last_use, quota_balances";
    let before = rows(&file, query);
    // So that a later time would show.
    let since = rows(&file, "SELECT strftime('%s')");
    wait_until("another second", || {
        (rows(&file, "SELECT strftime('%s')") != since).then_some(())
    });
    assert_eq!(call(&gate, "/admin/x").status(), 403);
    wait_until("the refusal", || {
        (rows(&file, "SELECT sum(refused) FROM usage") == ["1"]).then_some(())
    });
    assert_eq!(rows(&file, query), before);
}

#[test]
fn an_answer_of_the_gates_own_is_a_use_and_no_failure() {
    let upstream = Upstream::hello();
    let more = format!("{}[whoami]\npath = \"/v1/me\"\n", setup(&upstream, "keygate.db").more);
    let gate = Gate::start(&Setup {
        more,
        ..setup(&upstream, "keygate.db")
    });
    assert_eq!(call(&gate, "/v1/me").status(), 200);
    let file = database(&gate);
    wait_for_counts(&file, 1);
    assert_eq!(rows(&file, "SELECT requests, refused, failed FROM usage"), ["1|0|0"]);
    assert_eq!(rows(&file, "SELECT route FROM last_use"), ["/v1/me"]);
}

#[test]
fn nothing_is_lost_when_the_gate_is_told_to_stop() {
    let upstream = Upstream::hello();
    let mut gate = Gate::start(&Setup {
        more: setup(&upstream, "keygate.db").more.replace("200ms", "1m"),
        ..setup(&upstream, "keygate.db")
    });
    let file = database(&gate);
    for round in 1..=2 {
        serve(&gate, 7);
        assert!(gate.terminate().success());
        wait_for_counts(&file, round * 7);
        assert!(!gate.home.path("keygate.db-wal").exists(), "one file is left");
        gate.start_again();
    }
}

#[test]
fn a_damaged_file_is_moved_aside_and_a_new_one_begun() {
    let upstream = Upstream::hello();
    let newer = "PRAGMA application_id = 1265066356; PRAGMA user_version = 99; CREATE TABLE meta (x)";
    for what in ["text", "zeroes in the middle", "a newer version"] {
        let home = Home::new();
        let file = home.path("keygate.db");
        match what {
            "text" => drop(home.write("keygate.db", "this is not a database, and was never one\n".repeat(100))),
            "a newer version" => drop(rows(&file, newer)),
            _ => {
                rows(
                    &file,
                    "CREATE TABLE t (x); INSERT INTO t SELECT randomblob(9000) FROM generate_series(1, 9)",
                );
                rows(&file, "PRAGMA application_id = 1265066356");
                let mut bytes = std::fs::read(&file).unwrap();
                let end = bytes.len().min(9000);
                bytes[4096..end].fill(0);
                std::fs::write(&file, bytes).unwrap();
            }
        }
        let before = std::fs::read(&file).unwrap();
        let mut gate = Gate::start_in(home, &setup(&upstream, "keygate.db"));
        assert_eq!(gate.metric(&["keygate_state_corrupt "]), 1.0, "{what}");
        assert!(!degraded(&gate), "{what}");
        let told = gate.wait_for_log("the error", |line| line["level"] == "ERROR");
        let aside = PathBuf::from(told["moved_to"].as_str().unwrap());
        assert_eq!(std::fs::read(aside).unwrap(), before, "{what}");
        serve(&gate, 2);
        wait_for_counts(&file, 2);
        gate.terminate();
        gate.start_again();
        assert_eq!(gate.metric(&["keygate_state_corrupt "]), 0.0, "{what}: once");
        serve(&gate, 1);
        wait_for_counts(&file, 3);
    }
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let file = home.path("keygate.db");
    rows(&file, "CREATE TABLE invoices (x); INSERT INTO invoices VALUES (1)");
    let before = std::fs::read(&file).unwrap();
    let gate = Gate::start_in(home, &setup(&upstream, "keygate.db"));
    serve(&gate, 1);
    assert!(degraded(&gate));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_missing_directory_degrades_accounting_loudly_once_and_heals_by_itself() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, "later/keygate.db"));
    serve(&gate, 3);
    assert!(degraded(&gate));
    let failed = gate.metric(&["keygate_state_flush_failures_total "]);
    wait_until("more failures", || {
        (gate.metric(&["keygate_state_flush_failures_total "]) > failed + 4.0).then_some(())
    });
    assert_eq!(complaints(&gate), 1, "not one for each");
    std::fs::create_dir(gate.home.path("later")).unwrap();
    wait_until("the gauge to fall", || (!degraded(&gate)).then_some(()));
    let file = gate.home.path("later/keygate.db");
    wait_for_counts(&file, 3);

    // And in the middle of its life: balances are written again, into a new file.
    std::fs::remove_dir_all(gate.home.path("later")).unwrap();
    wait_until("the gauge to rise", || degraded(&gate).then_some(()));
    serve(&gate, 2);
    std::fs::create_dir(gate.home.path("later")).unwrap();
    wait_until("the gauge to fall", || (!degraded(&gate)).then_some(()));
    wait_until("the balance", || {
        (rows(&file, "SELECT used FROM quota_balances") == ["5"]).then_some(())
    });
}

#[test]
fn a_file_that_is_cut_or_loses_its_log_while_it_is_written_keeps_no_balance_from_being_written() {
    let upstream = Upstream::hello();
    let cut = |path: PathBuf| {
        std::fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(0)
            .unwrap()
    };
    for what in [
        "a log that is gone",
        "a log that is cut",
        "a database that is cut",
        "a table that is gone",
    ] {
        let mut gate = Gate::start(&setup(&upstream, "keygate.db"));
        let file = database(&gate);
        serve(&gate, 5);
        wait_for_counts(&file, 5);
        match what {
            "a log that is gone" => std::fs::remove_file(gate.home.path("keygate.db-wal")).unwrap(),
            "a log that is cut" => cut(gate.home.path("keygate.db-wal")),
            "a database that is cut" => cut(file.clone()),
            _ => drop(rows(&file, "DROP TABLE quota_balances")),
        }
        // Nobody looks into the file meanwhile, who could mend or harm it.
        let before = left(&gate);
        let flushed = || gate.metric(&["keygate_state_last_flush_timestamp_seconds "]);
        let begun = flushed();
        wait_until("flushes that are later", || {
            // Something to write, which is not charged.
            assert_eq!(call(&gate, "/admin/x").status(), 403);
            (flushed() > begun + 2.0 && !degraded(&gate)).then_some(())
        });
        gate.wait_for_log("that it is told", |line| line["level"] == "ERROR");
        gate.kill();
        gate.start_again();
        assert_eq!(left(&gate), before - 1, "{what}");
        assert!(!degraded(&gate), "{what}");
    }
}

#[test]
fn two_links_to_one_file_are_one_state() {
    let upstream = Upstream::hello();
    let first = Gate::start(&setup(&upstream, "keygate.db"));
    let home = Home::new();
    std::os::unix::fs::symlink(database(&first), home.path("link.db")).unwrap();
    let second = Gate::start_in(home, &setup(&upstream, "link.db"));
    assert!(degraded(&second) && !degraded(&first));
    let told = second.wait_for_log("the reason", |line| line["level"] == "ERROR");
    assert!(
        told["reason"].as_str().unwrap().starts_with("another process holds"),
        "{told}"
    );
}

/// A `sqlite3` that holds a lock on the database until it is dropped.
struct Holder(Child);

impl Holder {
    fn lock(database: &Path) -> Self {
        let mut shell = sqlite3(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = shell.stdin.as_mut().unwrap();
        writeln!(input, "BEGIN IMMEDIATE;\n.print locked").unwrap();
        let mut output = std::io::BufReader::new(shell.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        assert_eq!(line.trim(), "locked");
        Self(shell)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn a_locked_file_degrades_accounting_and_never_traffic() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, "keygate.db"));
    serve(&gate, 1);
    let file = database(&gate);
    wait_for_counts(&file, 1);
    let holder = Holder::lock(&file);
    let begun = std::time::Instant::now();
    serve(&gate, 50);
    assert!(begun.elapsed() < Duration::from_secs(10), "nobody waits for the file");
    wait_until("the gauge to rise", || degraded(&gate).then_some(()));
    serve(&gate, 4);
    drop(holder);
    wait_until("the gauge to fall", || (!degraded(&gate)).then_some(()));
    wait_for_counts(&file, 55);
}

#[test]
fn a_second_process_on_the_same_file_says_so_and_takes_over_without_losing_a_unit() {
    let upstream = Upstream::hello();
    let mut first = Gate::start(&setup(&upstream, "keygate.db"));
    let file = database(&first);
    let second = Gate::start(&setup(&upstream, &file.display().to_string()));
    assert!(degraded(&second) && !degraded(&first));
    let told = second.wait_for_log("the reason", |line| line["level"] == "ERROR");
    assert!(
        told["reason"].as_str().unwrap().starts_with("another process holds"),
        "{told}"
    );
    serve(&first, 3);
    serve(&second, 4);
    wait_for_counts(&file, 3);
    assert!(first.terminate().success());
    wait_until("the second to take over", || (!degraded(&second)).then_some(()));
    wait_for_counts(&file, 7);
    let told = call(&second, "/messages/1").header("ratelimit").unwrap();
    assert!(told.starts_with("\"month\";r=992;"), "{told}");
}

/// A file system of its own in a directory; gone when dropped.
pub struct Small(PathBuf);

impl Small {
    /// `None` where this user may not mount one.
    pub fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs"])
            .arg(&at)
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }

    pub fn remount(&self, option: &str) {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(&self.0)
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Runs in a small file system, where that is possible.
fn in_a_small_file_system(test: impl FnOnce(&Gate, &Small, &Path)) {
    let upstream = Upstream::hello();
    let home = Home::new();
    let Some(small) = Small::mount(home.path("small")) else {
        eprintln!("SKIPPED: this user may not mount a file system, so a full or read-only one was not tried");
        return;
    };
    let gate = Gate::start_in(home, &setup(&upstream, "small/keygate.db"));
    serve(&gate, 1);
    let file = gate.home.path("small/keygate.db");
    wait_for_counts(&file, 1);
    test(&gate, &small, &file);
}

#[test]
fn a_full_disk_degrades_accounting_and_heals_by_itself() {
    in_a_small_file_system(|gate, small, file| {
        let filler = small.0.join("filler");
        let mut hole = std::fs::File::create(&filler).unwrap();
        while hole.write_all(&[1; 4096]).is_ok() {}
        drop(hole);
        // The log that is there may have room for a few more flushes.
        let mut served = 1;
        wait_until("the gauge to rise", || {
            serve(gate, 1);
            served += 1;
            degraded(gate).then_some(())
        });
        serve(gate, 10);
        std::fs::remove_file(&filler).unwrap();
        wait_until("the gauge to fall", || (!degraded(gate)).then_some(()));
        wait_for_counts(file, served + 10);
        assert_eq!(gate.metric(&["keygate_state_corrupt "]), 0.0);
    });
}

#[test]
fn a_read_only_file_system_degrades_accounting_and_heals_by_itself() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let Some(small) = Small::mount(home.path("small")) else {
        eprintln!("SKIPPED: this user may not mount a file system, so a read-only one was not tried");
        return;
    };
    small.remount("ro");
    let gate = Gate::start_in(home, &setup(&upstream, "small/keygate.db"));
    serve(&gate, 3);
    assert!(degraded(&gate));
    small.remount("rw");
    wait_until("the gauge to fall", || (!degraded(&gate)).then_some(()));
    wait_for_counts(&gate.home.path("small/keygate.db"), 3);
}

#[test]
fn a_state_that_changes_with_a_reload_waits_for_a_restart() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream, "keygate.db"));
    gate.home.replace("config.toml", setup(&upstream, "other.db").config());
    let told = gate.wait_for_log("the warning", |line| line["option"] == "state");
    assert_eq!(told["level"], "WARN");
    serve(&gate, 1);
    wait_for_counts(&database(&gate), 1);
}
