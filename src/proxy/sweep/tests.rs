use std::pin::pin;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::time::{Instant, sleep};

use super::{Phase, Sweep, TICK, Watch, ticks_in};

fn paused<F: Future<Output = ()>>(test: F) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(test);
}

#[allow(clippy::disallowed_methods)] // a paused clock, and the thing under test is time
fn clock() -> Instant {
    Instant::now()
}

/// How long until `watch` fires, and what.
async fn fires(watch: &Watch) -> (Phase, Duration) {
    let start = clock();
    let phase = watch.fired().await;
    (phase, clock() - start)
}

#[test]
fn durations_are_rounded_up_to_ticks() {
    for (millis, ticks) in [(0, 0), (1, 1), (99, 1), (100, 1), (101, 2), (1000, 10), (60_001, 601)] {
        assert_eq!(ticks_in(Duration::from_millis(millis)), ticks, "{millis} ms");
    }
    assert!(ticks_in(Duration::MAX) < u64::MAX / 2);
}

#[test]
fn a_watch_fires_never_early_and_at_most_two_ticks_late() {
    paused(async {
        let sweep = Sweep::new();
        for offset in [0, 1, 50, 99] {
            for millis in [1, 50, 100, 101, 250, 999, 5000] {
                // Something else keeps the timer running, so that the watch is armed in the middle of a tick.
                let other = sweep.watch();
                other.arm(Phase::Total, Duration::from_secs(3600));
                sleep(Duration::from_millis(100 + offset)).await;
                let watch = sweep.watch();
                let patience = Duration::from_millis(millis);
                watch.arm(Phase::Connect, patience);
                let (phase, took) = fires(&watch).await;
                assert_eq!(phase, Phase::Connect);
                assert!(took >= patience, "{patience:?} fired after {took:?}");
                assert!(took <= patience + 2 * TICK, "{patience:?} fired after {took:?}");
            }
        }
    });
}

#[test]
fn progress_moves_the_deadline_and_not_the_limit() {
    paused(async {
        let watch = Sweep::new().watch();
        watch.arm(Phase::ResponseIdle, Duration::from_secs(1));
        watch.limit(Phase::Total, Duration::from_secs(3));
        let start = clock();
        let touching = async {
            loop {
                sleep(Duration::from_millis(700)).await;
                watch.touch();
            }
        };
        let phase = tokio::select! {
            phase = watch.fired() => phase,
            () = touching => unreachable!(),
        };
        assert_eq!(phase, Phase::Total);
        assert!(clock() - start >= Duration::from_secs(3));

        watch.reset();
        watch.arm(Phase::ResponseIdle, Duration::from_secs(1));
        watch.limit(Phase::Total, Duration::from_secs(3));
        assert_eq!(watch.fired().await, Phase::ResponseIdle);
    });
}

#[test]
fn a_shorter_deadline_takes_the_place_of_a_longer_one() {
    paused(async {
        let watch = Sweep::new().watch();
        watch.arm(Phase::ResponseHead, Duration::from_secs(60));
        watch.arm(Phase::ClientBody, Duration::from_secs(1));
        let (phase, took) = fires(&watch).await;
        assert_eq!(phase, Phase::ClientBody);
        assert!(took < Duration::from_secs(2));
    });
}

#[test]
fn a_disarmed_watch_does_not_fire_and_the_limit_outlives_it() {
    paused(async {
        let watch = Sweep::new().watch();
        watch.arm(Phase::Connect, Duration::from_secs(1));
        watch.limit(Phase::Total, Duration::from_secs(5));
        watch.disarm();
        assert_eq!(watch.phase(), None);
        watch.touch();
        let (phase, took) = fires(&watch).await;
        assert_eq!(phase, Phase::Total);
        assert!(took >= Duration::from_secs(5));
    });
}

#[test]
fn what_fired_stays_until_it_is_reset() {
    paused(async {
        let watch = Sweep::new().watch();
        watch.arm(Phase::Connect, TICK);
        assert_eq!(watch.fired().await, Phase::Connect);
        watch.arm(Phase::ResponseHead, TICK);
        assert_eq!(watch.has_fired(), Some(Phase::Connect));
        assert_eq!(watch.fired().await, Phase::Connect);
        watch.reset();
        assert_eq!(watch.has_fired(), None);
        watch.arm(Phase::ResponseHead, TICK);
        assert_eq!(watch.fired().await, Phase::ResponseHead);
    });
}

#[test]
fn the_timer_runs_only_while_something_is_armed() {
    paused(async {
        let sweep = Sweep::new();
        let (one, two) = (sweep.watch(), sweep.watch());
        assert!(!sweep.is_ticking());
        one.arm(Phase::Client, Duration::from_secs(60));
        two.limit(Phase::Total, Duration::from_secs(60));
        sleep(5 * TICK).await;
        assert!(sweep.is_ticking());
        one.disarm();
        drop(two);
        sleep(2 * TICK).await;
        assert!(!sweep.is_ticking());
        let stopped_at = sweep.ticks();
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(sweep.ticks(), stopped_at);

        one.arm(Phase::Client, Duration::from_secs(1));
        let (_, took) = fires(&one).await;
        assert!(took >= Duration::from_secs(1) && took <= Duration::from_secs(1) + 2 * TICK);
        sleep(2 * TICK).await;
        assert!(!sweep.is_ticking());
    });
}

#[test]
fn a_guarded_future_ends_by_itself_or_is_cut() {
    paused(async {
        let watch = Sweep::new().watch();
        watch.arm(Phase::Connect, Duration::from_secs(1));
        assert_eq!(watch.guard(pin!(async { 7 })).await, Ok(7));
        assert_eq!(
            watch.guard(pin!(std::future::pending::<()>())).await,
            Err(Phase::Connect)
        );
    });
}

#[test]
fn dropping_a_watch_while_others_fire_is_harmless() {
    paused(async {
        let sweep = Sweep::new();
        let watches: Vec<_> = (0..100).map(|_| sweep.watch()).collect();
        for watch in &watches {
            watch.arm(Phase::Client, Duration::from_secs(1));
        }
        let tasks: Vec<_> = watches
            .into_iter()
            .map(|watch| {
                tokio::task::spawn_local(async move {
                    assert_eq!(watch.fired().await, Phase::Client);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(sweep.entries.borrow().len(), 0);
    });
}
