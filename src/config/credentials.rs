//! `[[credentials]]`: where a caller's key may stand, in order.

use std::fmt;

use http::HeaderName;

use super::names::{self, is_token_byte};
use super::reader::{self, Item, Table};
use crate::secret::Presented;

/// One place to look for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `header = "Authorization", scheme = "Bearer"`: a header whose value is a scheme word (compared without case), one
    /// or more spaces, and the key.
    Scheme {
        /// The header's name.
        header: HeaderName,
        /// The scheme word, as written in the configuration.
        scheme: String,
    },
    /// `header = "X-API-Key"`: a header whose whole value is the key.
    Header(HeaderName),
    /// `basic = "password"`: the password of `Authorization: Basic` (RFC 7617).
    BasicPassword,
    /// `query = "api_key"`: a query parameter; removed from the target before logging and forwarding.
    Query(String),
    /// `cookie = "api_key"`: one cookie; the others stay.
    Cookie(String),
    /// `websocket_protocol = "keygate.key."`: an entry of `Sec-WebSocket-Protocol` with this prefix; the others stay.
    WebSocketProtocol(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme { header, scheme } => write!(f, "header {header} ({scheme})"),
            Self::Header(header) => write!(f, "header {header}"),
            Self::BasicPassword => write!(f, "basic password"),
            Self::Query(name) => write!(f, "query parameter {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::WebSocketProtocol(prefix) => write!(f, "websocket protocol {prefix}…"),
        }
    }
}

/// The sources of keys, in order, and which of them count where.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// All sources.
    pub sources: Vec<Source>,
    /// Their names, where they have one.
    pub names: Vec<Option<String>>,
    /// The indices of those that count on every route that names none: all without `default = false`.
    pub everywhere: Vec<u16>,
    /// For each, what a key there begins with: one of these. Empty: with anything.
    pub prefixes: Vec<Vec<String>>,
}

/// The sources of a configuration without `[[credentials]]`: `Authorization: Bearer` and `X-API-Key`.
#[must_use]
pub fn default_sources() -> Vec<Source> {
    vec![
        Source::Scheme {
            header: http::header::AUTHORIZATION,
            scheme: "Bearer".to_owned(),
        },
        Source::Header(HeaderName::from_static("x-api-key")),
    ]
}

/// The options that say which kind of source an entry is.
const KINDS: [&str; 5] = ["header", "basic", "query", "cookie", "websocket_protocol"];

/// Header fields that hold a credential in a form of their own, or that Keygate makes itself.
const NOT_SOURCES: &[(&str, &str)] = &[
    ("cookie", "write cookie = \"NAME\" for one cookie of it"),
    ("set-cookie", "it belongs to responses"),
    (
        "sec-websocket-protocol",
        "write websocket_protocol = \"PREFIX\" for an entry of it",
    ),
    ("sec-websocket-key", "it belongs to the WebSocket handshake"),
    ("forwarded", "it says where a request came from"),
    ("x-forwarded-for", "it says where a request came from"),
    ("x-forwarded-host", "it says where a request came from"),
    ("x-forwarded-proto", "it says where a request came from"),
    ("x-request-id", "it names the request in logs"),
    ("traceparent", "it names the request in traces"),
];

/// Reads `[[credentials]]`.
pub(super) fn read(root: &Table<'_>) -> Credentials {
    let Some(item) = root.get("credentials") else {
        return Credentials::everywhere(default_sources());
    };
    let tables = item.tables().unwrap_or_default();
    if tables.is_empty() {
        item.error(
            "is empty, so no key could ever be presented",
            "remove it for `Authorization: Bearer` and `X-API-Key`, or name a source",
        );
    }
    let mut credentials = Credentials::everywhere(Vec::new());
    for table in &tables {
        let name = table.get("name");
        let is_default = table.get("default").and_then(|item| item.boolean()).unwrap_or(true);
        let prefixes = table.get("prefix").map_or_else(Vec::new, |item| read_prefixes(&item));
        let Some(source) = read_one(table) else { continue };
        if credentials.sources.contains(&source) {
            table.place().error("is the same source as one before it", "remove it");
            continue;
        }
        if name.is_none() && !is_default {
            table.place().error(
                "counts nowhere: it is no default, and no route can name it",
                "give it a name, and name it in `credentials` of a route",
            );
        }
        credentials.add(source, name.and_then(|item| read_name(&item)), is_default, prefixes);
    }
    credentials
}

fn read_name(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    names::check("a source of keys", name, item);
    Some(name.to_owned())
}

impl Credentials {
    /// These sources, all of which count on every route.
    #[must_use]
    pub fn everywhere(sources: Vec<Source>) -> Self {
        let mut all = Self {
            sources: Vec::new(),
            names: Vec::new(),
            everywhere: Vec::new(),
            prefixes: Vec::new(),
        };
        for source in sources {
            all.add(source, None, true, Vec::new());
        }
        all
    }

    /// The sources that count on every route that names none.
    #[must_use]
    pub fn counting_everywhere(&self) -> Vec<Source> {
        let counting = self.everywhere.iter();
        counting
            .map(|&index| self.sources[usize::from(index)].clone())
            .collect()
    }

    /// What logs call each source: its name, or what it is.
    pub fn labels(&self) -> impl Iterator<Item = String> {
        let all = self.sources.iter().zip(&self.names);
        all.map(|(source, name)| name.clone().unwrap_or_else(|| source.to_string()))
    }

    /// Whether a value in the source with this index can be a key at all, by the `prefix` of that source.
    #[must_use]
    pub fn may_be_key(&self, source: usize, value: &Presented<'_>) -> bool {
        let prefixes = &self.prefixes[source];
        let fits = |prefix: &String| value.expose().starts_with(prefix.as_bytes());
        prefixes.is_empty() || prefixes.iter().any(fits)
    }

    fn add(&mut self, source: Source, name: Option<String>, is_default: bool, prefixes: Vec<String>) {
        if is_default {
            let index = u16::try_from(self.sources.len()).expect("sources are counted in 16 bits");
            self.everywhere.push(index);
        }
        self.sources.push(source);
        self.names.push(name);
        self.prefixes.push(prefixes);
    }
}

fn read_prefixes(item: &Item<'_>) -> Vec<String> {
    let items = item.list_or_one().unwrap_or_default();
    if items.is_empty() {
        item.error(
            "names no prefix",
            "for example prefix = \"kg_\"; remove it where keys begin with anything",
        );
    }
    let prefixes = items.iter().filter_map(|item| {
        read_text(
            item,
            |b| b.is_ascii_graphic(),
            "visible ASCII without spaces, for example \"kg_\"",
        )
    });
    prefixes.collect()
}

fn read_one(table: &Table<'_>) -> Option<Source> {
    let kinds = KINDS.map(|kind| table.get(kind));
    let scheme = table.get("scheme");
    let help = || format!("write exactly one of {} in each [[credentials]]", reader::list(&KINDS));
    let set: Vec<&Item<'_>> = kinds.iter().flatten().collect();
    if set.len() > 1 {
        set[1].key_place().error("is a second source in one entry", help());
        return None;
    }
    let [header, basic, query, cookie, websocket_protocol] = &kinds;
    if let (Some(scheme), None) = (&scheme, header) {
        scheme.error("goes with `header` only", "remove it");
    }
    if let Some(item) = header {
        read_header(item, scheme.as_ref())
    } else if let Some(item) = basic {
        item.word(&[("password", ())]).map(|()| Source::BasicPassword)
    } else if let Some(item) = query {
        read_query(item).map(Source::Query)
    } else if let Some(item) = cookie {
        read_cookie(item).map(Source::Cookie)
    } else if let Some(item) = websocket_protocol {
        read_text(item, is_token_byte, "a prefix such as \"keygate.key.\"").map(Source::WebSocketProtocol)
    } else {
        table.place().missing("names no source", help());
        None
    }
}

/// Reads a query parameter's name.
pub(super) fn read_query(item: &Item<'_>) -> Option<String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    read_text(item, fits, "letters, digits, `-`, `_`, `.` or `~`")
}

/// Reads a cookie's name.
pub(super) fn read_cookie(item: &Item<'_>) -> Option<String> {
    read_text(item, is_token_byte, "a cookie's name, for example \"api_key\"")
}

/// Reads a header in which a credential stands, with the scheme word before it.
pub(super) fn read_header(item: &Item<'_>, scheme: Option<&Item<'_>>) -> Option<Source> {
    let header = names::header(item)?;
    if let Some((_, why)) = NOT_SOURCES.iter().find(|(name, _)| *name == header) {
        item.error(format!("a key cannot stand in `{header}`"), *why);
        return None;
    }
    let Some(scheme) = scheme else {
        return Some(Source::Header(header));
    };
    let scheme = read_text(scheme, is_token_byte, "one word, for example \"Bearer\"")?;
    if scheme.eq_ignore_ascii_case("basic") {
        item.error("`Basic` has a form of its own", "write basic = \"password\" instead");
        return None;
    }
    Some(Source::Scheme { header, scheme })
}

fn read_text(item: &Item<'_>, fits: impl Fn(u8) -> bool, help: &str) -> Option<String> {
    let text = item.text()?;
    if text.bytes().all(fits) {
        return Some(text.to_owned());
    }
    item.error("holds a character that cannot stand there", help);
    None
}
