//! What a decision may look at.

use std::net::IpAddr;

use http::{HeaderMap, Method, Uri, Version};

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
    pub peer: Peer,
}

/// The other end of a client connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// Whether the connection itself is TLS.
    pub tls: bool,
}
