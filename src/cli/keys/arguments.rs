//! Texts of arguments → values, with the words that clap prints when they are none.

use ipnet::IpNet;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::units;
use crate::control::mint::is_prefix;
use crate::secret::generated::is_in;

/// What is written here stands in files and logs, where no key may.
const SECRET: &str = "this holds a key: name it by its id";

/// When a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// It does not.
    Never,
    /// So many seconds after it was made.
    After(i64),
    /// At this point in time, in Unix seconds.
    At(i64),
}

impl Expiry {
    /// In Unix seconds, for a key that is made now.
    pub(super) fn at(self, now_unix: i64) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::After(seconds) => Some(now_unix.saturating_add(seconds)),
            Self::At(unix) => Some(unix),
        }
    }
}

/// `never`, `90d`, `12h`, `2027-01-31` (its first moment, in UTC) or `2027-01-31T12:00:00+01:00`.
pub(super) fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    if let Some(duration) = units::parse_duration(text) {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        if seconds < 1 {
            return Err("a key lives for at least a second".to_owned());
        }
        return Ok(Expiry::After(seconds));
    }
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Ok(Expiry::At(timestamp.as_second()));
    }
    // A date alone: a time without an offset from UTC would be a guess.
    let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
    date.and_then(|date| date.to_zoned(TimeZone::UTC).ok())
        .map(|midnight| Expiry::At(midnight.timestamp().as_second()))
        .ok_or_else(|| "write 90d, 12h, a date such as 2027-01-31, or never".to_owned())
}

/// `24h`, `90d`, `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).ok_or_else(|| "write 24h, 90d or 0".to_owned())
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "write a network such as 203.0.113.0/24, or an address".to_owned())?;
    if network.addr() == network.network() {
        return Ok(network);
    }
    Err(format!(
        "it has bits behind its /{}: write {}, or the address without the prefix length",
        network.prefix_len(),
        network.trunc()
    ))
}

/// Visible ASCII: ids, permissions, subscriptions.
pub(super) fn word(text: &str) -> Result<String, String> {
    if is_in(text) {
        return Err(SECRET.to_owned());
    }
    if (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("1 to 128 visible ASCII characters, without spaces".to_owned())
}

/// One line for people.
pub(in crate::cli) fn label(text: &str) -> Result<String, String> {
    if is_in(text) {
        return Err(SECRET.to_owned());
    }
    if text.len() <= 256 && !text.trim().is_empty() && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err("one line of at most 256 bytes".to_owned())
}

/// What a key begins with.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    if is_prefix(text) {
        return Ok(text.to_owned());
    }
    Err("at most 32 letters, digits, `_` or `-`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::generated::generate;

    #[test]
    fn expiries_are_read() {
        let cases = [
            ("never", Some(Expiry::Never)),
            ("90d", Some(Expiry::After(7_776_000))),
            ("1h30m", Some(Expiry::After(5_400))),
            ("2027-01-31", Some(Expiry::At(1_801_353_600))),
            ("2027-01-31T01:00:00+01:00", Some(Expiry::At(1_801_353_600))),
            ("0s", None),
            ("500ms", None),
            ("90", None),
            ("2027-02-30", None),
            ("2027-01-31T01:00:00", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(expiry(text).ok(), expected, "{text}");
        }
        assert_eq!(Expiry::After(5).at(10), Some(15));
        assert_eq!(Expiry::At(5).at(10), Some(5));
        assert_eq!(Expiry::Never.at(10), None);
    }

    #[test]
    fn no_key_is_taken_for_a_text() {
        let key = generate("kg_");
        assert!(word(key.expose()).is_err());
        assert!(label(&format!("leaked: {}.", key.expose())).is_err());
        assert!(label("leaked: kg_…x7Qd, in a public repository").is_ok());
        assert!(word("key_01kf0hj0800000000000000000000000000000000").is_ok());
    }

    #[test]
    fn networks_are_read() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("10.1.2.3").unwrap().to_string(), "10.1.2.3/32");
        assert_eq!(network("2001:db8::1").unwrap().to_string(), "2001:db8::1/128");
        assert!(network("10.1.2.3/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(network("example.org").is_err());
    }
}
