//! What a route demands beside a permission, and what it changes for its requests.
//!
//! A room of its own because each of these options is read alike, and needs nothing of the pattern but its parameters.

use std::time::Duration;

use http::HeaderName;

use crate::config::environments::EnvironmentId;
use crate::config::names;
use crate::config::reader::{Item, Table, nearest, quoted};
use crate::config::upstreams::UpstreamTimeouts;

/// Something that a request names: the organization or the subscription that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// `"{org}"`: a parameter of the path, by its position among the pattern's.
    Path(u16),
    /// `{ query = "org" }`: a parameter of the query, which must be there exactly once.
    Query(String),
    /// `{ header = "X-Org" }`: a header, which must be there exactly once.
    Header(HeaderName),
}

/// Which subscription a caller needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subscription {
    /// `"messaging"`: this one.
    Named(String),
    /// The one that the request names.
    Told(Parameter),
}

/// A header that has to be there, with something in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequiredHeader {
    /// Its name.
    pub name: HeaderName,
    /// The scheme word that its value begins with, compared without case.
    pub scheme: Option<String>,
}

/// What a route does with refusals of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Enforcement {
    /// `enforce`: no is no.
    #[default]
    Enforce,
    /// `observe`: what would be refused passes, marked and counted.
    Observe,
    /// `off`: nothing is asked; as a public route.
    Off,
}

/// `timeouts` of a route, each in place of the upstream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RouteTimeouts {
    connect: Option<Duration>,
    head: Option<Duration>,
    idle: Option<Duration>,
    /// `Some(None)`, written `false`, is unlimited.
    total: Option<Option<Duration>>,
}

impl RouteTimeouts {
    /// What counts towards an upstream with these timeouts of its own.
    #[must_use]
    pub fn over(&self, upstream: UpstreamTimeouts) -> UpstreamTimeouts {
        UpstreamTimeouts {
            connect: self.connect.unwrap_or(upstream.connect),
            head: self.head.unwrap_or(upstream.head),
            idle: self.idle.unwrap_or(upstream.idle),
            total: self.total.unwrap_or(upstream.total),
        }
    }
}

/// Reads `organization`.
pub(super) fn read_organization(item: &Item<'_>, pattern: &str) -> Option<Parameter> {
    const HELP: &str = "a parameter of the path (\"{org}\"), { query = \"org\" } or { header = \"X-Org\" }";
    if item.is_table() {
        return read_told(item, HELP);
    }
    let text = item.text()?;
    match braced(text) {
        Some(name) => path_parameter(name, pattern, item),
        None => {
            item.error(format!("{text:?} is not a parameter"), HELP);
            None
        }
    }
}

/// Reads `subscription`.
pub(super) fn read_subscription(item: &Item<'_>, pattern: &str) -> Option<Subscription> {
    const HELP: &str =
        "a subscription's name, or what names it: \"{sub}\", { query = \"sub\" }, { header = \"X-Sub\" }";
    if item.is_table() {
        return read_told(item, HELP).map(Subscription::Told);
    }
    let text = item.text()?;
    if let Some(name) = braced(text) {
        return path_parameter(name, pattern, item).map(Subscription::Told);
    }
    if names::is_word(text) {
        return Some(Subscription::Named(text.to_owned()));
    }
    item.error("cannot be a subscription's name", HELP);
    None
}

/// Reads `environment`: one, or several.
pub(super) fn read_environments(item: &Item<'_>, known: &[String]) -> Vec<EnvironmentId> {
    let items = item.list_or_one().unwrap_or_default();
    if items.is_empty() {
        item.error("names no environment", "remove it to admit keys of every environment");
    }
    items
        .iter()
        .filter_map(|item| item.reference("environment", known))
        .map(EnvironmentId)
        .collect()
}

/// Reads `requires_headers`: names, and { name, scheme } for a header with a scheme word.
pub(super) fn read_required_headers(item: &Item<'_>) -> Vec<RequiredHeader> {
    let mut required: Vec<RequiredHeader> = Vec::new();
    for item in item.list().unwrap_or_default() {
        let Some(header) = read_required_header(&item) else {
            continue;
        };
        if required.iter().any(|other| other.name == header.name) {
            item.error("is there twice", "remove one of the two");
        } else {
            required.push(header);
        }
    }
    required
}

fn read_required_header(item: &Item<'_>) -> Option<RequiredHeader> {
    if !item.is_table() {
        let name = names::header(item)?;
        return Some(RequiredHeader { name, scheme: None });
    }
    let table = item.table()?;
    let name = table.require("name", "for example { name = \"Authorization\", scheme = \"Bearer\" }");
    let scheme = table.require("scheme", "without one, write the header's name alone");
    let scheme = scheme.and_then(|item| {
        let word = item.text()?;
        if names::is_token(word) {
            return Some(word.to_owned());
        }
        item.error("is not one word", "for example \"Bearer\"");
        None
    });
    Some(RequiredHeader {
        name: names::header(&name?)?,
        scheme: Some(scheme?),
    })
}

/// Reads `enforcement`.
pub(super) fn read_enforcement(item: &Item<'_>) -> Enforcement {
    let words = [
        ("enforce", Enforcement::Enforce),
        ("observe", Enforcement::Observe),
        ("off", Enforcement::Off),
    ];
    item.word(&words).unwrap_or_default()
}

/// Reads `timeouts`.
pub(super) fn read_timeouts(item: &Item<'_>) -> Option<RouteTimeouts> {
    let table = item.table()?;
    let duration = |key| table.get(key).and_then(|item| item.duration());
    Some(RouteTimeouts {
        connect: duration("connect"),
        head: duration("head"),
        idle: duration("idle"),
        total: table.get("total").map(|item| item.or_off(Item::duration)),
    })
}

/// Reads `body_bytes`; `false`, which lifts the limit of all, is `u64::MAX`.
pub(super) fn read_body_bytes(item: &Item<'_>) -> Option<u64> {
    let mut is_wrong = false;
    let limit = item.or_off(|item| {
        let size = item.size(0..=1 << 50);
        is_wrong = size.is_none();
        size
    });
    if is_wrong {
        None
    } else {
        Some(limit.unwrap_or(u64::MAX))
    }
}

/// The names of a pattern's parameters, `{*rest}` left out, each with its position.
fn parameters(pattern: &str) -> Vec<(&str, u16)> {
    let mut found = Vec::new();
    let mut rest = pattern;
    let mut position = 0;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        if let Some(escaped) = rest.strip_prefix('{') {
            rest = escaped;
            continue;
        }
        let Some(close) = rest.find('}') else { break };
        if !rest.starts_with('*') {
            found.push((&rest[..close], position));
        }
        position += 1;
        rest = &rest[close + 1..];
    }
    found
}

fn path_parameter(name: &str, pattern: &str, item: &Item<'_>) -> Option<Parameter> {
    let known = parameters(pattern);
    let found = known.iter().find(|(known, _)| *known == name);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let help = match nearest(name, &names) {
            Some(near) => format!("did you mean \"{{{near}}}\"?"),
            None if names.is_empty() => "a `{*…}` does not count; or write { query = … } or { header = … }".to_owned(),
            None => format!("it has {}", quoted(&names)),
        };
        item.error(format!("the path has no parameter {{{name}}} of one segment"), help);
    }
    found.map(|(_, position)| Parameter::Path(*position))
}

fn braced(text: &str) -> Option<&str> {
    text.strip_prefix('{')?.strip_suffix('}')
}

fn read_told(item: &Item<'_>, help: &str) -> Option<Parameter> {
    let table: Table<'_> = item.table()?;
    match (table.get("query"), table.get("header")) {
        (Some(query), None) => Some(Parameter::Query(query.text()?.to_owned())),
        (None, Some(header)) => names::header(&header).map(Parameter::Header),
        (Some(_), Some(header)) => {
            header.key_place().error("stands beside `query`", help);
            None
        }
        (None, None) => {
            item.error("names nothing of the request", help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{RouteTimeouts, parameters};
    use crate::config::upstreams::UpstreamTimeouts;

    #[test]
    fn a_routes_timeouts_go_before_the_upstreams_one_by_one() {
        let upstream = UpstreamTimeouts::default();
        assert_eq!(RouteTimeouts::default().over(upstream), upstream);
        let second = Duration::from_secs(1);
        let none = RouteTimeouts::default();
        let cases = [
            (
                RouteTimeouts {
                    connect: Some(second),
                    ..none
                },
                UpstreamTimeouts {
                    connect: second,
                    ..upstream
                },
            ),
            (
                RouteTimeouts {
                    head: Some(second),
                    ..none
                },
                UpstreamTimeouts {
                    head: second,
                    ..upstream
                },
            ),
            (
                RouteTimeouts {
                    idle: Some(second),
                    ..none
                },
                UpstreamTimeouts {
                    idle: second,
                    ..upstream
                },
            ),
            (
                RouteTimeouts {
                    total: Some(Some(second)),
                    ..none
                },
                UpstreamTimeouts {
                    total: Some(second),
                    ..upstream
                },
            ),
        ];
        for (own, expected) in cases {
            assert_eq!(own.over(upstream), expected);
        }
        let limited = UpstreamTimeouts {
            total: Some(second),
            ..upstream
        };
        assert_eq!(
            RouteTimeouts {
                total: Some(None),
                ..none
            }
            .over(limited)
            .total,
            None
        );
    }

    #[test]
    fn parameters_are_numbered_as_the_router_does() {
        let cases: [(&str, &[(&str, u16)]); 5] = [
            ("/v1", &[]),
            ("/v1/{org}/m", &[("org", 0)]),
            ("/{a}/{b}/{*rest}", &[("a", 0), ("b", 1)]),
            ("/{{x}}/{a}.json", &[("a", 0)]),
            ("/{*rest}", &[]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(parameters(pattern), expected, "{pattern}");
        }
    }
}
