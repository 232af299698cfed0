//! Promises of the trail's writing side: one chain whoever appends, every entry answered for, nothing lost in silence.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{Action, Actor, Audit, Entry, Recorded, Source, append};
use crate::config::state::State;
use crate::ledger::{Ledger, read};
use crate::policy::limits::Balances;
use crate::telemetry::metrics::Metrics;

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(60);

fn entry(number: usize) -> Entry {
    Entry {
        at: 1_769_900_400,
        actor: Actor::Token("ops".to_owned()),
        source: Source::Unix,
        action: Action::KeyRevoke,
        target: Some(format!("key_{number}")),
        detail: json!({ "number": number }),
    }
}

fn ledger(path: &Path, metrics: &Arc<Metrics>) -> Ledger {
    // Only promptness makes an entry appear before the end of so long a time.
    let state = State {
        path: path.to_owned(),
        flush: Duration::from_mins(1),
        ..State::default()
    };
    Ledger::start(Some(&state), Arc::<Balances>::default(), Arc::clone(metrics)).unwrap()
}

fn record(audit: &Audit, entry: Entry) -> Receiver<Recorded> {
    let (sender, answer) = channel();
    audit.record_then(entry, move |recorded| drop(sender.send(recorded)));
    answer
}

#[test]
fn commands_and_the_sidecar_append_to_one_chain_at_once() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keygate.db");
    let metrics = Arc::<Metrics>::default();
    let sidecar = ledger(&path, &metrics);
    let mut seqs: Vec<i64> = thread::scope(|scope| {
        let commands: Vec<_> = (0..4)
            .map(|command| {
                let path = &path;
                scope.spawn(move || {
                    let numbers = command * 50..(command + 1) * 50;
                    numbers
                        .map(|number| append(path, &entry(number)).unwrap().seq)
                        .collect()
                })
            })
            .collect();
        let answers: Vec<_> = (200..300).map(|number| record(&sidecar.audit, entry(number))).collect();
        let mut seqs: Vec<i64> = answers
            .into_iter()
            .filter_map(|answer| match answer.recv_timeout(BOUND).unwrap() {
                Recorded::Chained(link) => Some(link.seq),
                // Where the commands keep the file for so long, it comes later.
                Recorded::Waiting => None,
                other => panic!("{other:?}"),
            })
            .collect();
        for command in commands {
            let its: Vec<i64> = command.join().unwrap();
            seqs.extend(its);
        }
        seqs
    });
    let told = seqs.len();
    seqs.sort_unstable();
    seqs.dedup();
    assert!(seqs.len() == told && told >= 200, "everybody has a place of their own");
    let late = sidecar.audit.clone();
    sidecar.close();
    assert!(matches!(record(&late, entry(300)).recv_timeout(BOUND), Ok(Recorded::Chained(link)) if link.seq == 301));
    let verdict = read::verify(&path, &[]).unwrap();
    assert!(verdict.whole && verdict.rows == 301, "{verdict:?}");
    assert_eq!(metrics.audit_lost.get(), 0);
}

#[test]
fn the_first_of_several_commands_makes_the_file_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keygate.db");
    thread::scope(|scope| {
        for number in 0..8 {
            let path = &path;
            scope.spawn(move || append(path, &entry(number)).unwrap());
        }
    });
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(append(&path, &entry(9)).unwrap().seq, 9);
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "one file is left: {left:?}");
}

#[test]
fn without_a_state_an_entry_is_logged_and_said_to_be() {
    assert_eq!(
        record(&Audit::off(), entry(1)).recv_timeout(BOUND),
        Ok(Recorded::Logged)
    );
}

#[test]
fn an_entry_waits_until_the_file_can_be_had() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("later").join("keygate.db");
    let metrics = Arc::<Metrics>::default();
    let sidecar = ledger(&path, &metrics);
    assert_eq!(
        record(&sidecar.audit, entry(1)).recv_timeout(BOUND),
        Ok(Recorded::Waiting)
    );
    assert_eq!(metrics.audit_waiting.get(), 1);
    std::fs::create_dir(home.path().join("later")).unwrap();
    let second = record(&sidecar.audit, entry(2)).recv_timeout(BOUND).unwrap();
    assert!(matches!(second, Recorded::Chained(link) if link.seq == 2));
    assert_eq!(metrics.audit_waiting.get(), 0);
    sidecar.close();
    assert_eq!(metrics.audit_lost.get(), 0);
}

#[test]
fn what_waits_is_bounded_and_what_is_given_up_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let metrics = Arc::<Metrics>::default();
    let sidecar = ledger(&home.path().join("never").join("keygate.db"), &metrics);
    let mut entry = entry(1);
    entry.detail = json!({ "long": "x".repeat(1 << 20) });
    let answers: Vec<_> = (0..40).map(|_| record(&sidecar.audit, entry.clone())).collect();
    let lost = answers
        .into_iter()
        .filter(|answer| answer.recv_timeout(BOUND) == Ok(Recorded::Lost));
    assert_eq!(lost.count(), 25);
    assert_eq!(metrics.audit_lost.get(), 25);
    let late = sidecar.audit.clone();
    sidecar.close();
    assert_eq!(metrics.audit_lost.get(), 40, "at the end, all of it");
    assert_eq!(record(&late, entry).recv_timeout(BOUND), Ok(Recorded::Lost));
}
