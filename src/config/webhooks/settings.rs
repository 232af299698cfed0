//! The options of `[webhooks]`, which hold for all of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use rustls::{ClientConfig, RootCertStore};

use super::destinations::{self, Destinations};
use super::record::{self, Timeouts};
use super::{Locator, locator};
use crate::config::files::Files;
use crate::config::names;
use crate::config::reader::Table;
use crate::config::tls;
use crate::config::units::LONGEST;

/// `[webhooks]`
#[derive(Debug, Clone)]
pub struct Settings {
    /// `event`: where an event's type stands; default the header `X-Event-Type`.
    pub event: Locator,
    /// `event_id`: where an event's id stands; default the header `webhook-id`, or else `X-Event-Id`.
    pub event_id: Vec<Locator>,
    /// Where events may go: `allow_networks`, `allow_hosts`, `allow_ports`.
    pub destinations: Destinations,
    /// `resolvers`: which name servers are asked; the system's where it is empty.
    pub resolvers: Vec<SocketAddr>,
    /// `scan_bodies`: events that hold a live key are blocked; default false.
    pub scan_bodies: bool,
    /// `strip_headers`: what else of the service's headers no receiver gets.
    pub strip_headers: Vec<HeaderName>,
    /// `body_bytes`: how much of an event is held in memory to be signed; default 1 MiB.
    pub body_bytes: usize,
    /// `response_bytes`: how much of a receiver's answer the service gets; default 256 KiB.
    pub response_bytes: usize,
    /// `connections_per_receiver`: at most so many at once; default 16.
    pub connections_per_receiver: usize,
    /// `pause_after`: a webhook that has done nothing but fail for so long is paused; default a day, `None` (written `false`)
    /// never.
    pub pause_after: Option<Duration>,
    /// `timeouts`, unless a webhook says otherwise.
    pub timeouts: Timeouts,
    /// `ca`, or `roots`: who vouches for receivers; default the roots that Mozilla trusts.
    pub roots: Arc<RootCertStore>,
    /// For receivers that are known by these.
    pub tls: Arc<ClientConfig>,
}

const MIB: u64 = 1 << 20;
const PAUSE_AFTER: Duration = Duration::from_hours(24);

/// Reads it, but for `file`.
pub(super) fn read(table: &Table<'_>, files: &Files) -> Option<Settings> {
    let event = table.get("event").and_then(|item| locator::read(&item));
    let event_id = table.get("event_id").and_then(|item| locator::read(&item));
    let size = |key, range, default: u64| {
        let size = table.get(key).and_then(|item| item.size(range)).unwrap_or(default);
        usize::try_from(size).unwrap_or(usize::MAX)
    };
    let strip = table.get("strip_headers").and_then(|item| item.list());
    let strip_headers = strip.unwrap_or_default();
    let roots = read_roots(table, files);
    Some(Settings {
        event: event.unwrap_or(Locator::Header(HeaderName::from_static("x-event-type"))),
        event_id: event_id.map_or_else(
            || {
                ["webhook-id", "x-event-id"]
                    .map(|name| Locator::Header(HeaderName::from_static(name)))
                    .into()
            },
            |locator| vec![locator],
        ),
        destinations: destinations::read(table),
        resolvers: destinations::read_resolvers(table),
        scan_bodies: table
            .get("scan_bodies")
            .and_then(|item| item.boolean())
            .unwrap_or(false),
        strip_headers: strip_headers.iter().filter_map(names::header).collect(),
        body_bytes: size("body_bytes", 1..=256 * MIB, MIB),
        response_bytes: size("response_bytes", 0..=64 * MIB, 256 << 10),
        connections_per_receiver: table
            .get("connections_per_receiver")
            .and_then(|item| item.count(1..=10_000))
            .unwrap_or(16),
        pause_after: match table.get("pause_after") {
            Some(item) => item.or_off(|item| item.duration_within(Duration::from_secs(1)..=LONGEST)),
            None => Some(PAUSE_AFTER),
        },
        timeouts: record::read_timeouts(table, Timeouts::DEFAULT),
        tls: tls::client(roots.as_ref()?, None, files)?,
        roots: roots?,
    })
}

/// Who vouches for receivers.
fn read_roots(table: &Table<'_>, files: &Files) -> Option<Arc<RootCertStore>> {
    match (table.get("ca"), table.get("roots")) {
        (Some(_), Some(roots)) => {
            roots.key_place().error("stands beside `ca`", "keep one of the two");
            None
        }
        (Some(ca), None) => tls::roots(&ca, files),
        (None, Some(roots)) => match roots.word(&[("webpki", false), ("system", true)])? {
            true => tls::of_system(&roots),
            false => Some(tls::well_known()),
        },
        (None, None) => Some(tls::well_known()),
    }
}
