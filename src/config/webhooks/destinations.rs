//! `allow_networks`, `allow_hosts`, `allow_ports` and `resolvers` of `[webhooks]`: where events may go besides the Internet, and who says
//! where that is.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Host;

use crate::config::ingress::parse_network;
use crate::config::reader::{Item, Table};

/// Where events may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// `allow_networks`: networks that events may go to although they are not the Internet's; whatever is in them.
    pub networks: Vec<IpNet>,
    /// `allow_hosts`: names that may resolve to private addresses.
    pub hosts: Vec<HostPattern>,
    /// `allow_ports`: all ports that events may go to; default 80 and 443.
    pub ports: Vec<u16>,
}

/// One entry of `allow_hosts`; in lower case and ASCII (punycode).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `"hooks.internal"`: this name.
    Exact(String),
    /// `"*.internal"`: every name below, however deep, and not `internal` itself.
    Below(String),
}

impl HostPattern {
    /// Whether it stands for `host`, which is in lower case and ASCII.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host
                .strip_suffix(suffix.as_str())
                .and_then(|labels| labels.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }
}

impl Default for Destinations {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            hosts: Vec::new(),
            ports: vec![80, 443],
        }
    }
}

/// The port at which name servers listen.
const DNS: u16 = 53;

/// Reads the `allow_…` options.
pub(super) fn read(table: &Table<'_>) -> Destinations {
    let networks = table.get("allow_networks").and_then(|item| item.list_or_one());
    let hosts = table.get("allow_hosts").and_then(|item| item.list_or_one());
    let ports = table.get("allow_ports");
    Destinations {
        networks: networks.unwrap_or_default().iter().filter_map(read_network).collect(),
        hosts: hosts.unwrap_or_default().iter().filter_map(read_host).collect(),
        ports: ports.map_or_else(|| Destinations::default().ports, |item| read_ports(&item)),
    }
}

/// What [`read`] makes of a text that it has nothing to say about.
#[cfg(test)]
pub(crate) fn of_text(text: &str) -> Destinations {
    let (destinations, _, problems) = tests::read_text(text);
    assert_eq!(problems, "", "{text}");
    destinations
}

/// Reads `resolvers`; empty where the system's are to be asked.
pub(super) fn read_resolvers(table: &Table<'_>) -> Vec<SocketAddr> {
    let items = table.get("resolvers").and_then(|item| item.list_or_one());
    items.unwrap_or_default().iter().filter_map(read_resolver).collect()
}

fn read_network(item: &Item<'_>) -> Option<IpNet> {
    let text = item.text()?;
    let Some(network) = parse_network(text) else {
        item.error(
            "is not a network",
            "an address or a network in CIDR form, such as \"10.0.0.0/8\"; names go to `allow_hosts`",
        );
        return None;
    };
    if is_nowhere(network) {
        item.error(
            "is where no server can be",
            "remove it; this machine is \"127.0.0.1\" or \"::1\"",
        );
        return None;
    }
    if network.prefix_len() == 0 {
        item.warning(
            "lets webhooks reach every address, those of this machine included",
            "name the networks that your receivers are in",
        );
    }
    Some(network)
}

/// Whether it holds only multicast addresses, or only the unspecified one.
fn is_nowhere(network: IpNet) -> bool {
    let (first, last) = (network.network(), network.broadcast());
    let is_broadcast = |address| matches!(address, IpAddr::V4(address) if address.is_broadcast());
    (first.is_multicast() && last.is_multicast()) || last.is_unspecified() || is_broadcast(first)
}

fn read_host(item: &Item<'_>) -> Option<HostPattern> {
    const HELP: &str = "a name such as \"hooks.internal\", or \"*.internal\" for every name below";
    let text = item.text()?;
    let (is_below, name) = match text.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, text),
    };
    if name.contains('*') {
        item.error("has a `*` that is not the whole first label", HELP);
        return None;
    }
    match Host::parse(name.strip_suffix('.').unwrap_or(name)) {
        Ok(Host::Domain(name)) if !is_below => Some(HostPattern::Exact(name)),
        Ok(Host::Domain(name)) => Some(HostPattern::Below(name)),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => {
            item.error("is an address, not a name", "write it in `allow_networks`");
            None
        }
        Err(_) if name.parse::<IpAddr>().is_ok() => {
            item.error("is an address, not a name", "write it in `allow_networks`");
            None
        }
        Err(_) if name.contains([':', '/']) => {
            item.error(
                "is more than a host's name",
                format!("{HELP}; ports go to `allow_ports`"),
            );
            None
        }
        Err(_) => {
            item.error("is not a host's name", HELP);
            None
        }
    }
}

fn read_ports(item: &Item<'_>) -> Vec<u16> {
    let Some(items) = item.list() else {
        return Destinations::default().ports;
    };
    if items.is_empty() {
        item.error(
            "names no port, so that nothing could be delivered",
            "for example [443], or remove it for 80 and 443",
        );
    }
    items.iter().filter_map(|item| item.integer(1..=u16::MAX)).collect()
}

fn read_resolver(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.text()?;
    let address = text.parse::<SocketAddr>().ok();
    let address = address.or_else(|| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, DNS)));
    let usable = address.filter(|address| address.port() != 0 && !is_nowhere(IpNet::from(address.ip())));
    if usable.is_none() {
        item.error(
            "is not the address of a name server",
            "an address, and a port unless it is 53: \"10.0.0.10\", \"10.0.0.10:5353\" or \"[fd00::10]:5353\"",
        );
    }
    usable
}
