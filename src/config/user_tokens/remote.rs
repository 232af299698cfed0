//! `jwks = { url = … }`: keys that are fetched over the network.

use std::time::Duration;

use crate::config::endpoint::{self, Endpoint, Purpose};
use crate::config::files::Files;
use crate::config::reader::{Item, Table};

/// The options that go with `url`, besides those of every endpoint.
pub(super) const OPTIONS: [&str; 2] = ["refresh", "refetch"];

const PURPOSE: Purpose = Purpose {
    example: "for example \"https://id.example/.well-known/jwks.json\"",
    risk: "whoever is on the way could put in keys of their own",
};

/// Where and how keys are fetched.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Where they are.
    pub endpoint: Endpoint,
    /// `refresh`: how often they are fetched, default 5 minutes.
    pub refresh: Duration,
    /// `refetch`: how long after a fetch the next one may come because a token names a key that is not known, default 30
    /// seconds.
    pub refetch: Duration,
}

/// Reads the options beside `url`.
pub(super) fn read<'d>(table: &Table<'d>, item: &Item<'d>, files: &Files) -> Option<Remote> {
    let duration = |key, range, default| {
        table
            .get(key)
            .and_then(|item| item.duration_within(range))
            .unwrap_or(default)
    };
    let (second, minute, day) = (Duration::from_secs(1), Duration::from_mins(1), Duration::from_hours(24));
    let refresh = duration("refresh", second..=day, 5 * minute);
    let refetch = duration("refetch", second..=60 * minute, 30 * second);
    Some(Remote {
        endpoint: endpoint::read(table, item, files, &PURPOSE)?,
        refresh,
        refetch,
    })
}
