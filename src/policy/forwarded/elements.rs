//! The `Forwarded` header's grammar (RFC 7239 §4).
//!
//! ```text
//! Forwarded         = 1#forwarded-element
//! forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
//! forwarded-pair    = token "=" ( token / quoted-string )
//! ```
//!
//! Whitespace around `;` is accepted too, since it is common. A parameter may occur once in an element.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::FORWARDED;

use crate::config::names::is_token_byte;

/// The elements of all lines that can be read, from the right end on.
pub(super) struct Chain<'a> {
    /// In the order of the header.
    pub(super) elements: Vec<Element<'a>>,
    /// Whether a line to the left of them breaks the grammar.
    pub(super) broken: bool,
}

/// One hop.
#[derive(Default)]
pub(super) struct Element<'a> {
    /// As written.
    pub(super) text: &'a str,
    /// `for`
    pub(super) node: Option<Cow<'a, [u8]>>,
    /// `proto`
    pub(super) proto: Option<Cow<'a, [u8]>>,
}

impl<'a> Chain<'a> {
    pub(super) fn parse(headers: &'a HeaderMap) -> Self {
        let mut lines: Vec<Vec<Element<'a>>> = Vec::new();
        let mut broken = false;
        // Values iterate from the right end too, so a broken line hides only what is to its left.
        for line in headers.get_all(FORWARDED).iter().rev() {
            let Some(elements) = line.to_str().ok().and_then(elements) else {
                broken = true;
                break;
            };
            lines.push(elements);
        }
        Self {
            elements: lines.into_iter().rev().flatten().collect(),
            broken,
        }
    }
}

/// All elements of one line; `None` where it breaks the grammar.
fn elements(line: &str) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(OWS);
        let (element, tail) = element(rest)?;
        if !element.text.is_empty() {
            elements.push(element);
        }
        match tail.strip_prefix(',') {
            Some(tail) => rest = tail,
            None => return tail.is_empty().then_some(elements),
        }
    }
}

const OWS: [char; 2] = [' ', '\t'];

/// One element, and what follows it: nothing, or a comma.
fn element(line: &str) -> Option<(Element<'_>, &str)> {
    let mut element = Element::default();
    let mut names: Vec<&str> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches(OWS);
        if !rest.is_empty() && !rest.starts_with([';', ',']) {
            let (name, value, tail) = pair(rest)?;
            if names.iter().any(|seen| seen.eq_ignore_ascii_case(name)) {
                return None;
            }
            names.push(name);
            if name.eq_ignore_ascii_case("for") {
                element.node = Some(value);
            } else if name.eq_ignore_ascii_case("proto") {
                element.proto = Some(value);
            }
            rest = tail.trim_start_matches(OWS);
        }
        match rest.strip_prefix(';') {
            Some(tail) => rest = tail,
            None => break,
        }
    }
    element.text = line[..line.len() - rest.len()].trim_end_matches(OWS);
    (rest.is_empty() || rest.starts_with(',')).then_some((element, rest))
}

/// `token "=" value`, and what follows it.
fn pair(text: &str) -> Option<(&str, Cow<'_, [u8]>, &str)> {
    let (name, rest) = token(text)?;
    let rest = rest.strip_prefix('=')?;
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, rest) = quoted_string(quoted)?;
        return Some((name, value, rest));
    }
    let (value, rest) = token(rest)?;
    Some((name, Cow::Borrowed(value.as_bytes()), rest))
}

/// RFC 9110 §5.6.2.
fn token(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// RFC 9110 §5.6.4, behind its opening quote. The header's characters are known to be ASCII without controls.
fn quoted_string(text: &str) -> Option<(Cow<'_, [u8]>, &str)> {
    let plain = text.find(['"', '\\'])?;
    if text[plain..].starts_with('"') {
        return Some((Cow::Borrowed(&text.as_bytes()[..plain]), &text[plain + 1..]));
    }
    let mut value = Vec::new();
    let mut characters = text.bytes().enumerate();
    while let Some((position, byte)) = characters.next() {
        match byte {
            b'"' => return Some((Cow::Owned(value), &text[position + 1..])),
            b'\\' => value.push(characters.next()?.1),
            _ => value.push(byte),
        }
    }
    None
}
