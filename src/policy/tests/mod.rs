//! Decisions as truth tables and as properties, from configuration texts to verdicts.
//!
//! The tables stand in `tests/cases/`, for people who read no Rust: [`table`] lists requests and what is said to each,
//! [`order`] lists the checks and derives every pair of them. [`properties`] asks an oracle about thousands of worlds, and
//! [`explanations`] holds what is explained against what is decided, and [`bonds`] what goes on against what would begin.

mod bonds;
mod ends;
mod explanations;
mod order;
mod properties;
mod table;
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::config::errors::CODES;

/// Codes that no decision on a head gives: they belong to what is carried, and to what fails.
const NOT_DECIDED: &[&str] = &[
    "head_timeout",
    "draining",
    "upstream_unreachable",
    "upstream_connect_timeout",
    "upstream_timeout",
    "upstream_idle_timeout",
    "total_timeout",
    "upstream_invalid",
    "body_timeout",
    "body_invalid",
    "client_gone",
    "tunnels_exhausted",
    "verifier_busy",
    "user_keys_unavailable",
];

fn cases() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

#[test]
fn the_tables_cover_every_code_of_a_refusal() {
    let decided: BTreeSet<&str> = CODES
        .iter()
        .copied()
        .filter(|code| !NOT_DECIDED.contains(code))
        .collect();
    let mut shown: BTreeSet<String> = table::codes();
    assert!(
        shown.remove("forward") && shown.remove("answer"),
        "some pass, and some are answered"
    );
    let shown: BTreeSet<&str> = shown.iter().map(String::as_str).collect();
    assert_eq!(shown, decided, "what the rows show, and what there is");
    let ordered = order::codes();
    // Whether a source has presented too many bad keys is asked when a key is bad; it has no place of its own.
    let without_place = "credential_failures_exceeded";
    let ordered: BTreeSet<&str> = ordered.iter().map(String::as_str).chain([without_place]).collect();
    assert_eq!(ordered, decided, "what has its place in the order, and what there is");
}
