//! `[limits]` and `[timeouts]`: a bound on everything.

use std::time::Duration;

use super::upstreams::UpstreamTimeouts;

/// `[limits]`
#[derive(Debug, Clone)]
pub struct Limits {
    /// `head_bytes`: request line and headers, default 32 KiB.
    pub head_bytes: usize,
    /// `header_count`: default 100.
    pub header_count: usize,
    /// `target_bytes`: the request target, default 8 KiB.
    pub target_bytes: usize,
    /// `body_bytes`: a request's body; `None` (default) is unlimited, since bodies stream.
    pub body_bytes: Option<u64>,
    /// `connections`: open client connections over all workers, default 16,384.
    pub connections: usize,
    /// `connections_per_source`: open client connections from one address, default 4,096.
    pub connections_per_source: usize,
    /// `requests_per_connection`... streams: `streams_per_connection`, default 128.
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
    /// `tunnel_total`; `None` (default) is unlimited.
    pub tunnel_total: Option<Duration>,
    /// `connect`, `head`, `idle`, `total` towards upstreams: defaults 5 s, 60 s, 60 s, unlimited.
    pub upstream: UpstreamTimeouts,
    /// `drain_delay`: from SIGTERM (readiness off) to closed listeners, default 5 s.
    pub drain_delay: Duration,
    /// `drain`: for requests in flight after that, default 25 s.
    pub drain: Duration,
}
