//! How far key files are trusted: what a reload may drop unasked, and what is closed when they have not been seen for long.

use std::cmp::Reverse;
use std::time::Duration;

use super::names;
use super::permissions::covers;
use super::reader::{Item, Table};

/// `[keys] shrink_guard`: a reload that drops more keys than this is held until somebody accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShrinkGuard {
    /// `share`: the largest share of the keys in force that may go unasked, in percent; default `"50%"`.
    pub percent: u8,
    /// `at_least`: fewer than this may always go; default 10.
    pub at_least: usize,
}

impl Default for ShrinkGuard {
    fn default() -> Self {
        Self {
            percent: 50,
            at_least: 10,
        }
    }
}

/// `[keys] max_stale`: for how long a permission is open after the key files were last seen to be readable and valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaxStale(Vec<(String, Duration)>);

impl MaxStale {
    /// For how long a permission is open; `None` is for ever. What demands no permission is told as `*` is.
    #[must_use]
    pub fn of(&self, permission: Option<&str>) -> Option<Duration> {
        let permission = permission.unwrap_or("*");
        let mut entries = self.0.iter();
        entries
            .find(|(pattern, _)| pattern == permission || covers(pattern, permission))
            .map(|(_, limit)| *limit)
    }

    /// When the first permission closes.
    #[must_use]
    pub fn shortest(&self) -> Option<Duration> {
        self.0.iter().map(|(_, limit)| *limit).min()
    }

    /// Whether nothing is ever closed.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads `shrink_guard`; without one it is the default, and `None` where it is turned off.
pub(super) fn read_shrink_guard(item: Option<&Item<'_>>) -> Option<ShrinkGuard> {
    let Some(item) = item else {
        return Some(ShrinkGuard::default());
    };
    item.or_off(|item| {
        let table = item.table()?;
        let share = table.get("share");
        let at_least = table.get("at_least");
        let default = ShrinkGuard::default();
        Some(ShrinkGuard {
            percent: share.and_then(|item| read_percent(&item)).unwrap_or(default.percent),
            at_least: at_least
                .and_then(|item| item.count(1..=u32::MAX))
                .unwrap_or(default.at_least),
        })
    })
}

fn read_percent(item: &Item<'_>) -> Option<u8> {
    let percent = item.text()?.strip_suffix('%').and_then(|number| number.parse().ok());
    let percent = percent.filter(|percent| *percent <= 100);
    if percent.is_none() {
        item.error("is not a share from 0% to 100%", "for example \"50%\"");
    }
    percent
}

/// Reads `max_stale`.
pub(super) fn read_max_stale(table: &Table<'_>) -> MaxStale {
    let mut entries = Vec::new();
    for (pattern, item) in table.names() {
        if !names::is_word(pattern) {
            item.key_place().error(
                format!("{pattern:?} cannot be a permission"),
                "a name, a wildcard such as \"messages:*\", or \"*\" for all",
            );
        }
        let limit = item.duration_within(Duration::from_secs(1)..=Duration::from_hours(24 * 365));
        entries.extend(limit.map(|limit| (pattern.to_owned(), limit)));
    }
    // The most specific one first: a name before wildcards, and of those the one that says most.
    entries.sort_by_key(|(pattern, _)| {
        let named = pattern.split(':').filter(|segment| *segment != "*").count();
        let stars = pattern.split(':').count() - named;
        Reverse((stars == 0, named, stars))
    });
    MaxStale(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_pattern_counts() {
        let hours = |hours| Duration::from_hours(hours);
        let source =
            "\"*\" = \"1h\"\n\"messages:*\" = \"2h\"\n\"messages:*:bulk\" = \"3h\"\n\"messages:send\" = \"4h\"\n";
        let source = crate::config::document::Source::new(std::path::Path::new("c.toml"), source);
        let report = crate::config::problem::Report::new();
        let document = source.parse_toml(&report);
        let read = read_max_stale(&Table::root(&source, &document, &report));
        assert!(!report.has_errors());
        let cases = [
            (None, hours(1)),
            (Some("read"), hours(1)),
            (Some("messages:read"), hours(2)),
            (Some("messages:send"), hours(4)),
            (Some("messages:send:bulk"), hours(3)),
        ];
        for (permission, expected) in cases {
            assert_eq!(read.of(permission), Some(expected), "{permission:?}");
        }
        assert_eq!(MaxStale::default().of(None), None);
    }
}
