//! Queued events for receivers that fail, stall, reset and answer slowly, while the gate is killed again and again: what every
//! receiver saw, and what is wrong with it.
//!
//! A room of its own because a test runs it with hundreds of events, and `cargo bench --bench delivery` with ten thousand.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{BOUND, Conversation, Gate, Home, Next, Response, Setup, Upstream};

/// How much, and how often it is interrupted.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Events in all.
    pub events: usize,
    /// How often the gate is killed.
    pub kills: usize,
    /// Of the receivers' moods.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Events that were accepted, and had to arrive.
    pub accepted: usize,
    /// Requests that the receivers got.
    pub arrivals: usize,
    /// Events that a receiver took more than once: each time with the same id.
    pub duplicates: usize,
    /// Of these, such as the receiver itself has caused: it took one, and reset the connection.
    pub provoked: usize,
    /// What must not be, in words.
    pub faults: Vec<String>,
    /// From the first event to the last delivery.
    pub took: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    Fails,
    Resets,
    Stalls,
    Dawdles,
}

/// A webhook with a receiver of its own.
struct Line {
    id: &'static str,
    manner: Manner,
    ordered: bool,
    /// Which part of all events it gets, in twentieths.
    share: usize,
}

const fn line(id: &'static str, manner: Manner, ordered: bool, share: usize) -> Line {
    Line {
        id,
        manner,
        ordered,
        share,
    }
}

const LINES: [Line; 10] = [
    line("wh_takes", Manner::Takes, false, 3),
    line("wh_takes_in_order", Manner::Takes, true, 2),
    line("wh_fails", Manner::Fails, false, 3),
    line("wh_fails_in_order", Manner::Fails, true, 1),
    line("wh_resets", Manner::Resets, false, 3),
    line("wh_resets_in_order", Manner::Resets, true, 1),
    line("wh_stalls", Manner::Stalls, false, 2),
    line("wh_stalls_in_order", Manner::Stalls, true, 1),
    line("wh_dawdles", Manner::Dawdles, false, 3),
    line("wh_dawdles_in_order", Manner::Dawdles, true, 1),
];

/// Of `[webhooks]`.
const AT_ONCE: usize = 16;

/// What one receiver saw.
#[derive(Default)]
struct Seen {
    arrivals: Vec<usize>,
    taken: Vec<usize>,
    /// How many it took without saying so.
    unanswered: usize,
    wrong: Vec<String>,
}

/// Where the gate listens for events now, and how often that has changed.
struct Door {
    place: Mutex<(SocketAddr, usize)>,
    moved: Condvar,
}

/// A small generator (splitmix64): the same seed, the same moods.
pub struct Dice(u64);

impl Dice {
    /// Of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to `sides - 1`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// Runs it.
pub fn run(plan: Plan) -> Outcome {
    let taken = Arc::new(AtomicUsize::new(0));
    let seen: Vec<Arc<Mutex<Seen>>> = LINES.iter().map(|_| Arc::default()).collect();
    let receivers: Vec<Upstream> = LINES
        .iter()
        .zip(&seen)
        .enumerate()
        .map(|(number, (line, seen))| receiver(line, plan.seed + number as u64, Arc::clone(seen), Arc::clone(&taken)))
        .collect();
    let mut gate = start(&receivers);
    let door = Door {
        place: Mutex::new((address(&gate), 0)),
        moved: Condvar::new(),
    };
    let began = Instant::now();
    let counts: Vec<usize> = LINES.iter().map(|line| plan.events * line.share / 20).collect();
    let all: usize = counts.iter().sum();
    thread::scope(|scope| {
        for (line, count) in LINES.iter().zip(&counts) {
            let door = &door;
            scope.spawn(move || (0..*count).for_each(|number| send(door, line, number)));
        }
        for kill in 1..=plan.kills {
            let enough = all * kill / (plan.kills + 1);
            wait_for(&taken, enough, || format!("{enough} of {all} events to be taken"));
            gate.kill();
            gate.start_again();
            *locked(&door.place) = (address(&gate), kill);
            door.moved.notify_all();
        }
    });
    let mut outcome = Outcome {
        accepted: all,
        ..Outcome::default()
    };
    // Each of them at least once; how often besides shows in the end.
    let missing = || -> usize {
        let each = seen.iter().zip(&counts);
        each.map(|(seen, count)| count - distinct(&locked(seen).taken).min(*count))
            .sum()
    };
    let (mut left, mut since) = (missing(), Instant::now());
    while left > 0 && since.elapsed() < BOUND {
        thread::sleep(Duration::from_millis(20));
        let now = missing();
        if now < left {
            (left, since) = (now, Instant::now());
        }
    }
    outcome.took = began.elapsed();
    // A clean end: whatever is in a hand is settled.
    if !gate.terminate().success() {
        outcome.faults.push("the gate did not end well".to_owned());
    }
    for ((line, count), seen) in LINES.iter().zip(&counts).zip(&seen) {
        judge(line, *count, plan.kills, &locked(seen), &mut outcome);
    }
    let states = "SELECT count(*) FROM webhook_events WHERE state = 'delivered'";
    let delivered = crate::harness::rows(&gate.home.path("keygate.db"), states);
    if delivered != [all.to_string()] {
        let fault = format!("the state file knows of {delivered:?} delivered events, not of {all}");
        outcome.faults.push(fault);
    }
    outcome
}

fn judge(line: &Line, count: usize, kills: usize, seen: &Seen, outcome: &mut Outcome) {
    let mut fault = |what: String| outcome.faults.push(format!("{}: {what}", line.id));
    let lost = (0..count).filter(|number| !seen.taken.contains(number)).count();
    if lost > 0 {
        fault(format!("{lost} of {count} events are lost"));
    }
    for wrong in &seen.wrong {
        fault(wrong.clone());
    }
    if line.ordered && !seen.arrivals.is_sorted() {
        fault("events came out of their order".to_owned());
    }
    let duplicates = seen.taken.len() - distinct(&seen.taken);
    // One that was taken, and not settled, when the gate was killed, comes again: at most as many as are in hands.
    let in_hands = if line.ordered { 1 } else { AT_ONCE };
    let excused = seen.unanswered + kills * in_hands;
    if line.manner != Manner::Stalls && duplicates > excused {
        fault(format!("{duplicates} duplicates, where {excused} could be"));
    }
    outcome.arrivals += seen.arrivals.len();
    outcome.duplicates += duplicates;
    outcome.provoked += seen.unanswered.min(duplicates);
}

fn distinct(numbers: &[usize]) -> usize {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}

fn start(receivers: &[Upstream]) -> Gate {
    let home = Home::new();
    // Some soon, the later ones late: a machine that is busy with other things gives up nothing.
    let soon = ", \"20ms\"".repeat(40) + &", \"1s\"".repeat(23);
    let records = LINES.iter().zip(receivers).map(|(line, receiver)| {
        let head = if line.manner == Manner::Stalls { "300ms" } else { "10s" };
        format!(
            "[[webhooks]]\nid = \"{}\"\norganization = \"acme\"\nurl = \"{}/in\"\nsecret = \"a-secret-of-at-least-32-characters\"\n\
             delivery = \"queued\"\nordered = {}\nschedule = [\"0s\"{soon}]\ntimeouts = {{ head = \"{head}\" }}\n\n",
            line.id,
            receiver.url(),
            line.ordered
        )
    });
    home.write("webhooks.toml", records.collect::<String>());
    let ports: Vec<String> = receivers
        .iter()
        .map(|receiver| receiver.address().port().to_string())
        .collect();
    let more = format!(
        "[egress]\nlisten = [\"127.0.0.1:0\"]\n[webhooks]\nfile = \"webhooks.toml\"\nallow_networks = [\"127.0.0.0/8\"]\n\
         allow_ports = [{}]\nconnections_per_receiver = {AT_ONCE}\n[state]\npath = \"keygate.db\"\n",
        ports.join(", ")
    );
    Gate::start_in(
        home,
        &Setup {
            more,
            ..Setup::url("http://127.0.0.1:9")
        },
    )
}

fn address(gate: &Gate) -> SocketAddr {
    gate.listeners("egress")[0].parse().unwrap()
}

/// Brings an event until it is accepted, as a service does that must not lose any.
fn send(door: &Door, line: &Line, number: usize) {
    let body = format!("{{\"n\":{number}}}");
    let request = format!(
        "POST /webhooks/{} HTTP/1.1\r\nHost: keygate\r\nX-Event-Id: evt_{number}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        line.id,
        body.len()
    );
    loop {
        let (address, kills) = *locked(&door.place);
        match ask(address, &request) {
            Some(202) => return,
            Some(status) => panic!("{}: event {number} is answered with {status}", line.id),
            // It was killed: where it is there again, the event is brought again.
            None => {
                let place = door.place.lock().unwrap();
                let is_dead = |place: &mut (SocketAddr, usize)| place.1 == kills;
                let (_place, waited) = door.moved.wait_timeout_while(place, BOUND, is_dead).unwrap();
                assert!(!waited.timed_out(), "the gate does not come back");
            }
        }
    }
}

fn ask(address: SocketAddr, request: &str) -> Option<u16> {
    use std::io::Write as _;
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(BOUND)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let answer = Response::read(&mut std::io::BufReader::new(stream), false);
    Some(answer.ok()??.status())
}

fn receiver(line: &Line, seed: u64, seen: Arc<Mutex<Seen>>, taken: Arc<AtomicUsize>) -> Upstream {
    let manner = line.manner;
    let dice = Mutex::new(Dice::new(seed));
    Upstream::tcp(move |it: &mut Conversation| {
        if !it.read_body() {
            return Next::Close;
        }
        let roll = dice.lock().unwrap().roll(10);
        let (id, body) = (it.head.header("webhook-id").unwrap_or_default(), it.body());
        let number = id.strip_prefix("evt_").and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number: &usize| body == format!("{{\"n\":{number}}}").as_bytes()) else {
            let body = String::from_utf8_lossy(&body).into_owned();
            locked(&seen)
                .wrong
                .push(format!("the event {id:?} has the body {body:?}"));
            return Next::Close;
        };
        locked(&seen).arrivals.push(number);
        let take = || {
            locked(&seen).taken.push(number);
            taken.fetch_add(1, Ordering::SeqCst);
        };
        match (manner, roll) {
            (Manner::Fails, 0) => it.answer("500 Internal Server Error", "", ""),
            (Manner::Fails, 1) => it.answer("429 Too Many Requests", "", ""),
            (Manner::Fails, 2) => it.answer("404 Not Found", "", "nobody is here"),
            (Manner::Fails, 3) => it.answer("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
            (Manner::Resets, 0..2) => Next::Reset,
            (Manner::Resets, 2) => {
                locked(&seen).unanswered += 1;
                take();
                Next::Reset
            }
            (Manner::Resets, 3) => {
                locked(&seen).unanswered += 1;
                take();
                it.send("HTTP/1.1 200 O");
                Next::Reset
            }
            (Manner::Stalls, 0..2) => it.wait_for_end(),
            (Manner::Dawdles, _) => {
                thread::sleep(Duration::from_millis(10 + roll * 4));
                take();
                it.answer("200 OK", "", "")
            }
            (Manner::Takes | Manner::Fails | Manner::Resets | Manner::Stalls, _) => {
                take();
                it.answer("204 No Content", "", "")
            }
        }
    })
}

/// Waits as long as there is progress.
fn wait_for(count: &AtomicUsize, enough: usize, what: impl Fn() -> String) {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = count.load(Ordering::SeqCst);
        if now >= enough {
            return;
        }
        if now > last {
            (last, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < BOUND, "waited {BOUND:?} for {}: {now} so far", what());
        thread::sleep(Duration::from_millis(2));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
