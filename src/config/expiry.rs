//! `[keys.expiry]`: who is told that a key ends, and how long before.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::endpoint::{self, Endpoint, Purpose};
use super::files::Files;
use super::names;
use super::reader::{Item, Table};
use super::units::{self, format_duration};
use super::withheld::{self, Sought};
use crate::secret::webhook::Symmetric;

/// How keys' ends are told.
#[derive(Debug, Clone)]
pub struct Expiry {
    /// `alerts`: how long before its end a key is told of; the shortest first. Default 14 days, 7 days and 1 day; nothing
    /// is told where it is empty.
    pub alerts: Vec<Window>,
    /// `header` and `header_within`: what answers tell; default nothing.
    pub header: Option<Header>,
    /// `webhook`: who is told besides the log; default nobody.
    pub webhook: Option<Arc<Webhook>>,
}

/// A stretch of time before an end: whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(i64);

/// What an answer tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// `header`
    pub name: HeaderName,
    /// `header_within`: how long before its end a key's answers tell it; default the shortest of `alerts`.
    pub within: Window,
}

/// Where webhooks go.
#[derive(Debug)]
pub struct Webhook {
    /// `url`, and what goes with it.
    pub endpoint: Endpoint,
    /// `secret`
    pub key: Symmetric,
}

/// How many alerts there may be: each is a series of a metric.
const MOST_ALERTS: usize = 16;
const DAY: i64 = 24 * 60 * 60;

/// Response headers that mean something else, to Keygate or to HTTP.
const TAKEN: [&str; 24] = [
    "age",
    "allow",
    "alt-svc",
    "authorization",
    "cache-control",
    "cookie",
    "date",
    "deprecation",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "server",
    "set-cookie",
    "sunset",
    "traceparent",
    "vary",
    "via",
    "www-authenticate",
    "x-request-id",
];
/// What such headers begin with.
const TAKEN_BEGINNINGS: [&str; 7] = [
    "accept-",
    "access-control-",
    "content-",
    "grpc-",
    "proxy-",
    "sec-",
    "x-ratelimit-",
];

const SECRET: Sought = Sought {
    what: "the secret",
    example: "for example the output of `echo whsec_$(openssl rand -base64 32)`",
};
const PURPOSE: Purpose = Purpose {
    example: "for example \"https://ops.example/hooks\"",
    risk: "whoever is on the way could read which keys there are",
};

/// Reads `[keys.expiry]`.
pub(super) fn read(table: &Table<'_>, files: &Files) -> Expiry {
    let alerts = table.get("alerts");
    let (header, within) = (table.get("header"), table.get("header_within"));
    let webhook = table.get("webhook");

    let alerts = alerts.map_or_else(
        || [DAY, 7 * DAY, 14 * DAY].map(Window).into(),
        |item| read_alerts(&item),
    );
    let read = webhook.as_ref().and_then(|item| read_webhook(item, files));
    if let (Some(item), true) = (&webhook, alerts.is_empty()) {
        item.key_place().warning(
            "is never called, since `alerts` is empty",
            "name at least one alert, or remove it",
        );
    }
    Expiry {
        header: read_header(header.as_ref(), within.as_ref(), alerts.first()),
        alerts,
        webhook: read.map(Arc::new),
    }
}

fn read_alerts(item: &Item<'_>) -> Vec<Window> {
    let items = item.list().unwrap_or_default();
    if items.len() > MOST_ALERTS {
        item.error(format!("has {} alerts", items.len()), format!("at most {MOST_ALERTS}"));
    }
    let mut alerts = Vec::with_capacity(items.len());
    for item in &items {
        match read_window(item) {
            Some(window) if alerts.contains(&window) => item.error("is there twice", "remove one of the two"),
            Some(window) => alerts.push(window),
            None => {}
        }
    }
    alerts.sort_unstable();
    alerts
}

fn read_window(item: &Item<'_>) -> Option<Window> {
    let window = item.duration_within(Duration::from_secs(1)..=units::LONGEST)?;
    if window.subsec_nanos() != 0 {
        item.error("is not a whole number of seconds", "keys end with a second");
        return None;
    }
    i64::try_from(window.as_secs()).ok().map(Window)
}

fn read_header(header: Option<&Item<'_>>, within: Option<&Item<'_>>, shortest: Option<&Window>) -> Option<Header> {
    let Some(header) = header else {
        if let Some(within) = within {
            within
                .key_place()
                .error("needs `header`", "name the header: header = \"Keygate-Key-Expires\"");
        }
        return None;
    };
    let name = names::header(header);
    let within = match (within, shortest) {
        (Some(within), _) => read_window(within),
        (None, Some(shortest)) => Some(*shortest),
        (None, None) => {
            header.key_place().missing(
                "needs `header_within`, since `alerts` is empty",
                "for example header_within = \"1d\"",
            );
            None
        }
    };
    let name = name?;
    let begins = |beginning: &&str| name.as_str().starts_with(*beginning);
    if TAKEN.contains(&name.as_str()) || TAKEN_BEGINNINGS.iter().any(begins) {
        header.error(
            format!("`{name}` means something else already"),
            "choose another header, for example \"Keygate-Key-Expires\"",
        );
        return None;
    }
    Some(Header { name, within: within? })
}

fn read_webhook(item: &Item<'_>, files: &Files) -> Option<Webhook> {
    const HELP: &str =
        "for example webhook = { url = \"https://ops.example/hooks\", secret = { file = \"webhook-secret\" } }";
    let table = item.table()?;
    let url = table.require("url", HELP);
    let secret = table.require("secret", HELP);
    let key = secret.and_then(|item| read_key(&item, files));
    let Some(url) = url else {
        table.ignore_rest();
        return None;
    };
    let endpoint = endpoint::read(&table, &url, files, &PURPOSE);
    Some(Webhook {
        endpoint: endpoint?,
        key: key?,
    })
}

fn read_key(item: &Item<'_>, files: &Files) -> Option<Symmetric> {
    if !item.is_table() {
        item.error(
            "must not stand in this file",
            "write { file = \"…\" } or { env = \"…\" }, and the secret there",
        );
        return None;
    }
    let (secret, item) = withheld::read(&item.table()?, files, &SECRET)?;
    match Symmetric::by_prefix(&secret) {
        Ok(key) => Some(key),
        Err(wrong) => {
            item.error(format!("the secret {wrong}"), SECRET.example);
            None
        }
    }
}

impl Window {
    /// How long it is.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// For tests.
    #[cfg(test)]
    #[must_use]
    pub fn of_seconds(seconds: i64) -> Self {
        Self(seconds)
    }
}

impl fmt::Display for Window {
    /// As durations are written: `14d`, `36h` as `1d12h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = u64::try_from(self.0).unwrap_or_default();
        f.write_str(&format_duration(Duration::from_secs(seconds)))
    }
}
