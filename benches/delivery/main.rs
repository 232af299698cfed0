//! Ten thousand queued events for receivers that fail, stall, reset and answer slowly, while the program is killed three times:
//! `cargo bench --bench delivery`.
//!
//! The real program, in a process of its own, between a service and ten receivers in this one; what happens is in
//! `tests/it/events/storm.rs`, which a test runs with fewer events. With `-- --strict` it fails where an event is lost, comes out of its order, or
//! comes again without a reason, or under another id. `-- 2000` brings so many events, and `-- 2000 7` kills the program so often.
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock
#![allow(clippy::print_stdout)] // and says what it found
#![allow(clippy::print_stderr, clippy::unwrap_used)] // as the tests do whose code this is
#![allow(missing_docs)]

#[allow(dead_code, unused_imports)] // the tests use all of it
#[path = "../../tests/it/harness/mod.rs"]
mod harness;
#[path = "../../tests/it/events/storm.rs"]
mod storm;

/// Sockets of this process: connections of all receivers, with several handles each.
const FILES: u64 = 4096;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let plan = storm::Plan {
        events: numbers.first().copied().unwrap_or(10_000),
        kills: numbers.get(1).copied().unwrap_or(3),
        seed: 1,
    };
    if let Err(error) = rlimit::increase_nofile_limit(FILES) {
        println!("cannot raise the limit of open files: {error}");
    }
    let outcome = storm::run(plan);
    println!("events accepted               {:>8}", outcome.accepted);
    println!("killed                        {:>8} times", plan.kills);
    println!("requests at the receivers     {:>8}", outcome.arrivals);
    println!("taken again, with the same id {:>8}", outcome.duplicates);
    println!("  of these by the receivers   {:>8}", outcome.provoked);
    println!("from first to last            {:>8.1} s", outcome.took.as_secs_f64());
    let is_met = outcome.faults.is_empty();
    println!("none lost, in order: {}", if is_met { "met" } else { "MISSED" });
    for fault in &outcome.faults {
        println!("  {fault}");
    }
    if std::env::args().any(|argument| argument == "--strict") && !is_met {
        std::process::exit(1);
    }
}
