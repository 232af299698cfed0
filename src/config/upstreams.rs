//! `[upstreams.NAME]`: the services behind Keygate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Index into [`super::Config::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamId(pub u16);

/// One upstream.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Where it is, from `url`.
    pub endpoint: Endpoint,
    /// Which protocol it speaks, from `url`.
    pub protocol: Protocol,
    /// The TLS client configuration, when `url` is `https`, with the name to verify.
    pub tls: Option<UpstreamTls>,
    /// `preserve_host`: forward the client's `Host` (default) or the upstream's own authority.
    pub preserve_host: bool,
    /// The upstream's own authority, for `preserve_host = false`.
    pub authority: String,
    /// `paths`: what may differ between Keygate's reading of a path and the upstream's.
    pub paths: Paths,
    /// `pool`
    pub pool: Pool,
    /// `timeouts`, each defaulting to the one in `[timeouts]`.
    pub timeouts: UpstreamTimeouts,
}

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `host:port`, resolved on every new connection.
    Tcp {
        /// A name or a literal address (IPv6 without brackets).
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// What an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge (RFC 9113 §3.3).
    H2c,
}

/// TLS towards an upstream.
#[derive(Clone)]
pub struct UpstreamTls {
    /// Ready to connect with.
    pub client: Arc<rustls::ClientConfig>,
    /// The name that the certificate must carry.
    pub server_name: rustls::pki_types::ServerName<'static>,
}

impl std::fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Path forms that are refused by default because Keygate and the upstream could read them differently; an upstream may
/// loosen each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Paths {
    /// `.` and `..` segments, also percent-encoded.
    pub allow_dot_segments: bool,
    /// `%2F` and `%5C`.
    pub allow_encoded_slashes: bool,
    /// `\`
    pub allow_backslashes: bool,
    /// `//`
    pub allow_empty_segments: bool,
}

/// Connection reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// `max_idle`: idle connections kept per worker, default 128.
    pub max_idle: usize,
    /// `idle`: how long one is kept, default `"55s"` (shorter than the common upstream limit of 60 s); zero keeps none.
    pub idle: Duration,
}

/// Timeouts towards one upstream. Zero is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// Until connected, TLS included.
    pub connect: Duration,
    /// From the request's last byte (or the connection, where the body is still going) to the response's head.
    pub head: Duration,
    /// Between two reads of a response's body.
    pub idle: Duration,
    /// From the request's head to the response's last byte; `None` is unlimited. Tunnels have their own.
    pub total: Option<Duration>,
}
