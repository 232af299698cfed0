//! What a decision may look at.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

/// A client's request head, borrowed for the time of the decision.
#[derive(Clone, Copy)]
pub struct ClientHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target as parsed; its path is matched and forwarded byte for byte.
    pub uri: &'a Uri,
    /// The protocol version of this request.
    pub version: Version,
    /// The header fields as received.
    pub headers: &'a HeaderMap,
    /// Who is on the other end of the connection.
    pub peer: &'a Peer,
}

/// The other end of a client connection: the same for all of its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address, in IPv4 form where it has one; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether the connection itself is TLS.
    pub tls: bool,
    /// The address as an upstream is told it.
    pub(super) written: Option<HeaderValue>,
}

impl Peer {
    /// The peer at `address`.
    #[must_use]
    pub fn new(address: Option<IpAddr>, tls: bool) -> Self {
        let address = address.map(|address| address.to_canonical());
        let written = address.map(|address| {
            let text = Bytes::from(address.to_string());
            HeaderValue::from_maybe_shared(text).expect("an address is visible ASCII")
        });
        Self { address, tls, written }
    }
}
