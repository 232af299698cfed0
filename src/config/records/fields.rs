//! The values of a record's fields: text → what a record holds, each problem at its own place.
//!
//! A room of its own because all kinds of records are made of the same few: words that will stand in a header, text for people,
//! names that the configuration declares, networks, and free-form tables.

use ipnet::IpNet;
use serde_json::{Map, Number};

use super::scope::{Names, Scope};
use crate::config::document::Value;
use crate::config::reader::{Item, list, nearest};

/// Most bytes of an id.
pub(super) const ID_BYTES_MAX: usize = 128;
/// Most bytes of a name or an owner.
const NAME_BYTES_MAX: usize = 256;
/// Most characters of a reason.
const REASON_CHARACTERS_MAX: usize = 256;
/// Most entries of a list in a record.
pub(super) const LIST_MAX: usize = 256;
/// How deep free-form tables may be: a line of JSON, which may be written from them, holds no deeper ones.
const DEPTH_MAX: usize = 15;

/// `Some(None)` where the option is not set, `None` where it is wrong.
#[allow(clippy::option_option)] // exactly the three cases that there are
pub(super) fn optional<'d, T>(item: Option<Item<'d>>, read: impl FnOnce(Item<'d>) -> Option<T>) -> Option<Option<T>> {
    match item {
        None => Some(None),
        Some(item) => read(item).map(Some),
    }
}

/// Visible ASCII.
pub(super) fn visible<'d>(item: &Item<'d>, bytes_max: usize) -> Option<&'d str> {
    let text = item.text()?;
    if text.len() <= bytes_max && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(text);
    }
    item.error(
        format!("is longer than {bytes_max} characters, or not visible ASCII"),
        "letters, digits and signs, without spaces",
    );
    None
}

/// Text for people.
pub(super) fn label<'d>(item: &Item<'d>) -> Option<&'d str> {
    let text = item.text()?;
    if text.len() <= NAME_BYTES_MAX && !text.contains(char::is_control) {
        return Some(text);
    }
    item.error(
        format!("is longer than {NAME_BYTES_MAX} bytes, or holds control characters"),
        "one short line",
    );
    None
}

/// Why something was done, for people: in no header, and so longer than a label.
pub(super) fn reason_text<'d>(item: &Item<'d>) -> Option<&'d str> {
    let text = item.text()?;
    if text.chars().count() <= REASON_CHARACTERS_MAX && !text.contains(char::is_control) {
        return Some(text);
    }
    item.error(
        format!("is longer than {REASON_CHARACTERS_MAX} characters, or holds control characters"),
        "one line",
    );
    None
}

/// A list of words that will stand in one header, separated by spaces.
pub(super) fn words(item: &Item<'_>) -> Option<Vec<String>> {
    let items = short_list(item)?;
    let words: Vec<String> = items
        .iter()
        .filter_map(|item| visible(item, ID_BYTES_MAX))
        .map(str::to_owned)
        .collect();
    (words.len() == items.len()).then_some(words)
}

/// Permissions; what probably is a slip of the pen is said once.
pub(super) fn read_permissions(item: &Item<'_>, scope: &mut Scope) -> Option<Vec<String>> {
    let permissions = words(item)?;
    let Some(catalogue) = &mut scope.permissions else {
        return Some(permissions);
    };
    for (name, item) in permissions.iter().zip(item.list()?) {
        if catalogue.is_news(name) {
            let known = catalogue.all();
            let help = match nearest(name, &known) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!(
                    "known are {}; if the service asks for it, declare it: [permissions.\"{name}\"] includes = []",
                    list(&known)
                ),
            };
            item.warning("is a permission that no route asks for", help);
        }
    }
    Some(permissions)
}

/// Reads networks of callers: at least one.
pub(in crate::config) fn networks(item: &Item<'_>) -> Option<Vec<IpNet>> {
    let items = short_list(item)?;
    if items.is_empty() {
        item.error(
            "is empty, which would admit callers from everywhere",
            "name a network, or remove the option",
        );
        return None;
    }
    let networks: Vec<IpNet> = items.iter().filter_map(network).collect();
    (networks.len() == items.len()).then_some(networks)
}

fn network(item: &Item<'_>) -> Option<IpNet> {
    let text = item.text()?;
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    let Ok(network) = network else {
        item.error(
            "is not a network or an address",
            "for example \"203.0.113.0/24\", \"2001:db8::/32\" or \"203.0.113.7\"",
        );
        return None;
    };
    if network.addr() != network.network() {
        item.error(
            format!("has bits behind its /{}", network.prefix_len()),
            format!(
                "write \"{}\", or the address without the prefix length",
                network.trunc()
            ),
        );
        return None;
    }
    if let IpNet::V6(v6) = network
        && v6.network().to_ipv4_mapped().is_some()
        && v6.prefix_len() >= 96
    {
        item.error(
            "is an IPv4 address in IPv6 form",
            "write it as IPv4: callers are compared that way",
        );
        return None;
    }
    Some(network)
}

pub(super) fn short_list<'d>(item: &Item<'d>) -> Option<Vec<Item<'d>>> {
    let items = item.list()?;
    if items.len() <= LIST_MAX {
        return Some(items);
    }
    item.error(format!("has {} entries", items.len()), format!("at most {LIST_MAX}"));
    None
}

/// The index of a name that the configuration declares.
pub(super) fn reference(item: &Item<'_>, kind: &str, section: &str, names: &mut Names) -> Option<u16> {
    let name = item.text()?;
    let found = names.find(name);
    if found.is_none() {
        let known = names.all();
        let help = match nearest(name, &known) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => format!("declare it in the configuration: [{section}.{name}]"),
            None => format!(
                "declare it in the configuration: [{section}.{name}]; known are {}",
                list(&known)
            ),
        };
        item.error(format!("names {kind} that does not exist"), help);
    }
    found
}

/// A table of anything, as JSON.
pub(super) fn free_form(item: &Item<'_>) -> Option<Map<String, serde_json::Value>> {
    item.table()?.ignore_rest();
    if depth(item.value()) > DEPTH_MAX {
        item.error("is nested too deeply", format!("at most {DEPTH_MAX} levels"));
        return None;
    }
    match json(item.value()) {
        Some(serde_json::Value::Object(map)) => Some(map),
        Some(_) | None => {
            item.error(
                "holds a number that JSON cannot hold",
                "write nan, inf and very large numbers as strings",
            );
            None
        }
    }
}

/// How many levels of lists and tables there are.
fn depth(value: &Value<'_>) -> usize {
    match value {
        Value::List(nodes) => 1 + nodes.iter().map(|node| depth(&node.value)).max().unwrap_or(0),
        Value::Table(entries) => 1 + entries.iter().map(|entry| depth(&entry.node.value)).max().unwrap_or(0),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => 0,
    }
}

fn json(value: &Value<'_>) -> Option<serde_json::Value> {
    Some(match value {
        Value::String(text) => text.as_ref().into(),
        Value::Integer(number) => Number::from_i128(*number)?.into(),
        Value::Float(number) => Number::from_f64(*number)?.into(),
        Value::Boolean(value) => (*value).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::List(nodes) => nodes.iter().map(|node| json(&node.value)).collect::<Option<_>>()?,
        Value::Table(entries) => {
            let members = entries
                .iter()
                .map(|entry| Some((entry.key.as_ref().to_owned(), json(&entry.node.value)?)));
            serde_json::Value::Object(members.collect::<Option<_>>()?)
        }
    })
}
