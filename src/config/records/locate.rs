//! Where a key's record stands in its file, field by field: what an editor needs to change one of them and no byte else.

use super::jsonl;
use super::load::{File, Notation};
use crate::config::document::{Entry, Node, Source, Span, Value};
use crate::config::problem::Report;

/// A record in the text of its file. Spans are byte ranges of that text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// How it is written.
    pub shape: Shape,
    /// Its fields, in the order in which they stand.
    pub fields: Vec<Field>,
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// TOML, under a header: `[[keys]]`.
    Section,
    /// TOML, in a list: `keys = [{ … }]`.
    Inline,
    /// A line of JSON.
    Line,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Where its name stands.
    pub key: Span,
    /// Where its value stands, where that is in one piece beside its name.
    pub value: Option<Span>,
    /// The headers and contents of what is written under headers of its own: `[[keys.secrets]]`.
    pub sections: Vec<Span>,
}

/// Finds the record of the key `id` in a file that has no errors.
#[must_use]
pub fn locate(file: &File, id: &str) -> Option<Located> {
    match Notation::of(&file.path) {
        Notation::Toml => in_toml(file, id),
        Notation::JsonLines => in_json_lines(&file.text, id),
    }
}

fn in_toml(file: &File, id: &str) -> Option<Located> {
    let text = file.text.as_str();
    let document = Source::new(&file.path, text).parse_toml(&Report::new());
    let Value::Table(root) = document.value else {
        return None;
    };
    let keys = root.into_iter().find(|entry| entry.key == "keys")?;
    let Value::List(records) = keys.node.value else {
        return None;
    };
    let record = records.into_iter().find(|record| is_key(record, id))?;
    let shape = if text[record.span.start..].starts_with('[') {
        Shape::Section
    } else {
        Shape::Inline
    };
    let Value::Table(entries) = record.value else {
        return None;
    };
    let fields = entries.iter().map(|entry| field(entry, text)).collect();
    Some(Located { shape, fields })
}

fn is_key(record: &Node<'_>, id: &str) -> bool {
    let Value::Table(entries) = &record.value else {
        return false;
    };
    entries
        .iter()
        .any(|entry| entry.key == "id" && matches!(&entry.node.value, Value::String(text) if text == id))
}

fn field(entry: &Entry<'_>, text: &str) -> Field {
    let mut sections = Vec::new();
    collect_sections(&entry.node, text, &mut sections);
    let value = direct_end(&entry.node, text).map(|end| Span {
        start: entry.node.span.start,
        end,
    });
    Field {
        name: entry.key.clone().into_owned(),
        key: entry.span,
        value: value.filter(|_| sections.is_empty()),
        sections,
    }
}

fn has_header(node: &Node<'_>, text: &str) -> bool {
    matches!(node.value, Value::Table(_)) && text[node.span.start..].starts_with('[')
}

/// Where what stands under no header of its own ends.
fn direct_end(node: &Node<'_>, text: &str) -> Option<usize> {
    match &node.value {
        Value::Table(_) if has_header(node, text) => None,
        Value::Table(_) if text[node.span.start..].starts_with('{') => Some(node.span.end),
        // Of dotted names.
        Value::Table(entries) => entries.iter().filter_map(|entry| direct_end(&entry.node, text)).max(),
        Value::List(items) if items.iter().any(|item| has_header(item, text)) => None,
        _ => Some(node.span.end),
    }
}

fn collect_sections(node: &Node<'_>, text: &str, sections: &mut Vec<Span>) {
    if has_header(node, text) {
        let Value::Table(entries) = &node.value else { return };
        let ends = entries.iter().filter_map(|entry| direct_end(&entry.node, text));
        sections.push(Span {
            start: node.span.start,
            end: ends.fold(node.span.end, usize::max),
        });
    }
    match &node.value {
        Value::Table(entries) => {
            for entry in entries {
                collect_sections(&entry.node, text, sections);
            }
        }
        Value::List(items) => {
            for item in items {
                collect_sections(item, text, sections);
            }
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
    }
}

fn in_json_lines(text: &str, id: &str) -> Option<Located> {
    // A million lines are looked through as text. Where the id is written with escapes, which nobody does, it is asked of
    // every line.
    line_with(text, id, |line| line.contains(id)).or_else(|| line_with(text, id, |line| line.contains("\\u")))
}

fn line_with(text: &str, id: &str, may_be: impl Fn(&str) -> bool) -> Option<Located> {
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if may_be(line)
            && let Ok(node) = jsonl::parse_line(line, offset)
            && is_key(&node, id)
            && super::load::is_key_record(&node)
        {
            let members = jsonl::members(line, offset);
            let fields = members.into_iter().map(|(name, key, value)| Field {
                name: name.into_owned(),
                key,
                value: Some(value),
                sections: Vec::new(),
            });
            return Some(Located {
                shape: Shape::Line,
                fields: fields.collect(),
            });
        }
        offset += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, text: &str) -> Vec<String> {
        let file = File {
            path: name.into(),
            text: text.to_owned(),
        };
        let Some(located) = locate(&file, "b") else {
            return Vec::new();
        };
        let cut = |span: Span| &text[span.start..span.end];
        let mut shown = vec![format!("{:?}", located.shape)];
        shown.extend(located.fields.iter().map(|field| {
            let sections: Vec<&str> = field.sections.iter().map(|span| cut(*span)).collect();
            let value = field.value.map_or("-", cut);
            format!("{} {} {} {sections:?}", field.name, cut(field.key), value)
        }));
        shown
    }

    #[test]
    fn fields_are_found_however_they_are_written() {
        let cases = [
            (
                "k.toml",
                "[[keys]]\nid='a'\n[[ keys ]] # x\n'id' = 'b'\nmetadata.x.y = 1\nlist = [\n 1,\n]\nmetadata.z = '''\n[[keys]]\n'''\n[keys.deep.er]\nq = \
                 1 # c\n[[keys.secrets]]\nhash = 'h'\n[[keys.secrets]]\nhash = 'i'\n[[keys]]\nid='c'\n",
                vec![
                    "Section",
                    "id 'id' 'b' []",
                    "metadata metadata metadata.x.y = 1\nlist = [\n 1,\n]\nmetadata.z = '''\n[[keys]]\n''' []",
                    "list list [\n 1,\n] []",
                    "deep deep - [\"[keys.deep.er]\\nq = 1\"]",
                    "secrets secrets - [\"[[keys.secrets]]\\nhash = 'h'\", \"[[keys.secrets]]\\nhash = 'i'\"]",
                ],
            ),
            (
                "k.toml",
                "keys = [{ id = 'a' }, { id = 'b', m = { x = 1 } }]\n",
                vec!["Inline", "id id 'b' []", "m m { x = 1 } []"],
            ),
            (
                "k.jsonl",
                "{\"id\":\"b\"}\n{\"organization\":\"1\",\"id\" : \"a\"}\r\n  { \"hash\": null, \"id\" : \"b\" , \"organization\": \"1\", \"x\": [1, {}] }\n",
                vec![
                    "Line",
                    "hash \"hash\" null []",
                    "id \"id\" \"b\" []",
                    "organization \"organization\" \"1\" []",
                    "x \"x\" [1, {}] []",
                ],
            ),
            ("k.jsonl", "{\"id\":\"c\",\"organization\":\"b\"}", vec![]),
        ];
        for (name, text, expected) in cases {
            assert_eq!(shown(name, text), expected, "{text}");
        }
    }
}
