//! `[ingress]`: where clients connect, and whom Keygate believes about them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

/// The client-facing side.
#[derive(Debug, Clone)]
pub struct Ingress {
    /// `listen`: one or several addresses.
    pub listen: Vec<Listen>,
    /// `workers`: data-path threads; `None` means the CPUs that the cgroup grants.
    pub workers: Option<usize>,
    /// `[ingress.tls]`: when present, every TCP and Unix listener speaks TLS.
    pub tls: Option<Tls>,
    /// `require_tls`
    pub require_tls: RequireTls,
    /// `trusted_proxies`: whose `X-Forwarded-*`/`Forwarded`, `X-Request-Id` and `traceparent` are believed.
    pub trusted_proxies: TrustedProxies,
    /// `forwarded_headers`: which dialect is read from trusted proxies and written to the upstream.
    pub forwarded: ForwardedStyle,
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `"127.0.0.1:8080"`, `"[::]:8080"`; port 0 takes a free one.
    Tcp(SocketAddr),
    /// `"unix:/run/keygate.sock"`
    Unix(PathBuf),
}

/// `[ingress.tls]`, loaded: the files have been read and the certificate matches its key.
#[derive(Clone)]
pub struct Tls {
    /// Ready to accept with: ALPN `h2` and `http/1.1`, TLS 1.2 or newer, tickets on.
    pub server: Arc<rustls::ServerConfig>,
    /// The files that it was built from, to be watched.
    pub files: Vec<PathBuf>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// `require_tls = false | true | "except-loopback"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequireTls {
    /// Cleartext is accepted.
    No,
    /// Cleartext is refused, unless a trusted proxy says that it terminated TLS.
    Always,
    /// As `Always`, but callers on the local host may use cleartext.
    ExceptLoopback,
}

/// `trusted_proxies = ["10.0.0.0/8", "unix"]`
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    /// Networks of trusted peers.
    pub networks: Vec<IpNet>,
    /// `"unix"`: peers on a Unix socket are trusted.
    pub unix: bool,
}

impl TrustedProxies {
    /// Whether a connection's peer may speak for its clients. `None` is a peer on a Unix socket.
    #[must_use]
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(address) => {
                let address = address.to_canonical();
                self.networks.iter().any(|network| network.contains(&address))
            }
            None => self.unix,
        }
    }
}

/// `forwarded_headers = "x-forwarded" | "forwarded" | "none"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedStyle {
    /// `X-Forwarded-For`, `-Proto`, `-Host` (the default).
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Neither is written; clients' own are still removed unless their sender is trusted.
    None,
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
