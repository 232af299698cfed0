//! What a reload of many keys costs those who are served meanwhile.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use super::clients::{ask, open, request};
use super::elsewhere;
use super::gate::{Gate, record};
use super::upstream::Upstream;
use super::{ALPHA, percentile, verdict};

const KEYS: usize = 100_000;
/// Connections that ask, each so often.
const CONNECTIONS: u32 = 32;
const PACE: Duration = Duration::from_millis(10);
/// Windows of each kind, in turns.
const ROUNDS: usize = 9;
/// The key file.
const IN_FORCE: &str = "keys.jsonl";
/// A file beside it that nobody reads.
const UNREAD: &str = "keys.unread";
/// Between two windows.
const REST: Duration = Duration::from_millis(500);
/// What the 99th percentile may be, as a ratio to that of the windows without a reload.
const RATIO: f64 = 1.5;
const PATIENCE: Duration = Duration::from_secs(30);

/// One answer: when it was asked for, how long it took, whether it was good.
struct Answer {
    asked: Instant,
    took: Duration,
    is_good: bool,
}

/// From one moment to another.
struct Window(Instant, Instant);

/// Runs it.
pub fn run() -> bool {
    println!("reloads of {KEYS} keys while {CONNECTIONS} connections ask every {PACE:?}");
    let upstream = Upstream::start();
    let gate = Gate::start(upstream.address, &keys(0));
    let (end, until) = watch::channel(false);
    let ingress = gate.ingress;
    let clients = thread::spawn(move || elsewhere::block_on(load(ingress, until)));
    thread::sleep(REST * 2);
    let (mut reloads, mut calm) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        gate.prepare(&keys(round));
        thread::sleep(REST);
        let began = Instant::now();
        gate.replace(IN_FORCE);
        if !comes(ingress, round) {
            println!("  the reload was not in force within {PATIENCE:?}");
            return false;
        }
        let reload = Window(began, Instant::now());
        // The same without the reload: as large a file takes the place of another.
        gate.prepare(&keys(round));
        thread::sleep(REST);
        let began = Instant::now();
        gate.replace(UNREAD);
        thread::sleep(reload.1 - reload.0);
        calm.push(Window(began, Instant::now()));
        reloads.push(reload);
    }
    let _ = end.send(true);
    let answers = clients.join().expect("a client does not panic");
    report(&answers, &reloads, &calm)
}

/// All clients, until they are told to end.
async fn load(address: SocketAddr, until: watch::Receiver<bool>) -> Vec<Answer> {
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(asks(address, number, until.clone())))
        .collect();
    let mut answers = Vec::new();
    for client in clients {
        answers.extend(client.await.expect("a client does not panic"));
    }
    answers
}

/// Many keys, of which one is new each round.
fn keys(round: usize) -> String {
    let mut keys = "{\"id\":\"acme\"}\n".to_owned();
    keys.push_str(&record("key_alpha", ALPHA, ""));
    keys.push_str(&record("key_new", &new_key(round), ""));
    for number in 0..KEYS {
        let _ = write!(
            keys,
            "{}",
            record(&format!("key_{number:06}"), &format!("kg_{number:032}"), "")
        );
    }
    keys
}

fn new_key(round: usize) -> String {
    format!("kg_new_{round:024}")
}

/// Asks at a steady pace, whatever the answers take; each client at its own moment.
async fn asks(address: SocketAddr, number: u32, until: watch::Receiver<bool>) -> Vec<Answer> {
    let request = request("/eight", ALPHA, "");
    let mut pace = interval_at(tokio::time::Instant::now() + PACE * number / CONNECTIONS, PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut answers = Vec::new();
    let Ok(mut stream) = open(address).await else {
        return answers;
    };
    while !*until.borrow() {
        // From the moment at which it was to be asked: a wait before that is a wait all the same.
        let due = pace.tick().await.into_std();
        let status = ask(&mut stream, &request).await;
        answers.push(Answer {
            asked: due,
            took: due.elapsed(),
            is_good: matches!(status, Ok(200)),
        });
        if status.is_err() {
            break;
        }
    }
    answers
}

/// Waits until this round's new key is let in.
fn comes(address: SocketAddr, round: usize) -> bool {
    let request = request("/eight", &new_key(round), "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let end = Instant::now() + PATIENCE;
        let Ok(mut stream) = open(address).await else {
            return false;
        };
        while Instant::now() < end {
            match ask(&mut stream, &request).await {
                Ok(200) => return true,
                Ok(_) => sleep(Duration::from_millis(10)).await,
                Err(_) => return false,
            }
        }
        false
    })
}

fn report(answers: &[Answer], reloads: &[Window], calm: &[Window]) -> bool {
    let failed = answers.iter().filter(|answer| !answer.is_good).count();
    println!(
        "  {} requests, of which {failed} failed: {}",
        answers.len(),
        verdict(failed == 0)
    );
    let late = |window: &Window| {
        let within = answers
            .iter()
            .filter(|answer| (window.0..window.1).contains(&answer.asked));
        percentile(&mut within.map(|answer| answer.took).collect::<Vec<_>>(), 0.99).as_secs_f64()
    };
    let mut ratios: Vec<f64> = reloads
        .iter()
        .zip(calm)
        .map(|(reload, calm)| late(reload) / late(calm).max(f64::MIN_POSITIVE))
        .collect();
    ratios.sort_by(f64::total_cmp);
    let took: Vec<Duration> = reloads.iter().map(|window| window.1 - window.0).collect();
    let shown: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    let median = ratios[ratios.len() / 2];
    println!(
        "  a reload took {:.2} to {:.2} s, from the rename to the first request that it let in",
        took.iter().min().unwrap_or(&Duration::ZERO).as_secs_f64(),
        took.iter().max().unwrap_or(&Duration::ZERO).as_secs_f64()
    );
    println!(
        "  99th percentile during a reload, as a ratio to that of a window without: {}",
        shown.join(" ")
    );
    println!("  median {median:.2}, goal {RATIO}: {}", verdict(median <= RATIO));
    failed == 0 && median <= RATIO
}
