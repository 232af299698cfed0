//! However a file is written and whatever is done to one record in it, all others stay as they are, byte for byte.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::control::mint::Prefixes;

#[derive(Debug, Clone, Copy)]
enum Edit {
    Revoke,
    Disable,
    Enable,
    Rotate(i64),
}

/// How a record is written.
#[derive(Debug, Clone)]
struct Style {
    space: &'static str,
    comment: &'static str,
    between: &'static str,
    is_off: bool,
    has_two_secrets: bool,
    has_more: bool,
}

fn style() -> impl Strategy<Value = Style> {
    (
        prop_oneof![Just(""), Just(" "), Just("   ")],
        prop_oneof![Just(""), Just(" # [[keys]] é"), Just("\t# a = \"b\"")],
        prop_oneof![Just(""), Just("\n"), Just("# between\n\n")],
        any::<[bool; 3]>(),
    )
        .prop_map(|(space, comment, between, [is_off, has_two_secrets, has_more])| Style {
            space,
            comment,
            between,
            is_off,
            has_two_secrets,
            has_more,
        })
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        Just(Edit::Revoke),
        Just(Edit::Disable),
        Just(Edit::Enable),
        Just(Edit::Rotate(0)),
        Just(Edit::Rotate(3_600)),
    ]
}

fn toml_record(at: usize, style: &Style) -> String {
    let Style { space, comment, .. } = style;
    let mut lines = vec![format!("[[keys]]{comment}")];
    let mut set = |name: &str, value: String| lines.push(format!("{space}{name}{space}={space}{value}{comment}"));
    set("id", format!("'k{at}'"));
    if style.is_off {
        set("active", "false".to_owned());
    }
    set("name", format!("\"n{at}\""));
    set("organization", "'42'".to_owned());
    let (one, two) = (sha256(&format!("{at}a")), sha256(&format!("{at}b")));
    if style.has_two_secrets {
        set(
            "secrets",
            format!("[\n  {{ hash = '{one}' }}, # one\n  {{ hash = '{two}', expires_at = 2026-01-15T11:00:00Z }},\n]"),
        );
    } else {
        set("hash", format!("'{one}'"));
    }
    if style.has_more {
        lines.push(format!("[keys.metadata]{comment}\nx.y = '''\nid = 'k1'\n'''"));
    }
    lines.join("\n") + "\n"
}

fn json_record(at: usize, style: &Style) -> String {
    let space = style.space;
    let set = |name: &str, value: String| format!("\"{name}\":{space}{value}");
    let (one, two) = (sha256(&format!("{at}a")), sha256(&format!("{at}b")));
    let mut members = vec![
        set("id", format!("\"k{at}\"")),
        set("name", format!("\"n\\u00e9{at}\"")),
    ];
    members.push(set("organization", "\"42\"".to_owned()));
    if style.is_off {
        members.push(set("active", "false".to_owned()));
    }
    members.push(if style.has_two_secrets {
        let secrets =
            format!("[{{\"hash\":\"{one}\"}},{space}{{\"hash\":\"{two}\",\"expires_at\":\"2026-01-15T11:00:00Z\"}}]");
        set("secrets", secrets)
    } else {
        set("hash", format!("\"{one}\""))
    });
    if style.has_more {
        members.push(set("metadata", "{\"id\":\"k1\",\"a\":[1,{}]}".to_owned()));
        members.push(set("revoked_at", "null".to_owned()));
    }
    format!("{{{}}}\n", members.join(&format!(",{space}")))
}

/// A file, and where each key's record stands in it.
fn file(styles: &[Style], is_toml: bool, is_crlf: bool) -> (String, Vec<Range<usize>>) {
    let mut text = if is_toml {
        "[[organizations]]\nid = '42'\n".to_owned()
    } else {
        "{\"id\":\"42\"}\n".to_owned()
    };
    let mut places = Vec::new();
    for (at, style) in styles.iter().enumerate() {
        let (between, record) = if is_toml {
            (style.between, toml_record(at, style))
        } else {
            ("", json_record(at, style))
        };
        text.push_str(between);
        places.push(text.len()..text.len() + record.len());
        text.push_str(&record);
    }
    if !is_crlf {
        return (text, places);
    }
    let moved = |at: usize| at + text[..at].matches('\n').count();
    let places = places
        .iter()
        .map(|place| moved(place.start)..moved(place.end))
        .collect();
    (text.replace('\n', "\r\n"), places)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn only_the_record_and_the_end_of_the_file_change(
        styles in vec(style(), 1..5),
        which in any::<prop::sample::Index>(),
        edits in vec(edit(), 1..4),
        (is_toml, is_crlf) in any::<(bool, bool)>(),
    ) {
        let (before, places) = file(&styles, is_toml, is_crlf);
        let at = which.index(styles.len());
        let id = format!("k{at}");
        let name = if is_toml { "keys.toml" } else { "keys.jsonl" };
        let rotation = |overlap| Rotation {
            overlap,
            prefixes: Prefixes { environments: &[], default: "kg_" },
            peppers: &[],
        };
        let mut text = before.clone();
        for edit in edits {
            let outcome = changed(name, &text, |place, scope| match edit {
                Edit::Revoke => revoke(place, &id, Some("why"), scope, NOW),
                Edit::Disable => disable(place, &id, scope, NOW),
                Edit::Enable => enable(place, &id, scope, NOW),
                Edit::Rotate(overlap) => rotate(place, &id, &rotation(overlap), scope, NOW).map(|done| done.changed),
            });
            match outcome.done {
                Ok(done) => prop_assert_eq!(done.written, outcome.text != text),
                Err(EditError::Revoked { .. }) => prop_assert_eq!(&outcome.text, &text),
                Err(error) => prop_assert!(false, "{error:?}"),
            }
            text = outcome.text;
        }
        let (ahead, behind) = (&before[..places[at].start], &before[places[at].end..]);
        prop_assert!(text.starts_with(ahead), "{before}\n{text}");
        prop_assert!(text[ahead.len()..].contains(behind), "{before}\n{text}");
        prop_assert_eq!(text.matches('\n').count() == text.matches("\r\n").count(), is_crlf, "{}", text);
    }
}
