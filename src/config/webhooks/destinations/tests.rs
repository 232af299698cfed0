//! What is read, and every word that is said.

use std::net::SocketAddr;
use std::path::Path;

use super::{Destinations, HostPattern, read, read_resolvers};
use crate::config::document::Source;
use crate::config::problem::Report;
use crate::config::reader::Table;

/// The options, the resolvers, and all that is reported.
pub(super) fn read_text(text: &str) -> (Destinations, Vec<SocketAddr>, String) {
    let report = Report::new();
    let source = Source::new(Path::new("f.toml"), text);
    let node = source.parse_toml(&report);
    let table = Table::root(&source, &node, &report);
    let (destinations, resolvers) = (read(&table), read_resolvers(&table));
    drop(table);
    (destinations, resolvers, report.into_problems().to_string())
}

#[test]
fn nothing_is_the_internet_on_two_ports_and_the_systems_resolvers() {
    let (destinations, resolvers, problems) = read_text("");
    assert_eq!(problems, "");
    assert_eq!(destinations, Destinations::default());
    assert_eq!(destinations.ports, [80, 443]);
    assert_eq!(resolvers, []);
}

#[test]
fn every_option_is_read() {
    let (destinations, resolvers, problems) = read_text(
        "allow_networks = [\"10.0.0.0/8\", \"192.168.1.77/24\", \"::1\"]\nallow_hosts = [\"Hooks.Internal.\", \"*.Svc.Cluster.Local\", \
         \"münchen\"]\nallow_ports = [8443]\nresolvers = [\"10.0.0.10:5353\", \"10.0.0.11\", \"fd00::10\", \"[fd00::10]:54\"]\n",
    );
    assert_eq!(problems, "");
    let networks: Vec<String> = destinations.networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "192.168.1.0/24", "::1/128"]);
    assert_eq!(
        destinations.hosts,
        [
            HostPattern::Exact("hooks.internal".to_owned()),
            HostPattern::Below("svc.cluster.local".to_owned()),
            HostPattern::Exact("xn--mnchen-3ya".to_owned()),
        ]
    );
    assert_eq!(destinations.ports, [8443]);
    let resolvers: Vec<String> = resolvers.iter().map(ToString::to_string).collect();
    assert_eq!(
        resolvers,
        ["10.0.0.10:5353", "10.0.0.11:53", "[fd00::10]:53", "[fd00::10]:54"]
    );
}

#[test]
fn what_is_wrong_is_explained() {
    let rows = [
        (
            "allow_networks = [\"hooks.internal\"]",
            "is not a network",
            "an address or a network in CIDR form, such as \"10.0.0.0/8\"; names go to `allow_hosts`",
        ),
        (
            "allow_networks = [\"10.0.0.0/33\"]",
            "is not a network",
            "an address or a network in CIDR form, such as \"10.0.0.0/8\"; names go to `allow_hosts`",
        ),
        (
            "allow_networks = [\"0.0.0.0\"]",
            "is where no server can be",
            "remove it; this machine is \"127.0.0.1\" or \"::1\"",
        ),
        (
            "allow_networks = [\"224.0.0.0/4\"]",
            "is where no server can be",
            "remove it; this machine is \"127.0.0.1\" or \"::1\"",
        ),
        (
            "allow_hosts = [\"10.0.0.7\"]",
            "is an address, not a name",
            "write it in `allow_networks`",
        ),
        (
            "allow_hosts = [\"fd00::1\"]",
            "is an address, not a name",
            "write it in `allow_networks`",
        ),
        (
            "allow_hosts = [\"hooks.internal:8443\"]",
            "is more than a host's name",
            "a name such as \"hooks.internal\", or \"*.internal\" for every name below; ports go to `allow_ports`",
        ),
        (
            "allow_hosts = [\"*\"]",
            "has a `*` that is not the whole first label",
            "a name such as \"hooks.internal\", or \"*.internal\" for every name below",
        ),
        (
            "allow_hosts = [\"hooks*.internal\"]",
            "has a `*` that is not the whole first label",
            "a name such as \"hooks.internal\", or \"*.internal\" for every name below",
        ),
        (
            "allow_hosts = [\"hooks internal\"]",
            "is not a host's name",
            "a name such as \"hooks.internal\", or \"*.internal\" for every name below",
        ),
        (
            "allow_ports = []",
            "names no port, so that nothing could be delivered",
            "for example [443], or remove it for 80 and 443",
        ),
        ("allow_ports = [0]", "is out of range", "from 1 to 65535"),
        (
            "resolvers = [\"ns.example\"]",
            "is not the address of a name server",
            "an address, and a port unless it is 53: \"10.0.0.10\", \"10.0.0.10:5353\" or \"[fd00::10]:5353\"",
        ),
        (
            "resolvers = [\"0.0.0.0:53\"]",
            "is not the address of a name server",
            "an address, and a port unless it is 53: \"10.0.0.10\", \"10.0.0.10:5353\" or \"[fd00::10]:5353\"",
        ),
    ];
    for (text, what, help) in rows {
        let (_, _, problems) = read_text(text);
        let lines: Vec<&str> = problems.lines().collect();
        assert!(
            lines[0].contains(" error: ") && lines[0].ends_with(&format!(": {what}")),
            "{text}: {problems}"
        );
        assert_eq!(lines.last(), Some(&format!("  help: {help}").as_str()), "{text}");
    }
}

#[test]
fn a_network_that_is_everything_is_warned_about() {
    let (destinations, _, problems) = read_text("allow_networks = [\"0.0.0.0/0\"]");
    assert_eq!(destinations.networks.len(), 1);
    assert!(
        problems.contains("warning: allow_networks[0]: lets webhooks reach every address"),
        "{problems}"
    );
}
