//! How much a key may ask for: windows, quotas, concurrency, the bucket for bad keys, and the headers that tell of them.
//!
//! A room of its own because this is the only mutable state of the decision, and it outlives every generation. Time is
//! an argument (monotonic nanoseconds; for calendars Unix seconds), so that every limit is tested as arithmetic.
//!
//! Invariants:
//! - A request is admitted by all windows and quotas of its key and its organization, or none of them is spent.
//! - A quota never admits more than `requests` in one period of its calendar.
//! - A window never admits more than `burst` units at once and `requests` per `per` after that; a `strict` one never more
//!   than `requests` in any interval of its length. Rounding is always against the caller, by less than a nanosecond per unit.
//! - A refusal names the wait after which the same request is admitted, if nobody else spends: no longer, no shorter.
//! - A new generation gives nobody a fresh window, and forgets no request in flight.

mod account;
mod balance;
mod calendar;
mod failures;
mod headers;
mod ledger;
mod pace;
mod window;

#[cfg(test)]
mod tests;

pub use account::{Account, Bounds, Claims, Left, Refused, Report, Slot};
pub use balance::{Balance, Balances, Claim, Purse, Spent};
pub use calendar::Period;
pub use failures::Failures;
pub use headers::RateHeaders;
pub use window::{Standing, Windows};

/// Whole seconds, rounded up.
fn seconds_up(nanoseconds: u64) -> u64 {
    nanoseconds.div_ceil(1_000_000_000)
}
