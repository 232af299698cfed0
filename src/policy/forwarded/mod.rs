//! Who the client is, when others stand between it and Keygate, and what the upstream is told about that.
//!
//! A room of its own because source networks, `require_tls` and the failure bucket all rest on the one answer given here.
//!
//! Security:
//! - Only what a trusted peer says is read. From there the chain is walked from its right end, each hop believed because
//!   the one to its right is trusted; the first untrusted address is the client.
//! - What a trusted peer says and does not parse as an address ends the walk at the last good hop. A `Forwarded` line that
//!   breaks the grammar can hide what a proxy appended to it (an open quote of the client's swallows it), so there the
//!   client is not known at all, which is allowed nowhere that sources are restricted.
//! - TLS is believed only where every `X-Forwarded-Proto` value says so.
//! - The upstream gets one header of each kind. A chain is passed on only from a trusted peer, and only as far as it
//!   consists of well-formed hops.

mod elements;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::{SmallVec, smallvec};

use self::elements::Chain;
use super::credential::fields;
use super::head::{ClientHead, Peer};
use super::header_law::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use super::hygiene::authority::Authority;
use crate::config::ingress::{ForwardedStyle, TrustedProxies};

/// The client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address; `None` where it is not known (a Unix socket, a broken `Forwarded`).
    pub address: Option<IpAddr>,
    /// Whether it uses TLS, towards Keygate or towards the trusted proxy that terminated it.
    pub tls: bool,
    /// Whether it is on this host: at a loopback address or on a Unix socket, with nothing said about it that was not
    /// understood. An unknown address alone is no sign of that.
    pub local: bool,
    /// Whether the connection's peer is trusted: whose `X-Request-Id` and `traceparent` are kept.
    pub trusted: bool,
}

/// The headers to inject: at most one of each kind.
pub type Rendered = SmallVec<[(HeaderName, HeaderValue); 3]>;

/// Finds the client, from the connection's peer and what the headers of a trusted one say.
#[must_use]
pub fn client(head: &ClientHead<'_>, proxies: &TrustedProxies, style: ForwardedStyle) -> Client {
    let peer = Client {
        address: head.peer.address,
        tls: head.peer.tls,
        local: is_local(head.peer.address),
        trusted: proxies.trusts(head.peer.address),
    };
    if !peer.trusted {
        return peer;
    }
    match style {
        ForwardedStyle::XForwarded => by_addresses(peer, head.headers, proxies),
        ForwardedStyle::Forwarded => by_elements(peer, &Chain::parse(head.headers), proxies),
        ForwardedStyle::None => peer,
    }
}

/// The forwarded headers for the upstream. `host` is the request's own ([`super::hygiene::Checked::authority`]).
#[must_use]
pub fn render(head: &ClientHead<'_>, client: Client, host: &HeaderValue, style: ForwardedStyle) -> Rendered {
    match style {
        ForwardedStyle::XForwarded => x_forwarded(head, client, host),
        ForwardedStyle::Forwarded => {
            let value = forwarded(head, client, host);
            smallvec![(FORWARDED, value)]
        }
        ForwardedStyle::None => Rendered::new(),
    }
}

fn by_addresses(peer: Client, headers: &HeaderMap, proxies: &TrustedProxies) -> Client {
    let mut client = peer;
    client.tls = x_forwarded_tls(headers).unwrap_or(peer.tls);
    for hop in x_forwarded_for(headers).rev() {
        if !client.step(address_of(hop), proxies) {
            break;
        }
    }
    client
}

fn by_elements(peer: Client, chain: &Chain<'_>, proxies: &TrustedProxies) -> Client {
    let mut client = peer;
    for element in chain.elements.iter().rev() {
        client.tls = element.proto.as_deref().map_or(peer.tls, is_tls);
        if !client.step(element.node.as_deref().and_then(address_of), proxies) {
            return client;
        }
    }
    if chain.broken {
        client.address = None;
        client.tls = false;
        client.local = false;
    }
    client
}

impl Client {
    /// Goes on to the hop that the one reached so far, which is trusted, speaks of. `None`: it is not an address. Whether
    /// the walk goes on from there.
    fn step(&mut self, hop: Option<IpAddr>, proxies: &TrustedProxies) -> bool {
        self.local = hop.is_some() && is_local(hop);
        if hop.is_none() {
            return false;
        }
        self.address = hop;
        proxies.trusts(hop)
    }
}

/// `None` is a Unix socket.
fn is_local(address: Option<IpAddr>) -> bool {
    address.is_none_or(|address| address.is_loopback())
}

/// The non-empty values of all X-Forwarded-For lines.
fn x_forwarded_for(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &[u8]> {
    values(headers, &X_FORWARDED_FOR)
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a> {
    let lines: SmallVec<[&[u8]; 2]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let values = lines.into_iter().flat_map(fields::entries).map(fields::trim);
    values.filter(|value| !value.is_empty())
}

fn x_forwarded_tls(headers: &HeaderMap) -> Option<bool> {
    let mut said = values(headers, &X_FORWARDED_PROTO).peekable();
    said.peek()?;
    Some(said.all(is_tls))
}

fn is_tls(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"https") || scheme.eq_ignore_ascii_case(b"wss")
}

/// An address, with or without a port and brackets. `unknown` and obfuscated names are none.
fn address_of(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?;
    let bracketed = || node.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || node.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address: IpAddr = node.parse().ok().or_else(with_port).or_else(bracketed)?;
    Some(address.to_canonical())
}

fn x_forwarded(head: &ClientHead<'_>, client: Client, host: &HeaderValue) -> Rendered {
    let chain = if client.trusted {
        chain(head)
    } else {
        head.peer.written.clone()
    };
    let proto = if client.tls { "https" } else { "http" };
    let said = if client.trusted {
        x_forwarded_host(head.headers)
    } else {
        None
    };
    let mut rendered = Rendered::new();
    rendered.extend(chain.map(|chain| (X_FORWARDED_FOR, chain)));
    rendered.push((X_FORWARDED_PROTO, HeaderValue::from_static(proto)));
    rendered.push((X_FORWARDED_HOST, said.map_or_else(|| host.clone(), value)));
    rendered
}

/// The well-formed end of what a trusted peer says, then the peer itself.
fn chain(head: &ClientHead<'_>) -> Option<HeaderValue> {
    let good = x_forwarded_for(head.headers).rev();
    let mut chain: Vec<&[u8]> = good.take_while(|hop| address_of(hop).is_some()).collect();
    chain.reverse();
    chain.extend(head.peer.written.as_ref().map(HeaderValue::as_bytes));
    (!chain.is_empty()).then(|| value(&chain.join(&b", "[..])))
}

/// What a trusted peer says: believed where it is one valid host.
fn x_forwarded_host(headers: &HeaderMap) -> Option<&[u8]> {
    let mut said = values(headers, &X_FORWARDED_HOST);
    let host = said.next()?;
    (said.next().is_none() && Authority::parse(host).is_some()).then_some(host)
}

/// RFC 7239 §4: a trusted peer's elements, then one of our own about this connection.
fn forwarded(head: &ClientHead<'_>, client: Client, host: &HeaderValue) -> HeaderValue {
    let mut chain = String::new();
    if client.trusted {
        for element in Chain::parse(head.headers).elements {
            chain.push_str(element.text);
            chain.push_str(", ");
        }
    }
    write_element(&mut chain, head.peer, host.to_str().unwrap_or_default());
    value(chain.as_bytes())
}

fn write_element(chain: &mut String, peer: &Peer, authority: &str) {
    let proto = if peer.tls { "https" } else { "http" };
    let written = match peer.address {
        Some(IpAddr::V4(address)) => write!(chain, "for={address};proto={proto};host=\"{authority}\""),
        Some(IpAddr::V6(address)) => write!(chain, "for=\"[{address}]\";proto={proto};host=\"{authority}\""),
        None => write!(chain, "for=unknown;proto={proto};host=\"{authority}\""),
    };
    written.expect("writing to a string does not fail");
}

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).expect("made of parts of valid values")
}
