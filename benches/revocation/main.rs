//! How soon nothing goes on under a key that was revoked, and what a reload costs those who are served meanwhile:
//! `cargo bench --bench revocation`.
//!
//! The real program, in a process of its own, between clients and an upstream in this one. Two parts:
//!
//! - *Revocation.* Under one key 1,000 WebSockets, 100 HTTP/2 streams and 100 connections that ask again and again are open, all
//!   of them busy; some of each under another key, HTTP/2 streams on the same connections. Then the first key is revoked: once
//!   by the key file alone, from the moment that the write has returned; once by a push with the file left as it is, from the
//!   moment that the call has returned. Measured is when each client has seen its end (a close frame, a reset, a refusal),
//!   which comes after the last byte. Under the other key every byte has to come, in order, before and after.
//! - *Reload.* 100,000 keys; clients ask at a steady pace. A window in which the file is replaced, read, compiled and put in force is
//!   held against a window of the same length in which nothing happens, in turns.
//!
//! `-- file`, `-- push` and `-- reload` are for one of them alone. With `-- --strict` it fails where a goal is missed. Other work on
//! the machine shows in all of it. `KEYGATE_BIN` names another program than the one that was built for this.
#![allow(clippy::disallowed_methods)] // a benchmark reads the clock
#![allow(clippy::print_stdout)] // and says what it found
#![allow(missing_docs)]

mod clients;
mod elsewhere;
mod gate;
mod reload;
mod revocation;
mod upstream;

use std::time::Duration;

/// The key that is revoked.
const ALPHA: &str = "kg_alpha0123456789abcdefghijABCDEFGHIJ";
/// The one that is not.
const BETA: &str = "kg_beta00123456789abcdefghijABCDEFGHIJ";

/// Sockets of this process, clients' and upstream's, and some more; the program has as many.
const FILES: u64 = 8192;

fn main() {
    let wanted = |part: &str| {
        let named: Vec<String> = std::env::args()
            .skip(1)
            .filter(|argument| !argument.starts_with("--"))
            .collect();
        named.is_empty() || named.iter().any(|name| name == part)
    };
    match rlimit::increase_nofile_limit(FILES) {
        Ok(most) if most >= FILES => {}
        Ok(most) => println!("only {most} files may be open here (`ulimit -Hn`): {FILES} are needed"),
        Err(error) => println!("cannot raise the limit of open files: {error}"),
    }
    let mut met = true;
    if wanted("file") {
        met &= revocation::by_file();
    }
    if wanted("push") {
        met &= revocation::by_push();
    }
    if wanted("reload") {
        met &= reload::run();
    }
    if std::env::args().any(|argument| argument == "--strict") && !met {
        std::process::exit(1);
    }
}

/// The value below which this share of all values is.
fn percentile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let place = (values.len() as f64 * share).ceil() as usize;
    values
        .get(place.saturating_sub(1).min(last))
        .copied()
        .unwrap_or_default()
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}
