//! A new connection to an upstream.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::upstreams::{Endpoint, Upstream, UpstreamTls};
use crate::policy::refusal::Failure;
use crate::proxy::relay::{Cut, Exchange};
use crate::proxy::stream::{Socket, Stream};
use crate::proxy::sweep::Phase;

/// How to reach an upstream.
pub(super) struct Dial {
    name: String,
    endpoint: Endpoint,
    tls: Option<UpstreamTls>,
}

impl Dial {
    /// To where `upstream` says.
    pub(super) fn new(upstream: &Upstream) -> Self {
        Self {
            name: upstream.name.clone(),
            endpoint: upstream.endpoint.clone(),
            tls: upstream.tls.clone(),
        }
    }

    /// Whether both reach the same place in the same way.
    pub(super) fn is_same(&self, upstream: &Upstream) -> bool {
        let same_tls = match (&self.tls, &upstream.tls) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => {
                Arc::ptr_eq(&ours.client, &theirs.client) && ours.server_name == theirs.server_name
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        self.name == upstream.name && self.endpoint == upstream.endpoint && same_tls
    }

    /// Its name, for the log.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Connects for `exchange`, within `patience`.
    ///
    /// # Errors
    /// `UpstreamUnreachable`, `UpstreamConnectTimeout`, or whatever else cut the exchange in the meantime.
    pub(super) async fn connect(&self, exchange: &Exchange, patience: Duration) -> Result<Stream, Cut> {
        exchange.watch().arm(Phase::Connect, patience);
        // Boxed, since it is rare and large: a request on a pooled connection carries a pointer instead.
        let mut connecting = Box::pin(self.reach(patience));
        let failure = match exchange.watch().guard(connecting.as_mut()).await {
            Ok(Ok(stream)) => return Ok(stream),
            Err(phase) => return Err(exchange.cut_by_phase(phase)),
            Ok(Err(error)) => {
                tracing::debug!(upstream = self.name, %error, "cannot connect");
                match error.kind() {
                    io::ErrorKind::TimedOut => Failure::UpstreamConnectTimeout,
                    _ => Failure::UpstreamUnreachable,
                }
            }
        };
        Err(exchange.cut_by(Cut::Failed(failure)))
    }

    async fn reach(&self, patience: Duration) -> io::Result<Stream> {
        let socket = match &self.endpoint {
            Endpoint::Tcp { host, port } => Socket::Tcp(tcp(host, *port, patience).await?),
            Endpoint::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        };
        match &self.tls {
            None => Ok(Stream::Clear(socket)),
            Some(tls) => {
                let connector = TlsConnector::from(Arc::clone(&tls.client));
                let stream = connector.connect(tls.server_name.clone(), socket).await?;
                Ok(Stream::Tls(Box::new(stream.into())))
            }
        }
    }
}

/// Resolves on every new connection, and tries all addresses in order. Each gets its share of the time, so that a dead
/// first address does not use up what a living second one needs.
async fn tcp(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    let share = patience / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = elapsed.into(),
        }
    }
    Err(last)
}
