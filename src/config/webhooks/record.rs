//! One `[[webhooks]]`: a receiver, which events it gets, and how.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::Settings;
use super::sign::{self, Signing};
use super::url::{self, Target};
use crate::config::files::Files;
use crate::config::names;
use crate::config::reader::{Item, Table};
use crate::config::template::{self, Escape, Template};
use crate::config::tls;
use crate::config::units::LONGEST;

/// When queued events are tried, where nothing else is said: at once, and then after 5 s, 1 min, 5 min, 30 min, 2 h, 5 h and 10 h.
pub const SCHEDULE: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
];

/// A registered webhook.
#[derive(Clone)]
pub struct Webhook {
    /// `id`: what the service addresses it by, and logs and metrics show.
    pub id: String,
    /// `organization`: whose it is.
    pub organization: String,
    /// `url`, normalised.
    pub url: Target,
    /// `query`: which targets of a forward proxy it stands for.
    pub query: Query,
    /// `events`: what it gets; default everything.
    pub events: Events,
    /// `active`: default true.
    pub active: bool,
    /// `secret`, `previous_secret`, `previous_until`, `sign`, `profile`.
    pub signing: Arc<Signing>,
    /// `headers`: what it gets besides; last, and so in place of what the service, or `sign`, writes under the same names.
    pub headers: Vec<(HeaderName, Template<Field>)>,
    /// `timeouts`, or `timeout` alone, which is their `total`.
    pub timeouts: Timeouts,
    /// `retry`: tries within one request.
    pub retry: Retry,
    /// `delivery`: while the service waits, or from the queue.
    pub delivery: Delivery,
    /// `tls`: how it is known, and how Keygate shows itself to it.
    pub tls: Tls,
}

/// Which query a forward-proxy target may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// `"exact"`: the registered one.
    Exact,
    /// `"any"`: whichever.
    Any,
}

/// Which events a webhook gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events(Vec<Pattern>);

/// One entry of `events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `"*"`
    All,
    /// `"message.*"`: everything that begins so.
    Prefix(String),
    /// `"message"`
    Exact(String),
}

/// How long a receiver may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// `connect`: name, connection, TLS; default 5 seconds.
    pub connect: Duration,
    /// `head`: from there to the answer's head; default 10 seconds.
    pub head: Duration,
    /// `total`: all tries of one request together; default 10 seconds.
    pub total: Duration,
}

/// Tries while the service waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// `attempts`: in all; default 3.
    pub attempts: u32,
    /// `delays`: before the second, the third, …; the last one again where there are more. Default 500 ms, 2 s.
    pub delays: Vec<Duration>,
}

/// When the service gets its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// `"request"`: when the receiver has given it.
    Request,
    /// `"queued"`: as soon as the event is on disk.
    Queued {
        /// `schedule`: from each try to the next, the first from the arrival.
        schedule: Vec<Duration>,
        /// `ordered`: the next event waits until the one before it is delivered or given up.
        ordered: bool,
    },
}

/// `tls = { ca, certificate, key, server_name }`
#[derive(Clone)]
pub struct Tls {
    /// Roots, and a client certificate where there is one.
    pub client: Arc<ClientConfig>,
    /// Another name than the URL's.
    pub server_name: Option<ServerName<'static>>,
}

/// What a header may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `{webhook}`: its id.
    Webhook,
    /// `{organization}`: its id.
    Organization,
    /// `{event}`: the event's type.
    Event,
    /// `{event.id}`
    EventId,
}

impl template::Field for Field {
    fn names() -> &'static [(&'static str, Self)] {
        &[
            ("webhook", Self::Webhook),
            ("organization", Self::Organization),
            ("event", Self::Event),
            ("event.id", Self::EventId),
        ]
    }
}

impl Timeouts {
    /// Without any configuration.
    pub(super) const DEFAULT: Self = Self {
        connect: Duration::from_secs(5),
        head: Duration::from_secs(10),
        total: Duration::from_secs(10),
    };
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 3,
            delays: vec![Duration::from_millis(500), Duration::from_secs(2)],
        }
    }
}

impl Events {
    /// Whether an event of this type is subscribed to. One without a type is only by `*`.
    #[must_use]
    pub fn take(&self, event: Option<&str>) -> bool {
        self.0.iter().any(|pattern| match (pattern, event) {
            (Pattern::All, _) => true,
            (Pattern::Prefix(prefix), Some(event)) => event.starts_with(prefix.as_str()),
            (Pattern::Exact(exact), Some(event)) => event == exact,
            (Pattern::Prefix(_) | Pattern::Exact(_), None) => false,
        })
    }

    /// Whether the type makes no difference.
    #[must_use]
    pub fn take_all(&self) -> bool {
        self.0.contains(&Pattern::All)
    }

    /// As they are written.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|pattern| match pattern {
            Pattern::All => "*".to_owned(),
            Pattern::Prefix(prefix) => format!("{prefix}*"),
            Pattern::Exact(exact) => exact.clone(),
        })
    }
}

/// Reads one.
pub(super) fn read(table: &Table<'_>, settings: &Settings, files: &Files) -> Option<Webhook> {
    const ID: &str = "for example id = \"wh_acme\"; the service sends events to /webhooks/wh_acme";
    let (id, organization) = (
        table.require("id", ID),
        table.require("organization", "the id of the organization whose webhook it is"),
    );
    let url = table.require("url", "for example url = \"https://hooks.acme.example/in\"");
    let query = table.get("query");
    let events = table.get("events");
    let active = table.get("active").and_then(|item| item.boolean()).unwrap_or(true);
    let headers = table.get("headers");
    let signing = sign::read(table, files);
    let delivery = read_delivery(table);
    let retry = table.get("retry").and_then(|item| read_retry(&item));
    let timeouts = read_timeout(table, settings.timeouts);
    let tls = table.get("tls");

    let id = id.and_then(|item| {
        let id = item.text()?;
        names::check("a webhook", id, &item);
        Some(id.to_owned())
    });
    let organization = organization.and_then(|item| item.text().map(str::to_owned));
    let url = url.and_then(|item| url::read(&item, &settings.destinations));
    let query = match query {
        Some(item) => item.word(&[("exact", Query::Exact), ("any", Query::Any)]),
        None => Some(Query::Exact),
    };
    let events = match events {
        Some(item) => read_events(&item),
        None => Some(Events(vec![Pattern::All])),
    };
    let headers = headers.map_or_else(Vec::new, |item| read_headers(&item, signing.as_ref()));
    let tls = match tls {
        Some(item) => read_tls(&item, settings, files)?,
        None => Tls {
            client: Arc::clone(&settings.tls),
            server_name: None,
        },
    };
    Some(Webhook {
        id: id?,
        organization: organization?,
        url: url?,
        query: query?,
        events: events?,
        active,
        signing: Arc::new(signing?),
        headers,
        timeouts,
        retry: retry.unwrap_or_default(),
        delivery: delivery?,
        tls,
    })
}

fn read_events(item: &Item<'_>) -> Option<Events> {
    const HELP: &str = "for example [\"message.received\", \"status.*\"], or [\"*\"] for all";
    let items = item.list_or_one()?;
    if items.is_empty() {
        item.error("names no event, so that it would never get one", HELP);
    }
    let patterns = items.iter().filter_map(|item| {
        let text = item.text()?;
        Some(match text.split_once('*') {
            None => Pattern::Exact(text.to_owned()),
            Some(("", "")) => Pattern::All,
            Some((prefix, "")) => Pattern::Prefix(prefix.to_owned()),
            Some(_) => {
                item.error("has a `*` that is not its end", HELP);
                return None;
            }
        })
    });
    Some(Events(patterns.collect()))
}

fn read_headers(item: &Item<'_>, signing: Option<&Signing>) -> Vec<(HeaderName, Template<Field>)> {
    let Some(table) = item.table() else { return Vec::new() };
    let mut headers: Vec<(HeaderName, Template<Field>)> = Vec::new();
    for (key, item) in table.names() {
        let text = item.text();
        let Some(name) = names::header_key(key, &item) else {
            continue;
        };
        if signing.is_some_and(|signing| signing.proofs().any(|own| *own == name)) {
            item.key_place().error(
                "is a header that `sign` writes, and that receivers verify by",
                "give it another name",
            );
            continue;
        }
        if headers.iter().any(|(other, _)| *other == name) {
            item.key_place()
                .error("names a header for the second time", "case makes no difference");
            continue;
        }
        let Some(text) = text else { continue };
        if text.bytes().any(|b| !(b.is_ascii_graphic() || b == b' ')) {
            item.error(
                "holds a character that cannot stand in a header",
                "visible ASCII and placeholders only",
            );
            continue;
        }
        headers.push((name, Template::read(text, Escape::Header, &item)));
    }
    headers
}

/// Reads `timeouts`.
pub(super) fn read_timeouts(table: &Table<'_>, default: Timeouts) -> Timeouts {
    let Some(table) = table.get("timeouts").and_then(|item| item.table()) else {
        return default;
    };
    let read = |key, default| {
        let item = table.get(key);
        item.and_then(|item| item.duration_within(limits())).unwrap_or(default)
    };
    Timeouts {
        connect: read("connect", default.connect),
        head: read("head", default.head),
        total: read("total", default.total),
    }
}

/// Reads `timeout`, which is `timeouts.total` where nothing else is said.
fn read_timeout(table: &Table<'_>, default: Timeouts) -> Timeouts {
    let (whole, each) = (table.get("timeout"), table.get("timeouts"));
    if let (Some(whole), Some(_)) = (&whole, &each) {
        whole.key_place().error(
            "stands beside `timeouts`",
            "write it there: timeouts = { total = \"10s\" }",
        );
    }
    let total = whole.and_then(|item| item.duration_within(limits()));
    read_timeouts(
        table,
        Timeouts {
            total: total.unwrap_or(default.total),
            ..default
        },
    )
}

fn limits() -> std::ops::RangeInclusive<Duration> {
    Duration::from_millis(1)..=LONGEST
}

fn read_retry(item: &Item<'_>) -> Option<Retry> {
    let default = Retry::default();
    let table = item.table()?;
    let attempts = table.get("attempts").and_then(|item| item.integer(1..=20));
    let delays = table.get("delays").and_then(|item| read_durations(&item));
    Some(Retry {
        attempts: attempts.unwrap_or(default.attempts),
        delays: delays.unwrap_or(default.delays),
    })
}

fn read_durations(item: &Item<'_>) -> Option<Vec<Duration>> {
    let items = item.list()?;
    if items.is_empty() || items.len() > 64 {
        item.error(
            "does not have 1 to 64 durations",
            "for example [\"0s\", \"5s\", \"1m\"]",
        );
    }
    let durations = items.iter();
    Some(
        durations
            .filter_map(|item| item.duration_within(Duration::ZERO..=LONGEST))
            .collect(),
    )
}

fn read_delivery(table: &Table<'_>) -> Option<Delivery> {
    let (word, schedule, ordered) = (table.get("delivery"), table.get("schedule"), table.get("ordered"));
    let is_queued = match &word {
        Some(item) => item.word(&[("request", false), ("queued", true)])?,
        None => false,
    };
    if !is_queued {
        for item in [schedule, ordered].into_iter().flatten() {
            item.key_place()
                .error("goes with delivery = \"queued\" only", "add that, or remove it");
        }
        return Some(Delivery::Request);
    }
    let schedule = schedule.and_then(|item| read_durations(&item));
    Some(Delivery::Queued {
        schedule: schedule.unwrap_or_else(|| SCHEDULE.into()),
        ordered: ordered.and_then(|item| item.boolean()).unwrap_or(false),
    })
}

fn read_tls(item: &Item<'_>, settings: &Settings, files: &Files) -> Option<Tls> {
    let table = item.table()?;
    let (ca, name) = (table.get("ca"), table.get("server_name"));
    let pair = match (table.get("certificate"), table.get("key")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => {
            alone.key_place().error(
                "stands alone",
                "a client certificate needs both `certificate` and `key`",
            );
            return None;
        }
    };
    let server_name = match name {
        Some(item) => match ServerName::try_from(item.text()?.to_owned()) {
            Ok(name) => Some(name),
            Err(_) => {
                item.error(
                    "is not a name that a certificate can carry",
                    "for example \"hooks.example\"",
                );
                return None;
            }
        },
        None => None,
    };
    let roots = match &ca {
        Some(ca) => tls::roots(ca, files)?,
        None => Arc::clone(&settings.roots),
    };
    let own = pair.as_ref().map(|(certificate, key)| (certificate, key));
    let client = tls::client(&roots, own, files)?;
    Some(Tls { client, server_name })
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).finish_non_exhaustive()
    }
}
