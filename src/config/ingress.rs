//! `[ingress]`: where clients connect, and whom Keygate believes about them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::document::Value;
use super::files::Files;
use super::reader::{Item, Place, Table};
use super::routes::{self, Access};
use super::{tls, upstreams};

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
    /// `unmatched`: what requests get that match no route; `None` is `deny` where there are routes, `key` without any.
    pub unmatched: Option<Access>,
    /// `override_headers = "pass"`: headers that ask the upstream to read another method or target reach it.
    pub override_headers: bool,
    /// `forwarded_headers`: which dialect is read from trusted proxies and written to the upstream.
    pub forwarded: ForwardedStyle,
}

/// One address to listen on, shown as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `"127.0.0.1:8080"`, `"[::]:8080"`; port 0 takes a free one.
    Tcp(SocketAddr),
    /// `"unix:/run/keygate.sock"`
    Unix(PathBuf),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
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

/// Reads `[ingress]`. The places are those of its addresses.
pub(super) fn read<'d>(table: &Table<'d>, files: &Files) -> (Ingress, Vec<Place<'d>>) {
    let listen = table.require("listen", "for example listen = [\"0.0.0.0:8080\"]");
    let workers = table.get("workers").and_then(|item| item.count(1..=256));
    let tls = table.get("tls");
    let require_tls_item = table.get("require_tls");
    let trusted = table.get("trusted_proxies");
    let forwarded = table.get("forwarded_headers");
    let unmatched = table.get("unmatched");
    let override_headers = table.get("override_headers");

    let (addresses, places) = match &listen {
        Some(item) => {
            let listen: (Vec<Listen>, Vec<Place<'_>>) = read_listen(item, files).into_iter().unzip();
            if matches!(item.value(), Value::List(items) if items.is_empty()) {
                item.error("names no address", "for example [\"0.0.0.0:8080\"]");
            }
            listen
        }
        None => (Vec::new(), Vec::new()),
    };
    let has_tls = tls.is_some();
    let tls = match tls {
        Some(item) => item.table().and_then(|table| tls::read_server(&table, files)),
        None => {
            tls::read_server_options(&table.section("tls"));
            None
        }
    };
    let require_tls = require_tls_item.as_ref().and_then(read_require_tls);
    let trusted_proxies = trusted.map_or_else(TrustedProxies::default, |item| read_trusted(&item));
    let nobody_trusted = trusted_proxies.networks.is_empty() && !trusted_proxies.unix;
    if let (Some(item), Some(RequireTls::Always), false, true) =
        (&require_tls_item, require_tls, has_tls, nobody_trusted)
    {
        item.error(
            "refuses every request: there is neither [ingress.tls] nor a trusted proxy that could have terminated TLS",
            "add [ingress.tls] or trusted_proxies, or write require_tls = false",
        );
    }
    let forwarded = forwarded.and_then(|item| {
        item.word(&[
            ("x-forwarded", ForwardedStyle::XForwarded),
            ("forwarded", ForwardedStyle::Forwarded),
            ("none", ForwardedStyle::None),
        ])
    });
    let ingress = Ingress {
        listen: addresses,
        workers,
        tls,
        require_tls: require_tls.unwrap_or(RequireTls::No),
        trusted_proxies,
        override_headers: override_headers
            .and_then(|item| item.word(&[("strip", false), ("pass", true)]))
            .unwrap_or(false),
        unmatched: unmatched.and_then(|item| routes::read_access(&item)),
        forwarded: forwarded.unwrap_or(ForwardedStyle::XForwarded),
    };
    (ingress, places)
}

/// Reads one or several addresses to listen on, each with its place.
pub(super) fn read_listen<'d>(item: &Item<'d>, files: &Files) -> Vec<(Listen, Place<'d>)> {
    item.list_or_one()
        .unwrap_or_default()
        .iter()
        .filter_map(|item| Some((read_address(item, files)?, item.place().clone())))
        .collect()
}

fn read_address(item: &Item<'_>, files: &Files) -> Option<Listen> {
    let text = item.text()?;
    if let Some(path) = text.strip_prefix("unix:") {
        return upstreams::unix_path(path, item, files).map(Listen::Unix);
    }
    if let Ok(address) = text.parse() {
        return Some(Listen::Tcp(address));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let port = port.parse::<u16>().unwrap_or(8080);
    let help = match host {
        "" | "*" => format!("write \"0.0.0.0:{port}\", or \"[::]:{port}\" for IPv6 too"),
        "localhost" => format!("write \"127.0.0.1:{port}\""),
        _ => "a literal address and a port, such as \"127.0.0.1:8080\", \"[::]:8080\" or \"unix:/run/keygate.sock\""
            .to_owned(),
    };
    item.error("is not an address to listen on", help);
    None
}

fn read_require_tls(item: &Item<'_>) -> Option<RequireTls> {
    if let Value::Boolean(required) = item.value() {
        return Some(if *required { RequireTls::Always } else { RequireTls::No });
    }
    if let Value::String(word) = item.value()
        && word == "except-loopback"
    {
        return Some(RequireTls::ExceptLoopback);
    }
    item.error("is not known here", "write false, true or \"except-loopback\"");
    None
}

fn read_trusted(item: &Item<'_>) -> TrustedProxies {
    let mut trusted = TrustedProxies::default();
    for item in item.list_or_one().unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        if text == "unix" {
            trusted.unix = true;
        } else if let Some(network) = parse_network(text) {
            if network.prefix_len() == 0 {
                item.warning(
                    "trusts everybody: any client may say where it comes from",
                    "name the networks of your proxies",
                );
            }
            trusted.networks.push(network);
        } else {
            item.error(
                "is not a network",
                "an address or a network in CIDR form, such as \"10.0.0.0/8\", or \"unix\"",
            );
        }
    }
    trusted
}

/// Reads `"10.0.0.0/8"` or a single address.
#[must_use]
pub fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok()
        .map(|network| network.trunc())
}
