//! The notation, and that no value breaks out of where it stands.

use std::borrow::Cow;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::document::Source;
use crate::config::problem::Report;
use crate::config::reader::Table;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Letter(char);

impl Field for Letter {
    const FAMILIES: &'static [&'static str] = &["metadata.NAME"];

    fn names() -> &'static [(&'static str, Self)] {
        &[("code", Letter('C')), ("key.id", Letter('K'))]
    }
}

fn parsed(text: &str) -> (String, String) {
    let report = Report::new();
    let toml = format!("t = '''{text}'''");
    let source = Source::new(Path::new("f"), &toml);
    let node = source.parse_toml(&report);
    let shown = {
        let table = Table::root(&source, &node, &report);
        let item = table.get("t").unwrap();
        let template = Template::<Letter>::read(text, Escape::None, &item);
        template.render(|field| Value::Text(format!("<{}>", field.0).into()))
    };
    (shown, report.into_problems().to_string())
}

fn rendered(text: &str, escape: Escape, value: &Value<'static>) -> String {
    Template::<Letter>::of(text, escape).render(|_| value.clone())
}

#[test]
fn only_names_in_braces_are_placeholders() {
    let cases = [
        ("", ""),
        ("plain", "plain"),
        ("{code}", "<C>"),
        ("a{code}b{key.id}c", "a<C>b<K>c"),
        (r#"{"error":{"code":"{code}"}}"#, r#"{"error":{"code":"<C>"}}"#),
        (r#"{"n":{code}}"#, r#"{"n":<C>}"#),
        ("{{code}}", "{code}"),
        ("{{anything}} {{code}", "{anything} {<C>"),
        ("{} { } {1} }{", "{} { } {1} }{"),
        ("p { color: red }", "p { color: red }"),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text), (expected.to_owned(), String::new()), "{text}");
    }
}

#[test]
fn unknown_ones_are_reported() {
    assert!(parsed("{cod}").1.ends_with(
        "{cod} is not a placeholder\n  t = '''{cod}'''\n      ^^^^^^^^^^^\n  \
         help: did you mean {code}? Known: {code} {key.id} {metadata.NAME}"
    ));
    assert!(
        parsed("{nothing-like}")
            .1
            .ends_with("help: known: {code} {key.id} {metadata.NAME}; for the literal text write {{nothing-like}}")
    );
}

#[test]
fn in_json_a_placeholder_outside_of_quotes_is_a_whole_value() {
    let list = Value::List(vec!["a", "b \"c\""]);
    let table = json!({ "n": [1, null], "t": "\"" });
    let table: &'static serde_json::Value = Box::leak(Box::new(table));
    let cases: [(Value<'static>, &str); 6] = [
        (Value::Absent, r#"[null,""]"#),
        (Value::Text("a\"\n".into()), r#"["a\"\n","a\"\n"]"#),
        (Value::Number(7), r#"[7,"7"]"#),
        (list, r#"[["a","b \"c\""],"a b \"c\""]"#),
        (Value::Json(&serde_json::Value::Null), r#"[null,""]"#),
        (
            Value::Json(table),
            r#"[{"n":[1,null],"t":"\""},"{\"n\":[1,null],\"t\":\"\\\"\"}"]"#,
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(
            rendered(r#"[{code},"{code}"]"#, Escape::Json, &value),
            expected,
            "{value:?}"
        );
    }
    // Escaped quotes and backslashes do not end a string.
    for (text, expected) in [
        (r#"["\"{code}"]"#, r#"["\"x"]"#),
        (r#"["\\",{code}]"#, r#"["\\","x"]"#),
        (r#"{"\\\"":{code}}"#, r#"{"\\\"":"x"}"#),
    ] {
        assert_eq!(rendered(text, Escape::Json, &Value::Text("x".into())), expected);
    }
}

#[test]
fn headers_are_left_out_when_nothing_is_told() {
    let header = |text: &str, value: Value<'static>| {
        let value = Template::<Letter>::of(text, Escape::Header).header(|_| value.clone());
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
    assert_eq!(
        header("100% by {code}", text("Größe%")).unwrap(),
        "100% by Gr%C3%B6%C3%9Fe%25"
    );
    assert_eq!(header("{code}", text("  a b ")).unwrap(), "%20%20a b%20");
    assert_eq!(header("{code}", text(" ")).unwrap(), "%20");
    assert_eq!(header("by {code}", Value::Absent), None);
    assert_eq!(header("by {code}", text("")), None);
    assert_eq!(header(" ", Value::Absent), None);
    assert_eq!(header("always", Value::Absent).unwrap(), "always");
    assert_eq!(header("{code}", Value::List(vec!["a b", "ü"])).unwrap(), "a%20b %C3%BC");
}

proptest! {
    #[test]
    fn no_value_breaks_out(value in any::<String>()) {
        let text = Value::Text(Cow::Owned(value.clone()));
        let document = rendered(r#"{"in":"<{code}>","out":{code},"after":1}"#, Escape::Json, &text);
        let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
        prop_assert_eq!(document, json!({ "in": format!("<{value}>"), "out": value, "after": 1 }));
        let markup = rendered("{code}", Escape::Markup, &text);
        prop_assert!(!markup.contains(['<', '>', '"', '\'']));
        let header = rendered("{code}", Escape::Header, &text);
        prop_assert!(header.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
        let decoded = percent_encoding::percent_decode_str(&header).decode_utf8().expect("UTF-8");
        prop_assert_eq!(decoded, value);
    }

    #[test]
    fn what_passes_the_check_is_json_whatever_the_values(
        body in r#"[{}\[\]":,\\ un10]{0,6}(\{code\}|"\{code\}")[{}\[\]":,\\ un10]{0,6}"#,
        value in any::<String>(),
    ) {
        let template = Template::<Letter>::of(&body, Escape::Json);
        let json = |value: Value<'static>| serde_json::from_str::<serde::de::IgnoredAny>(&template.render(|_| value.clone())).is_ok();
        if json(Value::Text(NASTY.into())) && json(Value::Absent) {
            prop_assert!(json(Value::Text(value.into())), "{}", body);
        }
    }
}
