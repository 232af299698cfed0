//! `[limits]` and `[timeouts]`: a bound on everything.

use std::time::Duration;

use super::reader::{Item, Table};
use super::units::LONGEST;
use super::upstreams::{self, UpstreamTimeouts};

/// `[limits]`
#[derive(Debug, Clone)]
pub struct Limits {
    /// `head_bytes`: request line and headers, default 32 KiB; at least 8 KiB.
    pub head_bytes: usize,
    /// `header_count`: default 100.
    pub header_count: usize,
    /// `target_bytes`: the request target, default 8 KiB.
    pub target_bytes: usize,
    /// `body_bytes`: a request's body; `None` (default, written `false`) is unlimited, since bodies stream.
    pub body_bytes: Option<u64>,
    /// `connections`: open client connections over all workers, default 16,384.
    pub connections: usize,
    /// `connections_per_source`: open client connections from one address, default 4,096.
    pub connections_per_source: usize,
    /// `streams_per_connection`: HTTP/2 requests at once on one client connection, default 128.
    pub streams_per_connection: u32,
    /// `tunnels`: open tunnels over all workers, default 8,192.
    pub tunnels: usize,
    /// `keys`: records that a key file may hold, default 2,000,000.
    pub keys: usize,
    /// `key_bytes`: a presented key's length, default 512.
    pub key_bytes: usize,
    /// `credential_failures = { requests = 300, per = "1m" }` per source address; `None` (written `false`) is off.
    pub credential_failures: Option<CredentialFailures>,
}

/// How many bad keys one source may present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFailures {
    /// How many in one window, and at once.
    pub requests: u32,
    /// The window.
    pub per: Duration,
}

/// `[timeouts]`
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// `tls_handshake`, default 10 s.
    pub tls_handshake: Duration,
    /// `client_head`: for a whole request head, default 10 s.
    pub client_head: Duration,
    /// `client_body`: between two reads of a request's body, default 30 s.
    pub client_body: Duration,
    /// `client_write`: while the client does not take bytes that are ready, default 60 s.
    pub client_write: Duration,
    /// `client_idle`: keep-alive without a request, default 75 s.
    pub client_idle: Duration,
    /// `client_half_closed`: how long a client that has closed its sending side still waits for its answer, default 30 s.
    pub client_half_closed: Duration,
    /// `tunnel_idle`: without a byte in either direction, default 5 min.
    pub tunnel_idle: Duration,
    /// `tunnel_total`; `None` (default, written `false`) is unlimited.
    pub tunnel_total: Option<Duration>,
    /// `connect`, `head`, `idle`, `total` towards upstreams: defaults 5 s, 60 s, 60 s, unlimited.
    pub upstream: UpstreamTimeouts,
    /// `drain_delay`: from SIGTERM (readiness off) to closed listeners, default 5 s.
    pub drain_delay: Duration,
    /// `drain`: for requests in flight after that, default 20 s.
    pub drain: Duration,
}

/// Reads `[limits]`.
pub(super) fn read(table: &Table<'_>) -> Limits {
    let count = |key, range, default: usize| table.get(key).and_then(|item| item.count(range)).unwrap_or(default);
    let bytes = |key, range, default: usize| {
        table
            .get(key)
            .and_then(|item| item.size(range))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default)
    };
    let limits = Limits {
        head_bytes: bytes("head_bytes", 8 << 10..=1 << 20, 32 << 10),
        header_count: count("header_count", 16..=1_000, 100),
        target_bytes: bytes("target_bytes", 256..=1 << 20, 8 << 10),
        body_bytes: table
            .get("body_bytes")
            .and_then(|item| item.or_off(|item| item.size(1..=1 << 50))),
        connections: count("connections", 1..=1_000_000, 16_384),
        connections_per_source: count("connections_per_source", 1..=1_000_000, 4_096),
        streams_per_connection: table
            .get("streams_per_connection")
            .and_then(|item| item.integer(1..=10_000))
            .unwrap_or(128),
        tunnels: count("tunnels", 1..=1_000_000, 8_192),
        keys: count("keys", 1..=100_000_000, 2_000_000),
        key_bytes: bytes("key_bytes", 16..=8 << 10, 512),
        credential_failures: table
            .get("credential_failures")
            .map_or_else(default_failures, |item| item.or_off(read_failures)),
    };
    if let (Some(item), true) = (table.get("target_bytes"), limits.target_bytes > limits.head_bytes) {
        item.error(
            "is more than `head_bytes`",
            "the target is part of the head; lower it or raise `head_bytes`",
        );
    }
    limits
}

#[allow(clippy::unnecessary_wraps)] // the default of an optional option
fn default_failures() -> Option<CredentialFailures> {
    Some(CredentialFailures {
        requests: 300,
        per: Duration::from_mins(1),
    })
}

/// Reads how many bad credentials one source may present.
pub(super) fn read_failures(item: &Item<'_>) -> Option<CredentialFailures> {
    const HELP: &str = "for example { requests = 300, per = \"1m\" }, or false";
    let table = item.table()?;
    let requests = table.require("requests", HELP);
    let per = table.require("per", HELP);
    let requests = requests.and_then(|item| item.integer(1..=1_000_000_000));
    let per = per.and_then(|item| item.duration_within(Duration::from_secs(1)..=Duration::from_hours(24)));
    Some(CredentialFailures {
        requests: requests?,
        per: per?,
    })
}

/// Reads `[timeouts]`.
pub(super) fn read_timeouts(table: &Table<'_>) -> Timeouts {
    let duration = |key, default| table.get(key).and_then(|item| item.duration()).unwrap_or(default);
    let seconds = |key, default| duration(key, Duration::from_secs(default));
    let or_zero = |key, default| {
        table
            .get(key)
            .and_then(|item| item.duration_within(Duration::ZERO..=LONGEST))
            .unwrap_or(Duration::from_secs(default))
    };
    Timeouts {
        tls_handshake: seconds("tls_handshake", 10),
        client_head: seconds("client_head", 10),
        client_body: seconds("client_body", 30),
        client_write: seconds("client_write", 60),
        client_idle: seconds("client_idle", 75),
        client_half_closed: seconds("client_half_closed", 30),
        tunnel_idle: duration("tunnel_idle", Duration::from_mins(5)),
        tunnel_total: table.get("tunnel_total").and_then(|item| item.or_off(Item::duration)),
        upstream: upstreams::read_timeouts(&table.section("upstream"), UpstreamTimeouts::default()),
        drain_delay: or_zero("drain_delay", 5),
        drain: or_zero("drain", 20),
    }
}
