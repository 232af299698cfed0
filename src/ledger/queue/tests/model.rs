//! Whatever is done to the queue, and whenever it crashes: at least once, in order where asked for, one hand at a time, and
//! memory says what the file says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{Accepted, After, Claim, Replayed};
use super::{Rig, TIME, event};

#[derive(Debug, Clone)]
enum Step {
    Accept(usize, u8),
    Claim(usize),
    Settle(usize, u8),
    LetGo(usize),
    Pause(usize),
    Resume(usize),
    Replay(usize, u8),
    Crash,
    Reopen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Delivered,
    Dead,
}

const WEBHOOKS: [(&str, bool, usize); 3] = [("plain", false, 3), ("ordered", true, 3), ("single", false, 1)];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..3usize, 0..12u8).prop_map(|(webhook, id)| Step::Accept(webhook, id)),
        5 => (1..4usize).prop_map(Step::Claim),
        6 => (0..8usize, 0..3u8).prop_map(|(hand, after)| Step::Settle(hand, after)),
        1 => (0..8usize).prop_map(Step::LetGo),
        1 => (0..3usize).prop_map(Step::Pause),
        2 => (0..3usize).prop_map(Step::Resume),
        2 => (0..3usize, 0..12u8).prop_map(|(webhook, id)| Step::Replay(webhook, id)),
        1 => Just(Step::Crash),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

#[derive(Default)]
struct Model {
    fates: BTreeMap<(usize, u8), Fate>,
    /// Waiting ones, in order.
    order: Vec<(usize, u8)>,
    paused: BTreeSet<usize>,
}

fn key(claim: &Claim) -> (usize, u8) {
    let webhook = WEBHOOKS
        .iter()
        .position(|(name, ..)| *name == &**claim.webhook())
        .unwrap();
    (webhook, claim.event_id().parse().unwrap())
}

fn step(rig: &mut Rig, model: &mut Model, hands: &mut Vec<Claim>, step: &Step, now: &mut i64) {
    *now += 10_000_000;
    match *step {
        Step::Accept(webhook, id) => {
            let accepted = rig.accept(event(WEBHOOKS[webhook].0, &id.to_string(), *now));
            let is_new = !model.fates.contains_key(&(webhook, id));
            assert_eq!(accepted, Ok(if is_new { Accepted::New } else { Accepted::Known }));
            if is_new {
                model.fates.insert((webhook, id), Fate::Waiting);
                model.order.push((webhook, id));
            }
        }
        Step::Claim(limit) => {
            for claim in rig.queue.claim(*now, limit) {
                let claimed = key(&claim);
                assert_eq!(model.fates[&claimed], Fate::Waiting);
                assert!(!model.paused.contains(&claimed.0));
                assert!(
                    hands.iter().all(|hand| key(hand) != claimed),
                    "two hands have one event"
                );
                let in_hands = hands.iter().filter(|hand| key(hand).0 == claimed.0).count();
                assert!(in_hands < WEBHOOKS[claimed.0].2);
                if WEBHOOKS[claimed.0].1 {
                    let first = model.order.iter().find(|waiting| waiting.0 == claimed.0);
                    assert_eq!(first, Some(&claimed), "out of order");
                }
                assert!(rig.load(&claim).is_some());
                hands.push(claim);
            }
        }
        Step::Settle(hand, after) if hand < hands.len() => {
            let claim = hands.remove(hand);
            let settled = key(&claim);
            let (fate, after) = match after {
                0 => (Fate::Delivered, After::Delivered),
                1 => (Fate::Dead, After::Dead),
                _ => (Fate::Waiting, After::Again(*now + 1)),
            };
            rig.settle(claim, after, *now);
            model.fates.insert(settled, fate);
            if fate != Fate::Waiting {
                model.order.retain(|waiting| *waiting != settled);
            }
        }
        Step::LetGo(hand) if hand < hands.len() => drop(hands.remove(hand)),
        Step::Settle(..) | Step::LetGo(_) => {}
        Step::Pause(webhook) => assert_eq!(rig.pause(WEBHOOKS[webhook].0, *now), model.paused.insert(webhook)),
        Step::Resume(webhook) => assert_eq!(rig.resume(WEBHOOKS[webhook].0), model.paused.remove(&webhook)),
        Step::Replay(webhook, id) => {
            let expected = match model.fates.get(&(webhook, id)) {
                None => Replayed::Unknown,
                Some(Fate::Waiting) => Replayed::Waits,
                Some(Fate::Delivered | Fate::Dead) => Replayed::Due,
            };
            let replayed = rig.replay(WEBHOOKS[webhook].0, &id.to_string(), *now);
            assert_eq!(replayed, expected);
            if expected == Replayed::Due {
                model.fates.insert((webhook, id), Fate::Waiting);
                model.order.push((webhook, id));
            }
        }
        Step::Crash | Step::Reopen => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_lost_whatever_happens(steps in steps()) {
        let mut rig = Rig::new();
        rig.arrange(&WEBHOOKS);
        // By the clock, what somebody lets go of is due then.
        let mut now = crate::clock::unix_millis().max(TIME);
        let (mut model, mut hands) = (Model::default(), Vec::new());
        for next in &steps {
            if matches!(next, Step::Crash) {
                hands.clear();
                rig = rig.again();
                rig.arrange(&WEBHOOKS);
            }
            if matches!(next, Step::Reopen) {
                let store = rig.store.take().unwrap();
                rig.desk.restore(&store).unwrap();
                rig.store = Some(store);
            }
            step(&mut rig, &mut model, &mut hands, next, &mut now);
            let waiting: usize = WEBHOOKS.iter().map(|(webhook, ..)| rig.queue.waiting(webhook)).sum();
            prop_assert_eq!(waiting, model.order.len());
        }
        // In the end, everything that waits is delivered, at least once, each in its order.
        hands.clear();
        for webhook in std::mem::take(&mut model.paused) {
            rig.resume(WEBHOOKS[webhook].0);
        }
        now += 100_000_000;
        while !model.order.is_empty() {
            let claims = rig.queue.claim(now, 9);
            prop_assert!(!claims.is_empty(), "left: {:?}", model.order);
            for claim in claims {
                let delivered = key(&claim);
                prop_assert!(model.order.contains(&delivered));
                model.order.retain(|waiting| *waiting != delivered);
                rig.settle(claim, After::Delivered, now);
            }
        }
        prop_assert!(rig.queue.claim(i64::MAX, 9).is_empty());
    }
}
