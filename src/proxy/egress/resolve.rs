//! A receiver's host → addresses that events may go to.
//!
//! # Security
//! A name is resolved once for each try, and what comes out are [`Checked`] addresses, all of them or none: between the check and the
//! connection nobody is asked again, so that a name which changes its answer (DNS rebinding) gains nothing.
//!
//! Nothing is remembered from one try to the next, not even for the time that an answer says it is good for: the system's resolver
//! does that already, connections to receivers are pooled, and after a receiver has moved, a retry that goes to its old address is
//! a retry wasted.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Resolver as HickoryResolver, TokioResolver};
use tokio::time::timeout;
use url::Host;

use super::deadline::Deadline;
use crate::policy::egress::destination::{Checked, Destinations, Forbidden};

/// Whom to ask for addresses.
pub struct Resolver {
    /// Or why nobody can be asked.
    names: Result<TokioResolver, String>,
}

/// How long the system's files are believed to be as they were read.
const READ_AGAIN: Duration = Duration::from_secs(30);

/// The resolver of now: made anew when others are configured, and now and then, since the system's may have changed.
#[derive(Default)]
pub struct Resolvers(RefCell<Option<Current>>);

struct Current {
    servers: Vec<SocketAddr>,
    resolver: Rc<Resolver>,
    until: Deadline,
}

impl Resolvers {
    /// The one that asks these servers.
    pub fn of(&self, servers: &[SocketAddr]) -> Rc<Resolver> {
        let mut known = self.0.borrow_mut();
        match &*known {
            Some(known) if known.servers == servers && !known.until.left().is_zero() => Rc::clone(&known.resolver),
            Some(_) | None => {
                let resolver = Rc::new(Resolver::new(servers));
                *known = Some(Current {
                    servers: servers.to_vec(),
                    resolver: Rc::clone(&resolver),
                    until: Deadline::after(READ_AGAIN),
                });
                resolver
            }
        }
    }
}

/// Why a host has no addresses that events may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// Events may not go there.
    Forbidden(Forbidden),
    /// There is no such name.
    NoSuchName,
    /// The name is there, and has no address.
    NoAddress,
    /// No name server answered in time.
    Timeout,
    /// The name servers failed.
    Failed(String),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(forbidden) => write!(f, "{forbidden}"),
            Self::NoSuchName => f.write_str("there is no such name"),
            Self::NoAddress => f.write_str("the name has no IPv4 and no IPv6 address"),
            Self::Timeout => f.write_str("no name server answered in time"),
            Self::Failed(why) => write!(f, "the name servers gave no answer: {why}"),
        }
    }
}

impl std::error::Error for Unresolved {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Forbidden(forbidden) => Some(forbidden),
            Self::NoSuchName | Self::NoAddress | Self::Timeout | Self::Failed(_) => None,
        }
    }
}

impl Resolver {
    /// One that asks these name servers only, or where there are none the system's, as `/etc/hosts` and `/etc/resolv.conf` say now.
    #[must_use]
    pub fn new(servers: &[SocketAddr]) -> Self {
        let names = if servers.is_empty() {
            system()
        } else {
            these(servers, Vec::new())
        };
        let unusable =
            |error: NetError| format!("{error}; is /etc/resolv.conf in order? Or name `resolvers` in [webhooks]");
        Self {
            names: names.map_err(unusable),
        }
    }

    /// As [`Self::new`], with a search domain, as the system may have.
    #[cfg(test)]
    pub(super) fn searching(server: SocketAddr, domain: &str) -> Self {
        let domain = domain.parse().expect("a name");
        Self {
            names: these(&[server], vec![domain]).map_err(|error| error.to_string()),
        }
    }

    /// The addresses of `host`, in the order in which to try them, IPv4 first; at least one.
    ///
    /// # Errors
    /// Why there are none, or [`Unresolved::Forbidden`] where events may not go to each of them.
    pub async fn resolve(
        &self,
        destinations: &Destinations,
        host: &Host<String>,
        port: u16,
        patience: Duration,
    ) -> Result<Vec<Checked>, Unresolved> {
        destinations.host(host, port).map_err(Unresolved::Forbidden)?;
        let (name, addresses) = match host {
            Host::Ipv4(address) => ("", vec![IpAddr::from(*address)]),
            Host::Ipv6(address) => ("", vec![IpAddr::from(*address)]),
            Host::Domain(name) => {
                let asked = timeout(patience, self.ask(name, patience)).await;
                (name.as_str(), asked.unwrap_or(Err(Unresolved::Timeout))?)
            }
        };
        destinations
            .addresses(name, port, &addresses)
            .map_err(Unresolved::Forbidden)
    }

    /// Asks for both kinds of addresses at once. When one has come, the other is waited for only a little: there are name servers
    /// that never answer what they do not know.
    async fn ask(&self, name: &str, patience: Duration) -> Result<Vec<IpAddr>, Unresolved> {
        let (v4, v6) = (
            pin!(self.one(name, RecordType::A)),
            pin!(self.one(name, RecordType::AAAA)),
        );
        let (first, other) = select(v4, v6).await.factor_first();
        let second = match &first {
            Ok(_) => timeout(patience / 4, other).await.unwrap_or(Err(Unresolved::Timeout)),
            Err(_) => other.await,
        };
        match (first, second) {
            (Ok(first), Ok(second)) => {
                let mut all = [first, second].concat();
                all.sort_by_key(IpAddr::is_ipv6);
                Ok(all)
            }
            (Ok(addresses), Err(_)) | (Err(_), Ok(addresses)) => Ok(addresses),
            // That there is none of one kind says nothing about the other.
            (Err(Unresolved::NoAddress), Err(why)) | (Err(why), Err(_)) => Err(why),
        }
    }

    /// The addresses of one kind, at least one.
    async fn one(&self, name: &str, kind: RecordType) -> Result<Vec<IpAddr>, Unresolved> {
        let names = self.names.as_ref().map_err(|why| Unresolved::Failed(why.clone()))?;
        // A name of several labels is whole as it stands: what else it could be within the system's search domains is nobody's to
        // choose who registers a URL. A single label means nothing outside of them.
        let whole = if name.contains('.') {
            format!("{name}.")
        } else {
            name.to_owned()
        };
        let found = names.lookup(whole, kind).await.map_err(|error| unresolved(&error))?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.answers().iter().filter_map(|record| record.data.ip_addr()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(Unresolved::NoAddress);
        }
        Ok(addresses)
    }
}

fn system() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    remember_nothing(builder.options_mut());
    builder.build()
}

fn these(servers: &[SocketAddr], search: Vec<Name>) -> Result<TokioResolver, NetError> {
    let servers = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        // The next one is asked where one knows nothing: it may be for other names.
        NameServerConfig::new(server.ip(), false, connections.into())
    });
    let config = ResolverConfig::from_parts(None, search, servers.collect());
    let mut builder = HickoryResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = Duration::from_secs(2);
    remember_nothing(options);
    builder.build()
}

fn remember_nothing(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.positive_max_ttl = Some(Duration::ZERO);
    options.negative_max_ttl = Some(Duration::ZERO);
}

fn unresolved(error: &NetError) -> Unresolved {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Unresolved::NoSuchName,
            ResponseCode::NoError => Unresolved::NoAddress,
            code => Unresolved::Failed(code.to_string()),
        },
        NetError::Timeout => Unresolved::Timeout,
        // The enum is another crate's, and may grow.
        error => Unresolved::Failed(error.to_string()),
    }
}
