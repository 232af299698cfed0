//! How much is hashed, counted in bytes: no text makes it more than so much for each of its own.

use std::ops::ControlFlow;

use super::super::candidates::{self, HASHED_PER_BYTE_MAX};
use super::*;

/// Bytes that would be hashed for a span.
fn hashed(world: &World, span: &[u8]) -> usize {
    let mut bytes = 0;
    let visited = candidates::visit::<()>(span, &world.leaks.prefixes, &(16..=512), |part| {
        assert!(part.len() <= 512);
        bytes += part.len();
        ControlFlow::Continue(())
    });
    assert!(visited.is_continue());
    bytes
}

#[test]
fn hostile_spans_cost_no_more_than_their_length_times_a_constant() {
    let world = World::new("", &[]);
    let pieces = [
        "kg_live_",
        "kx_",
        "a/",
        "aaaaaaaaaaaaaaaa/",
        "kx_/",
        "=",
        ".kx_a",
        "A",
        "-_",
        "kx_aaaaaaaaaaaaa.",
    ];
    for piece in pieces {
        for length in [16, 100, 511, 1024] {
            let span: Vec<u8> = piece.bytes().cycle().take(length).collect();
            let bytes = hashed(&world, &span);
            assert!(bytes <= HASHED_PER_BYTE_MAX * length, "{piece} {length}: {bytes}");
        }
    }
}

#[test]
fn ordinary_texts_are_hashed_less_than_three_times() {
    let world = World::new("", &[]);
    let words = [
        "message.received",
        "0197c0de-0000-7000-8000-000000000000",
        "short",
        "Lorem",
        "2026-01-01T00:00:00Z",
    ];
    let (bytes, length) = words.iter().fold((0, 0), |(bytes, length), word| {
        (bytes + hashed(&world, word.as_bytes()), length + word.len())
    });
    assert!(bytes <= 3 * length, "{bytes} of {length}");
}

#[test]
fn the_automaton_grows_with_prefixes_and_not_with_keys() {
    let of = |count: usize| {
        let mut config = load(CONFIG);
        let keys =
            (0..count).map(|number| Arc::new(key(&number.to_string(), &format!("kg_live_…{number:04}"), vec![])));
        config.records = Arc::new(Records {
            keys: keys.collect(),
            ..Records::default()
        });
        format!("{:?}", Leaks::compile(&config, &[]).prefixes).len()
    };
    assert_eq!(of(1), of(5_000));
}
