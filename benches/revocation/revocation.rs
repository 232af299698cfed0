//! How soon nothing goes on under a key that was revoked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::clients::{Client, Seen, open};
use super::gate::{Gate, record};
use super::upstream::{TICK, Upstream};
use super::{ALPHA, BETA, percentile, verdict};

/// How much is open.
struct Crowd {
    websockets: usize,
    streams: usize,
    asking: usize,
}

/// Under the key that is revoked.
const MANY: Crowd = Crowd {
    websockets: 1000,
    streams: 100,
    asking: 100,
};
/// Under the other one.
const SOME: Crowd = Crowd {
    websockets: 100,
    streams: 20,
    asking: 20,
};
/// Streams of both keys share so many connections.
const CONNECTIONS: usize = 10;
/// Between two requests of one connection.
const PAUSE: Duration = Duration::from_millis(20);
/// How long all of it may take to run, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the others have to go on after it.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// The goals, at the 99th percentile.
const BY_FILE: Duration = Duration::from_millis(2500);
const BY_PUSH: Duration = Duration::from_millis(250);

/// Through the key file alone.
pub fn by_file() -> bool {
    println!("revoked through the key file alone, from the moment that it is written");
    measure(BY_FILE, |gate| {
        gate.prepare(&keys(",\"revoked_at\":\"2020-01-01T00:00:00Z\""));
        let asked = Instant::now();
        gate.replace("keys.jsonl");
        Some((asked, Instant::now()))
    })
}

/// Through the admin listener, with the file as it is.
pub fn by_push() -> bool {
    println!("revoked by a push with the key file withheld, from the moment that the call has returned");
    measure(BY_PUSH, |gate| {
        let asked = Instant::now();
        let status = gate.revoke("key_alpha");
        if status != 200 {
            println!("  the call was answered with {status}");
        }
        (status == 200).then(|| (asked, Instant::now()))
    })
}

fn keys(alpha: &str) -> String {
    "{\"id\":\"acme\"}\n".to_owned() + &record("key_alpha", ALPHA, alpha) + &record("key_beta", BETA, "")
}

/// `revoke` gives back when it was called, and when it was done.
fn measure(goal: Duration, revoke: fn(&Gate) -> Option<(Instant, Instant)>) -> bool {
    let upstream = Upstream::start();
    let gate = Arc::new(Gate::start(upstream.address, &keys("")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (running, mut is_running) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let client = || Client::new(&running, &stopped);
        let mut alpha = Vec::new();
        let mut beta = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = open(gate.ingress).await.expect("a connection").into_inner();
            // A machine that is busy may let a client sleep while frames come in: that is no attack.
            let mut settings = h2::client::Builder::new();
            let opened = settings.data_frame_budget(1 << 30).handshake(stream);
            let (send, connection) = opened.await.expect("HTTP/2");
            tokio::spawn(connection);
            for (crowd, key, place) in [(&MANY, ALPHA, &mut alpha), (&SOME, BETA, &mut beta)] {
                let streams = (0..crowd.streams / CONNECTIONS).map(|_| {
                    let (client, send) = (client(), send.clone());
                    tokio::spawn(async move { client.stream(send, key).await })
                });
                place.extend(streams);
            }
        }
        for (crowd, key, place) in [(&MANY, ALPHA, &mut alpha), (&SOME, BETA, &mut beta)] {
            let address = gate.ingress;
            place.extend((0..crowd.websockets).map(|_| {
                let client = client();
                tokio::spawn(async move { client.websocket(address, key).await })
            }));
            place.extend((0..crowd.asking).map(|_| {
                let client = client();
                tokio::spawn(async move { client.asks(address, key, PAUSE).await })
            }));
        }
        let all = alpha.len() + beta.len();
        let everybody = timeout(PATIENCE, is_running.wait_for(|running| *running == all));
        if everybody.await.is_err() {
            println!("  only {} of {all} were running in time", *running.borrow());
            return false;
        }
        sleep(AFTERWARDS).await;

        // On a thread of its own: whoever is told something meanwhile hears it.
        let ours = Arc::clone(&gate);
        let revoked = spawn_blocking(move || revoke(&ours)).await.expect("a call");
        let Some((asked, returned)) = revoked else { return false };
        let ended = timeout(PATIENCE, outcomes(alpha)).await;
        sleep(AFTERWARDS).await;
        let before_the_end = Instant::now();
        let _ = stop.send(true);
        let others = outcomes(beta).await;
        let Ok(ended) = ended else {
            println!("  not all of it ended within {PATIENCE:?}");
            return false;
        };
        let late = &report(&ended, asked, returned, upstream.last());
        let is_met = *late < goal;
        println!("  99th percentile below {goal:?}: {}", verdict(is_met));
        is_met & all_right(&ended) & untouched(&others, before_the_end)
    })
}

async fn outcomes(clients: Vec<JoinHandle<Seen>>) -> Vec<Seen> {
    let mut seen = Vec::with_capacity(clients.len());
    for client in clients {
        seen.push(client.await.expect("a client does not panic"));
    }
    seen
}

/// Says how late each end was; the 99th percentile comes back.
fn report(ended: &[Seen], asked: Instant, returned: Instant, last_upstream: Instant) -> Duration {
    let since = |moment: Instant, from: Instant| moment.saturating_duration_since(from);
    let ends = |from: Instant| ended.iter().filter_map(move |seen| Some(since(seen.ended?, from)));
    let row = |name: &str, mut late: Vec<Duration>| {
        let [half, most, max] = [0.5, 0.99, 1.0].map(|share| percentile(&mut late, share));
        println!(
            "  {name:46} p50 {:6.1} ms  p99 {:6.1} ms  max {:6.1} ms",
            millis(half),
            millis(most),
            millis(max)
        );
        most
    };
    row("from the call to its end", ends(asked).collect());
    let bytes = ended.iter().map(|seen| since(seen.last_byte, returned));
    row("from its return to the last byte to the client", bytes.collect());
    let last = since(last_upstream, returned);
    println!(
        "  {:46} max {:6.1} ms",
        "from its return to the last byte upstream",
        millis(last)
    );
    row("from its return to its end", ends(returned).collect()).max(last)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Whether each ended as it should.
fn all_right(ended: &[Seen]) -> bool {
    tell(
        "ended in another way than they should",
        ended.iter().filter_map(|seen| seen.wrong.as_deref()),
    )
}

/// Whether nobody else noticed anything.
fn untouched(others: &[Seen], before_the_end: Instant) -> bool {
    let wrong = others.iter().filter_map(|seen| {
        let has_ended = seen.ended.map(|_| "it ended");
        let is_silent = seen.last_byte + AFTERWARDS.max(TICK) < before_the_end;
        seen.wrong
            .as_deref()
            .or(has_ended)
            .or(is_silent.then_some("it fell silent"))
    });
    let is_right = tell("of another key were touched", wrong);
    println!(
        "  {} connections and streams of another key untouched: {}",
        others.len(),
        verdict(is_right)
    );
    is_right
}

fn tell<'s>(what: &str, wrong: impl Iterator<Item = &'s str>) -> bool {
    let wrong: Vec<&str> = wrong.collect();
    if let Some(first) = wrong.first() {
        println!("  {} {what}: {first}", wrong.len());
    }
    wrong.is_empty()
}
