//! The only reader of system time.
//!
//! Everything that decides takes a [`Now`] as an argument; everything that waits uses tokio's timers. The monotonic half
//! is tokio's clock, so that a paused runtime drives every limit and timeout in tests without sleeping.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// One reading of both clocks, taken once per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since a moment before the process began; never goes back. For limits.
    pub monotonic: u64,
    /// Seconds since the Unix epoch. For expiry, `not_before` and headers.
    pub unix: i64,
}

/// Well before the first reading: a runtime whose clock is paused may read earlier times than the first that was read.
#[allow(clippy::disallowed_methods)] // the one place
static START: LazyLock<Instant> = LazyLock::new(|| {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(30 * 24 * 60 * 60)).unwrap_or(now)
});

/// Reads both clocks.
#[must_use]
pub fn now() -> Now {
    Now {
        monotonic: monotonic(),
        unix: unix(),
    }
}

/// Nanoseconds since a moment before the process began.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one place
pub fn monotonic() -> u64 {
    let start = *START;
    u64::try_from(Instant::now().saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX)
}

/// How long it is until a point in time, in Unix seconds; nothing when it has come.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one place
pub fn until(unix: i64) -> Duration {
    let Ok(seconds) = u64::try_from(unix) else {
        return Duration::ZERO;
    };
    let then = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    then.map_or(Duration::MAX, |then| {
        then.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
    })
}

/// Milliseconds since the Unix epoch.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one place
pub fn unix_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

/// Seconds since the Unix epoch.
#[must_use]
#[allow(clippy::disallowed_methods)] // the one place
pub fn unix() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX))
}
