//! `kill -9` while events are sent: each arrives, those that come twice have the same id, and order is kept where asked for.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::super::{Accepted, After, Claim, Queue};
use super::crash::start;
use super::{Rig, TIME, Terms, attempt, event};
use crate::clock;

/// Where the child finds its state.
const CHILD: &str = "KEYGATE_TEST_DELIVERY_CHILD";
const EVENTS: u32 = 150;
const WEBHOOKS: [(&str, bool, usize); 3] = [("many", false, 8), ("ordered", true, 8), ("single", false, 1)];

fn arrange(queue: &Queue) {
    queue.arrange(WEBHOOKS.map(|(webhook, ordered, at_once)| (Arc::from(webhook), Terms { ordered, at_once })));
}

/// Sends an event to whoever reads the output; every fourth attempt fails, and is made again at once.
fn send(queue: &Queue, claim: Claim) {
    let (sender, told) = channel();
    queue.load_then(&claim, move |content| sender.send(content).unwrap());
    let content = told.recv().unwrap().unwrap().unwrap();
    assert!(content.body.ends_with(format!("\"{}\"}}", claim.event_id()).as_bytes()));
    let now = clock::unix_millis();
    let number: u32 = claim.event_id().parse().unwrap();
    if (number + claim.turn()).is_multiple_of(4) {
        queue.settle(claim, attempt(now, false), After::Again(now), None);
        return;
    }
    let mut out = std::io::stdout().lock();
    let line = writeln!(out, "sent {} {}", claim.webhook(), claim.event_id());
    line.and_then(|()| out.flush()).unwrap();
    queue.settle(claim, attempt(now, true), After::Delivered, None);
}

/// Not a test of its own: what is killed. It sends what is due, until nothing waits.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let ledger = start(Path::new(&path));
    let (bell, rings) = channel();
    ledger.queue.on_change(move || bell.send(()).unwrap_or_default());
    arrange(&ledger.queue);
    let waits = || WEBHOOKS.iter().any(|(webhook, ..)| ledger.queue.waiting(webhook) > 0);
    while waits() {
        for claim in ledger.queue.claim(clock::unix_millis(), 16) {
            send(&ledger.queue, claim);
        }
        // Whatever becomes due rings, or is due at a time that is told.
        let due_at = ledger.queue.next_due_at().unwrap_or(i64::MAX);
        if let Ok(millis @ 1..) = u64::try_from(due_at.saturating_sub(clock::unix_millis()))
            && waits()
        {
            rings.recv_timeout(Duration::from_millis(millis)).unwrap_or_default();
        }
    }
    ledger.close();
}

#[test]
fn everything_arrives_in_order_where_asked_for_whenever_it_is_killed() {
    let mut rig = Rig::new();
    for number in 0..EVENTS {
        for (webhook, ..) in WEBHOOKS {
            assert_eq!(rig.accept(event(webhook, &number.to_string(), TIME)), Ok(Accepted::New));
        }
    }
    let (home, path) = (Arc::clone(&rig.home), rig.path());
    drop(rig);
    let mut arrived: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for last in [Some(60), Some(1), Some(97), None] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "ledger::queue::tests::deliver::child",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut seen = 0;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            let Some((_, sent)) = line.split_once("sent ") else {
                continue;
            };
            let (webhook, number) = sent.split_once(' ').unwrap();
            arrived
                .entry(webhook.to_owned())
                .or_default()
                .push(number.parse().unwrap());
            seen += 1;
            if last == Some(seen) {
                child.kill().unwrap();
            }
        }
        assert_eq!(child.wait().unwrap().success(), last.is_none());
    }
    let mut twice = 0;
    for (webhook, ordered, _) in WEBHOOKS {
        let numbers = &arrived[webhook];
        assert!(!ordered || numbers.is_sorted(), "{webhook}: {numbers:?}");
        let mut distinct = numbers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.iter().copied().eq(0..EVENTS), "{webhook}: {distinct:?}");
        twice += numbers.len() - distinct.len();
    }
    // At most what was in hands each time, and what was not written down yet.
    assert!(twice <= 3 * 17, "{twice}");
    drop(home);
}
