//! What is remembered of events that have ended.

use super::super::{Accepted, After, Pause, Reason, Replayed};
use super::{Rig, TIME, attempt, event};

const DAY: i64 = 86_400_000;

/// Accepts an event, and has it end so.
fn ended(rig: &mut Rig, id: &str, after: After, at: i64) {
    assert_eq!(rig.accept(event("a", id, at)), Ok(Accepted::New));
    rig.arrange(&[("a", false, 8)]);
    let mut hands = Vec::new();
    assert_eq!(rig.claim(at, 9, &mut hands), [id]);
    rig.settle(hands.remove(0), after, at);
}

#[test]
fn an_id_is_known_whatever_has_become_of_the_event_until_retention() {
    let mut rig = Rig::new();
    ended(&mut rig, "1", After::Delivered, TIME);
    ended(&mut rig, "2", After::Dead, TIME);
    rig.accept(event("a", "3", TIME)).unwrap();
    for id in ["1", "2", "3"] {
        assert_eq!(rig.accept(event("a", id, TIME)), Ok(Accepted::Known), "{id}");
    }
    assert_eq!(
        rig.accept(event("b", "1", TIME)),
        Ok(Accepted::New),
        "of another webhook"
    );
    let mut rig = rig.again();
    for id in ["1", "2", "3"] {
        assert_eq!(rig.accept(event("a", id, TIME)), Ok(Accepted::Known), "{id}");
    }
    rig.flush(TIME + 7 * DAY);
    assert_eq!(rig.accept(event("a", "1", TIME)), Ok(Accepted::Known));
    rig.flush(TIME + 8 * DAY);
    for (id, accepted) in [("1", Accepted::New), ("2", Accepted::New), ("3", Accepted::Known)] {
        assert_eq!(rig.accept(event("a", id, TIME)), Ok(accepted), "{id}");
    }
}

#[test]
fn an_event_that_has_ended_is_sent_again_as_it_was_behind_what_waits() {
    for after in [After::Delivered, After::Dead] {
        let mut rig = Rig::new();
        ended(&mut rig, "1", after, TIME);
        rig.accept(event("a", "2", TIME)).unwrap();
        assert_eq!(rig.replay("a", "1", TIME + 5), Replayed::Due);
        assert_eq!(rig.replay("a", "1", TIME + 6), Replayed::Waits);
        assert_eq!(rig.replay("a", "9", TIME), Replayed::Unknown);
        assert_eq!(rig.replay("b", "1", TIME), Replayed::Unknown);
        let mut rig = rig.again();
        rig.arrange(&[("a", true, 1)]);
        let mut hands = Vec::new();
        assert_eq!(rig.claim(TIME + 9, 9, &mut hands), ["2"]);
        rig.settle(hands.remove(0), After::Delivered, TIME + 9);
        assert_eq!(rig.claim(TIME + 9, 9, &mut hands), ["1"]);
        assert_eq!((hands[0].attempt(), hands[0].turn()), (2, 1));
        let content = rig.load(&hands[0]).unwrap();
        assert!(hands[0].bytes() > content.body.len());
        let sent = event("a", "1", TIME);
        assert_eq!((content.body, content.headers), (sent.body, sent.headers));
        assert_eq!(
            (&*content.organization, &*content.event_type, content.accepted_at),
            ("acme", "message.sent", TIME)
        );
    }
}

#[test]
fn where_contents_are_not_kept_they_go_with_the_delivery() {
    let state = crate::config::state::State {
        delivered_contents: false,
        ..Default::default()
    };
    let mut rig = Rig::with(state);
    ended(&mut rig, "1", After::Delivered, TIME);
    ended(&mut rig, "2", After::Dead, TIME);
    assert_eq!(rig.accept(event("a", "1", TIME)), Ok(Accepted::Known));
    assert_eq!(rig.replay("a", "1", TIME), Replayed::Emptied);
    assert_eq!(rig.replay("a", "2", TIME), Replayed::Due);
    let contents = rusqlite::Connection::open(rig.path()).unwrap().query_row(
        "SELECT count(*) FROM webhook_event_contents",
        (),
        |row| row.get(0),
    );
    assert_eq!(contents, Ok(1));
}

#[test]
fn a_receiver_that_is_gone_pauses_its_webhook_in_the_same_breath() {
    let mut rig = Rig::new();
    rig.accept(event("a", "1", TIME)).unwrap();
    rig.accept(event("a", "2", TIME)).unwrap();
    rig.arrange(&[("a", false, 1)]);
    let claim = rig.queue.claim(TIME, 1).remove(0);
    let pause = Pause {
        since: TIME,
        reason: Reason::Gone,
        by: "keygate".to_owned(),
        note: None,
    };
    rig.queue
        .settle(claim, attempt(TIME, false), After::Dead, Some(pause.clone()));
    rig.work();
    let rig = rig.again();
    rig.arrange(&[("a", false, 1)]);
    assert_eq!(rig.queue.pause_of("a"), Some(pause));
    assert!(rig.queue.claim(TIME, 9).is_empty());
    assert_eq!(rig.queue.waiting("a"), 1);
}

#[test]
fn it_is_remembered_for_how_long_a_webhook_has_failed_until_it_does_not() {
    let mut rig = Rig::new();
    rig.arrange(&[("a", false, 1)]);
    rig.accept(event("a", "1", TIME)).unwrap();
    for turn in 0..3 {
        let claim = rig.queue.claim(TIME + turn, 1).remove(0);
        let failing = claim.failing().map(|failing| (failing.since, failing.attempts));
        assert_eq!(failing, (turn > 0).then_some((TIME, u32::try_from(turn).unwrap())));
        rig.settle(claim, After::Again(TIME + turn + 1), TIME + turn);
        rig = rig.again();
        rig.arrange(&[("a", false, 1)]);
    }
    let claim = rig.queue.claim(TIME + 9, 1).remove(0);
    assert_eq!(claim.failing().map(|failing| failing.attempts), Some(3));
    assert_eq!(claim.attempt(), 4);
    rig.settle(claim, After::Delivered, TIME + 9);
    rig.accept(event("a", "2", TIME + 10)).unwrap();
    assert_eq!(rig.queue.claim(TIME + 10, 1)[0].failing(), None);
}

#[test]
fn what_waits_for_nobody_is_given_up_only_when_asked_for_and_is_among_the_dead() {
    let mut rig = Rig::new();
    for id in ["1", "2", "3"] {
        rig.accept(event("a", id, TIME)).unwrap();
    }
    rig.arrange(&[("a", false, 1)]);
    let mut hands = Vec::new();
    assert_eq!(rig.claim(TIME, 9, &mut hands), ["1"]);
    assert_eq!(rig.bury("a", TIME), 2);
    assert_eq!((rig.bury("a", TIME), rig.bury("b", TIME)), (0, 0));
    rig.settle(hands.remove(0), After::Delivered, TIME);
    assert_eq!(rig.queue.waiting("a"), 0);
    assert_eq!(rig.replay("a", "2", TIME), Replayed::Due);
    assert_eq!(rig.claim(TIME, 9, &mut hands), ["2"]);
    assert_eq!(rig.claim(TIME, 9, &mut hands), [""; 0]);
}

#[test]
fn a_row_that_somebody_has_removed_is_sent_no_more() {
    let mut rig = Rig::new();
    rig.accept(event("a", "1", TIME)).unwrap();
    rig.arrange(&[("a", true, 1)]);
    let mut hands = Vec::new();
    rig.claim(TIME, 9, &mut hands);
    rusqlite::Connection::open(rig.path())
        .unwrap()
        .execute_batch("DELETE FROM webhook_events")
        .unwrap();
    assert_eq!(rig.load(&hands[0]), None);
    rig.settle(hands.remove(0), After::Again(TIME), TIME);
    assert_eq!(rig.queue.waiting("a"), 0);
    assert_eq!(rig.queue.next_due_at(), None);
}
