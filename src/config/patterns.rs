//! The patterns of routes, all together: what can never match, and what cannot stand beside another.
//!
//! A room of its own because a pattern is right or wrong only among the others, and there may be thousands: everything is
//! looked up, and nothing compared one by one.

use std::collections::HashMap;
use std::fmt::Write as _;

use http::Method;
use matchit::InsertError;

use super::reader::Place;
use super::routes::{Access, Placed, Target};
use super::tree::Tree;
use super::upstreams::{Paths, Upstream};

/// Routes are counted in 16 bits.
const MOST_ROUTES: usize = 65_535;

/// Reports what is wrong with the patterns of `routes`.
pub(super) fn check(routes: &[Placed<'_>], upstreams: &[Upstream]) {
    let any = loosest(upstreams.iter().map(|upstream| upstream.paths));
    let mut doors = Doors {
        routes,
        tree: Tree::default(),
        by_pattern: HashMap::new(),
    };
    let mut readings = Vec::new();
    for (index, placed) in routes.iter().enumerate() {
        if index == MOST_ROUTES {
            placed.place.error(
                format!("is one route too many: there may be {MOST_ROUTES}"),
                "patterns with parameters, such as \"/v1/{*rest}\", stand for many paths",
            );
            return;
        }
        let route = &placed.route;
        if !has_form(&route.path, &placed.place) {
            continue;
        }
        let pattern = anonymous(&route.path);
        let own = route.upstream.and_then(|id| upstreams.get(usize::from(id.0)));
        match read(&pattern, &own.map_or(any, |upstream| upstream.paths)) {
            Err(Refused { what, help }) if route.access != Access::Deny => placed.place.error(
                format!("{what}: such requests are always refused, so that this route is never reached"),
                help,
            ),
            // Denied twice.
            Err(_) => {}
            Ok(reading) if reading != pattern => readings.push((index, reading)),
            Ok(_) => {}
        }
        doors.add(index, pattern);
    }
    for (index, reading) in readings {
        doors.check_reading(index, &reading);
    }
}

/// What at least one of them allows.
fn loosest(all: impl Iterator<Item = Paths>) -> Paths {
    all.fold(Paths::default(), |union, paths| Paths {
        allow_dot_segments: union.allow_dot_segments || paths.allow_dot_segments,
        allow_encoded_slashes: union.allow_encoded_slashes || paths.allow_encoded_slashes,
        allow_backslashes: union.allow_backslashes || paths.allow_backslashes,
        allow_empty_segments: union.allow_empty_segments || paths.allow_empty_segments,
    })
}

/// Whether it looks like a path at all.
pub(super) fn has_form(path: &str, place: &Place<'_>) -> bool {
    if !path.starts_with('/') {
        place.error("does not begin with `/`", format!("write \"/{path}\""));
        return false;
    }
    if let Some(wrong) = path.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
        place.error(
            format!("holds {wrong:?}, which no request's path has"),
            "paths are compared as they stand in requests: percent-encoded, without query",
        );
        return false;
    }
    let foreign = path
        .split('/')
        .find(|segment| segment.starts_with([':', '*']) && segment.len() > 1);
    if let Some(segment) = foreign {
        let name = segment.trim_start_matches([':', '*']);
        let star = if segment.starts_with('*') { "*" } else { "" };
        place.warning(
            format!("`{segment}` matches only these very characters"),
            format!("for a parameter write `{{{star}{name}}}`"),
        );
    }
    true
}

/// The patterns so far.
struct Doors<'a, 'd> {
    routes: &'a [Placed<'d>],
    tree: Tree<()>,
    /// The routes of each pattern, by its [`anonymous`] form.
    by_pattern: HashMap<String, Vec<usize>>,
}

impl Doors<'_, '_> {
    fn add(&mut self, index: usize, pattern: String) {
        let new = &self.routes[index];
        if let Some(same) = self.by_pattern.get_mut(&pattern) {
            let rival = same
                .iter()
                .map(|&other| &self.routes[other])
                .find(|other| rivals(&new.route.methods, &other.route.methods));
            match rival {
                Some(other) => report_rival(new, other),
                None => same.push(index),
            }
            return;
        }
        match self.tree.insert(pattern.as_str(), ()) {
            Ok(()) => {
                self.by_pattern.insert(pattern, vec![index]);
            }
            Err(error) => self.report(new, &error),
        }
    }

    /// Reports a pattern that some servers read as that of another route: where the two differ in their demands, requests
    /// are ambiguous.
    fn check_reading(&self, index: usize, reading: &str) {
        let new = &self.routes[index];
        let others = self.by_pattern.get(reading).into_iter().flatten();
        let rival = others
            .map(|&other| &self.routes[other])
            .find(|other| overlap(&new.route.methods, &other.route.methods));
        if let Some(other) = rival {
            new.place.warning(
                format!(
                    "is read by many servers as `{}`, at {}: where the two demand different things, its requests are refused",
                    other.route.path,
                    other.place.location()
                ),
                "remove one of the two",
            );
        }
    }

    fn report(&self, new: &Placed<'_>, error: &InsertError) {
        let place = &new.place;
        match error {
            InsertError::Conflict { with } => {
                let other = self.by_pattern.get(with.as_str()).and_then(|same| same.first());
                let from = other.map_or_else(String::new, |&other| {
                    let other = &self.routes[other];
                    format!(" from `{}`, at {}", other.route.path, other.place.location())
                });
                place.error(
                    format!("cannot be told apart{from}"),
                    "some path fits both, and neither is more specific: begin one with more text before its parameter",
                );
            }
            InsertError::InvalidParamSegment => place.error(
                "has two parameters between two slashes",
                "one parameter for each segment",
            ),
            InsertError::InvalidCatchAll => place.error(
                "has a `{*…}` that is not at the end",
                "a `{*rest}` takes all that follows; put it last",
            ),
            InsertError::InvalidParam | _ => place.error(
                "has a parameter without a valid name, or a brace without its other half",
                "for example \"/v1/orgs/{org}/messages\" or \"/files/{*rest}\"",
            ),
        }
    }
}

fn report_rival(new: &Placed<'_>, other: &Placed<'_>) {
    let at = other.place.location();
    match (new.route.target, other.route.target) {
        (Target::Whoami, _) => new.place.error(
            format!("is a route already, at {at}: it is answered here, or forwarded there, not both"),
            "choose another path, or give that route other methods than GET and HEAD",
        ),
        (Target::Upstream, _) => {
            let spelt = if new.route.path == other.route.path {
                String::new()
            } else {
                format!(" (as `{}`)", other.route.path)
            };
            new.place.error(
                format!("is already a route for the same methods, at {at}{spelt}"),
                "remove one of the two, or give each methods of its own; the names of parameters make no difference",
            );
        }
    }
}

/// Whether one of two routes at the same door is in the other's way. One that names a method goes before one that names
/// none, which is not in its way.
fn rivals(a: &[Method], b: &[Method]) -> bool {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => true,
        (true, false) | (false, true) => false,
        (false, false) => overlap(a, b),
    }
}

/// Whether a request could be for both; an empty list is every method.
fn overlap(a: &[Method], b: &[Method]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|method| b.contains(method))
}

/// A pattern with its parameters numbered instead of named, so that patterns which match the same paths are equal.
#[must_use]
pub fn anonymous(pattern: &str) -> String {
    let mut anonymous = String::with_capacity(pattern.len());
    let mut number = 0;
    let mut rest = pattern;
    while let Some(brace) = rest.find(['{', '}']) {
        let (literal, tail) = rest.split_at(brace);
        anonymous.push_str(literal);
        let escaped = tail.starts_with("{{") || tail.starts_with("}}");
        let name_end = if escaped {
            None
        } else {
            tail.find('}').filter(|&end| is_name(&tail[..end]))
        };
        rest = match name_end {
            Some(end) => {
                let star = if tail.starts_with("{*") { "*" } else { "" };
                write!(anonymous, "{{{star}p{number}}}").expect("writing to a string does not fail");
                number += 1;
                &tail[end + 1..]
            }
            // An escape, or something for the router to refuse.
            None => {
                let length = if escaped { 2 } else { 1 };
                anonymous.push_str(&tail[..length]);
                &tail[length..]
            }
        };
    }
    anonymous + rest
}

/// `{name` or `{*name`
fn is_name(opened: &str) -> bool {
    let name = opened
        .strip_prefix('{')
        .map(|name| name.strip_prefix('*').unwrap_or(name));
    name.is_some_and(|name| !name.is_empty() && !name.contains(['{', '*', '/']))
}

/// Why no request's path that fits a pattern is let through.
struct Refused {
    what: &'static str,
    help: &'static str,
}

/// A pattern as a server may read it: percent-decoded, without path parameters. Refuses what the checks on every request's
/// path refuse ([`Paths`]).
fn read(pattern: &str, paths: &Paths) -> Result<String, Refused> {
    let refused = |what, help| Err(Refused { what, help });
    let path = pattern.strip_prefix('/').unwrap_or(pattern);
    let Some(bytes) = decoded(path) else {
        return refused(
            "holds a `%` without two hexadecimal digits",
            "write the character itself, or %25",
        );
    };
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    let slashes = |bytes: &[u8]| bytes.iter().filter(|byte| is_slash(byte)).count();
    if slashes(&bytes) > slashes(path.as_bytes()) && !paths.allow_encoded_slashes {
        return refused(
            "holds an encoded slash",
            "remove it, or set paths.allow_encoded_slashes for the upstream",
        );
    }
    if path.contains('\\') && !paths.allow_backslashes {
        return refused(
            "holds a backslash",
            "write `/`, or set paths.allow_backslashes for the upstream",
        );
    }
    let is_never_text = |byte: &u8| byte.is_ascii_control() || matches!(byte, 0xc0 | 0xc1 | 0xf5..);
    if bytes.iter().any(is_never_text) {
        return refused("holds an encoded control character, or what no text has", "remove it");
    }
    let mut segments = bytes.split(is_slash).peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() && !paths.allow_empty_segments {
            return refused(
                "holds an empty segment",
                "write one `/`, or set paths.allow_empty_segments for the upstream",
            );
        }
        if is_dots(segment) && !paths.allow_dot_segments {
            return refused(
                "holds a `.` or `..` segment",
                "write the path without it, or set paths.allow_dot_segments for the upstream",
            );
        }
    }
    let names = bytes.split(|byte| *byte == b'/').map(|segment| {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    });
    Ok(format!("/{}", names.collect::<Vec<_>>().join("/")))
}

/// Whether [`read`] refuses it.
#[cfg(test)]
pub(crate) fn is_refused(pattern: &str, paths: &Paths) -> bool {
    read(pattern, paths).is_err()
}

/// `.` or `..`, whatever path parameters follow.
fn is_dots(segment: &[u8]) -> bool {
    let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
    matches!(name, b"." | b"..")
}

fn decoded(path: &str) -> Option<Vec<u8>> {
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(bytes)
}
