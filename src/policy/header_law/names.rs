//! What a header's name means to the law, whatever its spelling.
//!
//! Upstreams that hand headers on as variables (CGI, WSGI, FastCGI) read `X_Auth_Key_Id`, and some of them `X.Auth.Key.Id`,
//! as `X-Auth-Key-Id`. So names are compared folded: without case, and with every character that is neither letter nor
//! digit as `-`. A name that only folds to one that means something is never let through.

use http::HeaderName;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    SEC_WEBSOCKET_PROTOCOL, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::config::credentials::Source;
use crate::config::identity::Identity;

/// The name of the request id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Who called whom in a trace (W3C Trace Context §3.2).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What goes with a `traceparent` (W3C Trace Context §3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The addresses that a request came through.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme that the client used.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that the client asked for.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_ADMIN_KEY: HeaderName = HeaderName::from_static("x-admin-key");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The names that mean the same in every configuration.
fn fixed() -> impl Iterator<Item = (HeaderName, Class)> {
    [
        (X_ADMIN_KEY, Class::Reserved),
        (X_REQUEST_ID, Class::Reserved),
        (TRACEPARENT, Class::Reserved),
        (TRACESTATE, Class::TraceState),
        (TE, Class::Te),
        (HOST, Class::Framing),
        (CONTENT_LENGTH, Class::Framing),
        (TRAILER, Class::Framing),
        (FORWARDED, Class::Forwarded),
        (X_FORWARDED_FOR, Class::XForwarded),
        (X_FORWARDED_PROTO, Class::XForwarded),
        (X_FORWARDED_HOST, Class::XForwarded),
        (X_REAL_IP, Class::ClientAddress),
    ]
    .into_iter()
    .chain(HOP_BY_HOP.map(|name| (name, Class::HopByHop)))
}

/// What frameworks take for the method, or for the target, in place of the request's own.
pub(crate) const OVERRIDES: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
];

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Nothing: it goes through byte for byte.
    Plain,
    /// Of one connection only (RFC 9110 §7.6.1).
    HopByHop,
    /// `TE`: of one connection too, but `trailers` is said again.
    Te,
    /// `Host`, `Content-Length`, `Trailer`, and what routes rely on: go through, and mean too much to be dropped at a client's
    /// wish.
    Framing,
    /// Where some configured source stands.
    Credential,
    /// Never from a client: identity, `X-Admin-Key`, and what Keygate says itself (`X-Request-Id`, `traceparent`).
    Reserved,
    /// Goes with a `traceparent` that is kept.
    TraceState,
    /// `X-Forwarded-For`, `-Proto`, `-Host`: written anew.
    XForwarded,
    /// `Forwarded`: written anew.
    Forwarded,
    /// `X-Real-IP` and the `X-Forwarded-*` that nobody writes anew.
    ClientAddress,
    /// Folds to a name that means something, but is not spelled like it.
    Misspelled,
}

/// Every name that means something, found by its length.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    by_length: Vec<Vec<Entry>>,
}

#[derive(Debug, Clone)]
struct Entry {
    folded: Box<[u8]>,
    name: HeaderName,
    class: Class,
}

impl Names {
    /// Where one name means several things, the first of identity, the fixed meanings and credentials counts: each is at
    /// least as strict as those behind it.
    pub(crate) fn compile(sources: &[Source], identity: &Identity) -> Self {
        let mut names = Self { by_length: Vec::new() };
        for name in identity.headers.iter().map(|(name, _)| name).chain(&identity.reserved) {
            names.add(name, Class::Reserved);
        }
        for (name, class) in fixed() {
            names.add(&name, class);
        }
        for name in sources.iter().filter_map(header_of) {
            names.add(name, Class::Credential);
        }
        names
    }

    /// A name that no client may send.
    pub(crate) fn reserve(&mut self, name: &HeaderName) {
        self.add(name, Class::Reserved);
    }

    /// A name that means something to a route, unless it means more already.
    pub(crate) fn rely_on(&mut self, name: &HeaderName) {
        if matches!(self.class_of(name), Class::Plain | Class::Misspelled) {
            self.add(name, Class::Framing);
        }
    }

    /// What `name` means.
    pub(crate) fn class_of(&self, name: &HeaderName) -> Class {
        let written = name.as_str().as_bytes();
        let same_length = self.by_length.get(written.len()).map_or(&[][..], Vec::as_slice);
        let mut class = Class::Plain;
        for entry in same_length.iter().filter(|entry| folds_to(written, &entry.folded)) {
            if entry.class == Class::Reserved || entry.name == *name {
                return entry.class;
            }
            class = Class::Misspelled;
        }
        if class == Class::Plain
            && written
                .get(..X_FORWARDED.len())
                .is_some_and(|start| folds_to(start, X_FORWARDED))
        {
            class = Class::ClientAddress;
        }
        class
    }

    fn add(&mut self, name: &HeaderName, class: Class) {
        let written = name.as_str().as_bytes();
        if self.by_length.len() <= written.len() {
            self.by_length.resize_with(written.len() + 1, Vec::new);
        }
        self.by_length[written.len()].push(Entry {
            folded: written.iter().map(|&byte| fold(byte)).collect(),
            name: name.clone(),
            class,
        });
    }
}

const X_FORWARDED: &[u8] = b"x-forwarded-";

/// The header that a source stands in.
pub(crate) fn header_of(source: &Source) -> Option<&HeaderName> {
    match source {
        Source::Scheme { header, .. } | Source::Header(header) => Some(header),
        Source::BasicPassword => Some(&AUTHORIZATION),
        Source::Cookie(_) => Some(&COOKIE),
        Source::WebSocketProtocol(_) => Some(&SEC_WEBSOCKET_PROTOCOL),
        Source::Query(_) => None,
    }
}

/// Whether a header is of one connection only, in answers as in requests (RFC 9110 §7.6.1).
pub(crate) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == TE || HOP_BY_HOP.contains(name)
}

fn folds_to(written: &[u8], folded: &[u8]) -> bool {
    written.len() == folded.len() && written.iter().zip(folded).all(|(&byte, &folded)| fold(byte) == folded)
}

/// Names are lower-case already.
fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte } else { b'-' }
}
