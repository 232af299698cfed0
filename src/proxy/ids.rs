//! Names for requests: unique, cheap, and made without locks.

use std::cell::Cell;

use aws_lc_rs::rand;

/// One worker's source of ids: a random start, then a full-period sequence. Unique, not secret.
pub(super) struct Ids {
    high: u64,
    low: Cell<u64>,
}

/// Odd, so that adding it runs through all 64-bit numbers before one comes again (Weyl sequence, as in SplitMix64).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Ids {
    pub(super) fn new() -> Self {
        let mut start = [0; 16];
        // Without randomness ids of two processes could meet; that would be a nuisance in logs, not a hole.
        let _ = rand::fill(&mut start);
        let start = u128::from_le_bytes(start);
        Self {
            high: (start >> 64) as u64,
            low: Cell::new(start as u64),
        }
    }

    /// 32 hexadecimal digits: a request id, and a W3C trace id.
    pub(super) fn long(&self) -> [u8; 32] {
        let mut text = [0; 32];
        let bytes = ((u128::from(self.high) << 64) | u128::from(self.next())).to_be_bytes();
        hex::encode_to_slice(bytes, &mut text).expect("16 bytes are 32 digits");
        text
    }

    /// 16 hexadecimal digits: a W3C parent id.
    pub(super) fn short(&self) -> [u8; 16] {
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
