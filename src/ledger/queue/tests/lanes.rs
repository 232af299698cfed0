//! Whose turn it is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::After;
use super::super::lanes::Lanes;
use super::super::{Terms, Waiting};
use super::{Rig, TIME, event};

#[test]
fn nothing_is_due_before_the_terms_are_known_and_what_is_of_no_webhook_waits() {
    let mut rig = Rig::new();
    let mut hands = Vec::new();
    rig.accept(event("a", "1", TIME)).unwrap();
    rig.accept(event("gone", "2", TIME)).unwrap();
    assert_eq!(rig.claim(TIME, 9, &mut hands), [""; 0]);
    assert_eq!(rig.queue.next_due_at(), None);
    rig.arrange(&[("a", false, 4)]);
    assert_eq!(rig.claim(TIME - 1, 9, &mut hands), [""; 0]);
    assert_eq!(rig.queue.next_due_at(), Some(TIME));
    assert_eq!(rig.claim(TIME, 9, &mut hands), ["1"]);
    assert_eq!(rig.claim(TIME, 9, &mut hands), [""; 0], "it is in a hand");
    rig.arrange(&[("a", false, 4), ("gone", false, 4)]);
    assert_eq!(rig.claim(TIME, 9, &mut hands), ["2"]);
}

#[test]
fn webhooks_take_turns_however_much_waits_for_one() {
    let mut rig = Rig::new();
    for number in 0..50 {
        rig.accept(event("much", &format!("m{number}"), TIME)).unwrap();
    }
    rig.accept(event("little", "l0", TIME + 1)).unwrap();
    rig.accept(event("some", "s0", TIME + 2)).unwrap();
    rig.accept(event("some", "s1", TIME + 3)).unwrap();
    rig.arrange(&[("much", false, 4), ("little", false, 4), ("some", false, 4)]);
    let mut hands = Vec::new();
    assert_eq!(rig.claim(TIME + 9, 5, &mut hands), ["m0", "l0", "s0", "m1", "s1"]);
    assert_eq!(rig.claim(TIME + 9, 99, &mut hands), ["m2", "m3"], "four at once");
    let first = hands.remove(0);
    rig.settle(first, After::Delivered, TIME + 9);
    assert_eq!(rig.claim(TIME + 9, 99, &mut hands), ["m4"]);
    // One that answers nothing does not stand in the way of others that come later.
    rig.accept(event("little", "l1", TIME + 10)).unwrap();
    assert_eq!(rig.claim(TIME + 10, 99, &mut hands), ["l1"]);
}

#[test]
fn of_many_webhooks_each_has_its_turn_before_any_has_a_second() {
    const WEBHOOKS: usize = 5_000;
    let mut lanes = Lanes::default();
    let names: Vec<Arc<str>> = (0..WEBHOOKS).map(|number| number.to_string().into()).collect();
    let terms = Terms {
        ordered: false,
        at_once: 2,
    };
    lanes.arrange(names.iter().map(|name| (Arc::clone(name), terms)));
    let mut place = 0;
    // The first have the most.
    for (number, name) in names.iter().enumerate() {
        for _ in 0..(2 + 40 * usize::from(number < 100)) {
            place += 1;
            let event = Waiting {
                seq: place,
                event_id: place.to_string().into(),
                since: TIME,
                due_at: TIME,
                attempts: 0,
                turns: 0,
                bytes: 0,
            };
            lanes.put(name, place, event);
        }
    }
    let mut claimed = Vec::new();
    let mut in_hands: HashMap<Arc<str>, usize> = HashMap::new();
    while claimed.len() < 2 * WEBHOOKS {
        for claim in lanes.claim(TIME, 64) {
            let hands = in_hands.entry(Arc::clone(&claim.webhook)).or_default();
            *hands += 1;
            assert!(*hands <= 2);
            claimed.push(claim.webhook);
        }
    }
    let firsts: HashSet<&Arc<str>> = claimed[..WEBHOOKS].iter().collect();
    assert_eq!(firsts.len(), WEBHOOKS);
    assert!(lanes.claim(TIME, 64).is_empty(), "each has as many in hands as it may");
}

#[test]
fn events_that_keep_coming_do_not_cost_a_webhook_its_turn() {
    let mut rig = Rig::new();
    rig.arrange(&[("busy", false, 9), ("b", false, 9), ("c", false, 9)]);
    for (webhook, id) in [("first", "0"), ("busy", "1"), ("b", "2"), ("c", "3")] {
        rig.accept(event(webhook, id, TIME)).unwrap();
    }
    rig.arrange(&[
        ("first", false, 9),
        ("busy", false, 9),
        ("b", false, 9),
        ("c", false, 9),
    ]);
    let mut hands = Vec::new();
    let first = rig.claim(TIME, 1, &mut hands);
    let mut order = first;
    for number in 0..3 {
        rig.accept(event("busy", &format!("more{number}"), TIME)).unwrap();
        order.extend(rig.claim(TIME, 1, &mut hands));
    }
    order.sort();
    assert_eq!(order, ["0", "1", "2", "3"]);
}

#[test]
fn where_order_is_asked_for_the_next_waits_until_the_first_has_ended() {
    let mut rig = Rig::new();
    for id in ["1", "2", "3"] {
        rig.accept(event("a", id, TIME)).unwrap();
    }
    rig.arrange(&[("a", true, 8)]);
    let mut hands = Vec::new();
    assert_eq!(rig.claim(TIME, 9, &mut hands), ["1"]);
    assert_eq!(rig.queue.next_due_at(), None);
    rig.settle(hands.remove(0), After::Again(TIME + 5_000), TIME);
    assert_eq!(
        rig.claim(TIME + 4_999, 9, &mut hands),
        [""; 0],
        "the second does not overtake"
    );
    assert_eq!(rig.queue.next_due_at(), Some(TIME + 5_000));
    assert_eq!(rig.claim(TIME + 5_000, 9, &mut hands), ["1"]);
    assert_eq!((hands[0].attempt(), hands[0].turn()), (2, 2));
    rig.settle(hands.remove(0), After::Dead, TIME + 5_000);
    assert_eq!(rig.claim(TIME + 5_000, 9, &mut hands), ["2"]);
    rig.settle(hands.remove(0), After::Delivered, TIME + 5_001);
    assert_eq!(rig.claim(TIME + 5_001, 9, &mut hands), ["3"]);
}

#[test]
fn an_event_that_somebody_lets_go_of_is_due_again_soon_and_its_bell_rings() {
    let mut rig = Rig::new();
    let (bell, rings) = std::sync::mpsc::channel();
    // It rings at the end, too, when nobody listens any more.
    rig.queue.on_change(move || bell.send(()).unwrap_or_default());
    let count = || rings.try_iter().count();
    assert_eq!(count(), 1, "what was there before is told of");
    rig.arrange(&[("a", true, 1)]);
    count();
    rig.accept(event("a", "1", TIME)).unwrap();
    assert_eq!(count(), 1);
    let mut hands = Vec::new();
    assert_eq!(rig.claim(TIME, 9, &mut hands), ["1"]);
    hands.clear();
    assert_eq!(count(), 1);
    let due_at = rig.queue.next_due_at().unwrap();
    assert!(due_at > TIME, "in a second, by the clock");
    assert_eq!(rig.claim(due_at, 9, &mut hands), ["1"]);
    assert_eq!((hands[0].attempt(), hands[0].turn()), (1, 1), "it was no attempt");
}

#[test]
fn a_pause_keeps_events_back_outlives_a_restart_and_stays_whose_it_was() {
    let mut rig = Rig::new();
    let mut hands = Vec::new();
    rig.accept(event("a", "1", TIME)).unwrap();
    rig.arrange(&[("a", false, 8)]);
    assert!(rig.pause("a", TIME));
    assert!(!rig.pause("a", TIME + 7), "it is paused already");
    assert_eq!(rig.claim(TIME, 9, &mut hands), [""; 0]);
    let mut rig = rig.again();
    rig.arrange(&[("a", false, 8)]);
    assert_eq!(rig.queue.pause_of("a"), Some(super::pause(TIME)));
    assert_eq!(rig.queue.pauses().len(), 1);
    rig.accept(event("a", "2", TIME)).unwrap();
    assert_eq!(rig.queue.waiting("a"), 2);
    assert_eq!(rig.claim(TIME, 9, &mut hands), [""; 0]);
    assert!(rig.resume("a"));
    assert!(!rig.resume("a"));
    assert_eq!(rig.claim(TIME, 9, &mut hands), ["1", "2"]);
    assert_eq!(rig.queue.pause_of("a"), None);
}
