//! The audit trail: what is done is on record, by whomever, and nobody takes a line out of it unnoticed.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::harness::{
    ALPHA, BETA, Gate, Home, Setup, Upstream, exchange, get, key, key_file, presents, rows, wait_until,
};
use crate::state::Small;

fn setup(upstream: &Upstream) -> Setup {
    Setup {
        more: "[state]\npath = \"keygate.db\"\nflush = \"100ms\"\n".to_owned(),
        records: key_file(&[key("key_alpha", ALPHA, ""), key("key_beta", BETA, "")]),
        ..Setup::before(upstream)
    }
}

/// Does a command that has to be done.
#[track_caller]
fn done(home: &Home, arguments: &[&str]) -> String {
    let output = home.keygate(arguments);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaints}");
    assert!(!complaints.contains("on record"), "{arguments:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(home: &Home, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(home, arguments)).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Makes a change that the file refuses.
fn tamper(file: &Path, change: &str) {
    let triggers = ["audit_rows_stay_as_they_are", "audit_rows_stay", "audit_rows_are_new"];
    let dropped: String = triggers
        .map(|trigger| format!("DROP TRIGGER IF EXISTS {trigger}; "))
        .concat();
    rows(file, &format!("{dropped}{change}"));
}

fn errors(gate: &Gate) -> Vec<Value> {
    let log = gate.log();
    log.into_iter().filter(|line| line["level"] == "ERROR").collect()
}

/// A state with four rows, and nobody who writes to it.
fn four_rows() -> Home {
    let home = Home::new();
    let upstream = Upstream::hello();
    setup(&upstream).write(&home);
    home.write("keygate.db", "");
    for _ in 0..2 {
        done(&home, &["keys", "disable", "key_alpha"]);
        done(&home, &["keys", "enable", "key_alpha"]);
    }
    home
}

#[test]
fn commands_and_the_sidecar_write_one_trail_and_leave_each_other_alone() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    let file = gate.home.path("keygate.db");
    // Enough to fold the log into the database from either process.
    for round in 0..40 {
        done(&gate.home, &["keys", "disable", "key_beta"]);
        assert_eq!(
            exchange(gate.ingress(), get("/", &presents(ALPHA))).status(),
            200,
            "{round}"
        );
        done(&gate.home, &["keys", "enable", "key_beta"]);
    }
    // Each pair may come and go between two looks at the file; this one stays.
    done(&gate.home, &["keys", "disable", "key_beta"]);
    wait_until("the requests to be counted", || {
        (rows(&file, "SELECT sum(requests) FROM usage") == ["40"]).then_some(())
    });
    wait_until("a reload on record", || {
        (rows(&file, "SELECT count(*) > 0 FROM audit WHERE action = 'reload.applied'") == ["1"]).then_some(())
    });
    let verdict = json(&gate.home, &["audit", "verify", "--json"]);
    assert_eq!(verdict["whole"], true, "{verdict}");
    assert_eq!(rows(&file, "SELECT count(*) FROM audit WHERE source = 'cli'"), ["81"]);
    assert_eq!(errors(&gate), Vec::<Value>::new(), "nobody took the other for a vandal");
    assert_eq!(gate.metric(&["keygate_state_flush_failures_total "]), 0.0);
    assert_eq!(gate.metric(&["keygate_state_corrupt "]), 0.0);
    assert_eq!(gate.metric(&["keygate_audit_lost_total "]), 0.0);
}

#[test]
fn every_entry_is_a_log_event_with_its_place_in_the_chain_whoever_made_it() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&setup(&upstream));
    done(&gate.home, &["keys", "revoke", "key_beta", "--reason", "left behind"]);
    let told = gate.wait_for_log("the command's entry", |line| line["action"] == "key.revoke");
    let stored = rows(
        &gate.home.path("keygate.db"),
        "SELECT seq, hash FROM audit WHERE action = 'key.revoke'",
    );
    assert_eq!(stored, [format!("{}|{}", told["seq"], told["hash"].as_str().unwrap())]);
    assert_eq!(
        (&told["target"], &told["level"], &told["subject"]),
        (&"audit".into(), &"INFO".into(), &"key_beta".into())
    );
    assert!(told["actor"].as_str().unwrap().starts_with("user:"), "{told}");
    assert_eq!(told["source"], "cli");
    let reload = gate.wait_for_log("the sidecar's entry", |line| line["action"] == "reload.applied");
    assert!(reload["seq"].is_i64() && reload["hash"].is_string(), "{reload}");
    // What was seen in a log is a witness.
    let witness = format!("{}:{}", told["seq"], told["hash"].as_str().unwrap());
    done(&gate.home, &["audit", "verify", "--expect", &witness]);
    let other = format!("{}:{}", told["seq"], "0".repeat(64));
    assert_eq!(code(&gate.home.keygate(&["audit", "verify", "--expect", &other])), 1);
}

#[test]
fn entries_are_logged_even_where_hardly_anything_is() {
    let upstream = Upstream::hello();
    let quiet = Setup {
        more: format!("{}[telemetry]\nlog_level = \"error\"\n", setup(&upstream).more),
        ..setup(&upstream)
    };
    let home = Home::new();
    quiet.write(&home);
    let gate = Gate::spawn(home, |_| ());
    wait_until("its state", || gate.home.path("keygate.db-wal").exists().then_some(()));
    // Whatever the sidecar has read by now, this is another file.
    gate.home.replace(
        "keys.toml",
        format!("{}\n# changed\n", key_file(&[key("key_alpha", ALPHA, "")])),
    );
    let told = gate.wait_for_log("the reload", |line| line["action"] == "reload.applied");
    assert_eq!((&told["target"], &told["level"]), (&"audit".into(), &"INFO".into()));
    assert!(gate.log().iter().all(|line| line["target"] == "audit"));
}

#[test]
fn without_a_state_entries_are_log_events_alone() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: String::new(),
        ..setup(&upstream)
    });
    done(&gate.home, &["keys", "disable", "key_beta"]);
    let told = gate.wait_for_log("the reload", |line| line["action"] == "reload.applied");
    assert_eq!((&told["seq"], &told["hash"]), (&Value::Null, &Value::Null));
    let output = gate.home.keygate(&["audit", "verify"]);
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("has no [state]"));
}

#[test]
fn verification_says_which_row_is_not_as_it_was() {
    for (change, told) in [
        (
            "UPDATE audit SET actor = 'user:0:nobody' WHERE seq = 2",
            "row 2: says something else than what was hashed",
        ),
        (
            "UPDATE audit SET detail = replace(detail, 'disabled', 'disablee') WHERE seq = 3",
            "row 3: says something",
        ),
        (
            "UPDATE audit SET at = CAST(x'ff' AS TEXT) WHERE seq = 3",
            "row 3: has no readable at",
        ),
        ("DELETE FROM audit WHERE seq = 1", "row 1: is missing"),
        ("DELETE FROM audit WHERE seq = 3", "row 3: is missing"),
        ("DELETE FROM audit WHERE seq = 4", "row 4: is missing"),
        ("DELETE FROM meta WHERE name = 'audit_head'", "which row is the last"),
    ] {
        let home = four_rows();
        assert!(done(&home, &["audit", "verify"]).starts_with("whole: 4 rows, the last is 4:"));
        tamper(&home.path("keygate.db"), change);
        let output = home.keygate(&["audit", "verify"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(code(&output), 1, "{change}");
        assert!(text.contains(told) && text.contains("broken: "), "{change}: {text}");
        let output = home.keygate(&["audit", "verify", "--json"]);
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((code(&output), &verdict["whole"]), (1, &Value::Bool(false)));
        assert!(verdict["flaws"][0]["seq"].is_i64() && verdict["flaws"][0]["what"].is_string());
    }
}

#[test]
fn an_export_that_leaves_a_row_out_says_so() {
    for change in [
        "UPDATE audit SET at = CAST(x'ff' AS TEXT) WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 3",
    ] {
        let home = four_rows();
        tamper(&home.path("keygate.db"), change);
        let output = home.keygate(&["audit", "export"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (
                code(&output),
                output.stdout.iter().filter(|byte| **byte == b'\n').count()
            ),
            (1, 3)
        );
        assert!(told.contains("row 3 is missing, or cannot be read"), "{change}: {told}");
    }
}

#[test]
fn an_export_is_verified_elsewhere_and_with_nothing_but_sha_256() {
    let home = four_rows();
    for command in [
        &["audit", "verify"][..],
        &["audit", "list"],
        &["usage"],
        &["keys", "list"],
    ] {
        done(&home, command);
        assert!(
            !home.path("keygate.db-wal").exists(),
            "{command:?} leaves something behind"
        );
    }
    let export = done(&home, &["audit", "export"]);
    let lines: Vec<&str> = export.lines().collect();
    assert_eq!(lines.len(), 4);
    let mut previous = "0".repeat(64);
    for line in &lines {
        let (hashed, hash) = line.rsplit_once(",\"hash\":\"").unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{hashed}}}").as_bytes());
        let hash = hash.strip_suffix("\"}").unwrap();
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, hex);
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["previous"], *previous);
        assert!(row["detail"]["after"]["id"] == "key_alpha", "{row}");
        previous = hash.to_owned();
    }
    let elsewhere = Home::new();
    elsewhere.write("export.jsonl", &export);
    assert!(done(&elsewhere, &["audit", "verify", "--file", "export.jsonl"]).starts_with("whole: 4 rows"));
    elsewhere.write("later.jsonl", done(&home, &["audit", "export", "--after", "2"]));
    assert!(done(&elsewhere, &["audit", "verify", "--file", "later.jsonl"]).starts_with("whole: 2 rows"));
    elsewhere.write("changed.jsonl", export.replacen("key.enable", "key.create", 1));
    let output = elsewhere.keygate(&["audit", "verify", "--file", "changed.jsonl"]);
    assert_eq!(code(&output), 1);
    assert!(String::from_utf8_lossy(&output.stdout).contains("row 2: says something else"));
    elsewhere.write("cut.jsonl", format!("{}\n", lines[..3].join("\n")));
    let witness = format!("4:{previous}");
    assert_eq!(
        code(&elsewhere.keygate(&["audit", "verify", "--file", "cut.jsonl", "--expect", &witness])),
        1
    );
    elsewhere.write("empty.jsonl", "");
    for wrong in ["empty.jsonl", "nowhere.jsonl"] {
        assert_eq!(
            code(&elsewhere.keygate(&["audit", "verify", "--file", wrong])),
            2,
            "{wrong}"
        );
    }
}

#[test]
fn entries_are_listed_newest_first_by_key_action_and_time() {
    let home = four_rows();
    done(&home, &["keys", "disable", "key_beta"]);
    let seqs = |arguments: &[&str]| -> Vec<i64> {
        let page = json(&home, &[&["audit", "list", "--json"], arguments].concat());
        let entries = page["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["seq"].as_i64().unwrap()).collect()
    };
    assert_eq!(seqs(&[]), [5, 4, 3, 2, 1]);
    assert_eq!(seqs(&["--key", "key_beta"]), [5]);
    assert_eq!(seqs(&["--action", "key.enable"]), [4, 2]);
    assert_eq!(seqs(&["--action", "key"]), [5, 4, 3, 2, 1]);
    assert_eq!(seqs(&["--action", "reload"]), [0_i64; 0]);
    assert_eq!(seqs(&["--since", "1h"]), [5, 4, 3, 2, 1]);
    assert_eq!(seqs(&["--since", "2999-01-01"]), [0_i64; 0]);
    assert_eq!(seqs(&["--limit", "2"]), [5, 4]);
    assert_eq!(json(&home, &["audit", "list", "--json", "--limit", "2"])["next"], 4);
    assert_eq!(seqs(&["--limit", "2", "--before", "4"]), [3, 2]);
    let line = done(&home, &["audit", "list", "--limit", "1"]);
    let columns: Vec<&str> = line.trim_end().split('\t').collect();
    assert_eq!(
        (columns[0], columns[2], columns[3], columns[5]),
        ("5", "key.disable", "key_beta", "cli")
    );
    assert_eq!(columns.len(), 7);
    for wrong in [["--action", "key.revok"], ["--since", "yesterday"]] {
        assert_eq!(code(&home.keygate(&[&["audit", "list"], &wrong[..]].concat())), 2);
    }
}

#[test]
fn what_cannot_be_read_is_said_with_what_helps() {
    let upstream = Upstream::hello();
    let home = Home::new();
    setup(&upstream).write(&home);
    rows(&home.path("other.db"), "CREATE TABLE invoices (x)");
    home.write("text.db", "this is not a database, and was never one\n".repeat(100));
    home.write("empty.db", "");
    std::fs::copy("tests/files/state_v1.db", home.path("earlier.db")).unwrap();
    for (state, told) in [
        (None, "No such file"),
        (Some("other.db"), "a database of something else"),
        (Some("text.db"), "damaged"),
        (Some("empty.db"), "there is nothing in empty.db yet"),
        (Some("earlier.db"), "of an earlier Keygate"),
        (Some("."), "is a directory"),
    ] {
        for command in [
            &["audit", "verify"][..],
            &["audit", "list"],
            &["audit", "export"],
            &["usage"],
            &["keys", "unused"],
        ] {
            let place = state.map_or_else(Vec::new, |state| vec!["--state", state]);
            let output = home.keygate(&[command, &place].concat());
            let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(code(&output), 2, "{command:?} {state:?}: {complaints}");
            assert!(
                complaints.contains(told) && complaints.contains("help: "),
                "{command:?}: {complaints}"
            );
        }
    }
    assert!(!home.path("keygate.db").exists(), "who reads makes nothing");
}

#[test]
fn a_trail_is_read_where_nothing_may_be_written() {
    let home = four_rows();
    let Some(small) = Small::mount(home.path("small")) else {
        eprintln!("SKIPPED: this user may not mount a file system, so a read-only one was not tried");
        return;
    };
    std::fs::copy(home.path("keygate.db"), home.path("small/a copy #1.db")).unwrap();
    small.remount("ro");
    let told = done(&home, &["audit", "verify", "--state", "small/a copy #1.db"]);
    assert!(told.starts_with("whole: 4 rows"), "{told}");
}

#[test]
fn a_trail_that_is_taken_away_under_the_sidecar_is_told_and_a_new_one_says_so() {
    let upstream = Upstream::hello();
    for what in ["the file", "the table", "the rows"] {
        let gate = Gate::start(&setup(&upstream));
        let file = gate.home.path("keygate.db");
        done(&gate.home, &["keys", "disable", "key_beta"]);
        let told = gate.wait_for_log("the entry", |line| line["action"] == "key.disable");
        let reload = gate.wait_for_log("the reload", |line| line["action"] == "reload.applied");
        let last = told["seq"].as_i64().max(reload["seq"].as_i64()).unwrap();
        match what {
            "the file" => {
                for name in ["keygate.db", "keygate.db-wal", "keygate.db-shm"] {
                    std::fs::remove_file(gate.home.path(name)).unwrap();
                }
            }
            "the table" => drop(rows(&file, "DROP TABLE audit")),
            _ => tamper(
                &file,
                "DELETE FROM audit; UPDATE meta SET value = '0 ' || printf('%064d', 0) WHERE name = 'audit_head'",
            ),
        }
        // Where the file is damaged, this cannot be put on record, and is done.
        assert!(gate.home.keygate(&["keys", "enable", "key_beta"]).status.success());
        let begun = gate.wait_for_log("the beginning", |line| line["action"] == "audit.begun");
        let detail: Value = serde_json::from_str(begun["detail"].as_str().unwrap()).unwrap();
        assert_eq!(detail["last"]["seq"], last, "{what}: {begun}");
        assert!(detail["reason"].is_string());
        gate.wait_for_log("the error", |line| line["level"] == "ERROR");
        wait_until("the sidecar to go on", || {
            let output = gate.home.keygate(&["audit", "verify"]);
            (code(&output) == 0).then_some(())
        });
    }
}

#[test]
fn no_key_is_in_the_state_nor_in_the_log() {
    let upstream = Upstream::hello();
    let mut gate = Gate::start(&setup(&upstream));
    let made = done(&gate.home, &["keys", "new", "--organization", "acme", "--name", "made"]);
    let made = made.trim();
    assert!(made.len() > 20, "{made}");
    wait_until("the key to be good", || {
        (exchange(gate.ingress(), get("/", &presents(made))).status() == 200).then_some(())
    });
    let turned = done(&gate.home, &["keys", "rotate", "key_alpha"]);
    done(&gate.home, &["keys", "revoke", "key_beta"]);
    gate.wait_for_log("the end of it", |line| line["action"] == "key.revoke");
    wait_until("the end of the key", || {
        (exchange(gate.ingress(), get("/", &presents(BETA))).status() == 401).then_some(())
    });
    let look = |gate: &Gate| {
        let mut texts = vec![gate.log_lines().join("\n").into_bytes()];
        for entry in std::fs::read_dir(gate.home.path(".")).unwrap() {
            texts.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
        for text in texts {
            for secret in [ALPHA, BETA, made, turned.trim()] {
                assert!(!text.windows(secret.len()).any(|window| window == secret.as_bytes()));
            }
        }
    };
    look(&gate);
    assert!(gate.terminate().success());
    look(&gate);
}
