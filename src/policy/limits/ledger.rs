//! What a strict window remembers: how many units were admitted in the last `per`, in fixed memory.
//!
//! The generic cell rate algorithm admits a burst and then refills, which can be almost twice `requests` in one interval
//! of the window's length. A strict window keeps beside it this ledger: time is cut into slices of a 64th of the window,
//! and a unit counts until the *last* unit of its slice has left the window. It comes back at most one slice late, never
//! early, and nobody waits longer than the window: one of a second never says two.

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
    /// When the last unit of each was spent, in nanoseconds.
    last: [u64; SLOTS],
}

impl Ledger {
    /// Nothing spent.
    pub(super) fn new() -> Self {
        Self {
            newest: 0,
            total: 0,
            units: [0; SLOTS],
            last: [0; SLOTS],
        }
    }

    /// The length of a slice of a window of `per` nanoseconds.
    fn slice(per: u64) -> u64 {
        per.div_ceil(SLICES)
    }

    /// Units that still count at `now` in a window of `per` nanoseconds.
    pub(super) fn spent(&mut self, now: u64, per: u64) -> u32 {
        self.advance(now, per);
        self.total
    }

    /// Counts `cost` units at `now`. The caller has seen that they fit.
    pub(super) fn record(&mut self, cost: u32, now: u64, per: u64) {
        self.advance(now, per);
        let slot = slot(self.newest);
        self.units[slot] = self.units[slot].saturating_add(cost);
        self.last[slot] = self.last[slot]
            .max(now)
            .max(self.newest.saturating_mul(Self::slice(per)));
        self.total = self.total.saturating_add(cost);
    }

    /// Nanoseconds from `now` until at most `allowed` units count; zero when that is so already.
    pub(super) fn wait(&mut self, allowed: u32, now: u64, per: u64) -> u64 {
        self.advance(now, per);
        let mut left = self.total;
        if left <= allowed {
            return 0;
        }
        // Oldest first: slice `newest - SLICES - 1 + age`.
        let slot = (1..=SLICES + 1)
            .map(|age| slot(self.newest + age))
            .find(|&slot| {
                left -= self.units[slot];
                left <= allowed
            })
            .expect("the slots hold the total, so none is left after the last");
        self.last[slot].saturating_add(per).saturating_sub(now)
    }

    /// Lets everything fall out that has left the window at `now`.
    fn advance(&mut self, now: u64, per: u64) {
        let slice = now / Self::slice(per);
        if slice > self.newest {
            for step in 1..=(slice - self.newest).min(SLICES + 1) {
                self.empty(slot(self.newest + step));
            }
            self.newest = slice;
        }
        // Younger ones cannot have left: 63 slices are shorter than the window, or as good as.
        for age in 1..=2 {
            let slot = slot(self.newest + age);
            if self.last[slot].saturating_add(per) <= now {
                self.empty(slot);
            }
        }
    }

    fn empty(&mut self, slot: usize) {
        self.total -= self.units[slot];
        self.units[slot] = 0;
        self.last[slot] = 0;
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
    fn a_unit_counts_until_the_last_one_of_its_slice_has_left() {
        let per = 6_400;
        assert_eq!(Ledger::slice(per), 100);
        let mut ledger = Ledger::new();
        ledger.record(2, 1_000, per);
        ledger.record(1, 1_030, per);
        ledger.record(2, 1_250, per);
        assert_eq!(ledger.wait(5, 1_250, per), 0);
        assert_eq!(ledger.wait(4, 1_250, per), 1_030 + per - 1_250);
        assert_eq!(ledger.wait(2, 1_250, per), 1_030 + per - 1_250);
        assert_eq!(ledger.wait(1, 1_250, per), per);
        assert_eq!(ledger.wait(0, 1_250, per), per);
        assert_eq!(ledger.spent(7_429, per), 5);
        assert_eq!(ledger.spent(7_430, per), 2);
        assert_eq!(ledger.spent(7_649, per), 2);
        assert_eq!(ledger.spent(7_650, per), 0);
    }

    #[test]
    fn a_long_silence_empties_it_and_an_earlier_time_does_not() {
        let per = 640;
        let mut ledger = Ledger::new();
        ledger.record(7, 5_000, per);
        assert_eq!(ledger.spent(4_000, per), 7);
        ledger.record(1, 4_000, per);
        assert_eq!(ledger.spent(5_639, per), 8);
        assert_eq!(ledger.spent(u64::MAX, per), 0);
    }
}
