//! Where events may go: ports, literal addresses, and the addresses that names resolve to.
//!
//! A room of its own because receivers' URLs come from customers, and a URL is a wish to connect: without a check, the machine's own
//! services, its cloud's credentials and everything else inside the network are one webhook away (server-side request forgery).
//!
//! # Security
//! Closed: what is not a global unicast address of the Internet is refused ([`ranges`]), unless an option opens it:
//!
//! - `allow_hosts` lets the names in it resolve to private addresses (RFC 1918, RFC 4193, RFC 6598), and to nothing else besides public
//!   ones: whoever may choose what such a name resolves to can reach all of the private network, but no loopback and no link-local address.
//! - `allow_networks` opens whatever it names, whichever webhook asks: `127.0.0.0/8` is every service of this machine, `0.0.0.0/0` all of
//!   IPv4. Two things it does not open in passing: addresses at which clouds serve credentials, which have to be named
//!   exactly (`169.254.169.254/32`), and what no server can have (unspecified, multicast, broadcast).
//! - An IPv6 address that stands for an IPv4 address (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) needs permission for
//!   both: that its range is open, and that what it stands for may be reached. So `allow_networks = ["64:ff9b::/96"]` is
//!   right where the network has IPv6 and NAT64 only, and does not lead back into 10.0.0.0/8.
//!
//! [`Checked`] has a private field and only [`Destinations::address`] and [`Destinations::addresses`] build one; what connects takes
//! nothing else. Not seen from here are public addresses of this machine itself, behind which nothing stands that the Internet does not
//! see anyway unless a firewall keeps it out; and a NAT64 whose prefix is the network's own (RFC 6052 §2.2), whose addresses look like
//! any others: such a translator must not lead to private addresses.

mod embedded;
mod forbidden;
pub mod ranges;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Host;

use crate::config::webhooks::destinations::{self, HostPattern};
use embedded::embedded;
pub use forbidden::Forbidden;
use ranges::{Guard, Range};

/// Where events may go.
#[derive(Debug, Clone)]
pub struct Destinations {
    networks: Vec<IpNet>,
    hosts: Vec<HostPattern>,
    ports: Vec<u16>,
}

/// An address that events may go to. Only a check builds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checked(SocketAddr);

impl Checked {
    /// The address, to connect to.
    #[must_use]
    pub fn socket(self) -> SocketAddr {
        self.0
    }
}

impl Destinations {
    /// As they are configured.
    #[must_use]
    pub fn new(config: &destinations::Destinations) -> Self {
        Self {
            networks: config.networks.clone(),
            hosts: config.hosts.clone(),
            ports: config.ports.clone(),
        }
    }

    /// Whether events may go to this host, as far as that can be said before its name is resolved: its port, and a literal address.
    ///
    /// # Errors
    /// Why not.
    pub fn host(&self, host: &Host<impl AsRef<str>>, port: u16) -> Result<(), Forbidden> {
        self.port(port)?;
        match host {
            Host::Domain(_) => Ok(()),
            Host::Ipv4(address) => self.judge("", (*address).into()),
            Host::Ipv6(address) => self.judge("", (*address).into()),
        }
    }

    /// Whether events for `host` may go to this address: one that its name resolved to, or that a connection in a pool leads to.
    ///
    /// `host` is as [`crate::config::webhooks::url::Target`] has it: in lower case, without a dot at its end.
    ///
    /// # Errors
    /// Why not.
    pub fn address(&self, host: &str, port: u16, address: IpAddr) -> Result<Checked, Forbidden> {
        self.port(port)?;
        self.judge(host, address)?;
        Ok(Checked(SocketAddr::new(address, port)))
    }

    /// Whether events for `host` may go to all of these addresses, which its name resolved to.
    ///
    /// One forbidden address is enough to refuse the name: whoever mixes public addresses with private ones is after the
    /// private ones, or has a name that means different things inside and outside, and that belongs in `allow_hosts`.
    ///
    /// # Errors
    /// Why not, of the first that is forbidden.
    pub fn addresses(&self, host: &str, port: u16, addresses: &[IpAddr]) -> Result<Vec<Checked>, Forbidden> {
        let checked = addresses.iter().map(|address| self.address(host, port, *address));
        checked.collect()
    }

    fn port(&self, port: u16) -> Result<(), Forbidden> {
        if self.ports.contains(&port) {
            Ok(())
        } else {
            Err(Forbidden::Port(port))
        }
    }

    /// What it stands for comes first: a metadata address in disguise is called by its name.
    fn judge(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        let range = ranges::find(address);
        if let IpAddr::V6(outer) = address {
            for inner in embedded(outer, range) {
                if let Some(range) = ranges::find(inner.into()).filter(|range| !self.opens(range, host, inner.into())) {
                    let embedded = Some(inner);
                    return Err(Forbidden::Address {
                        address,
                        range,
                        embedded,
                    });
                }
            }
        }
        match range.filter(|range| !self.opens(range, host, address)) {
            Some(range) => Err(Forbidden::Address {
                address,
                range,
                embedded: None,
            }),
            None => Ok(()),
        }
    }

    /// Whether an option opens `range` for `address`, in the name of `host`.
    fn opens(&self, range: &Range, host: &str, address: IpAddr) -> bool {
        let by_network = || self.networks.iter().any(|network| network.contains(&address));
        match range.guard {
            Guard::Private => by_network() || self.hosts.iter().any(|pattern| pattern.matches(host)),
            Guard::Reserved => by_network(),
            Guard::Exact => self.networks.contains(&IpNet::from(address)),
            Guard::Never => false,
        }
    }
}
