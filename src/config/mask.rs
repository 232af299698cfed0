//! What of an operator's line may be shown: everything but secrets.
//!
//! A room of its own because this is the one way for file contents into error output. Names decide (`key`, `secret`,
//! `hash`, …); behind such a name the whole value is masked. As a second net, every long run of letters and digits is
//! masked wherever it stands, because a line that does not parse may have lost its name.

use std::ops::Range;

use super::problem::Line;

/// What stands in for a secret.
const MASK: &str = "…";
/// From this length on, letters and digits in one run are taken for a secret.
const SUSPICIOUS: usize = 20;
/// How much of a line is shown, in characters.
const SHOWN: usize = 120;

/// The line as it may be shown, with a marker under the bytes in `marked`. `path` is the key path of what is marked, if
/// known.
#[must_use]
pub fn shown_line(line: &str, marked: Range<usize>, path: &str) -> Line {
    let line = line.trim_end();
    shown(line, marked, secret_ranges(line, path))
}

/// As [`shown_line`], where what is marked is a name that nobody knows: a text behind it may be a secret whose name was
/// misspelt.
#[must_use]
pub fn shown_unknown(line: &str, marked: Range<usize>, path: &str) -> Line {
    let line = line.trim_end();
    let behind = value_after(line, marked.end.min(line.len()));
    let mut secrets = secret_ranges(line, path);
    secrets.extend(behind.filter(|value| line[value.clone()].starts_with(['"', '\''])));
    shown(line, marked, secrets)
}

fn shown(line: &str, marked: Range<usize>, secrets: Vec<Range<usize>>) -> Line {
    let marked = marked.start.min(line.len())..marked.end.min(line.len());
    let masked = merged(secrets);

    let mut text = String::with_capacity(line.len());
    let (mut begin, mut end) = (None, None);
    let mut at = 0;
    let mut ranges = masked.into_iter().peekable();
    for (byte, c) in line.char_indices().chain([(line.len(), '\0')]) {
        if byte < at {
            continue;
        }
        let inside = ranges.peek().is_some_and(|range| range.start == byte);
        let next = if inside {
            ranges.next().map_or(byte, |range| range.end)
        } else {
            byte + c.len_utf8()
        };
        if begin.is_none() && marked.start < next.max(byte + 1) {
            begin = Some(text.chars().count());
        }
        if end.is_none() && marked.end <= byte {
            end = Some(text.chars().count());
        }
        if byte == line.len() {
            break;
        }
        if inside {
            text.push_str(MASK);
        } else {
            text.push(if c.is_control() && c != '\t' { '\u{FFFD}' } else { c });
        }
        at = next;
    }
    let length = text.chars().count();
    let marker = begin.unwrap_or(length);
    let width = end.unwrap_or(length).saturating_sub(marker).max(1);
    cut(text, marker, width)
}

/// A long line, reduced to the surroundings of its marker.
fn cut(text: String, marker: usize, width: usize) -> Line {
    let length = text.chars().count();
    let lead = text.chars().take_while(|c| c.is_whitespace()).count().min(marker);
    if length - lead <= SHOWN {
        let text = text.chars().skip(lead).collect();
        let marker = marker - lead;
        return Line { text, marker, width };
    }
    let first = marker.saturating_sub(SHOWN / 3).max(lead);
    let last = (first + SHOWN).min(length);
    let ellipsis = if first > lead { "… " } else { "" };
    let mut shown = ellipsis.to_owned();
    shown.extend(text.chars().skip(first).take(last - first));
    if last < length {
        shown.push_str(" …");
    }
    Line {
        text: shown,
        marker: marker - first + ellipsis.chars().count(),
        width: width.min(last - marker).max(1),
    }
}

/// The byte ranges of `line` that may hold secrets, in no order.
fn secret_ranges(line: &str, path: &str) -> Vec<Range<usize>> {
    let mut ranges = suspicious_runs(line);
    ranges.extend(user_in_url(line));
    if is_webhook_url(path) {
        ranges.extend(behind_authority(line));
    }
    let mut named = false;
    for name in names(line) {
        if is_secret_name(&line[name.clone()]) {
            named = true;
            // A dotted key goes on: `secret.text`.
            let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let rest = &line[name.end..];
            let end = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
            ranges.extend(value_after(line, name.end + end));
        }
    }
    if !named && is_secret_path(path) {
        let start = line.find('=').map_or(0, |equals| equals + 1);
        ranges.extend(trimmed(line, start..line.len()));
    }
    ranges
}

/// User and password of a URL.
fn user_in_url(line: &str) -> Option<Range<usize>> {
    let start = line.find("://")? + 3;
    let end = line[start..]
        .find(['/', '?', '#', '"', '\'', ' '])
        .map_or(line.len(), |end| start + end);
    let at = line[start..end].rfind('@')?;
    Some(start..start + at)
}

/// Whether a URL of somebody else's server stands at the end of a key path: it may be a secret in itself.
fn is_webhook_url(path: &str) -> bool {
    path.contains("webhook") && path.ends_with("url")
}

/// Path, query and all else of a URL, up to its quote.
fn behind_authority(line: &str) -> Option<Range<usize>> {
    let start = line.find("://")? + 3;
    let start = start + line[start..].find(['/', '?', '#'])?;
    let end = line[start..].find(['"', '\'']).map_or(line.len(), |end| start + end);
    (start + 1 < end).then_some(start + 1..end)
}

/// Whether a value with this name may be a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["secret", "token", "passw", "hash", "pepper", "private", "bearer"]
        .iter()
        .any(|word| name.contains(word))
        || name.ends_with("key")
}

/// Whether what stands at the end of a key path is a secret: by its name, or as the `text` of something that has such a name.
#[must_use]
pub fn is_secret_path(path: &str) -> bool {
    let mut names = path.rsplit('.').map(|step| step.split('[').next().unwrap_or_default());
    match names.next() {
        Some("text") => names.next().is_some_and(is_secret_name),
        Some(last) => is_secret_name(last),
        None => false,
    }
}

/// Words that could be keys.
fn names(line: &str) -> Vec<Range<usize>> {
    runs(line, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn suspicious_runs(line: &str) -> Vec<Range<usize>> {
    let mut found = runs(line, |c| c.is_ascii_alphanumeric() || matches!(c, '+' | '='));
    found.extend(runs(line, |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
    found.retain(|run| {
        let run = &line[run.clone()];
        run.len() >= SUSPICIOUS
            && run.bytes().any(|b| b.is_ascii_digit())
            && run.bytes().any(|b| b.is_ascii_alphabetic())
    });
    found
}

fn runs(line: &str, belongs: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in line.char_indices().chain([(line.len(), '\0')]) {
        if belongs(c) {
            start.get_or_insert(at);
        } else if let Some(start) = start.take() {
            found.push(start..at);
        }
    }
    found
}

/// The value that follows a name: behind `=`, `:` or a quote; a list, a string up to its end, or the rest of the line.
fn value_after(line: &str, name_end: usize) -> Option<Range<usize>> {
    let rest = &line[name_end..];
    let name_quote = usize::from(rest.starts_with(['"', '\'']));
    let between = &rest[name_quote..];
    let separator = between.trim_start_matches([' ', '\t', '=', ':']);
    let start = line.len() - separator.len();
    let separated = between.len() > separator.len();
    if !separated || separator.is_empty() {
        return None;
    }
    let first = separator.chars().next()?;
    let has_equals = between[..between.len() - separator.len()].contains(['=', ':']);
    if !has_equals && !matches!(first, '"' | '\'') {
        return None;
    }
    let length = match first {
        '"' | '\'' => string_end(separator, first),
        '[' | '{' => separator.len(),
        _ => separator.find([',', '}', ']', '#']).unwrap_or(separator.len()),
    };
    trimmed(line, start..start + length)
}

/// Where a quoted string at the beginning of `text` ends, its quotes included; the whole text where it does not.
fn string_end(text: &str, quote: char) -> usize {
    if text.starts_with("\"\"\"") || text.starts_with("'''") {
        return text.len();
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

fn trimmed(line: &str, range: Range<usize>) -> Option<Range<usize>> {
    let text = &line[range.clone()];
    let start = range.start + (text.len() - text.trim_start().len());
    let end = range.end - (text.len() - text.trim_end().len());
    (start < end).then_some(start..end)
}

/// Sorted and without overlaps.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| range.start);
    let mut result: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match result.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => result.push(range),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The marked bytes are given as the text that they hold.
    fn shown(line: &str, marked: &str, path: &str) -> String {
        drawn(&shown_line(line, range(line, marked), path))
    }

    fn range(line: &str, marked: &str) -> Range<usize> {
        let start = line.find(marked).unwrap();
        start..start + marked.len()
    }

    fn drawn(line: &Line) -> String {
        format!("{}\n{}{}", line.text, " ".repeat(line.marker), "^".repeat(line.width))
    }

    #[test]
    fn a_webhooks_url_shows_where_it_leads_and_no_more() {
        let shown = |line: &str, path: &str| shown_line(line, 0..0, path).text;
        let line = "url = \"http://user:pw@hooks.example/x?tok=short\"";
        assert_eq!(shown(line, "webhooks[0].url"), "url = \"http://…@hooks.example/…\"");
        assert_eq!(
            shown(line, "upstreams.default.url"),
            "url = \"http://…@hooks.example/x?tok=short\""
        );
        assert_eq!(
            shown("url = \"https://hooks.example\"", "webhooks[0].url"),
            "url = \"https://hooks.example\""
        );
    }

    #[test]
    fn a_text_behind_an_unknown_name_is_masked() {
        let cases = [
            (r#"kye = "hunter2" # why"#, "kye", "kye = … # why\n^^^"),
            (
                r#"{"id":"a","kye":"b","c":1}"#,
                r#""kye""#,
                "{\"id\":\"a\",\"kye\":…,\"c\":1}\n          ^^^^^",
            ),
            (r#"worker = 4"#, "worker", "worker = 4\n^^^^^^"),
            (r#"method = ["GET"]"#, "method", "method = [\"GET\"]\n^^^^^^"),
            (r#"[metrics]"#, "metrics", "[metrics]\n ^^^^^^^"),
        ];
        for (line, marked, expected) in cases {
            assert_eq!(drawn(&shown_unknown(line, range(line, marked), "")), expected, "{line}");
        }
    }

    #[test]
    fn secrets_are_masked_and_the_marker_follows() {
        let cases = [
            (r#"name = "x" # why"#, r#""x""#, "", "name = \"x\" # why\n       ^^^"),
            (r#"  url = "http://a""#, "http", "", "url = \"http://a\"\n       ^^^^"),
            (
                r#"hash = "sha256:ab", name = 1"#,
                "1",
                "",
                "hash = …, name = 1\n                 ^",
            ),
            (r#"key = "k" # note"#, r#""k""#, "", "key = … # note\n      ^"),
            (r#"api_key = 'abc'"#, "api_key", "", "api_key = …\n^^^^^^^"),
            (r#"password "abc"#, r#""abc"#, "", "password …\n         ^"),
            (
                r#"{"id":"a","hash":"b","oops":1}"#,
                r#""oops""#,
                "",
                "{\"id\":\"a\",\"hash\":…,\"oops\":1}\n                   ^^^^^^",
            ),
            (
                r#"secrets = ["a", "b"]"#,
                r#""b""#,
                "keys[0].secrets[1]",
                "secrets = …\n          ^",
            ),
            (r#"  "a", "#, r#""a""#, "keys[0].secrets[0]", "…\n^"),
            (
                r#"url = "http://u:p@a/b@c""#,
                "url",
                "",
                "url = \"http://…@a/b@c\"\n^^^",
            ),
            (r#"tokens = { a = 1 }"#, "1", "", "tokens = …\n         ^"),
            (
                r#"text = "abc""#,
                r#""abc""#,
                "webhooks[0].secret.text",
                "text = …\n       ^",
            ),
            (
                r#"file = "abc""#,
                r#""abc""#,
                "webhooks[0].secret.file",
                "file = \"abc\"\n       ^^^^^",
            ),
            (
                r#"secret.text = "abc", x = 1"#,
                "1",
                "",
                "secret.text = …, x = 1\n                     ^",
            ),
            (
                r#"oops = "kg_live_0123456789abcdefghijkl""#,
                "oops",
                "",
                "oops = \"…\"\n^^^^",
            ),
            (
                r#"header = "X-API-Key", scheme = 1"#,
                "1",
                "",
                "header = \"X-API-Key\", scheme = 1\n                               ^",
            ),
        ];
        for (line, marked, path, expected) in cases {
            assert_eq!(shown(line, marked, path), expected, "{line}");
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_marker() {
        let line = format!("{} = 1 {}", "a ".repeat(200), "b ".repeat(200));
        let at = line.find('1').unwrap();
        let shown = shown_line(&line, at..at + 1, "");
        assert!(shown.text.chars().count() <= SHOWN + 4);
        assert_eq!(shown.text.chars().nth(shown.marker), Some('1'));
        assert_eq!(shown.width, 1);
    }

    proptest::proptest! {
        #[test]
        fn any_line_can_be_shown(line in "\\PC{0,300}", start in 0usize..300, length in 0usize..300) {
            let start = line.floor_char_boundary(start);
            let end = line.floor_char_boundary(start + length);
            let shown = shown_line(&line, start..end, "");
            proptest::prop_assert!(shown.width >= 1);
            proptest::prop_assert!(shown.marker <= shown.text.chars().count());
        }

        #[test]
        fn a_named_secret_never_shows(secret in "[a-zA-Z0-9]{6,40}", name in "(hash|key|api_key|secret|token|password)") {
            for line in [
                format!("{name} = \"{secret}\""),
                format!("{name}=\"{secret}"),
                format!("x = {{ {name} = '{secret}' }}"),
                format!("{{\"{name}\": \"{secret}\"}}"),
            ] {
                let shown = shown_line(&line, 0..1, "");
                proptest::prop_assert!(!shown.text.contains(&secret), "{}", shown.text);
            }
        }
    }
}
