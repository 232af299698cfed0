//! What a strict window remembers: how many units were admitted in the last `per`, in fixed memory.
//!
//! The generic cell rate algorithm admits a burst and then refills, which can be almost twice `requests` in one interval
//! of the window's length. A strict window keeps beside it this ledger: time is cut into slices of a 64th of the window,
//! and a unit counts until its *whole* slice has left the window. It comes back at most one slice late, never early.

/// Into how many slices a window is cut.
const SLICES: u64 = 64;
/// One more than that: the slice that is leaving the window still counts.
const SLOTS: usize = SLICES as usize + 1;

/// The units of the last window's length.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    /// Number of the newest slice seen; time before it counts as its own.
    newest: u64,
    total: u32,
    /// Units of slice `n` at `n % SLOTS`, for the slices `newest - SLICES ..= newest`.
    units: [u32; SLOTS],
}

impl Ledger {
    /// Nothing spent.
    pub(super) fn new() -> Self {
        Self {
            newest: 0,
            total: 0,
            units: [0; SLOTS],
        }
    }

    /// The length of a slice of a window of `per` nanoseconds.
    pub(super) fn slice(per: u64) -> u64 {
        per.div_ceil(SLICES)
    }

    /// Units that still count at `now`.
    pub(super) fn spent(&mut self, now: u64, slice: u64) -> u32 {
        self.advance(now / slice);
        self.total
    }

    /// Counts `cost` units at `now`. The caller has seen that they fit.
    pub(super) fn record(&mut self, cost: u32, now: u64, slice: u64) {
        self.advance(now / slice);
        let slot = slot(self.newest);
        self.units[slot] = self.units[slot].saturating_add(cost);
        self.total = self.total.saturating_add(cost);
    }

    /// Nanoseconds from `now` until at most `allowed` units count; zero when that is so already.
    pub(super) fn wait(&mut self, allowed: u32, now: u64, slice: u64) -> u64 {
        self.advance(now / slice);
        let mut left = self.total;
        if left <= allowed {
            return 0;
        }
        // Oldest first: slice `newest - SLICES - 1 + age`, which leaves when slice `newest + age` begins.
        let age = (1..=SLICES + 1)
            .find(|age| {
                left -= self.units[slot(self.newest + age)];
                left <= allowed
            })
            .expect("the slots hold the total, so none is left after the last");
        (self.newest + age).saturating_mul(slice).saturating_sub(now)
    }

    /// Lets everything fall out that is older than slice `now`.
    fn advance(&mut self, now: u64) {
        if now <= self.newest {
            return;
        }
        for step in 1..=(now - self.newest).min(SLICES + 1) {
            let slot = slot(self.newest + step);
            self.total -= self.units[slot];
            self.units[slot] = 0;
        }
        self.newest = now;
    }
}

/// Where slice `number` is kept.
fn slot(number: u64) -> usize {
    (number % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_counts_until_its_slice_has_left() {
        let slice = Ledger::slice(6_400);
        assert_eq!(slice, 100);
        let mut ledger = Ledger::new();
        ledger.record(3, 1_000, slice);
        ledger.record(2, 1_250, slice);
        assert_eq!(ledger.wait(5, 1_250, slice), 0);
        assert_eq!(ledger.wait(4, 1_250, slice), 1_100 + 6_400 - 1_250);
        assert_eq!(ledger.wait(2, 1_250, slice), 1_100 + 6_400 - 1_250);
        assert_eq!(ledger.wait(1, 1_250, slice), 1_300 + 6_400 - 1_250);
        assert_eq!(ledger.wait(0, 1_250, slice), 1_300 + 6_400 - 1_250);
        assert_eq!(ledger.spent(7_499, slice), 5);
        assert_eq!(ledger.spent(7_500, slice), 2);
        assert_eq!(ledger.spent(7_699, slice), 2);
        assert_eq!(ledger.spent(7_700, slice), 0);
    }

    #[test]
    fn a_long_silence_empties_it_and_an_earlier_time_does_not() {
        let mut ledger = Ledger::new();
        ledger.record(7, 5_000, 10);
        assert_eq!(ledger.spent(4_000, 10), 7);
        ledger.record(1, 4_000, 10);
        assert_eq!(ledger.spent(5_649, 10), 8);
        assert_eq!(ledger.spent(u64::MAX, 10), 0);
    }
}
