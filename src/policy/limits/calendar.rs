//! When a calendar's days and months begin and end, in Unix seconds.
//!
//! Arithmetic over the bundled time zone database: a day that begins at one o'clock, because midnight was skipped, begins
//! at one o'clock, and one of 23 or 25 hours is one day.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::config::quotas::Per;

/// One day or month: from `begin` on, until just before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first second.
    pub begin: i64,
    /// The first second of the next.
    pub end: i64,
}

impl Period {
    /// Before the first of all.
    pub(super) const NONE: Self = Self {
        begin: i64::MIN,
        end: i64::MIN,
    };

    /// The one that `now` falls in. Beyond the years that calendars know, time stands still at their edge.
    pub(super) fn of(per: Per, zone: &TimeZone, now: i64) -> Self {
        let edge = Timestamp::MAX.as_second() - 100 * 86_400;
        let now = now.clamp(-edge, edge);
        let at = Timestamp::from_second(now).unwrap_or_default().to_zoned(zone.clone());
        // Nothing fails this far from the edges; a period that lasts for ever would be the answer.
        Self::around(per, &at).unwrap_or(Self {
            begin: now,
            end: i64::MAX,
        })
    }

    fn around(per: Per, at: &Zoned) -> Option<Self> {
        let (begin, next) = match per {
            Per::Day => (at.clone(), at.tomorrow().ok()?),
            Per::Month => (at.first_of_month().ok()?, at.last_of_month().ok()?.tomorrow().ok()?),
        };
        Some(Self {
            begin: begin.start_of_day().ok()?.timestamp().as_second(),
            end: next.start_of_day().ok()?.timestamp().as_second(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn unix(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn periods_begin_and_end_with_the_calendar_of_their_place() {
        let table = [
            (
                "UTC",
                Per::Day,
                "2026-03-01T00:00:00Z",
                "2026-03-01T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
            (
                "UTC",
                Per::Day,
                "2026-03-01T23:59:59Z",
                "2026-03-01T00:00:00Z",
                "2026-03-02T00:00:00Z",
            ),
            (
                "UTC",
                Per::Month,
                "2028-02-29T12:00:00Z",
                "2028-02-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                "UTC",
                Per::Month,
                "2026-12-31T23:59:59Z",
                "2026-12-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            // In Berlin the year begins an hour earlier.
            (
                "Europe/Berlin",
                Per::Month,
                "2026-12-31T23:00:00Z",
                "2026-12-31T23:00:00Z",
                "2027-01-31T23:00:00Z",
            ),
            (
                "Europe/Berlin",
                Per::Month,
                "2026-12-31T22:59:59Z",
                "2026-11-30T23:00:00Z",
                "2026-12-31T23:00:00Z",
            ),
            // Summer time begins (a day of 23 hours) and ends (a day of 25), and the month around it is as long as it is.
            (
                "Europe/Berlin",
                Per::Day,
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
            (
                "Europe/Berlin",
                Per::Day,
                "2026-10-25T12:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            (
                "Europe/Berlin",
                Per::Month,
                "2026-03-29T12:00:00Z",
                "2026-02-28T23:00:00Z",
                "2026-03-31T22:00:00Z",
            ),
            // Midnight is skipped: the day begins at one.
            (
                "America/Santiago",
                Per::Day,
                "2026-09-06T12:00:00Z",
                "2026-09-06T04:00:00Z",
                "2026-09-07T03:00:00Z",
            ),
            // A day that never was (Samoa crossed the date line).
            (
                "Pacific/Apia",
                Per::Day,
                "2011-12-30T09:00:00Z",
                "2011-12-29T10:00:00Z",
                "2011-12-30T10:00:00Z",
            ),
            (
                "Asia/Kolkata",
                Per::Day,
                "2026-01-01T18:30:00Z",
                "2026-01-01T18:30:00Z",
                "2026-01-02T18:30:00Z",
            ),
        ];
        for (place, per, now, begin, end) in table {
            let expected = Period {
                begin: unix(begin),
                end: unix(end),
            };
            assert_eq!(
                Period::of(per, &zone(place), unix(now)),
                expected,
                "{place} {per:?} {now}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_second_is_in_exactly_one_period(now in -4_000_000_000..8_000_000_000_i64, month: bool,
            place in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu"])) {
            let (per, zone) = (if month { Per::Month } else { Per::Day }, zone(place));
            let period = Period::of(per, &zone, now);
            prop_assert!(period.begin <= now && now < period.end);
            prop_assert_eq!(Period::of(per, &zone, period.begin), period);
            prop_assert_eq!(Period::of(per, &zone, period.end - 1), period);
            prop_assert_eq!(Period::of(per, &zone, period.end).begin, period.end);
        }

        #[test]
        fn no_time_breaks_it(now: i64, month: bool) {
            let period = Period::of(if month { Per::Month } else { Per::Day }, &zone("Europe/Berlin"), now);
            prop_assert!(period.begin < period.end);
        }
    }
}
