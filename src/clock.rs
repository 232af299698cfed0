//! The only reader of system time.
//!
//! Everything that decides takes a [`Now`] as an argument; everything that waits uses tokio's timers. The monotonic half
//! is tokio's clock, so that a paused runtime drives every limit and timeout in tests without sleeping.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// One reading of both clocks, taken once per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since the process first read the clock; never goes back. For limits.
    pub monotonic: u64,
    /// Seconds since the Unix epoch. For expiry, `not_before` and headers.
    pub unix: i64,
}

#[allow(clippy::disallowed_methods)] // the one place
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Reads both clocks.
#[must_use]
pub fn now() -> Now {
    Now {
        monotonic: monotonic(),
        unix: unix(),
    }
}

/// Nanoseconds since the process first read the clock.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one place
pub fn monotonic() -> u64 {
    let start = *START;
    u64::try_from(Instant::now().saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds since the Unix epoch.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one place
pub fn unix() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX))
}
