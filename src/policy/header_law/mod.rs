//! The header law: what reaches the upstream of a client's head, and what of an answer reaches the client.
//!
//! A room of its own because its order is the security of the whole: **remove what belongs to one connection, strip
//! credentials and reserved names, inject.** Never the other way round, and never in two places.

pub(crate) mod connection;
pub(crate) mod cut;
pub(crate) mod names;
#[cfg(test)]
mod tests;
mod trace;

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, SEC_WEBSOCKET_PROTOCOL, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use smallvec::SmallVec;

use super::credential::{Taken, fields};
use super::forwarded::Rendered;
use crate::config::credentials::Source;
use crate::config::identity::Identity;
use crate::config::ingress::ForwardedStyle;
use crate::config::upstreams::Protocol;

use self::names::{Class, Names};
pub use self::names::{TRACEPARENT, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID};
pub use self::trace::{kept_request_id, kept_traceparent};

/// The law of one generation: its names and sources, compiled.
#[derive(Debug, Clone)]
pub struct HeaderLaw {
    names: Names,
    sources: Box<[Source]>,
    style: ForwardedStyle,
}

/// What [`HeaderLaw::request`] needs to know about one request.
pub struct Rewrite<'a> {
    /// The sources that carried the key; [`super::credential::live`] for a request that needs none.
    pub taken: &'a Taken,
    /// Whether the peer may speak for its clients ([`super::forwarded::Client::trusted`]).
    pub trusted: bool,
    /// What the upstream speaks.
    pub protocol: Protocol,
    /// The protocol to upgrade to, when the permit is for a tunnel ([`super::hygiene::Checked::upgrade`]).
    pub upgrade: Option<HeaderValue>,
    /// The identity headers: [`super::caller::Caller::headers`] or [`super::caller::anonymous_headers`].
    pub identity: &'a [(HeaderName, HeaderValue)],
    /// From [`super::forwarded::render`].
    pub forwarded: Rendered,
    /// `X-Request-Id`: kept ([`kept_request_id`]) or made.
    pub request_id: HeaderValue,
    /// `traceparent`: kept ([`kept_traceparent`]) or made.
    pub traceparent: HeaderValue,
}

/// What happens to all values of one name.
#[derive(Clone, Copy)]
enum Fate {
    Keep,
    Drop,
    CutCookies,
    CutProtocols,
}

impl HeaderLaw {
    /// Compiles the law.
    #[must_use]
    pub fn compile(sources: &[Source], identity: &Identity, style: ForwardedStyle) -> Self {
        Self {
            names: Names::compile(sources, identity),
            sources: sources.into(),
            style,
        }
    }

    /// Strips what asks the upstream to read another method or target than the ones that were decided on.
    #[must_use]
    pub fn without_overrides(mut self) -> Self {
        names::OVERRIDES.iter().for_each(|name| self.names.reserve(name));
        self
    }

    /// Headers that decisions are made by besides, or that the upstream must get: they go through as they are, may not be
    /// named by `Connection`, and nothing that resembles them passes.
    #[must_use]
    pub fn relying_on<'n>(mut self, names: impl Iterator<Item = &'n HeaderName>) -> Self {
        names.for_each(|name| self.names.rely_on(name));
        self
    }

    /// The law for requests, in one pass:
    ///
    /// 1. **Remove** what belongs to one connection: `Connection` (every line) and every name on it, `Keep-Alive`,
    ///    `Proxy-Connection`, `Proxy-Authenticate`, `Proxy-Authorization`, `TE`, `Transfer-Encoding`, `Upgrade`,
    ///    `HTTP2-Settings`; and `Content-Length` beside a `Transfer-Encoding`.
    /// 2. **Strip** the credential where it stood: a header whole, a cookie and a WebSocket protocol entry alone. Strip what
    ///    is reserved, from everybody: the identity headers, `X-Admin-Key`, `X-Request-Id`, `traceparent`; and what only
    ///    the trusted may say: `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, `tracestate`. Names are compared without case and
    ///    with `_` (and any other separator) as `-`; whatever is not spelled like the name that it resembles goes too.
    /// 3. **Inject** the identity headers, the forwarded headers, `X-Request-Id`, `traceparent`; `TE: trailers` where the
    ///    client takes trailers; `Connection: upgrade` and `Upgrade` where the request is to become a tunnel.
    ///
    /// Everything else arrives byte for byte, its order and repetitions included; only the several Cookie lines that
    /// HTTP/2 allows become one for an HTTP/1 upstream (RFC 9113 §8.2.3).
    #[must_use]
    pub fn request(&self, mut headers: HeaderMap, rewrite: Rewrite<'_>) -> HeaderMap {
        let options = connection::options(&headers);
        let chunked = headers.contains_key(TRANSFER_ENCODING);
        let trailers = takes_trailers(&headers);
        let keep_tracestate = rewrite.trusted && headers.get(TRACEPARENT) == Some(&rewrite.traceparent);

        let injected = rewrite.identity.len() + rewrite.forwarded.len() + 5;
        // Emptied and filled again, so that the map's memory goes on to the next request.
        let mut kept: SmallVec<[(HeaderName, HeaderValue); 16]> = SmallVec::new();
        let mut current: Option<(HeaderName, Fate)> = None;
        for (name, value) in headers.drain() {
            if let Some(name) = name {
                let named = options.names(&name);
                let fate = match self.names.class_of(&name) {
                    Class::Plain if named => Fate::Drop,
                    Class::Plain => Fate::Keep,
                    Class::Framing if chunked && name == CONTENT_LENGTH => Fate::Drop,
                    Class::Framing => Fate::Keep,
                    Class::Credential if named => Fate::Drop,
                    Class::Credential => self.credential_fate(&name, rewrite.taken),
                    Class::TraceState if keep_tracestate => Fate::Keep,
                    Class::ClientAddress if rewrite.trusted => self.client_address_fate(),
                    Class::XForwarded | Class::Forwarded if rewrite.trusted => self.forwarded_fate(),
                    Class::XForwarded
                    | Class::Forwarded
                    | Class::ClientAddress
                    | Class::TraceState
                    | Class::HopByHop
                    | Class::Te
                    | Class::Reserved
                    | Class::Misspelled => Fate::Drop,
                };
                current = Some((name, fate));
            }
            let Some((name, fate)) = &current else { continue };
            let rest = match fate {
                Fate::Keep => Some(value),
                Fate::Drop => None,
                Fate::CutCookies => cut::cookies(value, &self.sources, rewrite.taken),
                Fate::CutProtocols => cut::protocols(value, &self.sources, rewrite.taken),
            };
            kept.extend(rest.map(|rest| (name.clone(), rest)));
        }
        headers.reserve(kept.len() + injected);
        for (name, value) in kept {
            headers.append(name, value);
        }

        if rewrite.protocol == Protocol::Http1 {
            cut::join_cookies(&mut headers);
        }
        for (name, value) in rewrite.identity {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in rewrite.forwarded {
            headers.insert(name, value);
        }
        headers.insert(X_REQUEST_ID, rewrite.request_id);
        headers.insert(TRACEPARENT, rewrite.traceparent);
        inject_connection(&mut headers, rewrite.protocol, rewrite.upgrade, trailers);
        headers
    }

    /// The path and query to forward and to log: the target's, without the parameters that are credential sources. All
    /// other parameters stay byte for byte, and no `?` or `&` is left dangling.
    #[must_use]
    pub fn target(&self, uri: &Uri) -> PathAndQuery {
        cut::target(uri, &self.sources)
    }

    /// The law for request trailers: they lose everything that means something to this law, and what RFC 9110 §6.5.1
    /// keeps out of trailers (framing, routing, authentication, request modifiers, content).
    pub fn trailers(&self, trailers: &mut HeaderMap) {
        let stays = |name: &HeaderName| self.names.class_of(name) == Class::Plain && !trailers_must_not_hold(name);
        if trailers.keys().all(stays) {
            return;
        }
        let mut current = None;
        for (name, value) in std::mem::take(trailers) {
            current = name.or(current);
            if let Some(name) = current.as_ref().filter(|name| stays(name)) {
                trailers.append(name.clone(), value);
            }
        }
    }

    /// Whether `Connection` may not name this header: naming it would make somebody drop what others rely on.
    #[must_use]
    pub fn protects(&self, name: &HeaderName) -> bool {
        match self.names.class_of(name) {
            Class::Plain | Class::HopByHop | Class::Te => connection_must_not_name(name),
            Class::Framing
            | Class::Credential
            | Class::Reserved
            | Class::TraceState
            | Class::XForwarded
            | Class::Forwarded
            | Class::ClientAddress
            | Class::Misspelled => true,
        }
    }

    /// Whether a header goes with the credential that stood in it.
    #[must_use]
    pub fn takes(&self, name: &HeaderName, taken: &Taken) -> bool {
        matches!(self.credential_fate(name, taken), Fate::Drop)
    }

    fn credential_fate(&self, name: &HeaderName, taken: &Taken) -> Fate {
        let mut fate = Fate::Keep;
        for index in taken.indices() {
            match &self.sources[index] {
                Source::Scheme { header, .. } | Source::Header(header) if header == name => return Fate::Drop,
                Source::BasicPassword if *name == http::header::AUTHORIZATION => return Fate::Drop,
                Source::Cookie(_) if *name == COOKIE => fate = Fate::CutCookies,
                Source::WebSocketProtocol(_) if *name == SEC_WEBSOCKET_PROTOCOL => fate = Fate::CutProtocols,
                Source::Scheme { .. }
                | Source::Header(_)
                | Source::BasicPassword
                | Source::Query(_)
                | Source::Cookie(_)
                | Source::WebSocketProtocol(_) => {}
            }
        }
        fate
    }

    /// What a trusted peer says: where a dialect is written, both are dropped, one to be written anew.
    fn forwarded_fate(&self) -> Fate {
        match self.style {
            ForwardedStyle::XForwarded | ForwardedStyle::Forwarded => Fate::Drop,
            ForwardedStyle::None => Fate::Keep,
        }
    }

    fn client_address_fate(&self) -> Fate {
        match self.style {
            ForwardedStyle::XForwarded | ForwardedStyle::None => Fate::Keep,
            ForwardedStyle::Forwarded => Fate::Drop,
        }
    }
}

/// The law for answers: what belongs to one connection goes, every name on every `Connection` line included; everything
/// else stays untouched. `switching`: the answer is a 101 to a tunnel, and says `Connection: upgrade` and `Upgrade` again.
#[must_use]
pub fn response(incoming: HeaderMap, switching: bool) -> HeaderMap {
    if !incoming.keys().any(names::is_hop_by_hop) {
        return incoming;
    }
    let options = connection::options(&incoming);
    let upgrade = incoming.get(UPGRADE).filter(|_| switching).cloned();
    let mut outgoing = HeaderMap::with_capacity(incoming.keys_len() + 2);
    let mut current: Option<(HeaderName, bool)> = None;
    for (name, value) in incoming {
        if let Some(name) = name {
            let stays = !names::is_hop_by_hop(&name) && !options.names(&name);
            current = Some((name, stays));
        }
        if let Some((name, true)) = &current {
            outgoing.append(name.clone(), value);
        }
    }
    inject_connection(&mut outgoing, Protocol::Http1, upgrade, false);
    outgoing
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .flat_map(|line| fields::entries(line.as_bytes()))
        .any(|coding| fields::trim(coding).eq_ignore_ascii_case(b"trailers"))
}

/// `TE` is an option of the connection (RFC 9110 §10.1.4), except in HTTP/2, which has no `Connection` (RFC 9113 §8.2.2).
fn inject_connection(headers: &mut HeaderMap, protocol: Protocol, upgrade: Option<HeaderValue>, trailers: bool) {
    let option = match (upgrade.is_some(), trailers && protocol == Protocol::Http1) {
        (true, true) => Some("upgrade, te"),
        (true, false) => Some("upgrade"),
        (false, true) => Some("te"),
        (false, false) => None,
    };
    if let Some(option) = option {
        headers.insert(CONNECTION, HeaderValue::from_static(option));
    }
    if let Some(protocol) = upgrade {
        headers.insert(UPGRADE, protocol);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// End-to-end headers whose removal at a client's wish would change what a request means, or who sent it.
fn connection_must_not_name(name: &HeaderName) -> bool {
    const NAMES: [&str; 13] = [
        "authorization",
        "cache-control",
        "cookie",
        "date",
        "expect",
        "idempotency-key",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authorization",
        "range",
        "transfer-encoding",
        "via",
    ];
    let name = name.as_str();
    NAMES.contains(&name)
        || ["content-", "if-", "sec-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// What trailers may not hold beside the names that have a class (RFC 9110 §6.5.1). Digests may.
fn trailers_must_not_hold(name: &HeaderName) -> bool {
    const NAMES: [&str; 12] = [
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "max-forwards",
        "origin",
        "pragma",
        "range",
        "set-cookie",
    ];
    let name = name.as_str();
    NAMES.contains(&name) || ["accept", "if-", "sec-"].iter().any(|prefix| name.starts_with(prefix))
}
