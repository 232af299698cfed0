//! Why events may not go somewhere, in words.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::ranges::{Guard, Range};

/// A destination that events may not go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// A port that `allow_ports` does not name.
    Port(u16),
    /// An address in a range that no option opens.
    Address {
        /// The address: the receiver's own, or what its name resolved to.
        address: IpAddr,
        /// Where it lies; of one that stands for an IPv4 address, where that lies.
        range: &'static Range,
        /// The IPv4 address that it stands for, where that is what is forbidden.
        embedded: Option<Ipv4Addr>,
    },
}

impl Forbidden {
    /// Stable and of few values: `port`, or the code of the range.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Port(_) => "port",
            Self::Address { range, .. } => range.code,
        }
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(
                f,
                "Events do not go to port {port}; `allow_ports` of [webhooks] says which ports they may go to."
            ),
            Self::Address {
                address,
                range,
                embedded,
            } => {
                write!(f, "{address} ")?;
                if let Some(embedded) = embedded {
                    write!(f, "stands for {embedded}, which ")?;
                }
                write!(f, "is {} ({}, {}). ", range.name, range.network, range.source)?;
                match range.guard {
                    Guard::Private => f.write_str(
                        "For a receiver of your own, name its host in `allow_hosts` or its network in `allow_networks` of [webhooks].",
                    ),
                    Guard::Reserved => {
                        f.write_str("Only `allow_networks` of [webhooks] could allow it, with a network that holds it.")
                    }
                    Guard::Exact => write!(
                        f,
                        "Only `allow_networks` of [webhooks] could allow it, with exactly \"{}\".",
                        IpNet::from(embedded.map_or(*address, IpAddr::from))
                    ),
                    Guard::Never => f.write_str("No server can be there, and no option allows it."),
                }
            }
        }
    }
}

impl std::error::Error for Forbidden {}
