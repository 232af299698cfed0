//! A receiver's URL, normalised: equal targets for whatever spellings mean the same.
//!
//! A room of its own because two texts meet here that have to be compared, and must never be compared as texts: the URL that is
//! registered, and the target of a request to a forward proxy. Hosts are read as the WHATWG URL standard has it (crate
//! `url`), so that `0x7f.1` and `２１３０７０６４３３` are the addresses that a resolver would take them for; paths and queries are compared
//! after RFC 3986 §6.2.2.
//!
//! # Security
//! What servers read in different ways is refused instead of guessed: user info, fragments, backslashes, characters that the
//! standard drops in silence; and in a forward proxy's target, which chooses among registered paths, also dot segments
//! and encoded slashes. URLs may hold secrets: [`Target`]'s `Debug` and what is said about them show no path and no query.

mod escape;
#[cfg(test)]
mod tests;

use std::fmt;

use http::Uri;
use http::uri::PathAndQuery;
use url::{Host, Url};

use super::destinations::Destinations;
use crate::config::reader::Item;

/// Where a request goes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// A name in lower case and ASCII (punycode) without a dot at its end, or an address.
    pub host: Host<String>,
    /// The scheme's own where the URL names none.
    pub port: u16,
    /// Begins with `/`.
    pub path: String,
    /// Without the question mark; an empty one differs from none.
    pub query: Option<String>,
}

/// The scheme of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is named.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why a text is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Neither `http://` nor `https://`.
    Scheme,
    /// A space, a control character or a backslash.
    Character,
    /// A user or a password.
    UserInfo,
    /// No host, or one that is neither a name nor an address.
    Host,
    /// An IPv6 address with a zone, which means something on one machine only.
    Zone,
    /// Port 0, or no number.
    Port,
    /// `#…`, which no server ever sees.
    Fragment,
    /// A percent sign without two hexadecimal digits, or something else that cannot stand in a request.
    Escape,
    /// `.` or `..` as a segment, however it is spelt.
    DotSegment,
    /// `%2F` or `%5C`.
    EncodedSlash,
}

impl Unusable {
    /// What is wrong, behind "the target …" or "the URL …".
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Scheme => "does not begin with http:// or https://",
            Self::Character => "holds a space, a control character or a backslash",
            Self::UserInfo => "has a user or a password",
            Self::Host => "has no host that is a name or an address",
            Self::Zone => "has an IPv6 address with a zone, which is a place on one machine only",
            Self::Port => "has a port that is not 1 to 65535",
            Self::Fragment => "has a fragment",
            Self::Escape => {
                "holds a percent sign without two hexadecimal digits, or a character that a request cannot have"
            }
            Self::DotSegment => "has a `.` or `..` segment in its path, which servers read in different ways",
            Self::EncodedSlash => "has an encoded slash in its path, which servers read in different ways",
        }
    }

    /// What to write instead.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::Scheme | Self::Host => "for example \"https://hooks.example/in\"",
            Self::Character => "percent-encode it: %20 for a space, %5C for a backslash",
            Self::UserInfo => "remove it; what a receiver knows its sender by goes to `secret` and `sign`",
            Self::Zone => "write the address alone",
            Self::Port => "remove it, or write a port such as :443",
            Self::Fragment => "remove it: receivers never see it; a `#` itself is written %23",
            Self::Escape => "write a percent sign as %25, and other characters percent-encoded",
            Self::DotSegment => "write the path without it",
            Self::EncodedSlash => "write `/`",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Unusable {}

impl Target {
    /// The target that a URL in a file means. Dot segments are resolved, as every client would.
    ///
    /// # Errors
    /// Why it is none.
    pub fn registered(text: &str) -> Result<Self, Unusable> {
        let (scheme, rest) = text.split_once("://").ok_or(Unusable::Scheme)?;
        let scheme = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            _ if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return Err(Unusable::Scheme),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        Self::read(scheme, authority, tail)
    }

    /// The target of a request to a forward proxy (RFC 9112 §3.2.2), in absolute form.
    ///
    /// A fragment is not seen here: [`Uri`] drops it, so that such a target is the one without.
    ///
    /// # Errors
    /// Why it is none, or an ambiguous one.
    pub fn of_uri(uri: &Uri) -> Result<Self, Unusable> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) | None => return Err(Unusable::Scheme),
        };
        let authority = uri.authority().ok_or(Unusable::Host)?.as_str();
        escape::check_unambiguous(uri.path())?;
        let tail = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Self::read(scheme, authority, tail)
    }

    /// `host` or `host:port`, for `Host`: without the port where it is the scheme's own (RFC 9110 §7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What stands in the request line.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// `https://host:port`, without what could be a secret.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.name(), self.authority())
    }

    /// The origin, and whether anything comes after it: `https://host/…`, for logs and people.
    #[must_use]
    pub fn masked(&self) -> String {
        let is_bare = self.path == "/" && self.query.is_none();
        let rest = if is_bare { "" } else { "…" };
        format!("{}/{rest}", self.origin())
    }

    /// `tail` is all from the path on.
    fn read(scheme: Scheme, authority: &str, tail: &str) -> Result<Self, Unusable> {
        let (host, port) = read_authority(authority)?;
        if tail.contains('#') {
            return Err(Unusable::Fragment);
        }
        let is_wrong = |c: char| c.is_control() || c.is_whitespace();
        let path_end = tail.find('?').unwrap_or(tail.len());
        if tail.contains(is_wrong) || tail[..path_end].contains('\\') {
            return Err(Unusable::Character);
        }
        // The standard's own reading of path and query, behind a host that cannot matter.
        let url = Url::parse(&format!("http://host{tail}")).map_err(|_| Unusable::Escape)?;
        let path = escape::normal(url.path())?;
        let query = url.query().map(escape::normal).transpose()?;
        let target = Self {
            scheme,
            host,
            port: port.unwrap_or(scheme.default_port()),
            path,
            query,
        };
        match target.path_and_query().parse::<PathAndQuery>() {
            Ok(_) => Ok(target),
            Err(_) => Err(Unusable::Escape),
        }
    }
}

/// The whole URL, as it is normalised. It may hold a secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path_and_query())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}/…)", self.origin())
    }
}

/// Reads a webhook's `url`.
pub(super) fn read(item: &Item<'_>, destinations: &Destinations) -> Option<Target> {
    let target = match Target::registered(item.text()?) {
        Ok(target) => target,
        Err(unusable) => {
            item.error(unusable.reason(), unusable.help());
            return None;
        }
    };
    if !destinations.ports.contains(&target.port) {
        item.error(
            format!("has port {}, to which events do not go", target.port),
            format!(
                "name it in `allow_ports` of [webhooks]: [{}]",
                with(&destinations.ports, target.port)
            ),
        );
        return None;
    }
    Some(target)
}

/// `80, 443, 8443`
fn with(ports: &[u16], port: u16) -> String {
    let all: Vec<String> = ports.iter().chain([&port]).map(u16::to_string).collect();
    all.join(", ")
}

fn read_authority(authority: &str) -> Result<(Host<String>, Option<u16>), Unusable> {
    if authority.contains('@') {
        return Err(Unusable::UserInfo);
    }
    if authority.contains(|c: char| c.is_control() || c.is_whitespace()) {
        return Err(Unusable::Character);
    }
    let bracket = match (authority.starts_with('['), authority.find(']')) {
        (true, Some(end)) => end + 1,
        (true, None) => return Err(Unusable::Host),
        // An IPv6 address without brackets: nobody can say where its port begins.
        (false, _) if authority.matches(':').count() > 1 => return Err(Unusable::Host),
        (false, _) => 0,
    };
    let (host, port) = match authority[bracket..].find(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(bracket + colon);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    };
    let port = port.filter(|port| !port.is_empty()).map(read_port).transpose()?;
    Ok((read_host(host)?, port))
}

fn read_port(text: &str) -> Result<u16, Unusable> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| is_number && *port > 0);
    port.ok_or(Unusable::Port)
}

/// A name that DNS can hold (RFC 1035 §2.3.4), or an address.
fn read_host(text: &str) -> Result<Host<String>, Unusable> {
    if text.starts_with('[') && text.contains('%') {
        return Err(Unusable::Zone);
    }
    let host = Host::parse(text).map_err(|_| Unusable::Host)?;
    let Host::Domain(name) = host else { return Ok(host) };
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_label = |label: &str| {
        let of_names = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(of_names)
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        Ok(Host::Domain(name.to_owned()))
    } else {
        Err(Unusable::Host)
    }
}
