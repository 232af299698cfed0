//! When a delivery that failed is tried again: in the request, or on a webhook's schedule.
//!
//! Pure: how an attempt went, the time and a random number come as arguments.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// By how much a delay is changed at most, up or down: a fifth. Events that failed together do not come together again.
const JITTER: f64 = 0.2;
/// How long a receiver may ask for at most: a day. What it asks for beyond that is a mistake, or hostile.
const ASKED_MAX: Duration = Duration::from_hours(24);

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver answered with this status.
    Status(u16),
    /// There was no connection: not one byte was sent.
    Unreached,
    /// The connection was there, and no answer came, or none that is one.
    Broken,
    /// Keygate itself refused to send it: the destination, for example.
    Refused,
}

/// What follows for a queued event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It has arrived.
    Delivered,
    /// It is tried again after so long.
    After(Duration),
    /// The schedule is at its end.
    Dead,
    /// The receiver wants nothing more (410): the event is dead, and its webhook to be paused.
    Gone,
}

impl Outcome {
    /// Whether the receiver took it.
    #[must_use]
    pub fn is_delivered(self) -> bool {
        matches!(self, Self::Status(200..=299))
    }

    /// Whether it may be tried again in the same request: where nothing was sent, or the receiver says that it could not
    /// take it for now (RFC 9110 §15.5.9, §15.6; RFC 6585 §4).
    #[must_use]
    pub fn is_retried_in_request(self) -> bool {
        match self {
            Self::Unreached => true,
            Self::Status(status) => matches!(status, 408 | 429 | 502 | 503 | 504),
            Self::Broken | Self::Refused => false,
        }
    }
}

/// What follows for a queued event after its attempt number `turn`, from 1 on, of as many as the schedule has delays (at least
/// one). `asked` is the receiver's `Retry-After`, which is never undercut; `jitter` is random, from 0 up to 1.
#[must_use]
pub fn next(schedule: &[Duration], turn: u32, outcome: Outcome, asked: Option<Duration>, jitter: f64) -> Next {
    if outcome.is_delivered() {
        return Next::Delivered;
    }
    if outcome == Outcome::Status(410) {
        return Next::Gone;
    }
    let turn = usize::try_from(turn).unwrap_or(usize::MAX);
    match schedule.get(turn) {
        Some(delay) => Next::After(spread(*delay, jitter).max(asked.unwrap_or_default().min(ASKED_MAX))),
        None => Next::Dead,
    }
}

/// How long until the next attempt in the same request, after attempt number `attempt`, from 1 on; `None` where there is none:
/// because of how it went, because there were `attempts`, or because it would be too late, with `left` until the deadline.
#[must_use]
pub fn again_in_request(
    delays: &[Duration],
    (attempt, attempts): (u32, u32),
    outcome: Outcome,
    asked: Option<Duration>,
    left: Duration,
    jitter: f64,
) -> Option<Duration> {
    if attempt >= attempts || !outcome.is_retried_in_request() {
        return None;
    }
    let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    // Where there are more attempts than delays, the last one is every further.
    let delay = delays.get(at).or(delays.last()).copied().unwrap_or_default();
    let delay = spread(delay, jitter).max(asked.unwrap_or_default());
    (delay < left).then_some(delay)
}

/// Whether a webhook that has done nothing but fail since then, in so many attempts, is to be paused: both for long and often,
/// so that neither one bad night nor one event that nobody can take is enough.
#[must_use]
pub fn has_failed_enough(failing: Duration, attempts: u32, limit: Duration) -> bool {
    const ATTEMPTS_MIN: u32 = 10;
    attempts >= ATTEMPTS_MIN && failing >= limit
}

/// What a `Retry-After` asks for (RFC 9110 §10.2.3): seconds, or an HTTP date in any of its three forms (§5.6.7); nothing where
/// that has passed. `None` where it is neither.
#[must_use]
pub fn retry_after(value: &[u8], now_unix: i64) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than fits is more than anybody waits for.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let then = http_date(text, now_unix)?;
    Some(Duration::from_secs(
        u64::try_from(then.saturating_sub(now_unix)).unwrap_or(0),
    ))
}

/// An HTTP date, in Unix seconds.
fn http_date(text: &str, now_unix: i64) -> Option<i64> {
    const IMF: &str = "%a, %d %b %Y %H:%M:%S GMT";
    const RFC_850: &str = "%A, %d-%b-%y %H:%M:%S GMT";
    const ASCTIME: &str = "%a %b %e %H:%M:%S %Y";
    let read = |format| DateTime::strptime(format, text).ok();
    let date = read(IMF).or_else(|| read(ASCTIME));
    let date = date.or_else(|| this_century(read(RFC_850)?, now_unix));
    let time = date?.to_zoned(TimeZone::UTC).ok()?;
    Some(time.timestamp().as_second())
}

/// A year of two digits that seems to be more than 50 years ahead is the last one that ends so (§5.6.7).
fn this_century(date: DateTime, now_unix: i64) -> Option<DateTime> {
    let now = Timestamp::from_second(now_unix).ok()?.to_zoned(TimeZone::UTC).year();
    let mut year = now - now.rem_euclid(100) + 100 + date.year().rem_euclid(100);
    while year > now + 50 {
        year -= 100;
    }
    date.with().year(year).build().ok()
}

fn spread(delay: Duration, jitter: f64) -> Duration {
    delay.mul_f64(1.0 + JITTER * (jitter.clamp(0.0, 1.0) * 2.0 - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::webhooks::SCHEDULE;

    /// 1994-11-06T08:49:37Z, the date of RFC 9110's examples.
    const TIME: i64 = 784_111_777;
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_queued_event_follows_its_schedule_to_the_end() {
        let middle = |turn, outcome| next(&SCHEDULE, turn, outcome, None, 0.5);
        for outcome in [
            Outcome::Status(500),
            Outcome::Status(404),
            Outcome::Status(301),
            Outcome::Status(101),
            Outcome::Status(401),
            Outcome::Unreached,
            Outcome::Broken,
            Outcome::Refused,
        ] {
            let delays: Vec<Next> = (1..=8).map(|turn| middle(turn, outcome)).collect();
            let mut expected: Vec<Next> = [5, 60, 300, 1_800, 7_200, 18_000, 36_000]
                .map(|seconds| Next::After(Duration::from_secs(seconds)))
                .to_vec();
            expected.push(Next::Dead);
            assert_eq!(delays, expected, "{outcome:?}");
        }
        for status in [200, 201, 204, 299] {
            assert_eq!(middle(1, Outcome::Status(status)), Next::Delivered, "{status}");
        }
        assert_eq!(middle(1, Outcome::Status(410)), Next::Gone);
        assert_eq!(middle(9, Outcome::Broken), Next::Dead);
        assert_eq!(next(&[], 1, Outcome::Broken, None, 0.5), Next::Dead);
    }

    #[test]
    fn delays_are_spread_and_never_shorter_than_the_receiver_asks_for() {
        let after = |asked, jitter| next(&SCHEDULE, 2, Outcome::Status(503), asked, jitter);
        let seconds = |seconds| Next::After(Duration::from_secs(seconds));
        assert_eq!(after(None, 0.0), seconds(48));
        assert_eq!(after(None, 1.0), seconds(72));
        assert_eq!(after(None, 7.0), seconds(72));
        assert_eq!(after(Some(Duration::from_secs(10)), 0.5), seconds(60));
        assert_eq!(after(Some(Duration::from_secs(90)), 0.5), seconds(90));
        assert_eq!(after(Some(Duration::MAX), 0.5), seconds(86_400));
    }

    #[test]
    fn only_what_cannot_have_been_taken_is_tried_again_in_the_request() {
        for (outcome, is_retried) in [
            (Outcome::Unreached, true),
            (Outcome::Status(408), true),
            (Outcome::Status(429), true),
            (Outcome::Status(502), true),
            (Outcome::Status(503), true),
            (Outcome::Status(504), true),
            (Outcome::Status(500), false),
            (Outcome::Status(404), false),
            (Outcome::Status(410), false),
            (Outcome::Status(200), false),
            (Outcome::Broken, false),
            (Outcome::Refused, false),
        ] {
            let again = again_in_request(&[SECOND], (1, 3), outcome, None, SECOND * 60, 0.5);
            assert_eq!(again.is_some(), is_retried, "{outcome:?}");
        }
    }

    #[test]
    fn a_request_is_tried_as_often_as_it_may_and_never_behind_its_deadline() {
        let delays = [SECOND, SECOND * 5];
        let again = |attempt, asked, left| {
            let limits = (attempt, 4);
            again_in_request(&delays, limits, Outcome::Status(503), asked, SECOND * left, 0.5)
        };
        assert_eq!(again(1, None, 60), Some(SECOND));
        assert_eq!(again(2, None, 60), Some(SECOND * 5));
        assert_eq!(again(3, None, 60), Some(SECOND * 5));
        assert_eq!(again(4, None, 60), None);
        assert_eq!(again(1, None, 1), None);
        assert_eq!(again(1, Some(SECOND * 7), 60), Some(SECOND * 7));
        assert_eq!(again(1, Some(SECOND * 61), 60), None);
        let at_once = again_in_request(&[], (1, 2), Outcome::Unreached, None, SECOND, 0.5);
        assert_eq!(at_once, Some(Duration::ZERO));
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        for (value, seconds) in [
            ("120", Some(120)),
            ("0", Some(0)),
            (" 7\t", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun Nov  6 08:49:47 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Sunday, 06-Nov-11 08:49:37 GMT", Some(536_457_600)),
            ("Tuesday, 06-Nov-73 08:49:37 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("+3", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:47 CET", None),
            ("1994-11-06T08:49:47Z", None),
        ] {
            let asked = retry_after(value.as_bytes(), TIME);
            assert_eq!(asked, seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(b"\xff", TIME), None);
    }

    #[test]
    fn a_webhook_fails_enough_when_it_does_so_for_long_and_often() {
        let limit = SECOND * 100;
        assert!(has_failed_enough(limit, 10, limit));
        assert!(!has_failed_enough(limit, 9, limit));
        assert!(!has_failed_enough(limit - SECOND, 1_000, limit));
    }
}
