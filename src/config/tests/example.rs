//! `config.example.toml` is the documentation: it parses, it says the truth about defaults, and nothing is missing.

use std::collections::BTreeSet;

use super::{Place, SMALLEST};
use crate::config::document::{Node, Source, Value};
use crate::config::errors::CODES;
use crate::config::problem::Report;
use crate::config::sources::Sources;
use crate::config::{Config, load};

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// The example with its commented options switched on: those that begin with `#` and no space. Where an option stands
/// there twice, as its default and as another example, the default goes.
fn with_everything() -> String {
    let uncommented: Vec<&str> = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if option.starts_with(|c: char| !c.is_whitespace() && c != '#') => option,
            Some(_) | None => line,
        })
        .collect();
    uncommented.join("\n").replace("access_log = \"all\"\n", "")
}

/// Everything that a configuration says, but not where it is from.
fn said(mut config: Config) -> String {
    config.file.clear();
    format!("{config:#?}")
}

#[test]
fn it_shows_the_defaults() {
    let place = Place::new();
    let example = place.load(EXAMPLE).unwrap();
    assert_eq!(example.warnings, []);
    let smallest = place.load(SMALLEST).unwrap();
    let (example, smallest) = (said(example.config), said(smallest.config));
    let difference = example.lines().zip(smallest.lines()).find(|(a, b)| a != b);
    assert_eq!(difference, None, "the example differs from the smallest configuration");
    assert_eq!(example, smallest);
}

#[test]
fn its_examples_are_valid() {
    let place = Place::new();
    // The environment of tests cannot be changed safely: a variable that cargo sets stands in.
    let text = with_everything()
        .replace("KEYGATE_PEPPER", "CARGO_PKG_DESCRIPTION")
        .replace("KEYGATE_WEBHOOK_SECRET", "CARGO_PKG_DESCRIPTION")
        // Those that stand beside another way of saying the same.
        .replace("file = \"webhook-secret\"\n", "")
        .replace("roots = \"webpki\"\n", "")
        .replace("header = \"X-Event-Type\"\n", "")
        .replace("header = \"X-Event-Id\"\n", "")
        .replace("file = \"jwks.json\"\n", "")
        .replace("cookie = \"access_token\"\n", "");
    let loaded = place.load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.credentials.sources.len(), 6);
    assert_eq!(loaded.config.routes.len(), 5 + 1, "and the one to whoami");
    assert!(loaded.config.whoami.is_some());
}

#[test]
fn it_shows_every_option() {
    let place = Place::new();
    let text = with_everything();
    let report = Report::recording();
    let _ = load::read(
        &place.path("config.toml"),
        &text,
        &mut Sources::default(),
        load::KeysFrom::File(None),
        &report,
    );

    let source = Source::new(std::path::Path::new("config.example.toml"), &text);
    let mut shown = BTreeSet::new();
    collect(&source.parse_toml(&report), "", &mut shown);
    let known = report.options();
    assert!(known.len() > 100, "{known:?}");
    let hidden: Vec<_> = known
        .difference(&shown)
        .filter(|option| !is_of_record(option))
        .collect();
    assert_eq!(hidden, [""; 0], "these options are not in config.example.toml");
}

#[test]
fn it_lists_every_code() {
    for code in CODES {
        assert!(EXAMPLE.contains(code), "{code}");
    }
}

/// Options of key files, which are read in the same run.
fn is_of_record(option: &str) -> bool {
    matches!(option, "keys" | "organizations" | "tombstones")
}

/// The options of a document as [`Report::options`] writes them.
fn collect(node: &Node<'_>, path: &str, shown: &mut BTreeSet<String>) {
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                let is_name = matches!(
                    path,
                    "upstreams"
                        | "environments"
                        | "plans"
                        | "permissions"
                        | "identity.headers"
                        | "errors.templates"
                        | "errors.templates.*.headers"
                        | "whoami.headers"
                );
                let key = if is_name { "*" } else { &entry.key };
                let path = if path.is_empty() {
                    key.to_owned()
                } else {
                    format!("{path}.{key}")
                };
                collect(&entry.node, &path, shown);
                shown.insert(path);
            }
        }
        Value::List(nodes) => nodes.iter().for_each(|node| collect(node, &format!("{path}[]"), shown)),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}
