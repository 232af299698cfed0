//! `[upstreams.NAME]`: the services behind Keygate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::files::Files;
use super::names;
use super::reader::{Item, Place, Table};
use super::tls;
use super::units::LONGEST;

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
    /// The upstream's own authority, for `preserve_host = false`; `localhost` on a Unix socket.
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

/// Timeouts towards one upstream. Zero is not allowed. Defaults: 5 s, 60 s, 60 s, unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// Until connected, TLS included.
    pub connect: Duration,
    /// From the request's last byte (or the connection, where the body is still going) to the response's head.
    pub head: Duration,
    /// Between two reads of a response's body.
    pub idle: Duration,
    /// From the request's head to the response's last byte; `None` (written `false`) is unlimited. Tunnels have their own.
    pub total: Option<Duration>,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            head: Duration::from_mins(1),
            idle: Duration::from_mins(1),
            total: None,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            max_idle: 128,
            idle: Duration::from_secs(55),
        }
    }
}

/// `[upstreams]`, as far as it could be read.
pub(super) struct Section<'d> {
    /// Those that can be used, in the order of the file.
    pub(super) upstreams: Vec<Upstream>,
    /// Where each of them stands.
    pub(super) places: Vec<Place<'d>>,
    /// The names of all of them.
    pub(super) names: Vec<String>,
    /// The one named `default`, or the only one.
    pub(super) default: UpstreamId,
}

/// Reads `[upstreams.NAME]`.
pub(super) fn read<'d>(root: &Table<'d>, files: &Files, defaults: UpstreamTimeouts) -> Section<'d> {
    let table = root.section("upstreams");
    let mut section = Section {
        upstreams: Vec::new(),
        places: Vec::new(),
        names: Vec::new(),
        default: UpstreamId(0),
    };
    for (name, item) in table.names() {
        names::check("an upstream", name, &item);
        section.names.push(name.to_owned());
        let upstream = item.table().and_then(|table| read_one(name, &table, files, defaults));
        if let Some(upstream) = upstream {
            section.upstreams.push(upstream);
            section.places.push(item.key_place());
        }
    }
    section.default = find_default(&section.names, table.place());
    section
}

fn find_default(names: &[String], place: &Place<'_>) -> UpstreamId {
    let named = names.iter().position(|name| name == "default");
    match (names, named) {
        ([], _) => place.missing(
            "there is no upstream",
            "add [upstreams.default] with url = \"http://127.0.0.1:3000\"",
        ),
        ([_, _, ..], None) => place.missing(
            "there are several upstreams, and none is called `default`",
            "call the one that most requests go to `default`",
        ),
        ([_], _) | ([_, _, ..], Some(_)) => {}
    }
    UpstreamId(named.and_then(|index| u16::try_from(index).ok()).unwrap_or(0))
}

/// Reads `timeouts` of an upstream, or of all of them.
pub(super) fn read_timeouts(table: &Table<'_>, defaults: UpstreamTimeouts) -> UpstreamTimeouts {
    let duration = |key, default| table.get(key).and_then(|item| item.duration()).unwrap_or(default);
    UpstreamTimeouts {
        connect: duration("connect", defaults.connect),
        head: duration("head", defaults.head),
        idle: duration("idle", defaults.idle),
        total: table
            .get("total")
            .map_or(defaults.total, |item| item.or_off(Item::duration)),
    }
}

fn read_one(name: &str, table: &Table<'_>, files: &Files, defaults: UpstreamTimeouts) -> Option<Upstream> {
    let url_item = table.require("url", "for example url = \"http://127.0.0.1:3000\"");
    let preserve_host = table
        .get("preserve_host")
        .and_then(|item| item.boolean())
        .unwrap_or(true);
    let paths = read_paths(&table.section("paths"));
    let pool = read_pool(&table.section("pool"));
    let timeouts = read_timeouts(&table.section("timeouts"), defaults);
    let tls_item = table.get("tls");
    let tls_table = table.section("tls");

    let url = url_item.as_ref().and_then(|item| read_url(item, files));
    let is_https = url.as_ref().is_some_and(|url| url.tls);
    if let (Some(item), Some(_), false) = (&tls_item, &url, is_https) {
        item.key_place()
            .error("goes with https only", "write url = \"https://…\", or remove it");
    }
    let tls = match &url {
        Some(Url {
            endpoint: Endpoint::Tcp { host, .. },
            tls: true,
            ..
        }) => Some(tls::read_client(&tls_table, host, url_item.as_ref()?, files)?),
        Some(_) | None => {
            tls_table.ignore_rest();
            None
        }
    };
    let url = url?;
    Some(Upstream {
        name: name.to_owned(),
        endpoint: url.endpoint,
        protocol: url.protocol,
        tls,
        preserve_host,
        authority: url.authority,
        paths,
        pool,
        timeouts,
    })
}

fn read_paths(table: &Table<'_>) -> Paths {
    let allows = |key| table.get(key).and_then(|item| item.boolean()).unwrap_or(false);
    Paths {
        allow_dot_segments: allows("allow_dot_segments"),
        allow_encoded_slashes: allows("allow_encoded_slashes"),
        allow_backslashes: allows("allow_backslashes"),
        allow_empty_segments: allows("allow_empty_segments"),
    }
}

fn read_pool(table: &Table<'_>) -> Pool {
    let default = Pool::default();
    Pool {
        max_idle: table
            .get("max_idle")
            .and_then(|item| item.count(0..=100_000))
            .unwrap_or(default.max_idle),
        idle: table
            .get("idle")
            .and_then(|item| item.duration_within(Duration::ZERO..=LONGEST))
            .unwrap_or(default.idle),
    }
}

/// What a `url` says.
struct Url {
    endpoint: Endpoint,
    protocol: Protocol,
    tls: bool,
    authority: String,
}

/// Reads `http://host:port`, `https://…`, `h2c://…`, `unix:/path` or `h2c+unix:/path`.
fn read_url(item: &Item<'_>, files: &Files) -> Option<Url> {
    let text = item.text()?;
    if let Some(path) = text.strip_prefix("unix:") {
        return read_unix(path, Protocol::Http1, item, files);
    }
    if let Some(path) = text.strip_prefix("h2c+unix:") {
        return read_unix(path, Protocol::H2c, item, files);
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (protocol, tls, default_port) = match scheme {
        "http" => (Protocol::Http1, false, 80),
        "https" => (Protocol::Http1, true, 443),
        "h2c" => (Protocol::H2c, false, 80),
        "" => {
            item.error("has no scheme", format!("write it as \"http://{rest}\""));
            return None;
        }
        _ => {
            item.error(
                format!("{scheme:?} is not a known scheme"),
                "http://host:port, https://host:port, h2c://host:port, unix:/path or h2c+unix:/path",
            );
            return None;
        }
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !matches!(path, "" | "/") {
        item.error(
            "has a path or a query",
            format!(
                "paths are forwarded as clients send them; write \"{scheme}://{}\"",
                without_user(authority)
            ),
        );
        return None;
    }
    if authority.contains('@') {
        item.error(
            "has a user or a password",
            format!(
                "Keygate does not log in to upstreams; write \"{scheme}://{}\"",
                without_user(authority)
            ),
        );
        return None;
    }
    let Some((host, port)) = split_authority(authority) else {
        item.error(
            "has no valid host and port",
            format!("for example \"{scheme}://127.0.0.1:3000\" or \"{scheme}://[::1]:3000\""),
        );
        return None;
    };
    Some(Url {
        endpoint: Endpoint::Tcp {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: port.unwrap_or(default_port),
        },
        protocol,
        tls,
        authority: match port {
            Some(port) if port != default_port => format!("{host}:{port}"),
            Some(_) | None => host.to_owned(),
        },
    })
}

fn read_unix(path: &str, protocol: Protocol, item: &Item<'_>, files: &Files) -> Option<Url> {
    Some(Url {
        endpoint: Endpoint::Unix(unix_path(path, item, files)?),
        protocol,
        tls: false,
        authority: "localhost".to_owned(),
    })
}

/// The path of a Unix socket, which the kernel limits to 107 bytes.
pub(super) fn unix_path(path: &str, item: &Item<'_>, files: &Files) -> Option<PathBuf> {
    let path = path
        .strip_prefix("//")
        .filter(|path| path.starts_with('/'))
        .unwrap_or(path);
    if path.is_empty() || path.starts_with("//") {
        item.error("does not name a socket", "for example \"unix:/run/service.sock\"");
        return None;
    }
    let path = files.resolve(path);
    if path.as_os_str().len() > 107 {
        item.error(
            "is longer than the 107 bytes that a socket's path may have",
            "choose a shorter path",
        );
        return None;
    }
    Some(path)
}

fn without_user(authority: &str) -> &str {
    authority.rsplit('@').next().unwrap_or_default()
}

/// Host (IPv6 in brackets) and port.
fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let parsed: http::uri::Authority = authority.parse().ok()?;
    let host = &authority[..parsed.host().len()];
    let port = &authority[host.len()..];
    let valid_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && rustls::pki_types::ServerName::try_from(host).is_ok(),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
        None => None,
    };
    valid_host.then_some((host, port))
}
