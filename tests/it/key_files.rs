//! Key files that can be trusted: whatever happens to them on disk, each test says what stays in force.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    ALPHA, BETA, Connection, GAMMA, Gate, Home, Setup, Upstream, exchange, get, key, key_file, presents, sha256,
    wait_until,
};

const TOKEN: &str = "kga_a-token-for-tests-only";

pub(crate) fn status(gate: &Gate, presented: &str) -> u16 {
    exchange(gate.ingress(), get("/", &presents(presented))).status()
}

pub(crate) fn only(records: &[(&str, &str)]) -> String {
    key_file(&records.iter().map(|(id, plain)| key(id, plain, "")).collect::<Vec<_>>())
}

/// One line of JSON Lines.
pub(crate) fn line(id: &str, plain: &str) -> String {
    let hash = sha256(plain);
    format!("{{\"id\":\"{id}\",\"name\":\"n\",\"organization\":\"acme\",\"hash\":\"{hash}\"}}\n")
}

/// An organization, and as many keys as said, that nobody presents, in JSON Lines.
pub(crate) fn many(keys: std::ops::Range<usize>) -> String {
    keys.map(|number| line(&format!("key_{number:05}"), &format!("kg_nobody{number:05}")))
        .collect()
}

#[track_caller]
pub(crate) fn wait_for(gate: &Gate, admitted: &str, refused: &str) {
    wait_until("the new generation", || {
        (status(gate, admitted) == 200 && status(gate, refused) == 401).then_some(())
    });
}

/// Waits until the files on disk have been refused.
#[track_caller]
pub(crate) fn wait_refused(gate: &Gate, what: &str) {
    wait_until(what, || (gate.metric(&["keygate_reload_failed "]) == 1.0).then_some(()));
}

#[track_caller]
fn wait_applied(gate: &Gate, what: &str) {
    wait_until(what, || (gate.metric(&["keygate_reload_failed "]) == 0.0).then_some(()));
}

/// Waits until a metric has a value: what is told follows what is in force.
#[track_caller]
pub(crate) fn wait_metric(gate: &Gate, parts: &[&str], value: f64) {
    wait_until(&format!("{parts:?} to be {value}"), || {
        (gate.metric(parts) == value).then_some(())
    });
}

/// A gate whose keys are in the directory `keys`: an organization in one file, [`ALPHA`] in another.
fn in_directory(keys: &str, more: &str) -> (Upstream, Gate) {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup {
        keys: keys.to_owned(),
        more: more.to_owned(),
        ..Setup::before(&upstream)
    };
    home.write("config.toml", setup.config().replace("\"keys.toml\"", "\"keys\""));
    std::fs::create_dir(home.path("keys")).unwrap();
    home.write("keys/a.jsonl", "{\"id\":\"acme\"}\n");
    home.write("keys/b.jsonl", line("key_alpha", ALPHA));
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    (upstream, gate)
}

/// What `GET /admin/v1/status` says.
pub(crate) fn admin_status(gate: &Gate) -> Value {
    let request = format!(
        "GET /admin/v1/status HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    let answer = exchange(gate.admin(), request);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

/// What `POST /admin/v1/reload` says.
pub(crate) fn ask_reload(gate: &Gate, body: &str) -> Value {
    let length = body.len();
    let request = format!(
        "POST /admin/v1/reload HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let answer = exchange(gate.admin(), request);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).unwrap()
}

pub(crate) fn token() -> String {
    format!(
        "[[admin.tokens]]\nname = \"ops\"\nrole = \"admin\"\nhash = \"{}\"\n",
        sha256(TOKEN)
    )
}

#[test]
fn every_reload_writes_which_keys_came_went_and_changed_in_which_fields() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        records: only(&[("key_alpha", ALPHA), ("key_beta", BETA)]),
        ..Setup::before(&upstream)
    });
    let first = gate.wait_for_log("the first digest", |line| line["message"] == "key file read");
    let next = key_file(&[
        key(
            "key_alpha",
            ALPHA,
            "permissions = [\"send\"]\nexpires_at = 2999-01-01T00:00:00Z",
        ),
        key("key_gamma", GAMMA, ""),
    ]);
    gate.home.write("keys.toml", &next);
    let reloaded = gate.wait_for_log("the reload", |line| line["message"] == "reloaded");
    for (count, expected) in [
        ("keys_added", 1),
        ("keys_removed", 1),
        ("keys_changed", 1),
        ("organizations_changed", 0),
    ] {
        assert_eq!(reloaded[count], expected, "{reloaded}");
    }
    let said = |message: &str| gate.wait_for_log(message, |line| line["message"] == message)["ids"].clone();
    assert_eq!(said("added"), "key_gamma");
    assert_eq!(said("removed"), "key_beta");
    assert_eq!(said("changed"), "key_alpha: permissions, expires_at");
    let digest = gate.wait_for_log("the digest", |line| {
        line["message"] == "key file read" && line["sha256"] != first["sha256"]
    });
    assert_eq!(digest["sha256"].as_str().unwrap(), &sha256(&next)["sha256:".len()..]);
    let trail = gate.wait_for_log("the audit trail", |line| {
        line["target"] == "audit" && line.to_string().contains("reload.applied")
    });
    assert!(trail.to_string().contains("key_gamma"), "{trail}");
}

/// How many bytes it has read from anywhere.
fn bytes_read(gate: &Gate) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", gate.pid())).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap();
    line.parse().unwrap()
}

#[test]
fn of_a_directory_only_the_files_that_changed_are_read_again() {
    let (_upstream, gate) = in_directory("refresh = \"100ms\"\nshrink_guard = false", "");
    let large = many(0..20_000);
    gate.home.write("keys/large.jsonl", &large);
    let large = large.len() as u64;
    wait_until("the large file to be in force", || {
        (gate.metric(&["keygate_keys{", "active"]) > 20_000.0).then_some(())
    });
    // A file that was changed within the last moments is read at every look, since its times may not tell the next change.
    wait_until("nobody to read the large file any more", || {
        let before = bytes_read(&gate);
        let looks = gate.metric(&["keygate_keys_age_seconds "]);
        std::thread::sleep(Duration::from_millis(500));
        (looks >= 0.0 && bytes_read(&gate) - before < large).then_some(())
    });
    let before = bytes_read(&gate);
    gate.home.write("keys/b.jsonl", line("key_beta", BETA));
    wait_for(&gate, BETA, ALPHA);
    gate.home.write("keys/b.jsonl", line("key_alpha", ALPHA));
    wait_for(&gate, ALPHA, BETA);
    let read = bytes_read(&gate) - before;
    assert!(
        read < large,
        "{read} bytes were read for two changes of one line beside a file of {large}"
    );
}

#[test]
fn what_an_unchanged_file_clashes_with_is_refused_with_both_places() {
    let (_upstream, gate) = in_directory("refresh = \"100ms\"", "");
    gate.home.write(
        "keys/c.jsonl",
        format!("{}{}", line("key_gamma", GAMMA), line("key_alpha", BETA)),
    );
    let twice = gate.wait_for_log("the id", |line| line.to_string().contains("is the id of two keys"));
    assert!(twice["file"].as_str().unwrap().ends_with("keys/c.jsonl"), "{twice}");
    assert_eq!((&twice["line"], &twice["column"]), (&2.into(), &7.into()));
    assert!(twice.to_string().contains("keys/b.jsonl:1:7"), "{twice}");
    assert_eq!(
        (status(&gate, ALPHA), status(&gate, GAMMA)),
        (200, 401),
        "nothing of it is in force"
    );

    // The other way round: the file that has not changed comes later.
    gate.home.write("keys/c.jsonl", line("key_gamma", GAMMA));
    wait_applied(&gate, "the mended file");
    gate.home.write("keys/aa.jsonl", line("key_delta", GAMMA));
    let twice = gate.wait_for_log("the hash", |line| line.to_string().contains("stands in two places"));
    assert!(twice["file"].as_str().unwrap().ends_with("keys/c.jsonl"), "{twice}");
    assert!(twice.to_string().contains("keys/aa.jsonl:1:"), "{twice}");
}

#[test]
fn an_unknown_field_changes_nothing_and_is_told_with_its_place() {
    let (_upstream, gate) = in_directory("refresh = \"100ms\"", "");
    gate.home.write(
        "keys/c.jsonl",
        line("key_beta", BETA).replace("\"name\"", "\"permisions\":[\"send\"],\"name\""),
    );
    let unknown = gate.wait_for_log("the field", |line| line.to_string().contains("is not a known option"));
    assert!(unknown["file"].as_str().unwrap().ends_with("keys/c.jsonl"), "{unknown}");
    assert_eq!(
        (&unknown["line"], &unknown["column"]),
        (&1.into(), &18.into()),
        "{unknown}"
    );
    assert!(unknown.to_string().contains("did you mean `permissions`?"), "{unknown}");
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (200, 401));
}

#[test]
fn what_refuses_a_reload_is_not_buried_under_warnings() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_upstream, gate) = in_directory("", &format!("{}[state]\npath = \"keygate.db\"\n", token()));
    for number in 0..12 {
        let name = format!("keys/a{number}.jsonl");
        gate.home.write(&name, format!("{{\"id\":\"o{number}\"}}\n"));
        std::fs::set_permissions(gate.home.path(&name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    gate.home.write("keys/z.toml", "broken [");
    let said = ask_reload(&gate, "{}");
    let problems = said["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{said}");
    assert!(problems[0].to_string().contains("z.toml:1:"), "{said}");
    gate.wait_for_log("the entry of the audit trail", |line| {
        line["action"] == "reload.refused" && line["detail"].to_string().contains("z.toml")
    });
}

#[test]
fn a_directory_that_kubernetes_swaps_is_in_force_whole_before_and_whole_after() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup::before(&upstream);
    home.write("config.toml", setup.config().replace("\"keys.toml\"", "\"secret\""));
    std::fs::create_dir(home.path("secret")).unwrap();
    // Two files in a volume; the keys of one belong to the organization of the other.
    let volume = |name: &str, organization: &str, keys: String| {
        std::fs::create_dir(home.path(&format!("secret/{name}"))).unwrap();
        home.write(
            &format!("secret/{name}/a.jsonl"),
            format!("{{\"id\":\"{organization}\"}}\n"),
        );
        home.write(&format!("secret/{name}/b.jsonl"), keys.replace("acme", organization));
    };
    volume("..1", "one", line("key_alpha", ALPHA));
    volume("..2", "two", line("key_beta", BETA));
    symlink("..1", home.path("secret/..data")).unwrap();
    symlink("..data/a.jsonl", home.path("secret/a.jsonl")).unwrap();
    symlink("..data/b.jsonl", home.path("secret/b.jsonl")).unwrap();
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (200, 401));
    symlink("..2", gate.home.path("secret/..data_tmp")).unwrap();
    std::fs::rename(gate.home.path("secret/..data_tmp"), gate.home.path("secret/..data")).unwrap();
    wait_for(&gate, BETA, ALPHA);
    std::fs::remove_dir_all(gate.home.path("secret/..1")).unwrap();
    assert_eq!(
        gate.metric(&["keygate_reloads_total", "refused"]),
        0.0,
        "no mixture was ever read"
    );
}

#[test]
fn a_rename_over_the_file_and_a_rewrite_in_place_are_in_force_at_once() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        keys: "refresh = \"1h\"".to_owned(),
        ..Setup::before(&upstream)
    });
    gate.home.replace("keys.toml", only(&[("key_beta", BETA)]));
    wait_for(&gate, BETA, ALPHA);
    gate.home.write("keys.toml", only(&[("key_alpha", ALPHA)]));
    wait_for(&gate, ALPHA, BETA);
}

#[test]
fn a_half_written_file_changes_nothing_until_it_is_whole() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let whole = only(&[("key_beta", BETA)]);
    gate.home.write("keys.toml", &whole[..whole.len() - 30]);
    wait_refused(&gate, "the half-written file");
    assert_eq!((status(&gate, ALPHA), status(&gate, BETA)), (200, 401));
    gate.home.write("keys.toml", &whole);
    wait_for(&gate, BETA, ALPHA);
}

#[test]
fn an_empty_file_changes_nothing_until_it_holds_something() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    gate.home.write("keys.toml", "");
    wait_refused(&gate, "the empty file");
    assert_eq!(status(&gate, ALPHA), 200);
    gate.home.write("keys.toml", only(&[("key_beta", BETA)]));
    wait_for(&gate, BETA, ALPHA);
}

#[test]
fn a_deleted_file_changes_nothing_and_one_that_is_back_is_in_force() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    std::fs::remove_file(gate.home.path("keys.toml")).unwrap();
    wait_refused(&gate, "the deleted file");
    assert_eq!(status(&gate, ALPHA), 200);
    gate.home.write("keys.toml", only(&[("key_beta", BETA)]));
    wait_for(&gate, BETA, ALPHA);
}

#[test]
fn a_directory_in_its_place_changes_nothing_and_the_file_that_is_back_is_in_force() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    std::fs::remove_file(gate.home.path("keys.toml")).unwrap();
    std::fs::create_dir(gate.home.path("keys.toml")).unwrap();
    gate.wait_for_log("the directory", |line| {
        line.to_string().contains("holds no *.toml and no *.jsonl file")
    });
    assert_eq!(status(&gate, ALPHA), 200);
    std::fs::remove_dir(gate.home.path("keys.toml")).unwrap();
    gate.home.write("keys.toml", only(&[("key_beta", BETA)]));
    wait_for(&gate, BETA, ALPHA);
}

/// Half of them are renames, half are written in place, so that what is read is often cut short.
#[test]
fn a_pipe_a_socket_or_a_device_in_its_place_changes_nothing_and_the_file_that_is_back_is_in_force() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let (file, next) = (gate.home.path("keys.toml"), gate.home.path("next"));
    let mut keys = [BETA, ALPHA].into_iter().cycle();
    let put: [&dyn Fn(); 3] = [
        &|| {
            assert!(
                std::process::Command::new("mkfifo")
                    .arg(&next)
                    .status()
                    .unwrap()
                    .success()
            )
        },
        &|| drop(std::os::unix::net::UnixListener::bind(&next).unwrap()),
        &|| symlink("/dev/zero", &next).unwrap(),
    ];
    let mut in_force = ALPHA;
    for put in put {
        put();
        std::fs::rename(&next, &file).unwrap();
        wait_refused(&gate, "what is not a file");
        assert_eq!(status(&gate, in_force), 200);
        let other = keys.next().unwrap();
        // Not through the pipe, which nobody reads.
        gate.home.write("next", only(&[("key_next", other)]));
        std::fs::rename(&next, &file).unwrap();
        wait_for(&gate, other, in_force);
        wait_applied(&gate, "the file that is back");
        in_force = other;
    }
}

#[test]
fn of_10_000_rapid_changes_the_last_is_in_force_and_a_key_that_is_in_all_of_them_never_fails() {
    const CHANGES: usize = 10_000;
    let upstream = Upstream::tcp(|it| it.answer("200 OK", "", "hello"));
    let gate = Gate::start(&Setup {
        keys: "refresh = \"100ms\"".to_owned(),
        ..Setup::before(&upstream)
    });
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Connection::open(gate.ingress());
            while !over.load(Ordering::Relaxed) {
                client.send(get("/", &presents(ALPHA)));
                let answer = client.answer();
                assert_eq!(answer.status(), 200, "{}", answer.text());
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
        let others = [
            only(&[("key_alpha", ALPHA), ("key_beta", BETA)]),
            only(&[("key_alpha", ALPHA)]),
        ];
        for change in 0..CHANGES {
            match change % 4 {
                0 | 1 => gate.home.replace("keys.toml", &others[change % 2]),
                _ => drop(gate.home.write("keys.toml", &others[change % 2])),
            }
        }
        gate.home
            .write("keys.toml", only(&[("key_alpha", ALPHA), ("key_gamma", GAMMA)]));
        wait_for(&gate, GAMMA, BETA);
        over.store(true, Ordering::Relaxed);
    });
    assert!(answered.load(Ordering::Relaxed) > 0);
    wait_metric(&gate, &["keygate_reload_failed "], 0.0);
    let reloads = gate.metric(&["keygate_reloads_total"]);
    assert!(
        reloads < CHANGES as f64 / 10.0,
        "{reloads} reloads: a burst is taken as one"
    );
}

/// A gate with [`ALPHA`] and 29 more keys.
fn with_thirty_keys(keys: &str) -> (Upstream, Gate) {
    let (upstream, gate) = in_directory(keys, &token());
    gate.home.write("keys/c.jsonl", many(0..29));
    wait_until("30 keys", || {
        (gate.metric(&["keygate_keys{", "\"active\""]) == 30.0).then_some(())
    });
    (upstream, gate)
}

#[test]
fn a_reload_that_would_drop_most_keys_is_held_until_the_files_are_mended() {
    let (_upstream, gate) = with_thirty_keys("refresh = \"100ms\"");
    let applied = gate.metric(&["keygate_reloads_total", "applied"]);
    gate.home.write("keys/b.jsonl", line("key_beta", BETA));
    gate.home.write("keys/c.jsonl", many(0..10));
    wait_until("the reload to be held", || {
        (gate.metric(&["keygate_reload_held "]) == 1.0).then_some(())
    });
    assert_eq!(
        (status(&gate, ALPHA), status(&gate, BETA)),
        (200, 401),
        "nothing of it is in force"
    );
    let said = gate.wait_for_log("the alarm", |line| {
        line["level"] == "ERROR" && line.to_string().contains("reload held")
    });
    let told = admin_status(&gate);
    assert_eq!(told["last_reload"], "held");
    let last = gate
        .log()
        .into_iter()
        .rfind(|line| line.to_string().contains("reload held"))
        .unwrap();
    assert_eq!(
        (&told["held"]["of"], &told["held"]["digest"]),
        (&30.into(), &last["digest"]),
        "{said}"
    );
    assert_eq!(gate.metric(&["keygate_reload_failed "]), 0.0, "the files are valid");

    // A signal reads them again, and accepts nothing.
    let held = gate.metric(&["keygate_reloads_total", "held"]);
    gate.signal("HUP");
    wait_until("the second look", || {
        (gate.metric(&["keygate_reloads_total", "held"]) > held).then_some(())
    });
    assert_eq!(status(&gate, ALPHA), 200);

    gate.home.write("keys/c.jsonl", many(0..29));
    wait_for(&gate, BETA, ALPHA);
    wait_metric(&gate, &["keygate_reload_held "], 0.0);
    assert_eq!(admin_status(&gate)["held"], Value::Null);
    wait_until("the reload to be counted", || {
        (gate.metric(&["keygate_reloads_total", "applied"]) > applied).then_some(())
    });
}

#[test]
fn revocations_in_what_is_held_are_in_force_at_once() {
    let (_upstream, gate) = with_thirty_keys("refresh = \"100ms\"");
    assert_eq!(status(&gate, ALPHA), 200);
    gate.home.write(
        "keys/c.jsonl",
        format!(
            "{}{{\"key\":\"key_alpha\",\"revoked_at\":\"2026-01-01T00:00:00Z\"}}\n",
            many(0..5)
        ),
    );
    wait_until("the tombstone", || (status(&gate, ALPHA) == 401).then_some(()));
    wait_metric(&gate, &["keygate_reload_held "], 1.0);
    let keys = admin_status(&gate)["keys"].clone();
    assert_eq!(keys[0]["count"], 29, "the others are as they were: {keys}");
}

#[test]
fn what_is_held_is_let_through_when_somebody_accepts_exactly_that() {
    let (_upstream, gate) = with_thirty_keys("refresh = \"1h\"");
    let held = |content: &str| {
        let before = gate.metric(&["keygate_reloads_total", "held"]);
        gate.home.write("keys/c.jsonl", content);
        wait_until("the reload to be held", || {
            (gate.metric(&["keygate_reloads_total", "held"]) > before).then_some(())
        });
        admin_status(&gate)["held"]["digest"].as_str().unwrap().to_owned()
    };
    let first = held(&many(0..10));
    let second = held(&many(0..9));
    assert_ne!(first, second);
    let said = ask_reload(&gate, "{}");
    assert_eq!(said["result"], "held", "a reload alone accepts nothing: {said}");
    let said = ask_reload(&gate, &format!("{{\"accept\":true,\"digest\":\"{first}\"}}"));
    assert_eq!(
        (&said["result"], &said["digest"]),
        (&"held".into(), &second.into()),
        "that is not what is there now"
    );
    let said = ask_reload(&gate, "{\"accept\":true}");
    assert_eq!(said["result"], "applied", "{said}");
    wait_metric(&gate, &["keygate_keys{", "\"active\""], 10.0);
    wait_metric(&gate, &["keygate_reload_held "], 0.0);
    let trail = gate.wait_for_log("who accepted it", |line| {
        line["target"] == "audit" && line.to_string().contains("reload.accepted")
    });
    assert!(trail.to_string().contains("token:ops"), "{trail}");
    assert_eq!(ask_reload(&gate, "{}")["result"], "unchanged");
}

#[test]
fn keys_that_are_revoked_or_have_ended_may_go_and_the_guard_can_be_turned_off() {
    let (_upstream, gate) = with_thirty_keys("refresh = \"100ms\"");
    let revoked = many(0..29).replace("\"name\"", "\"revoked_at\":\"2026-01-01T00:00:00Z\",\"name\"");
    gate.home.write("keys/c.jsonl", revoked);
    wait_until("29 revoked keys", || {
        (gate.metric(&["keygate_keys{", "\"revoked\""]) == 29.0).then_some(())
    });
    std::fs::remove_file(gate.home.path("keys/c.jsonl")).unwrap();
    wait_until("them to be gone", || {
        (gate.metric(&["keygate_keys{", "\"revoked\""]) == 0.0).then_some(())
    });

    let (_upstream, gate) = with_thirty_keys("refresh = \"100ms\"\nshrink_guard = false");
    gate.home.write("keys/b.jsonl", line("key_beta", BETA));
    std::fs::remove_file(gate.home.path("keys/c.jsonl")).unwrap();
    wait_for(&gate, BETA, ALPHA);
}

#[test]
fn the_status_of_a_sidecar_is_told_while_its_key_file_is_broken() {
    let upstream = Upstream::hello();
    let home = Home::new();
    let setup = Setup::before(&upstream);
    setup.write(&home);
    let socket = format!("[admin]\nlisten = [\"unix:{}\", ", home.text("admin.sock"));
    home.write("config.toml", setup.config().replace("[admin]\nlisten = [", &socket));
    let mut gate = Gate::spawn(home, |_| ());
    gate.wait_ready();
    gate.home.write("keys.toml", "broken [");
    wait_refused(&gate, "the broken file");
    let told = gate.home.keygate(&["status", "--config", "config.toml"]);
    let (said, trouble) = (
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr),
    );
    assert_eq!(told.status.code(), Some(0), "{trouble}");
    assert!(
        said.contains("the files on disk were refused") && said.contains("1 active"),
        "{said}"
    );
}
