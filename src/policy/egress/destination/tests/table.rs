//! `tests/cases/egress/destinations.toml`: URLs, what their names resolve to, and what is said.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;
use url::Host;

use super::super::ranges::ranges;
use super::{Destinations, with};
use crate::config::webhooks::url::Target;

const TABLE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/cases/egress/destinations.toml"
));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    #[serde(default)]
    options: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    url: String,
    #[serde(default)]
    to: Vec<IpAddr>,
    says: String,
}

fn groups() -> Vec<Group> {
    let table: Table = toml::from_str(TABLE).expect("a table");
    table.groups
}

#[test]
fn every_destination_is_judged_as_the_table_says() {
    let mut wrong = Vec::new();
    for group in groups() {
        let destinations = with(&group.options);
        for row in &group.rows {
            let said = judge(&destinations, row);
            if said != row.says {
                wrong.push(format!(
                    "{}: {} {:?}: {said}, not {}",
                    group.name, row.url, row.to, row.says
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
}

/// What is said about a row, before its name is resolved or after; both ways to ask about a literal address must agree.
fn judge(destinations: &Destinations, row: &Row) -> String {
    let Ok(target) = Target::registered(&row.url) else {
        return "url".to_owned();
    };
    let host = target.host.to_string();
    let literal = match target.host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::from(address)),
        Host::Ipv6(address) => Some(IpAddr::from(address)),
    };
    assert_eq!(
        row.to.is_empty(),
        literal.is_some(),
        "{}: only names resolve, and all do",
        row.url
    );
    let before = destinations.host(&target.host, target.port);
    let addresses = literal.map_or_else(|| row.to.clone(), |address| vec![address]);
    let after = destinations.addresses(&host, target.port, &addresses);
    if literal.is_some() {
        assert_eq!(before.err(), after.as_ref().err().copied(), "{}", row.url);
    }
    match (before, after) {
        (Err(forbidden), _) | (Ok(()), Err(forbidden)) => forbidden.code().to_owned(),
        (Ok(()), Ok(checked)) => {
            let sockets: Vec<_> = checked.iter().map(|checked| checked.socket()).collect();
            let expected: Vec<_> = addresses.iter().map(|address| (*address, target.port).into()).collect();
            assert_eq!(sockets, expected, "{}", row.url);
            "allowed".to_owned()
        }
    }
}

#[test]
fn the_table_shows_every_range_and_what_surrounds_it() {
    let rows: Vec<Row> = groups().into_iter().flat_map(|group| group.rows).collect();
    assert!(rows.len() >= 150, "only {} rows", rows.len());
    let said: BTreeSet<&str> = rows.iter().map(|row| row.says.as_str()).collect();
    for range in ranges() {
        assert!(said.contains(range.code), "no row shows {}", range.code);
    }
    for code in said {
        let is_known = ["allowed", "port", "url"].contains(&code) || ranges().any(|range| range.code == code);
        assert!(is_known, "nothing is called {code}");
    }
}
