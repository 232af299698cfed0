//! Placeholders in texts: `"{organization.id}"`.
//!
//! A room of its own because identity headers and error answers share the rule, which must leave JSON bodies alone:
//! a `{` that is followed by a name (a letter, then letters, digits, `_`, `.`, `-`) and `}` is a placeholder; the same in
//! double braces, `{{name}}`, is the literal text `{name}`; every other brace is literal.

use super::reader::{self, Item};

/// Part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part<F> {
    /// Verbatim.
    Text(String),
    /// A placeholder.
    Field(F),
}

/// Splits `text`. Unknown placeholders are reported at `item` and left out. `fields` holds all names.
pub(super) fn parse<F: Copy>(text: &str, fields: &[(&str, F)], item: &Item<'_>) -> Vec<Part<F>> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(brace) = rest.find('{') {
        literal.push_str(&rest[..brace]);
        rest = &rest[brace..];
        if let Some(name) = rest.strip_prefix("{{").and_then(name_before_brace)
            && rest[2 + name.len()..].starts_with("}}")
        {
            literal.push_str(&rest[1..name.len() + 3]);
            rest = &rest[name.len() + 4..];
        } else if let Some(name) = name_before_brace(&rest[1..]) {
            match fields.iter().find(|(known, _)| *known == name) {
                Some((_, field)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Field(*field));
                }
                None => report_unknown(name, fields, item),
            }
            rest = &rest[name.len() + 2..];
        } else {
            literal.push('{');
            rest = &rest[1..];
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    parts
}

/// The name at the beginning of `text`, when `}` follows.
fn name_before_brace(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))?;
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins_well && text[end..].starts_with('}')).then(|| &text[..end])
}

fn report_unknown<F>(name: &str, fields: &[(&str, F)], item: &Item<'_>) {
    let known: Vec<String> = fields.iter().map(|(name, _)| format!("{{{name}}}")).collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let known = known.join(" ");
    let help = match reader::nearest(name, &names) {
        Some(near) => format!("did you mean {{{near}}}? Known: {known}"),
        None => format!("known: {known}; for the literal text write {{{{{name}}}}}"),
    };
    item.error(format!("{{{name}}} is not a placeholder"), help);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::document::Source;
    use super::super::problem::Report;
    use super::super::reader::Table;
    use super::*;

    fn parsed(text: &str) -> (String, String) {
        let report = Report::new();
        let toml = format!("t = '''{text}'''");
        let source = Source::new(Path::new("f"), &toml);
        let node = source.parse_toml(&report);
        let shown = {
            let table = Table::root(&source, &node, &report);
            let item = table.get("t").unwrap();
            parse(text, &[("code", 'C'), ("key.id", 'K')], &item)
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Field(field) => format!("<{field}>"),
                })
                .collect()
        };
        (shown, report.into_problems().to_string())
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
             help: did you mean {code}? Known: {code} {key.id}"
        ));
        assert!(
            parsed("{nothing-like}")
                .1
                .ends_with("help: known: {code} {key.id}; for the literal text write {{nothing-like}}")
        );
    }
}
