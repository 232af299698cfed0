//! `[[legacy]]`: callers that may come without a key until a date.

use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;

use super::names;
use super::patterns;
use super::reader::{Item, Place, Table};
use super::records::read_networks;

/// Callers from before there were keys. All conditions that are there must hold; there is at least one.
#[derive(Debug, Clone)]
pub struct Legacy {
    /// `name`: what logs and metrics call them.
    pub name: Arc<str>,
    /// `sources`: where they come from; empty is everywhere.
    pub sources: Vec<IpNet>,
    /// `header`: what they send.
    pub header: Option<(HeaderName, Option<String>)>,
    /// `path`: a pattern as in `[[routes]]`.
    pub path: Option<String>,
    /// `since`: from when on this is deprecated; Unix seconds. Default: `until`.
    pub since: i64,
    /// `until`: not accepted from then on; Unix seconds.
    pub until: i64,
    /// `note`, for people.
    pub note: Option<String>,
}

/// Reads `[[legacy]]`, each with the place of its `until`.
pub(super) fn read<'d>(root: &Table<'d>) -> Vec<(Legacy, Place<'d>)> {
    let tables = root.get("legacy").and_then(|item| item.tables()).unwrap_or_default();
    let mut entries: Vec<(Legacy, Place<'d>)> = Vec::new();
    for table in &tables {
        let Some((legacy, place)) = read_one(table) else {
            continue;
        };
        if entries.iter().any(|(other, _)| other.name == legacy.name) {
            table.place().error(
                format!("there is already a [[legacy]] named {:?}", legacy.name),
                "give each a name of its own",
            );
        }
        entries.push((legacy, place));
    }
    entries
}

fn read_one<'d>(table: &Table<'d>) -> Option<(Legacy, Place<'d>)> {
    let name = table.require(
        "name",
        "what logs and metrics call these callers: name = \"batch-jobs\"",
    );
    let sources = table.get("sources");
    let header = table.get("header");
    let path = table.get("path");
    let since = table.get("since");
    let until = table.require("until", "the day on which this ends: until = 2027-01-01T00:00:00Z");
    let note = table.get("note");

    if sources.is_none() && header.is_none() && path.is_none() {
        table.place().missing(
            "names nobody: it has neither `sources` nor `header` nor `path`",
            "say how these callers are recognized",
        );
    }
    if let Some(item) = &name
        && let Some(text) = item.text()
    {
        names::check("a [[legacy]] entry", text, item);
    }
    let sources = sources.map_or(Some(Vec::new()), |item| read_networks(&item));
    let header = header.map_or(Some(None), |item| read_header(&item).map(Some));
    let path = path.map_or(Some(None), |item| read_path(&item).map(Some));
    let begins = since.as_ref().map(|item| item.day_or_time());
    let (until_place, until) = until.map(|item| (item.place().clone(), item.day_or_time()))?;
    let until = until?;
    let begins = begins.unwrap_or(Some(until))?;
    if let (Some(item), true) = (since, begins > until) {
        item.error("is after `until`", "nothing ends before it is deprecated (RFC 8594)");
    }
    let legacy = Legacy {
        name: name?.text()?.into(),
        sources: sources?,
        header: header?,
        path: path?,
        since: begins,
        until,
        note: note.and_then(|item| item.text()).map(str::to_owned),
    };
    Some((legacy, until_place))
}

fn read_header(item: &Item<'_>) -> Option<(HeaderName, Option<String>)> {
    if !item.is_table() {
        return Some((names::header(item)?, None));
    }
    let table = item.table()?;
    let name = table.require("name", "for example { name = \"X-Client\", value = \"batch\" }");
    let value = table.get("value");
    let value = value.map_or(Some(None), |item| item.text().map(|text| Some(text.to_owned())));
    Some((names::header(&name?)?, value?))
}

fn read_path(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if !patterns::has_form(text, item.place()) {
        return None;
    }
    let mut router = matchit::Router::new();
    if router.insert(text, ()).is_ok() {
        return Some(text.to_owned());
    }
    item.error("is not a path pattern", "as in [[routes]], for example \"/v1/{*rest}\"");
    None
}
