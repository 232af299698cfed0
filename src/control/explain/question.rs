//! A request that somebody imagines, in words, and as policy sees it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, COOKIE, HOST, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::credentials::Source;
use crate::policy::Policy;
use crate::policy::head::{ClientHead, Peer};
use crate::secret::Secret;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Method and target: `POST /v1/messages?dry_run=1`.
    pub request: String,
    /// Header lines: `Name: value`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// `Host`, or `:authority`; default `localhost`.
    #[serde(default)]
    pub host: Option<String>,
    /// Where the connection comes from; default `127.0.0.1`.
    #[serde(default)]
    pub from: Option<IpAddr>,
    /// Whether it is TLS.
    #[serde(default)]
    pub tls: bool,
    /// What it speaks.
    #[serde(default)]
    pub http: HttpVersion,
    /// Where the key stands: a source's place in the configuration (from 0), its name, or what it is; default the first that
    /// counts on the route.
    #[serde(default, rename = "in")]
    pub source: Option<String>,
    /// The key, if there is one.
    #[serde(default, serialize_with = "expose", deserialize_with = "conceal")]
    pub key: Option<Secret>,
}

/// An HTTP version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.1
    #[default]
    #[serde(rename = "1.1")]
    One,
    /// HTTP/2
    #[serde(rename = "2")]
    Two,
}

/// Why a question makes no request. Quotes nothing that could be a key.
#[derive(Debug)]
pub struct Unanswerable {
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

impl fmt::Display for Unanswerable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Unanswerable {}

/// A request's head that nobody sent.
pub(super) struct Imagined {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    peer: Peer,
}

impl Unanswerable {
    pub(super) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: help.into(),
        }
    }
}

impl Imagined {
    pub(super) fn head(&self) -> ClientHead<'_> {
        ClientHead {
            method: &self.method,
            uri: &self.uri,
            version: self.version,
            headers: &self.headers,
            peer: &self.peer,
        }
    }

    /// How many bytes it takes, written as HTTP/1.1.
    pub(super) fn length(&self) -> usize {
        let target = self.uri.path_and_query().map_or("/", |target| target.as_str());
        let line = self.method.as_str().len() + target.len() + "  HTTP/1.1\r\n".len();
        let fields = self.headers.iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
        line + fields.sum::<usize>() + "\r\n".len()
    }
}

impl Question {
    /// The request that is meant, its key where this generation looks for it.
    pub(super) fn imagine(&self, policy: &Policy) -> Result<Imagined, Unanswerable> {
        let (method, target) = self.split()?;
        let mut headers = HeaderMap::new();
        for line in &self.headers {
            add(&mut headers, line)?;
        }
        let mut target = target.to_owned();
        if let Some(key) = &self.key {
            let path = target.split('?').next().unwrap_or_default();
            let source = self.source(policy, &method, path)?;
            put(source, key, &mut headers, &mut target)?;
        }
        let host = self.host.as_deref().unwrap_or("localhost");
        let (version, uri) = match self.http {
            HttpVersion::One => {
                if self.host.is_some() || !headers.contains_key(HOST) {
                    headers.insert(HOST, value(host, "the host")?);
                }
                (Version::HTTP_11, target.parse::<Uri>())
            }
            HttpVersion::Two => {
                let scheme = if self.tls { "https" } else { "http" };
                (Version::HTTP_2, format!("{scheme}://{host}{target}").parse())
            }
        };
        let uri = uri.map_err(|_| {
            Unanswerable::new(
                "the target cannot stand in a request",
                "percent-encode what is no visible ASCII, as a client has to",
            )
        })?;
        let from = self.from.unwrap_or(Ipv4Addr::LOCALHOST.into());
        Ok(Imagined {
            method,
            uri,
            version,
            headers,
            peer: Peer::new(Some(from), self.tls),
        })
    }

    fn split(&self) -> Result<(Method, &str), Unanswerable> {
        let bad = |what: &str| Unanswerable::new(what, "write method and target, for example \"POST /v1/messages\"");
        let (method, target) = self
            .request
            .trim()
            .split_once(' ')
            .ok_or_else(|| bad("the request names no target"))?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad("the request's method is not one"))?;
        let target = target.trim();
        if !target.starts_with('/') {
            return Err(bad("the request's target does not begin with /"));
        }
        if target.contains('#') {
            return Err(Unanswerable::new(
                "the request's target holds a #, which clients do not send",
                "leave out what stands behind it, or write %23",
            ));
        }
        Ok((method, target))
    }

    /// The source that was named, else the first that counts for the request.
    fn source<'p>(&self, policy: &'p Policy, method: &Method, path: &str) -> Result<&'p Source, Unanswerable> {
        let credentials = &policy.config.credentials;
        let Some(wanted) = &self.source else {
            return policy.first_source(method, path).ok_or_else(|| {
                Unanswerable::new(
                    "no source of keys counts on this route",
                    "name one with `in` all the same",
                )
            });
        };
        let labels: Vec<String> = credentials.labels().collect();
        let named = labels.iter().zip(&credentials.sources).position(|(label, source)| {
            label == wanted
                || source.to_string() == *wanted
                || kind(source) == wanted
                || own_name(source).eq_ignore_ascii_case(wanted)
        });
        let index = wanted.parse().ok().filter(|index| *index < labels.len()).or(named);
        index.map(|index| &credentials.sources[index]).ok_or_else(|| {
            Unanswerable::new(
                "no source of keys is called so",
                format!("the configuration has {}", labels.join(", ")),
            )
        })
    }
}

/// The word of `[[credentials]]` for what it is.
fn kind(source: &Source) -> &'static str {
    match source {
        Source::Scheme { .. } | Source::Header(_) => "header",
        Source::BasicPassword => "basic",
        Source::Query(_) => "query",
        Source::Cookie(_) => "cookie",
        Source::WebSocketProtocol(_) => "websocket_protocol",
    }
}

/// The header's, parameter's or cookie's name.
fn own_name(source: &Source) -> &str {
    match source {
        Source::Scheme { header, .. } | Source::Header(header) => header.as_str(),
        Source::BasicPassword => AUTHORIZATION.as_str(),
        Source::Query(name) | Source::Cookie(name) | Source::WebSocketProtocol(name) => name,
    }
}

/// Puts the key where `source` looks for it.
fn put(source: &Source, key: &Secret, headers: &mut HeaderMap, target: &mut String) -> Result<(), Unanswerable> {
    let key = key.expose();
    match source {
        Source::Scheme { header, scheme } => {
            headers.append(header, secret(&format!("{scheme} {key}"))?);
        }
        Source::Header(header) => {
            headers.append(header, secret(key)?);
        }
        Source::BasicPassword => {
            let encoded = STANDARD.encode(format!("keygate:{key}"));
            headers.append(AUTHORIZATION, secret(&format!("Basic {encoded}"))?);
        }
        Source::Query(name) => {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(name);
            target.push('=');
            target.extend(utf8_percent_encode(key, NON_ALPHANUMERIC));
        }
        Source::Cookie(name) => {
            let others = headers.get(COOKIE).and_then(|value| value.to_str().ok());
            let cookies = others.map_or_else(String::new, |others| format!("{others}; "));
            let cookies = secret(&format!("{cookies}{name}={key}"))?;
            headers.insert(COOKIE, cookies);
        }
        Source::WebSocketProtocol(prefix) => {
            headers.append(SEC_WEBSOCKET_PROTOCOL, secret(&format!("{prefix}{key}"))?);
        }
    }
    Ok(())
}

fn secret(text: &str) -> Result<HeaderValue, Unanswerable> {
    let mut value = value(text, "the key")?;
    value.set_sensitive(true);
    Ok(value)
}

fn value(text: &str, what: &str) -> Result<HeaderValue, Unanswerable> {
    HeaderValue::from_str(text).map_err(|_| {
        Unanswerable::new(
            format!("{what} holds characters that cannot stand in a header"),
            "nobody could send it so",
        )
    })
}

fn add(headers: &mut HeaderMap, line: &str) -> Result<(), Unanswerable> {
    let bad = |what| Unanswerable::new(what, "write `Name: value`");
    let (name, text) = line.split_once(':').ok_or_else(|| bad("a header has no colon"))?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad("a header's name is not one"))?;
    headers.append(name, value(text.trim(), "a header")?);
    Ok(())
}

fn expose<S: Serializer>(key: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    key.as_ref().map(Secret::expose).serialize(serializer)
}

fn conceal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|key| key.map(Secret::new))
}
