//! What stands in bodies and queries: texts that are read once, in the same words everywhere.
//!
//! A room of its own because the OpenAPI description says exactly what these take: whoever changes one changes the other.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::config::names;
use crate::ledger::read::By;
use crate::ledger::read::webhooks::EventState;
use crate::secret::generated::is_in;

/// What is written here stands in files and logs, where no key may.
const SECRET: &str = "it holds a key";
/// How many characters a text for people has at most.
const LABEL_CHARACTERS_MAX: usize = 64;
/// How many characters a reason has at most.
const REASON_CHARACTERS_MAX: usize = 256;
/// How many bytes an id, a permission or a subscription has at most.
const WORD_BYTES_MAX: usize = 128;
/// How many bytes an event's id or type has at most.
const EVENT_BYTES_MAX: usize = 256;
/// How many bytes a key begins with at most.
const PREFIX_BYTES_MAX: usize = 32;
/// The last second that can be written with four digits for the year, in Unix seconds.
const LATEST: i64 = 253_402_207_200;
/// How many entries a list has at most.
const LIST_MAX: usize = 256;

/// Visible ASCII: ids, permissions, subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word(pub(super) String);

/// A line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label(pub(super) String);

/// Why something is done, for people: what is blank says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason(pub(super) Option<String>);

/// The name of a plan or an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

/// What a key begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix(pub(super) String);

/// A network, or one address; bits behind the prefix length are cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Network(pub(super) IpNet);

/// A time, in seconds: `90d`, `12h`, `30m`, `45s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) i64);

/// As [`Seconds`], or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overlap(pub(super) i64);

/// What names the content of files: 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest(pub(super) String);

/// A moment: so long ago, or a date or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(Expiry);

/// A piece of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece(pub(super) By);

/// An event's id or type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EventId(pub(super) String);

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Switch(pub(super) bool);

/// What has become of a queued event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage(pub(super) EventState);

/// How many entries are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset(pub(super) u32);

/// The number of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) i64);

/// How many entries a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit(pub(super) usize);

/// When something ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It does not.
    Never,
    /// So many seconds after it was made.
    After(i64),
    /// At this point in time, in Unix seconds; `None` is one that no clock reaches.
    At(Option<i64>),
}

impl FromStr for Word {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_in(text) {
            return Err(SECRET);
        }
        if (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err("it has 1 to 128 visible ASCII characters, without spaces")
    }
}

impl FromStr for EventId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_in(text) {
            return Err(SECRET);
        }
        if (1..=EVENT_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        Err("it has 1 to 256 visible ASCII characters, without spaces")
    }
}

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "it is true or false")
    }
}

impl FromStr for Stage {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "waiting" => Ok(Self(EventState::Waiting)),
            "delivered" => Ok(Self(EventState::Delivered)),
            "dead" => Ok(Self(EventState::Dead)),
            _ => Err("it is waiting, delivered or dead"),
        }
    }
}

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_in(text) {
            return Err(SECRET);
        }
        let begins = text.chars().next().is_some_and(|first| !first.is_whitespace());
        if begins && text.chars().count() <= LABEL_CHARACTERS_MAX && !text.contains(char::is_control) {
            return Ok(Self(text.to_owned()));
        }
        Err("it is one line of 1 to 64 characters that does not begin with a space")
    }
}

impl FromStr for Reason {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_in(text) {
            return Err(SECRET);
        }
        if text.chars().count() <= REASON_CHARACTERS_MAX && !text.contains(char::is_control) {
            let text = text.trim();
            return Ok(Self((!text.is_empty()).then(|| text.to_owned())));
        }
        Err("it is one line of at most 256 characters")
    }
}

impl FromStr for Name {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if names::is_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err("it has 1 to 64 letters, digits, `-`, `_` or `.`")
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if text.len() <= PREFIX_BYTES_MAX && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err("it has at most 32 letters, digits, `_` or `-`")
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = text.parse::<IpNet>().map(|network| network.trunc());
        network
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(Self)
            .map_err(|_| "it is a network such as 203.0.113.0/24, or an address")
    }
}

impl FromStr for Seconds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        seconds(text)
            .map(Self)
            .ok_or("it is 1 to 99999 and one of s, m, h, d, for example 90d")
    }
}

impl FromStr for Overlap {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let none = (text == "0").then_some(0);
        none.or_else(|| seconds(text))
            .map(Self)
            .ok_or("it is 1 to 99999 and one of s, m, h, d, for example 24h; or 0")
    }
}

impl FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(fits) {
            return Ok(Self(text.to_owned()));
        }
        Err("it is 64 hexadecimal digits")
    }
}

impl Moment {
    /// In Unix seconds.
    pub(super) fn at(self, now_unix: i64) -> i64 {
        match self.0 {
            Expiry::After(seconds) => now_unix.saturating_sub(seconds),
            Expiry::At(Some(at)) => at,
            Expiry::At(None) | Expiry::Never => LATEST,
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = text.parse::<Expiry>().ok().filter(|moment| *moment != Expiry::Never);
        moment
            .map(Self)
            .ok_or("write 7d, 12h, a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z")
    }
}

impl FromStr for Piece {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hour" => Ok(Self(By::Hour)),
            "day" => Ok(Self(By::Day)),
            _ => Err("it is hour or day"),
        }
    }
}

impl FromStr for Offset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = number(text).and_then(|number| u32::try_from(number).ok());
        number.map(Self).ok_or("it is a number up to 4294967295")
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = number(text).and_then(|number| i64::try_from(number).ok());
        number.map(Self).ok_or("it is a number up to 9223372036854775807")
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = number(text).and_then(|number| usize::try_from(number).ok());
        number
            .filter(|number| (1..=1_000).contains(number))
            .map(Self)
            .ok_or("it is a number from 1 to 1000")
    }
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Some(seconds) = seconds(text) {
            return Ok(Self::After(seconds));
        }
        moment(text)
            .map(Self::At)
            .ok_or("write 90d, 12h, a date such as 2027-01-31, a time such as 2027-01-31T12:00:00Z, or never")
    }
}

/// A whole number without leading zeros.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    digits.then(|| text.parse().ok()).flatten()
}

/// One whole number without leading zeros, and its unit.
fn seconds(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let short = (1..=5).contains(&digits.len()) && !digits.starts_with('0');
    let number = short && digits.bytes().all(|byte| byte.is_ascii_digit());
    number.then(|| digits.parse::<i64>().ok()).flatten().map(|n| n * factor)
}

/// A date (its first moment, in UTC), or a date and time with its offset (RFC 3339). The inner `None` is one that is
/// written well and lies beyond all clocks.
fn moment(text: &str) -> Option<Option<i64>> {
    let shape: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '0'
            } else {
                c.to_ascii_uppercase()
            }
        })
        .collect();
    if shape == "0000-00-00" {
        let date = text.parse::<Date>().ok()?;
        return Some(date.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp().as_second()));
    }
    let rest = shape.strip_prefix("0000-00-00T00:00:00")?;
    let rest = rest.strip_prefix('.').map_or(Some(rest), |rest| {
        let behind = rest.trim_start_matches('0');
        (behind.len() < rest.len()).then_some(behind)
    })?;
    if !matches!(rest, "Z" | "+00:00" | "-00:00") {
        return None;
    }
    let text = text.to_ascii_uppercase();
    let pieces = Pieces::parse(&text).ok()?;
    let at = pieces.date().to_datetime(pieces.time()?);
    let offset = pieces.to_numeric_offset()?;
    Some(offset.to_timestamp(at).ok().map(|at| at.as_second()))
}

/// A field that must be there.
pub(super) fn one<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(Error::custom)
}

/// A field that may be left out, and is not null.
pub(super) fn maybe<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    one(deserializer).map(Some)
}

/// A switch that may be left out, and is not null.
pub(super) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    bool::deserialize(deserializer).map(Some)
}

/// A list that may be left out; what is repeated counts once.
pub(super) fn list<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: FromStr<Err: fmt::Display> + PartialEq,
    D: Deserializer<'de>,
{
    let texts = Vec::<String>::deserialize(deserializer)?;
    if texts.len() > LIST_MAX {
        return Err(Error::custom("a list has at most 256 entries"));
    }
    let mut unique: Vec<T> = Vec::with_capacity(texts.len());
    for text in texts {
        let one = text.parse().map_err(Error::custom)?;
        if !unique.contains(&one) {
            unique.push(one);
        }
    }
    Ok(unique)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_are_read() {
        let cases = [
            ("never", Some(Expiry::Never)),
            ("90d", Some(Expiry::After(7_776_000))),
            ("99999s", Some(Expiry::After(99_999))),
            ("2027-01-31", Some(Expiry::At(Some(1_801_353_600)))),
            ("2027-01-31T01:00:00+01:00", Some(Expiry::At(Some(1_801_353_600)))),
            ("2027-01-31t00:00:00.5z", Some(Expiry::At(Some(1_801_353_600)))),
            ("9999-12-31T23:59:59-23:59", Some(Expiry::At(None))),
            ("9999-12-31", Some(Expiry::At(None))),
            ("090d", None),
            ("100000s", None),
            ("1h30m", None),
            ("+1d", None),
            ("d", None),
            ("", None),
            ("2027-02-30", None),
            ("2027-01-31T01:00:00", None),
            ("2027-01-31 01:00:00Z", None),
            ("2027-01-31T01:00:00.Z", None),
            ("2027-01-31T01:00:00Z[UTC]", None),
            ("soon", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Expiry>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_held_to_what_a_key_file_takes() {
        let network = |text: &str| text.parse::<Network>().map(|network| network.0.to_string()).ok();
        assert_eq!(network("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(network("::1").as_deref(), Some("::1/128"));
        assert_eq!(network("example.org"), None);
        assert!("a b".parse::<Word>().is_err() && "".parse::<Word>().is_err() && "a/b".parse::<Word>().is_ok());
        for bad in ["", " a", "a\nb", &"x".repeat(65), "\u{85}"] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
        }
        assert!("\u{1F511}".repeat(64).parse::<Label>().is_ok());
        assert!("".parse::<Prefix>().is_ok() && "kg live".parse::<Prefix>().is_err());
    }
}
