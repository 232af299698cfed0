//! `url = "https://…"` and the options that go with it: a server that Keygate calls by itself, and how it is known to be that one.
//!
//! A room of its own because several sections name one (an issuer's keys, a webhook), and all of them mean the same by the
//! same options. [`crate::control`] makes the calls.
//!
//! # Security
//! Cleartext needs the operator's word, except to this very machine. A URL may be a secret in itself: nothing but its host and
//! port is shown.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;

use super::files::Files;
use super::reader::{Item, Table};
use super::tls;
use super::upstreams::UpstreamTls;

/// The options that go with `url`.
pub(super) const OPTIONS: [&str; 4] = ["timeout", "ca", "server_name", "allow_http"];

/// Where to call, and how.
#[derive(Clone)]
pub struct Endpoint {
    /// `url` as written: what tells one endpoint from another.
    pub url: String,
    /// Where to connect.
    pub host: String,
    /// Where to connect.
    pub port: u16,
    /// `Host`
    pub authority: String,
    /// What to ask for.
    pub target: PathAndQuery,
    /// Set for `https`.
    pub tls: Option<UpstreamTls>,
    /// `timeout`: for a whole exchange, default 5 seconds.
    pub timeout: Duration,
}

/// What an endpoint is for, in the words of its problems.
pub(super) struct Purpose {
    /// `for example "https://…"`
    pub(super) example: &'static str,
    /// What somebody on the way could do.
    pub(super) risk: &'static str,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("authority", &self.authority)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Reads `url` (which is `item`) and the options beside it.
pub(super) fn read<'d>(table: &Table<'d>, item: &Item<'d>, files: &Files, purpose: &Purpose) -> Option<Endpoint> {
    let timeout = table.get("timeout");
    let (ca, server_name) = (table.get("ca"), table.get("server_name"));
    let allow_http = table.get("allow_http").and_then(|item| item.boolean()).unwrap_or(false);
    let timeout = timeout
        .and_then(|item| item.duration_within(Duration::from_millis(100)..=Duration::from_mins(1)))
        .unwrap_or(Duration::from_secs(5));
    let Some(place) = read_url(item, purpose) else {
        table.ignore_rest();
        return None;
    };
    let tls = if place.is_https {
        Some(tls::read_client(table, &place.host, item, files)?)
    } else {
        if !allow_http && !is_loopback(&place.host) {
            item.error(
                format!("is cleartext: {}", purpose.risk),
                "write https://…, or allow_http = true beside it where the way is safe",
            );
        }
        for option in [ca, server_name].into_iter().flatten() {
            option.key_place().error("goes with https only", "remove it");
        }
        None
    };
    Some(Endpoint {
        url: item.text()?.to_owned(),
        host: place.host,
        port: place.port,
        authority: place.authority,
        target: place.target,
        tls,
        timeout,
    })
}

struct Place {
    is_https: bool,
    host: String,
    port: u16,
    authority: String,
    target: PathAndQuery,
}

fn read_url(item: &Item<'_>, purpose: &Purpose) -> Option<Place> {
    let uri: Option<Uri> = item.text()?.parse().ok();
    let scheme = uri.as_ref().and_then(Uri::scheme_str);
    let (Some(uri), Some(scheme @ ("http" | "https"))) = (&uri, scheme) else {
        item.error("is not an http or https URL", purpose.example);
        return None;
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        item.error("has a user or a password", purpose.example);
        return None;
    }
    let is_https = scheme == "https";
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    Some(Place {
        is_https,
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
        authority: authority.as_str().to_owned(),
        target: uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")),
    })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
