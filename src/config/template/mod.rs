//! Texts with placeholders: `"{organization.id}"`.
//!
//! A room of its own because identity headers, error answers and whoami share it: one notation, one parser, one renderer.
//! What may be told, and what it is, differs: each has a [`Field`] type.
//!
//! Notation, which leaves JSON alone: a `{` that is followed by a name (a letter, then letters, digits, `_`, `.`, `-`) and
//! `}` is a placeholder; the same in double braces, `{{name}}`, is the literal text `{name}`; every other brace is literal.
//!
//! # Security
//! A value cannot break out of where it stands, whatever it is: [`Escape`] is part of the template, and applied by the only
//! function that writes values. What the operator wrote around the placeholders is not escaped.

mod answer;
#[cfg(test)]
mod tests;
mod value;

use http::HeaderValue;

pub(super) use answer::{NASTY, Sample, escape_of, read_body, read_headers};
pub use value::{Escape, Value};

use super::reader::{self, Item};

/// What the placeholders of one kind of text stand for.
pub trait Field: Clone + PartialEq + 'static {
    /// Names that stand for many, as help shows them: `metadata.NAME`.
    const FAMILIES: &'static [&'static str] = &[];

    /// The placeholders that have a name of their own.
    fn names() -> &'static [(&'static str, Self)];

    /// The placeholder with this name.
    fn named(name: &str) -> Option<Self> {
        let found = Self::names().iter().find(|(known, _)| *known == name);
        found.map(|(_, field)| field.clone())
    }
}

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template<F> {
    pieces: Vec<Piece<F>>,
    escape: Escape,
}

/// Part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<F> {
    /// Verbatim.
    Text(String),
    /// A placeholder. `is_bare`: in JSON, where it stands outside of a string, and is a whole value.
    Field { field: F, is_bare: bool },
}

/// Part of a [`Template`], for who fills it in with more than texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'t, F> {
    /// Verbatim.
    Text(&'t str),
    /// A placeholder.
    Field(&'t F),
}

impl<F: Field> Template<F> {
    /// Reads `text`. Unknown placeholders are reported at `item` and left out.
    pub(super) fn read(text: &str, escape: Escape, item: &Item<'_>) -> Self {
        Self::parse(text, escape, |name| report_unknown::<F>(name, item))
    }

    /// For texts of our own; unknown placeholders are left out.
    #[must_use]
    pub fn of(text: &str, escape: Escape) -> Self {
        Self::parse(text, escape, |_| ())
    }

    /// One placeholder and nothing else.
    #[must_use]
    pub fn field(field: F, escape: Escape) -> Self {
        let is_bare = escape == Escape::Json;
        let pieces = vec![Piece::Field { field, is_bare }];
        Self { pieces, escape }
    }

    fn parse(text: &str, escape: Escape, mut unknown: impl FnMut(&str)) -> Self {
        let mut pieces = Vec::new();
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
                match F::named(name) {
                    Some(field) => {
                        if !literal.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut literal)));
                        }
                        pieces.push(Piece::Field { field, is_bare: false });
                    }
                    None => unknown(name),
                }
                rest = &rest[name.len() + 2..];
            } else {
                literal.push('{');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        if escape == Escape::Json {
            mark_bare(&mut pieces);
        }
        Self { pieces, escape }
    }

    /// Every placeholder, in order.
    pub fn fields(&self) -> impl Iterator<Item = &F> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Field { field, .. } => Some(field),
        })
    }

    /// What it consists of, in order: texts, and placeholders.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_, F>> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Field { field, .. } => Part::Field(field),
        })
    }

    /// The whole text, where it has no placeholder.
    #[must_use]
    pub fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            [..] => None,
        }
    }

    /// Fills it in, each value escaped for where it stands.
    #[must_use]
    pub fn render<'v>(&self, value: impl Fn(&F) -> Value<'v>) -> String {
        self.filled(value).0
    }

    /// As the value of a header: `None` where it is empty, or all its placeholders are.
    #[must_use]
    pub fn header<'v>(&self, value: impl Fn(&F) -> Value<'v>) -> Option<HeaderValue> {
        let (text, told) = self.filled(value);
        let text = text.trim();
        if text.is_empty() || !told {
            return None;
        }
        // What was configured has been checked, and values are encoded.
        HeaderValue::from_str(text).ok()
    }

    /// The text, and whether a placeholder had a value, or there is none at all.
    fn filled<'v>(&self, value: impl Fn(&F) -> Value<'v>) -> (String, bool) {
        let mut text = String::new();
        let (mut fields, mut told) = (0, 0);
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Field { field, is_bare } => {
                    let before = text.len();
                    self.escape.write(&value(field), *is_bare, &mut text);
                    fields += 1;
                    told += usize::from(text.len() > before);
                }
            }
        }
        (text, fields == 0 || told > 0)
    }
}

/// Marks the placeholders that stand outside of JSON's strings (RFC 8259 §7).
fn mark_bare<F>(pieces: &mut [Piece<F>]) {
    let (mut is_string, mut is_escaped) = (false, false);
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                for byte in text.bytes() {
                    let was_escaped = std::mem::take(&mut is_escaped);
                    match byte {
                        b'\\' => is_escaped = is_string && !was_escaped,
                        b'"' if !was_escaped => is_string = !is_string,
                        _ => {}
                    }
                }
            }
            Piece::Field { is_bare, .. } => *is_bare = !is_string,
        }
    }
}

/// The name at the beginning of `text`, when `}` follows.
fn name_before_brace(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))?;
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins_well && text[end..].starts_with('}')).then(|| &text[..end])
}

fn report_unknown<F: Field>(name: &str, item: &Item<'_>) {
    let names: Vec<&str> = F::names().iter().map(|(name, _)| *name).collect();
    let known: Vec<String> = names
        .iter()
        .chain(F::FAMILIES)
        .map(|name| format!("{{{name}}}"))
        .collect();
    let known = known.join(" ");
    let help = match reader::nearest(name, &names) {
        Some(near) => format!("did you mean {{{near}}}? Known: {known}"),
        None => format!("known: {known}; for the literal text write {{{{{name}}}}}"),
    };
    item.error(format!("{{{name}}} is not a placeholder"), help);
}
