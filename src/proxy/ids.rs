//! Names for requests: unique, cheap, and made without locks.

use std::cell::{Cell, RefCell};

use aws_lc_rs::rand;
use bytes::BytesMut;
use http::HeaderValue;

/// One worker's source of ids: a random start, then a full-period sequence. Unique, not secret.
pub(super) struct Ids {
    high: u64,
    low: Cell<u64>,
    /// What the next names are written to.
    paper: RefCell<BytesMut>,
}

/// Odd, so that adding it runs through all 64-bit numbers before one comes again (Weyl sequence, as in SplitMix64).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes of a sheet: so much is kept by a request that stays open for long.
const SHEET: usize = 2048;

impl Ids {
    pub(super) fn new() -> Self {
        let mut start = [0; 16];
        // Without randomness ids of two processes could meet; that would be a nuisance in logs, not a hole.
        let _ = rand::fill(&mut start);
        let start = u128::from_le_bytes(start);
        Self {
            high: (start >> 64) as u64,
            low: Cell::new(start as u64),
            paper: RefCell::default(),
        }
    }

    /// A request's id.
    pub(super) fn request(&self) -> HeaderValue {
        self.value(&self.long())
    }

    /// A `traceparent` that begins a trace, not sampled (W3C Trace Context §3.2).
    pub(super) fn trace(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(&self.long());
        text[36..52].copy_from_slice(&self.short());
        self.value(&text)
    }

    /// Names are cut from one sheet after another: a name is then kept, handed on and dropped by counting, without an
    /// allocation of its own.
    fn value(&self, text: &[u8]) -> HeaderValue {
        let mut paper = self.paper.borrow_mut();
        if paper.capacity() < text.len() {
            *paper = BytesMut::with_capacity(SHEET);
        }
        paper.extend_from_slice(text);
        HeaderValue::from_maybe_shared(paper.split().freeze()).expect("hexadecimal digits are visible ASCII")
    }

    /// 32 hexadecimal digits.
    fn long(&self) -> [u8; 32] {
        let mut text = [0; 32];
        let bytes = ((u128::from(self.high) << 64) | u128::from(self.next())).to_be_bytes();
        hex::encode_to_slice(bytes, &mut text).expect("16 bytes are 32 digits");
        text
    }

    /// 16 hexadecimal digits.
    fn short(&self) -> [u8; 16] {
        let mut text = [0; 16];
        hex::encode_to_slice(self.next().to_be_bytes(), &mut text).expect("8 bytes are 16 digits");
        text
    }

    /// A number from 0 to 1, for sampling.
    pub(super) fn share(&self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    fn next(&self) -> u64 {
        let state = self.low.get().wrapping_add(STEP);
        self.low.set(state);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Zero is no valid trace or parent id.
        (mixed ^ (mixed >> 31)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Ids;

    #[test]
    fn ids_do_not_repeat() {
        let ids = Ids::new();
        let seen: HashSet<_> = (0..100_000).map(|_| ids.long()).collect();
        assert_eq!(seen.len(), 100_000);
        assert!(seen.iter().all(|id| id.iter().all(u8::is_ascii_hexdigit)));
    }

    #[test]
    fn shares_are_spread() {
        let ids = Ids::new();
        let below = (0..10_000).filter(|_| ids.share() < 0.1).count();
        assert!((500..1_500).contains(&below), "{below}");
    }
}
