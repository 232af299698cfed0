//! What the reader says, word for word.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::problem::Report;

/// Reads `text` with `read` and gives everything that was reported.
fn problems(text: &str, read: impl Fn(&Table<'_>)) -> String {
    let report = Report::new();
    let source = Source::new(Path::new("f.toml"), text);
    let node = source.parse_toml(&report);
    read(&Table::root(&source, &node, &report));
    report.into_problems().to_string()
}

#[test]
fn each_type_is_checked_and_explained() {
    type Read = fn(&Item<'_>) -> bool;
    let cases: &[(&str, Read, &str)] = &[
        (
            "a = 1",
            |i| i.string().is_some(),
            "f.toml:1:5: error: a: is a whole number, expected a string\n  a = 1\n      ^\n  help: put it in quotes",
        ),
        (
            "a = \" \"",
            |i| i.text().is_some(),
            "f.toml:1:5: error: a: is empty\n  a = \" \"\n      ^^^\n  help: write a text, or remove the option",
        ),
        (
            "a = \"true\"",
            |i| i.boolean().is_some(),
            "f.toml:1:5: error: a: is a string, expected `true` or `false`\n  a = \"true\"\n      ^^^^^^\n  help: write true or false, without quotes",
        ),
        (
            "a = 0",
            |i| i.integer(1..=256u32).is_some(),
            "f.toml:1:5: error: a: is out of range\n  a = 0\n      ^\n  help: from 1 to 256",
        ),
        (
            "a = 99999999999999999999999999999999999999999",
            |i| i.integer(1..=256u32).is_some(),
            "f.toml:1:5: error: a: is out of range\n  a = 99999999999999999999999999999999999999999\n      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n  help: from 1 to 256",
        ),
        (
            "a = \"10\"",
            |i| i.duration().is_some(),
            "f.toml:1:5: error: a: is not a duration such as \"10s\"\n  a = \"10\"\n      ^^^^\n  help: whole numbers with a unit: ms, s, m, h, d; for example \"500ms\", \"10s\", \"1h30m\"",
        ),
        (
            "a = 10",
            |i| i.duration().is_some(),
            "f.toml:1:5: error: a: is a whole number, expected a duration such as \"10s\"\n  a = 10\n      ^^\n  help: whole numbers with a unit: ms, s, m, h, d; for example \"500ms\", \"10s\", \"1h30m\"",
        ),
        (
            "a = \"0s\"",
            |i| i.duration().is_some(),
            "f.toml:1:5: error: a: is out of range\n  a = \"0s\"\n      ^^^^\n  help: from \"1ms\" to \"3650d\"",
        ),
        (
            "a = \"1M\"",
            |i| i.size(1..=9).is_some(),
            "f.toml:1:5: error: a: is not a size such as \"16MiB\"\n  a = \"1M\"\n      ^^^^\n  help: a whole number with a unit: B, KiB, MiB, GiB; for example \"64KiB\"",
        ),
        (
            "a = 2026-01-15",
            |i| i.datetime().is_some(),
            "f.toml:1:5: error: a: is not a date and time with an offset, such as 2026-01-15T10:00:00Z\n  a = 2026-01-15\n      ^^^^^^^^^^\n  help: write it as in RFC 3339: 2026-01-15T10:00:00Z, or …+02:00",
        ),
        (
            "a = \"jsn\"",
            |i| i.word(&[("json", 1), ("text", 2)]).is_some(),
            "f.toml:1:5: error: a: \"jsn\" is not known here\n  a = \"jsn\"\n      ^^^^^\n  help: did you mean \"json\"? Known: \"json\", \"text\"",
        ),
        (
            "a = 1",
            |i| i.table().is_some(),
            "f.toml:1:5: error: a: is a whole number, expected a table\n  a = 1\n      ^\n  help: write it as a section or as { … }",
        ),
        (
            "a = [1]",
            |i| i.texts().is_some_and(|texts| !texts.is_empty()),
            "f.toml:1:6: error: a[0]: is a whole number, expected a string\n  a = [1]\n       ^\n  help: put it in quotes",
        ),
        (
            "[a]",
            |i| i.tables().is_some(),
            "f.toml:1:1: error: a: is a table, expected a list of tables\n  [a]\n  ^^^\n  help: begin each one with [[a]]",
        ),
    ];
    for (text, read, expected) in cases {
        let found = problems(text, |table| assert!(!read(&table.get("a").unwrap()), "{text}"));
        assert_eq!(&found, expected, "{text}");
    }
}

#[test]
fn each_type_is_read() {
    let text = "s = 'x'\nb = true\ni = 0x10\nd = \"1m\"\nz = \"1KiB\"\nn = 5\nt = 2026-01-15T10:00:00+01:00\nu = \"2026-01-15T09:00:00Z\"\nf = 0.5";
    let report = Report::new();
    let source = Source::new(Path::new("f.toml"), text);
    let node = source.parse_toml(&report);
    let table = Table::root(&source, &node, &report);
    let item = |key| table.get(key).unwrap();
    assert_eq!(item("s").string(), Some("x"));
    assert_eq!(item("b").boolean(), Some(true));
    assert_eq!(item("i").integer(0..=16u8), Some(16));
    assert_eq!(item("d").duration(), Some(Duration::from_secs(60)));
    assert_eq!(item("z").size(0..=9999), Some(1024));
    assert_eq!(item("n").size(0..=9999), Some(5));
    assert_eq!(item("t").datetime(), item("u").datetime());
    assert_eq!(item("u").datetime(), Some(1_768_467_600));
    assert_eq!(item("f").number(0.0..=1.0), Some(0.5));
    drop(table);
    assert!(!report.has_errors());
}

#[test]
fn unknown_missing_renamed_and_repeated_keys() {
    let found = problems("tineout = 1\nold = 2\nx = 3\nx = 4\n", |table| {
        let _ = table.get("timeout");
        let _ = table.get("x");
        table.renamed("old", "new");
    });
    assert_eq!(
        found,
        "f.toml:1:1: error: tineout: is not a known option\n  tineout = 1\n  ^^^^^^^\n  help: did you mean `timeout`?\n\
         f.toml:2:1: error: old: is now called `new`\n  old = 2\n  ^^^\n  help: write `new` instead\n\
         f.toml:4:1: error: `x` is set twice\n  x = 4\n  ^\n  help: keep one of the two"
    );
    let found = problems("[a.'b c']\n", |table| {
        let a = table.get("a").unwrap().table().unwrap();
        for (_, item) in a.names() {
            let _ = item
                .table()
                .unwrap()
                .require("url", "for example url = \"http://127.0.0.1:3000\"");
        }
    });
    assert_eq!(
        found,
        "f.toml:1:1: error: a.\"b c\": `url` is missing\n  [a.'b c']\n  ^^^^^^^^^\n  help: for example url = \"http://127.0.0.1:3000\""
    );
}

#[test]
fn syntax_errors_hide_their_consequences_only() {
    let found = problems("a = \nb = 1\n[c\nd = 'x'\n", |table| {
        let _ = table.get("a").map(|a| a.integer(1..=2u8));
        let _ = table.get("b").map(|b| b.string());
        let _ = table.get("c");
        let _ = table.get("d");
        let _ = table.require("e", "");
    });
    let lines: Vec<&str> = found.lines().filter(|line| line.contains("error:")).collect();
    assert_eq!(lines.len(), 3, "{found}");
    assert!(lines[0].starts_with("f.toml:1:5: error: does not parse"), "{found}");
    assert_eq!(lines[1], "f.toml:2:5: error: b: is a whole number, expected a string");
    assert!(lines[2].starts_with("f.toml:3:3: error: does not parse"), "{found}");
}

#[test]
fn parts_of_a_document_keep_their_positions() {
    let text = "x = 1\ny = 'ü' # é\nz = 'ü'\n";
    let report = Report::new();
    let source = Source::new(Path::new("f.toml"), text);
    let start = text.find('y').unwrap();
    let node = source.parse_toml_part(start..text.len(), &report);
    {
        let table = Table::root(&source, &node, &report);
        assert_eq!(table.get("y").unwrap().place().position(), Some((2, 5)));
        assert!(table.get("x").is_none());
        let _ = table.get("z").unwrap().boolean();
    }
    assert!(
        report
            .into_problems()
            .to_string()
            .starts_with("f.toml:3:5: error: z: is a string")
    );
}

#[test]
fn no_more_problems_than_anybody_reads() {
    let text: String = (0..5_000).map(|i| format!("k{i} = 1\n")).collect();
    let found = problems(&text, |_| ());
    assert!(found.ends_with("f.toml: error: and 4000 more problems\n  help: mend these first"));
}

proptest::proptest! {
    #[test]
    fn any_text_can_be_read(text in "[a-c=\\[\\]{}\"'.,#\\n 0-9ü]{0,60}") {
        problems(&text, |table| {
            for (_, item) in table.names() {
                let _ = (item.string(), item.integer(0..=5u8), item.tables(), item.duration());
            }
        });
    }
}
