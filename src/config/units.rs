//! How durations and sizes are written: `"1h30m"`, `"16MiB"`.
//!
//! A room of its own so that every file of an operator means the same by the same text.

use std::time::Duration;

/// The longest duration that may be written: ten years. Timers and windows beyond it are slips of the pen.
pub const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

const DURATION_UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// Reads `"500ms"`, `"10s"`, `"1h30m"`, `"90d"`: whole numbers, each with a unit (`ms`, `s`, `m`, `h`, `d`), added up.
/// `"0"` and `"0s"` are zero. `None` for everything else and for what exceeds [`LONGEST`].
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, behind) = number_and_unit(rest)?;
        total = total.checked_add(number.checked_mul(factor(DURATION_UNITS, unit)?)?)?;
        rest = behind;
    }
    let total = Duration::from_millis(total);
    (!text.is_empty() && total <= LONGEST).then_some(total)
}

/// Writes a duration so that [`parse_duration`] reads the same one: `"1h30m"`. Fractions of a millisecond are dropped.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS.iter().rev() {
        if rest >= *factor {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    text
}

/// Reads `"16MiB"`, `"512B"`, `"10MB"`: a whole number with a binary (`KiB`, `MiB`, `GiB`, `TiB`) or decimal (`kB`, `MB`,
/// `GB`, `TB`) unit. `None` for everything else.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit, behind) = number_and_unit(text)?;
    if !behind.is_empty() {
        return None;
    }
    number.checked_mul(factor(SIZE_UNITS, unit)?)
}

/// Writes a size with the largest binary unit that divides it.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    SIZE_UNITS[..5]
        .iter()
        .rev()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(
            || format!("{bytes}B"),
            |(unit, factor)| format!("{}{unit}", bytes / factor),
        )
}

/// Splits `12ms3s` into `12`, `ms`, `3s`. One space may stand between number and unit.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..digits].parse().ok()?;
    let rest = &text[digits..];
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    Some((number, &rest[..end], &rest[end..]))
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("10s", Some(10_000)),
            ("500ms", Some(500)),
            ("1h30m", Some(5_400_000)),
            ("90d", Some(7_776_000_000)),
            ("1 m", Some(60_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1min", None),
            ("10 s ", None),
            ("9999999d", None),
            ("99999999999999999999s", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("16MiB", Some(16 << 20)),
            ("32KiB", Some(32 << 10)),
            ("1GiB", Some(1 << 30)),
            ("512B", Some(512)),
            ("10 MB", Some(10_000_000)),
            ("", None),
            ("16", None),
            ("16M", None),
            ("16MiB16MiB", None),
            ("99999999TiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0..=86_400_000u64 * 3650) {
            let duration = Duration::from_millis(millis);
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }

        #[test]
        fn sizes_too(bytes in 0..=u64::MAX) {
            proptest::prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }
    }
}
