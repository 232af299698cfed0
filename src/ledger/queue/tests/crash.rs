//! `kill -9`: what was told to be accepted is there.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::super::{Accepted, After};
use super::{Rig, attempt, event};
use crate::clock;
use crate::config::state::State;
use crate::ledger::Ledger;
use crate::ledger::activity::Line;
use crate::ledger::read::webhooks::{self, ActivityQuery};
use crate::policy::limits::Balances;
use crate::telemetry::metrics::Metrics;

/// Where the child finds its state.
const CHILD: &str = "KEYGATE_TEST_QUEUE_CHILD";

pub fn start(path: &Path) -> Ledger {
    let state = State {
        path: path.to_owned(),
        ..State::default()
    };
    Ledger::start(Some(&state), Arc::<Balances>::default(), Arc::<Metrics>::default()).unwrap()
}

/// Not a test of its own: what is killed. Four threads queue events, and say so of each once it was accepted; a fifth has
/// every third of them delivered.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let ledger = start(Path::new(&path));
    let run = std::process::id();
    ledger.queue.arrange([(
        Arc::from("a"),
        super::Terms {
            ordered: false,
            at_once: 64,
        },
    )]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let queue = ledger.queue.clone();
            scope.spawn(move || {
                for number in 0_u32.. {
                    let id = format!("{run}-{thread}-{number}");
                    let (sender, told) = channel();
                    queue.accept_then(event("a", &id, clock::unix_millis()), move |accepted| {
                        sender.send(accepted).unwrap()
                    });
                    assert_eq!(told.recv(), Ok(Ok(Accepted::New)));
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "accepted {id}").and_then(|()| out.flush()).unwrap();
                }
            });
        }
        scope.spawn(|| {
            loop {
                let now = clock::unix_millis();
                for claim in ledger.queue.claim(now, 3).into_iter().step_by(3) {
                    ledger.queue.settle(claim, attempt(now, true), After::Delivered, None);
                }
            }
        });
    });
}

#[test]
fn nothing_that_was_accepted_is_lost_by_kill_9() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keygate.db");
    let mut accepted = HashSet::new();
    for _ in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "ledger::queue::tests::crash::child",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            // The first one may stand behind what the test runner says.
            if let Some((_, id)) = line.split_once("accepted ") {
                accepted.insert(id.to_owned());
                seen += 1;
                if seen == 200 {
                    child.kill().unwrap();
                }
            }
        }
        assert!(!child.wait().unwrap().success());
        assert!(seen >= 200, "{seen}");
    }
    let mode = |name: &str| std::fs::metadata(home.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("keygate.db"), 0o600);
    assert_eq!(mode("keygate.db-wal"), 0o600, "it was killed");
    let mut rig = Rig::at(
        Arc::new(home),
        State {
            queue_events: 1_000_000,
            queue_bytes: 1 << 40,
            ..State::default()
        },
    );
    for id in &accepted {
        assert_eq!(
            rig.accept(event("a", id, clock::unix_millis())),
            Ok(Accepted::Known),
            "{id}"
        );
    }
    // What was not delivered is due, with all that is in it.
    let rows: (i64, i64) = rusqlite::Connection::open(rig.path())
        .unwrap()
        .query_row(
            "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'delivered') FROM webhook_events",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let rows = (usize::try_from(rows.0).unwrap(), usize::try_from(rows.1).unwrap());
    assert!(rows.0 + rows.1 >= accepted.len(), "{rows:?}");
    rig.arrange(&[("a", false, usize::MAX)]);
    let claims = rig.queue.claim(i64::MAX, usize::MAX);
    assert_eq!(claims.len(), rows.0);
    for claim in claims.iter().take(50) {
        assert!(rig.load(claim).is_some());
    }
}

#[test]
fn the_thread_answers_and_ends_in_good_order() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keygate.db");
    let ledger = start(&path);
    let queue = ledger.queue.clone();
    let (sender, told) = channel();
    for number in 0..100 {
        let sender = sender.clone();
        queue.accept_then(event("a", &number.to_string(), clock::unix_millis()), move |accepted| {
            sender.send(accepted).unwrap()
        });
    }
    let line = Line {
        webhook: "a".into(),
        organization: "acme".into(),
        event_id: "r".into(),
        event_type: "status".into(),
        number: 1,
        attempt: attempt(clock::unix_millis(), true),
    };
    ledger.activity.record(line);
    ledger.close();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Ok(Accepted::New); 100]);
    queue.accept_then(event("a", "late", clock::unix_millis()), move |accepted| {
        sender.send(accepted).unwrap()
    });
    assert_eq!(told.recv(), Ok(Err(super::Unavailable)));
    assert!(!home.path().join("keygate.db-wal").exists());
    let query = ActivityQuery {
        limit: 9,
        ..ActivityQuery::default()
    };
    assert_eq!(webhooks::activity(&path, &query).unwrap().attempts[0].event_id, "r");
    let again = start(&path);
    assert_eq!(again.queue.waiting("a"), 100);
    again.close();
}
