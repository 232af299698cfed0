//! `jwks = { url = … }`: keys that are fetched over the network.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;

use crate::config::files::Files;
use crate::config::reader::{Item, Table};
use crate::config::tls;
use crate::config::upstreams::UpstreamTls;

/// The options that go with `url`.
pub(super) const OPTIONS: [&str; 6] = ["refresh", "refetch", "timeout", "ca", "server_name", "allow_http"];

/// Where and how keys are fetched.
#[derive(Clone)]
pub struct Remote {
    /// `url` as written: what tells one source of keys from another.
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
    /// `refresh`: how often they are fetched, default 5 minutes.
    pub refresh: Duration,
    /// `refetch`: how long after a fetch the next one may come because a token names a key that is not known, default 30
    /// seconds.
    pub refetch: Duration,
    /// `timeout`: for a whole fetch, default 5 seconds.
    pub timeout: Duration,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Reads the options beside `url`.
pub(super) fn read<'d>(table: &Table<'d>, item: &Item<'d>, files: &Files) -> Option<Remote> {
    let duration = |key, range, default| {
        table
            .get(key)
            .and_then(|item| item.duration_within(range))
            .unwrap_or(default)
    };
    let (second, minute, day) = (Duration::from_secs(1), Duration::from_mins(1), Duration::from_hours(24));
    let refresh = duration("refresh", second..=day, 5 * minute);
    let refetch = duration("refetch", second..=60 * minute, 30 * second);
    let timeout = duration("timeout", Duration::from_millis(100)..=minute, 5 * second);
    let (ca, server_name) = (table.get("ca"), table.get("server_name"));
    let allow_http = table.get("allow_http").and_then(|item| item.boolean()).unwrap_or(false);
    let Some(place) = read_url(item) else {
        table.ignore_rest();
        return None;
    };
    let tls = if place.is_https {
        Some(tls::read_client(table, &place.host, item, files)?)
    } else {
        if !allow_http && !is_loopback(&place.host) {
            item.error(
                "is cleartext: whoever is on the way could put in keys of their own",
                "write https://…, or allow_http = true beside it where the way is safe",
            );
        }
        for option in [ca, server_name].into_iter().flatten() {
            option.key_place().error("goes with https only", "remove it");
        }
        None
    };
    Some(Remote {
        url: item.text()?.to_owned(),
        host: place.host,
        port: place.port,
        authority: place.authority,
        target: place.target,
        tls,
        refresh,
        refetch,
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

fn read_url(item: &Item<'_>) -> Option<Place> {
    const HELP: &str = "for example \"https://id.example/.well-known/jwks.json\"";
    let uri: Option<Uri> = item.text()?.parse().ok();
    let scheme = uri.as_ref().and_then(Uri::scheme_str);
    let (Some(uri), Some(scheme @ ("http" | "https"))) = (&uri, scheme) else {
        item.error("is not an http or https URL", HELP);
        return None;
    };
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        item.error("has a user or a password", HELP);
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
