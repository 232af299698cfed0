//! `[identity]`: what the upstream is told about the caller.

use http::HeaderName;

use super::names;
use super::reader::{Item, Table};
use super::template::{self, Escape, Template};

/// What is injected.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `[identity.headers]`, or the default set of `X-Auth-*`; then those of `aliases`. Names are unique.
    pub headers: Vec<(HeaderName, Template<Field>)>,
    /// Every name that is removed from requests: all of `headers`, the whole default set, whatever is configured,
    /// `X-Auth-Signature`, `X-Admin-Key`, and what the products named in `aliases` reserve. Unique.
    pub reserved: Vec<HeaderName>,
}

/// What an identity header may tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `{key.id}`
    KeyId,
    /// `{key.name}`
    KeyName,
    /// `{user.id}`
    UserId,
    /// `{organization.id}`, alias `{organization}`
    OrganizationId,
    /// `{organization.name}`
    OrganizationName,
    /// `{permissions}`: space-separated.
    Permissions,
    /// `{environment}`
    Environment,
    /// `{subscriptions}`: space-separated.
    Subscriptions,
    /// `{plan}`
    Plan,
    /// `{status}`: `key`, `user`, `delegated` or `public`.
    Status,
}

/// The placeholders, by name.
const FIELDS: &[(&str, Field)] = &[
    ("key.id", Field::KeyId),
    ("key.name", Field::KeyName),
    ("user.id", Field::UserId),
    ("organization.id", Field::OrganizationId),
    ("organization", Field::OrganizationId),
    ("organization.name", Field::OrganizationName),
    ("permissions", Field::Permissions),
    ("environment", Field::Environment),
    ("subscriptions", Field::Subscriptions),
    ("plan", Field::Plan),
    ("status", Field::Status),
];

impl template::Field for Field {
    fn names() -> &'static [(&'static str, Self)] {
        FIELDS
    }
}

/// What is injected when `[identity.headers]` is not there.
const DEFAULT: &[(&str, Field)] = &[
    ("x-auth-key-id", Field::KeyId),
    ("x-auth-key-name", Field::KeyName),
    ("x-auth-user", Field::UserId),
    ("x-auth-organization", Field::OrganizationId),
    ("x-auth-permissions", Field::Permissions),
    ("x-auth-environment", Field::Environment),
    ("x-auth-subscriptions", Field::Subscriptions),
    ("x-auth-plan", Field::Plan),
    ("x-auth-status", Field::Status),
];

/// Removed from every request besides the default set.
const ALSO_RESERVED: &[&str] = &["x-auth-signature", "x-admin-key"];

/// What another gateway tells its upstreams. Its consumer is an organization here, its credential a key.
struct Product {
    headers: &'static [(&'static str, Field)],
    also_reserved: &'static [&'static str],
}

/// Kong's authentication plugins.
const KONG: Product = Product {
    headers: &[
        ("x-consumer-id", Field::OrganizationId),
        ("x-consumer-custom-id", Field::OrganizationId),
        ("x-consumer-username", Field::OrganizationName),
        ("x-credential-identifier", Field::KeyId),
    ],
    also_reserved: &["x-anonymous-consumer", "x-consumer-groups"],
};

/// APISIX's authentication plugins. A consumer's name is its id there.
const APISIX: Product = Product {
    headers: &[
        ("x-consumer-username", Field::OrganizationId),
        ("x-credential-identifier", Field::KeyId),
        ("x-consumer-custom-id", Field::OrganizationId),
    ],
    also_reserved: &[],
};

/// Reads `[identity]`.
pub(super) fn read(table: &Table<'_>) -> Identity {
    let aliases = table.get("aliases");
    let mut headers = match table.get("headers") {
        Some(item) => item.table().map_or_else(Vec::new, |table| read_headers(&table)),
        None => DEFAULT.iter().map(known).collect(),
    };
    let mut reserved: Vec<HeaderName> = DEFAULT.iter().map(|(name, _)| HeaderName::from_static(name)).collect();
    reserved.extend(ALSO_RESERVED.iter().map(|name| HeaderName::from_static(name)));
    for item in aliases.and_then(|item| item.list_or_one()).unwrap_or_default() {
        let Some(product) = item.word(&[("kong", &KONG), ("apisix", &APISIX)]) else {
            continue;
        };
        for header in product.headers.iter().map(known) {
            if !headers.iter().any(|(name, _)| *name == header.0) {
                headers.push(header);
            }
        }
        reserved.extend(product.also_reserved.iter().map(|name| HeaderName::from_static(name)));
    }
    reserved.extend(headers.iter().map(|(name, _)| name.clone()));
    let mut seen = std::collections::HashSet::new();
    reserved.retain(|name| seen.insert(name.clone()));
    Identity { headers, reserved }
}

fn known((name, field): &(&'static str, Field)) -> (HeaderName, Template<Field>) {
    (HeaderName::from_static(name), Template::field(*field, Escape::Header))
}

fn read_headers(table: &Table<'_>) -> Vec<(HeaderName, Template<Field>)> {
    let mut headers: Vec<(HeaderName, Template<Field>)> = Vec::new();
    for (key, item) in table.names() {
        let template = read_template(&item);
        let Some(name) = names::header_key(key, &item) else {
            continue;
        };
        if headers.iter().any(|(other, _)| folded(other) == folded(&name)) {
            item.key_place().error(
                "names a header for the second time",
                "case, and `_` for `-`, make no difference",
            );
        } else if let Some(template) = template {
            headers.push((name, template));
        }
    }
    headers
}

/// Names that many servers take for the same: `_` is `-`.
fn folded(name: &HeaderName) -> String {
    name.as_str().replace('_', "-")
}

fn read_template(item: &Item<'_>) -> Option<Template<Field>> {
    let text = item.text()?;
    if text.bytes().any(|b| !(b.is_ascii_graphic() || b == b' ')) {
        item.error(
            "holds a character that cannot stand in a header",
            "visible ASCII and placeholders only",
        );
        return None;
    }
    Some(Template::read(text, Escape::Header, item))
}
