//! How much there may be, and what happens when there is no file.

use super::super::{Accepted, After, Replayed};
use super::{Rig, TIME, attempt, event};
use crate::config::state::State;

fn filled(rig: &mut Rig, webhook: &str) -> usize {
    (0..)
        .take_while(|number| rig.accept(event(webhook, &number.to_string(), TIME)) == Ok(Accepted::New))
        .count()
}

#[test]
fn nobody_is_told_before_it_is_on_disk() {
    let mut rig = Rig::new();
    let (sender, told) = std::sync::mpsc::channel();
    let path = rig.path();
    let count = move || -> i64 {
        let database = rusqlite::Connection::open(&path).unwrap();
        let count = "SELECT count(*) FROM webhook_events JOIN webhook_event_contents USING (seq)";
        database.query_row(count, (), |row| row.get(0)).unwrap()
    };
    for id in ["1", "2"] {
        let (sender, count) = (sender.clone(), count.clone());
        rig.queue.accept_then(event("a", id, TIME), move |accepted| {
            sender.send((accepted, count())).unwrap();
        });
    }
    assert_eq!((told.try_recv().ok(), count()), (None, 0));
    rig.work();
    let both: Vec<_> = told.try_iter().collect();
    assert_eq!(both, [(Ok(Accepted::New), 2); 2], "in one transaction");
}

#[test]
fn a_full_queue_says_so_and_leaves_room_for_others() {
    let mut rig = Rig::with(State {
        queue_events: 100,
        ..State::default()
    });
    assert_eq!(filled(&mut rig, "a"), 50);
    assert_eq!(rig.accept(event("a", "more", TIME)), Ok(Accepted::Full));
    assert_eq!(
        rig.accept(event("a", "7", TIME)),
        Ok(Accepted::Known),
        "also when it is full"
    );
    assert_eq!(filled(&mut rig, "b"), 25);
    let mut rig = rig.again();
    assert_eq!(
        rig.accept(event("a", "more", TIME)),
        Ok(Accepted::Full),
        "it is counted again"
    );
    rig.arrange(&[("a", false, 100)]);
    for claim in rig.queue.claim(TIME, 30) {
        rig.queue.settle(claim, attempt(TIME, true), After::Delivered, None);
    }
    rig.work();
    assert_eq!(rig.accept(event("a", "more", TIME)), Ok(Accepted::New));
}

#[test]
fn dead_events_hold_their_room_and_delivered_ones_give_way() {
    let mut rig = Rig::with(State {
        queue_bytes: 40_000,
        ..State::default()
    });
    rig.arrange(&[("a", false, 1_000), ("b", false, 1_000)]);
    let count = filled(&mut rig, "a");
    assert!(
        (30..40).contains(&count),
        "{count} of about 560 bytes in half of the room"
    );
    for claim in rig.queue.claim(TIME, 1_000) {
        rig.queue.settle(claim, attempt(TIME, false), After::Dead, None);
    }
    rig.work();
    assert_eq!(
        rig.accept(event("a", "more", TIME)),
        Ok(Accepted::Full),
        "the dead are not dropped"
    );
    // Far more than there is room for, as long as it is delivered.
    for number in 0..200 {
        let at = TIME + number;
        let id = number.to_string();
        assert_eq!(rig.accept(event("b", &id, at)), Ok(Accepted::New), "{id}");
        let claim = rig.queue.claim(at, 1).remove(0);
        rig.settle(claim, After::Delivered, at);
    }
    assert_eq!(rig.accept(event("b", "199", TIME)), Ok(Accepted::Known));
    assert_eq!(rig.replay("b", "0", TIME), Replayed::Unknown, "the oldest has gone");
    rig.flush(TIME);
    let text = rig.metrics.render(None);
    let bytes = text
        .lines()
        .find_map(|line| line.strip_prefix("keygate_webhook_queue_bytes "));
    let bytes: i64 = bytes.unwrap().parse().unwrap();
    assert!(bytes <= 40_000, "{bytes}");
    assert!(text.contains(&format!("keygate_webhook_queue_events{{state=\"dead\"}} {count}")));
    let rows: (i64, i64, i64) = rusqlite::Connection::open(rig.path())
        .unwrap()
        .query_row(
            "SELECT count(*), sum(bytes), (SELECT count(*) FROM webhook_event_contents) FROM webhook_events",
            (),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    assert_eq!(rows.1, bytes, "what is counted is what is there");
    assert!(rows.0 < 80 && rows.2 <= rows.0, "{rows:?}");
}

#[test]
fn without_the_file_nothing_is_accepted_and_what_was_sent_stays_in_its_hand() {
    let mut rig = Rig::new();
    rig.accept(event("a", "1", TIME)).unwrap();
    rig.arrange(&[("a", true, 1)]);
    let claim = rig.queue.claim(TIME, 1).remove(0);
    let (sender, told) = std::sync::mpsc::channel();
    rig.queue
        .accept_then(event("a", "2", TIME), move |accepted| sender.send(accepted).unwrap());
    rig.queue.settle(claim, attempt(TIME, true), After::Delivered, None);
    rig.desk.give_up();
    assert_eq!(told.recv(), Ok(Err(super::Unavailable)));
    assert!(rig.queue.claim(TIME + 9_999, 9).is_empty(), "it is not sent again");
    // The file can be had again.
    let store = rig.store.take().unwrap();
    rig.desk.restore(&store).unwrap();
    rig.store = Some(store);
    assert!(rig.queue.claim(TIME + 9_999, 9).is_empty(), "nor by being read again");
    rig.work();
    assert_eq!(rig.queue.waiting("a"), 0);
    assert_eq!(rig.accept(event("a", "1", TIME)), Ok(Accepted::Known));
}

#[test]
fn a_transaction_that_fails_leaves_nothing_behind_and_is_done_again_as_a_whole() {
    let mut rig = Rig::with(State {
        queue_events: 4,
        ..State::default()
    });
    let other = rusqlite::Connection::open(rig.path()).unwrap();
    for round in 0..3 {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (sender, told) = std::sync::mpsc::channel();
        rig.queue
            .accept_then(event("a", &format!("x{round}"), TIME), move |accepted| {
                sender.send(accepted).unwrap()
            });
        assert!(rig.desk.work(rig.store.as_mut().unwrap()).unwrap_err().is_busy());
        other.execute_batch("ROLLBACK").unwrap();
        rig.desk.give_up();
        assert_eq!(told.recv(), Ok(Err(super::Unavailable)));
    }
    assert_eq!(rig.queue.waiting("a"), 0);
    assert_eq!(filled(&mut rig, "a"), 2, "what was not taken takes no room");
}

#[test]
fn whoever_asks_when_nobody_is_there_any_more_is_told_so() {
    let mut rig = Rig::new();
    rig.accept(event("a", "0", TIME)).unwrap();
    rig.arrange(&[("a", false, 1)]);
    let queue = rig.queue.clone();
    assert_eq!(queue.next_due_at(), Some(TIME));
    drop(rig);
    assert!(queue.claim(TIME, 1).is_empty(), "what came of it could not be told");
    let (sender, told) = std::sync::mpsc::channel();
    queue.accept_then(event("a", "1", TIME), move |accepted| sender.send(accepted).unwrap());
    assert_eq!(told.recv(), Ok(Err(super::Unavailable)));
    let (sender, told) = std::sync::mpsc::channel();
    super::Queue::off().accept_then(event("a", "1", TIME), move |accepted| sender.send(accepted).unwrap());
    assert_eq!(told.recv(), Ok(Err(super::Unavailable)));
}

#[test]
fn more_bytes_than_memory_should_hold_are_refused_at_once() {
    let mut rig = Rig::with(State {
        queue_bytes: 1 << 30,
        ..State::default()
    });
    let (sender, told) = std::sync::mpsc::channel();
    let large = bytes::Bytes::from(vec![0; 10 << 20]);
    for number in 0..8 {
        let mut event = event(&number.to_string(), "1", TIME);
        event.body = large.clone();
        let sender = sender.clone();
        rig.queue
            .accept_then(event, move |accepted| sender.send(accepted).unwrap());
    }
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Ok(Accepted::Full); 2]);
    rig.work();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Ok(Accepted::New); 6]);
    assert_eq!(rig.accept(event("9", "1", TIME)), Ok(Accepted::New));
}
