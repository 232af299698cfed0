//! When the key files were last seen to be readable and valid: how old what the keyring says may be.
//!
//! A room of its own because it changes without a new generation: whoever looks at the files says so here, and whoever
//! decides reads it, a plain load of a number.

use std::sync::atomic::{AtomicI64, Ordering};

/// When the key files were last seen. Until anybody says when, just now.
#[derive(Debug)]
pub struct Freshness(AtomicI64);

impl Default for Freshness {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MAX))
    }
}

impl Freshness {
    /// They were readable and valid at `at`; Unix seconds.
    pub fn saw(&self, at: i64) {
        self.0.store(at, Ordering::Relaxed);
    }

    /// For how many seconds nobody has seen them so, at `now` (Unix seconds).
    #[must_use]
    pub fn age(&self, now: i64) -> u64 {
        let seen = self.0.load(Ordering::Relaxed);
        u64::try_from(now.saturating_sub(seen)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_counted_from_the_last_look_and_never_negative() {
        let freshness = Freshness::default();
        assert_eq!(freshness.age(1_000), 0, "nobody has said anything");
        freshness.saw(900);
        assert_eq!(freshness.age(1_000), 100);
        assert_eq!(freshness.age(800), 0, "the clock was set back");
    }
}
