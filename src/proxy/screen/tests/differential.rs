//! The screen with hyper behind it against a slow and simple reader that was written from the RFCs: for any bytes, cut
//! anywhere, both see the same requests with the same bodies, and hyper never answers by itself.

use proptest::prelude::*;

use super::LIMITS;
use super::server::{Seen, exchange};
use crate::proxy::screen::BodyFailure;

/// How a stream ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Between two messages, or within a head that is not complete.
    Quiet,
    /// After a message that ends the connection.
    Closed,
    /// At a head that is refused.
    Refused,
    /// Within a body that is broken.
    Broken { method: String, target: String },
    /// Within a body that is not complete.
    CutShort { method: String, target: String },
}

type Request = (String, String, Vec<u8>);

/// Reads a whole stream.
fn reference(mut stream: &[u8]) -> (Vec<Request>, End) {
    let mut requests = Vec::new();
    loop {
        let mut empty_lines = 0;
        while let Some(rest) = stream.strip_prefix(b"\r\n") {
            stream = rest;
            empty_lines += 1;
        }
        if empty_lines > 4 {
            return (requests, End::Refused);
        }
        let head = match head(stream) {
            Ok(head) => head,
            Err(end) => return (requests, end),
        };
        stream = &stream[head.length..];
        let (method, target) = (head.method, head.target);
        match head.body {
            Length::Bytes(length) if stream.len() < length => return (requests, End::CutShort { method, target }),
            Length::Bytes(length) => {
                requests.push((method, target, stream[..length].to_vec()));
                stream = &stream[length..];
            }
            Length::Chunked => match chunked(stream) {
                Ok((body, length)) => {
                    requests.push((method, target, body));
                    stream = &stream[length..];
                }
                Err(true) => return (requests, End::CutShort { method, target }),
                Err(false) => return (requests, End::Broken { method, target }),
            },
        }
        if head.close {
            return (requests, End::Closed);
        }
    }
}

enum Length {
    Bytes(usize),
    Chunked,
}

struct Head {
    method: String,
    target: String,
    body: Length,
    close: bool,
    length: usize,
}

fn is_tchar(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

fn is_field_text(character: char) -> bool {
    matches!(character, '\t' | ' '..='~' | '\u{80}'..='\u{ff}')
}

fn head(stream: &[u8]) -> Result<Head, End> {
    // Latin-1: one character for each byte.
    let text: String = stream.iter().map(|&byte| char::from(byte)).collect();
    let characters = stream.len();
    if text
        .chars()
        .next()
        .is_some_and(|first| !is_tchar(first) && first != '\r')
    {
        return Err(End::Refused);
    }
    let mut lines = Vec::new();
    let mut rest = &text[..];
    let mut consumed = 0;
    let complete = loop {
        let Some((line, after)) = rest.split_once('\n') else {
            break false;
        };
        consumed += line.chars().count() + 1;
        let Some(line) = line.strip_suffix('\r') else {
            return Err(End::Refused);
        };
        if consumed > LIMITS.head_bytes || lines.len() > LIMITS.header_count + 1 {
            return Err(End::Refused);
        }
        if lines.is_empty() && request_line(line).is_none_or(|(.., known)| !known) {
            return Err(End::Refused);
        }
        rest = after;
        if line.is_empty() {
            break true;
        }
        lines.push(line);
        if lines.len() > LIMITS.header_count + 1 {
            return Err(End::Refused);
        }
    };
    if !complete {
        let too_long = characters > LIMITS.head_bytes;
        let target_too_long = lines.is_empty() && target_length(rest) > LIMITS.target_bytes;
        return Err(if too_long || target_too_long {
            End::Refused
        } else {
            End::Quiet
        });
    }
    let (method, target, version, _) = request_line(lines[0]).ok_or(End::Refused)?;
    if method.is_empty() || !method.chars().all(is_tchar) || !is_target(target) || target.len() > LIMITS.target_bytes {
        return Err(End::Refused);
    }
    let mut fields = Vec::new();
    for line in &lines[1..] {
        let (name, value) = line.split_once(':').ok_or(End::Refused)?;
        if name.is_empty() || !name.chars().all(is_tchar) || !value.chars().all(is_field_text) {
            return Err(End::Refused);
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])));
    }
    let all = |name: &str| {
        fields
            .iter()
            .filter(|field| field.0 == name)
            .map(|field| field.1)
            .collect::<Vec<_>>()
    };
    let host_is_valid = |host: &str| {
        let (name, port) = host.split_once(':').unwrap_or((host, ""));
        !name.is_empty()
            && name
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "-._~".contains(character))
            && port.len() <= 5
            && port.chars().all(|digit| digit.is_ascii_digit())
            && port.parse::<u32>().unwrap_or(0) <= 65_535
    };
    if !matches!(all("host")[..], [host] if host_is_valid(host)) {
        return Err(End::Refused);
    }
    let body = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Length::Bytes(0),
        ([length], []) if !length.is_empty() && length.chars().all(|digit| digit.is_ascii_digit()) => Length::Bytes(
            length
                .parse::<i64>()
                .ok()
                .and_then(|length| usize::try_from(length).ok())
                .ok_or(End::Refused)?,
        ),
        ([], [coding]) if version == "HTTP/1.1" && coding.eq_ignore_ascii_case("chunked") => Length::Chunked,
        _ => return Err(End::Refused),
    };
    let options: Vec<String> = all("connection")
        .iter()
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .collect();
    let close = options.iter().any(|option| option == "close");
    let keep_alive = options.iter().any(|option| option == "keep-alive");
    Ok(Head {
        method: method.into(),
        target: read_target(target),
        body,
        close: close || (version == "HTTP/1.0" && !keep_alive),
        length: consumed,
    })
}

/// Method, target, version, and whether the version is known.
fn request_line(line: &str) -> Option<(&str, &str, &str, bool)> {
    let (rest, version) = line.rsplit_once(' ')?;
    if line.len() > LIMITS.target_bytes && target_length(line) > LIMITS.target_bytes {
        return None;
    }
    let known = version == "HTTP/1.1" || version == "HTTP/1.0";
    let (method, target) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((method, target, version, known))
}

fn target_length(line: &str) -> usize {
    line.split(' ').nth(1).map_or(0, |target| target.chars().count())
}

fn is_target(target: &str) -> bool {
    if target.starts_with('/') {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let common = |character: char| character.is_ascii_graphic() && !"#<>".contains(character);
        path.chars().all(|character| common(character) && character != '`')
            && query.chars().all(|character| common(character) && character != '"')
    } else {
        target.is_ascii() && !target.contains('#') && target.parse::<http::Uri>().is_ok()
    }
}

/// A path as it is; the absolute form as `http::Uri` writes it, with its path if that is empty.
fn read_target(target: &str) -> String {
    match target.parse::<http::Uri>() {
        Ok(uri) if !target.starts_with('/') => uri.to_string(),
        Ok(_) | Err(_) => target.into(),
    }
}

/// The content and the length of a chunked body; the error says whether more bytes could have saved it.
fn chunked(stream: &[u8]) -> Result<(Vec<u8>, usize), bool> {
    let line = |from: usize| -> Result<(String, usize), bool> {
        let mut text = String::new();
        for (at, &byte) in stream[from..].iter().enumerate() {
            match byte {
                b'\n' if text.ends_with('\r') => {
                    text.pop();
                    return Ok((text, from + at + 1));
                }
                _ if text.ends_with('\r') => return Err(false),
                b'\r' | b'\t' | b' '..=b'~' | 0x80.. => text.push(char::from(byte)),
                _ => return Err(false),
            }
            // Broken as soon as it shows.
            check_size_so_far(&text)?;
        }
        Err(true)
    };
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let (size_line, next) = line(at)?;
        let (size, extension) = size_line
            .split_once(';')
            .map_or((&size_line[..], None), |(size, rest)| (size, Some(rest)));
        let digits = if extension.is_some() {
            size.trim_end_matches([' ', '\t'])
        } else {
            size
        };
        if digits.is_empty() || digits.len() > 16 || !digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(false);
        }
        let size = u64::from_str_radix(digits, 16).map_err(|_| false)?;
        at = next;
        if size == 0 {
            break;
        }
        let left = (stream.len() - at) as u64;
        if left <= size {
            return Err(true);
        }
        let end = at + size as usize;
        body.extend_from_slice(&stream[at..end]);
        match &stream[end..] {
            [b'\r', b'\n', ..] => at = end + 2,
            [b'\r'] => return Err(true),
            _ => return Err(false),
        }
    }
    trailers(stream, at).map(|end| (body, end))
}

fn check_size_so_far(text: &str) -> Result<(), bool> {
    let digits: String = text.chars().take_while(char::is_ascii_hexdigit).collect();
    let rest = &text[digits.len()..];
    let after = rest.trim_start_matches([' ', '\t']);
    let good = digits.len() <= 16
        && (!digits.is_empty() || text.is_empty())
        && (after.is_empty() || after.starts_with(';') || (rest.len() == after.len() && after == "\r"))
        && (digits.is_empty() || u64::from_str_radix(&digits, 16).is_ok());
    if good { Ok(()) } else { Err(false) }
}

fn trailers(stream: &[u8], mut at: usize) -> Result<usize, bool> {
    loop {
        let mut name = String::new();
        let mut in_value = false;
        loop {
            let byte = *stream.get(at).ok_or(true)?;
            at += 1;
            let character = char::from(byte);
            match byte {
                b'\r' if in_value || name.is_empty() => {
                    if *stream.get(at).ok_or(true)? != b'\n' {
                        return Err(false);
                    }
                    at += 1;
                    break;
                }
                _ if in_value && is_field_text(character) => {}
                b':' if !in_value && !name.is_empty() => {
                    let forbidden = [
                        "content-length",
                        "transfer-encoding",
                        "host",
                        "connection",
                        "upgrade",
                        "trailer",
                        "te",
                        "expect",
                        "keep-alive",
                        "proxy-connection",
                    ];
                    if forbidden.contains(&&name.to_ascii_lowercase()[..]) {
                        return Err(false);
                    }
                    in_value = true;
                }
                _ if !in_value && is_tchar(character) => name.push(character),
                _ => return Err(false),
            }
        }
        if name.is_empty() {
            return Ok(at);
        }
    }
}

const MESSAGES: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a?b=c HTTP/1.1\r\nHost: a.example:80\r\nAccept: */*\r\n\r\n",
    "POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    "POST /l HTTP/1.1\r\nContent-Length: 29\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n0\r",
    "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "PUT /c HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\n\r\n5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0 ;x\r\nDigest: z\r\nB:\r\n\r\n",
    "GET /u HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "GET /k HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET /o HTTP/1.0\r\nHost: a\r\n\r\n",
    "POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n",
    "0\r\n\r\n",
];

/// Pieces that parsers disagree about.
const PIECES: &[&str] = &[
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    " ",
    "\t",
    "\0",
    "\u{b}",
    ":",
    ";",
    ",",
    "#",
    "?",
    "0",
    "1",
    "5",
    "f",
    "+",
    "-",
    "x",
    "0x",
    "chunked",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Host: b\r\n",
    " X: y\r\n",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "GET ",
    "\u{e9}",
    "X: y\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
];

#[derive(Debug, Clone)]
enum Change {
    Insert(prop::sample::Index, &'static str),
    Delete(prop::sample::Index, usize),
    Replace(prop::sample::Index, u8),
    Repeat(prop::sample::Index, usize),
}

impl Change {
    fn apply(&self, stream: &mut Vec<u8>) {
        if stream.is_empty() {
            return;
        }
        match self {
            Change::Insert(at, piece) => {
                let at = at.index(stream.len());
                stream.splice(at..at, piece.bytes());
            }
            Change::Delete(at, count) => {
                let at = at.index(stream.len());
                let end = (at + count).min(stream.len());
                stream.drain(at..end);
            }
            Change::Replace(at, byte) => {
                let at = at.index(stream.len());
                stream[at] = *byte;
            }
            Change::Repeat(at, count) => {
                let at = at.index(stream.len());
                let end = (at + count).min(stream.len());
                let piece = stream[at..end].to_vec();
                stream.splice(at..at, piece);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), prop::sample::select(PIECES)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (index(), 1..12_usize).prop_map(|(at, count)| Change::Delete(at, count)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (index(), 1..40_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn compare(stream: &[u8], part: usize) {
    let (requests, end) = reference(stream);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (seen, answers) = runtime.block_on(exchange(stream.chunks(part)));
    let mut expected: Vec<Seen> = requests
        .into_iter()
        .map(|(method, target, body)| Seen::Request { method, target, body })
        .collect();
    let answered = expected.len();
    match end {
        End::Quiet | End::Closed => {}
        End::Refused => {
            let Some(Seen::Refused(hygiene)) = seen.last() else {
                panic!("the last head was to be refused: {seen:?}");
            };
            expected.push(Seen::Refused(*hygiene));
        }
        End::Broken { method, target } => expected.push(Seen::Failed {
            method,
            target,
            failure: Some(BodyFailure::Broken),
        }),
        End::CutShort { method, target } => {
            expected.push(Seen::Failed {
                method,
                target,
                failure: Some(BodyFailure::CutShort),
            });
        }
    }
    assert_eq!(seen, expected);
    assert_eq!(answers.matches("x-from: service").count(), expected.len(), "{answers}");
    assert_eq!(answers.matches(" 200 OK\r\n").count(), answered, "{answers}");
    assert_eq!(answers.matches("HTTP/1.").count(), expected.len(), "{answers}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_means_the_same_to_the_screen_to_hyper_and_to_the_reference(
        messages in prop::collection::vec(prop::sample::select(MESSAGES), 1..5),
        changes in prop::collection::vec(change(), 0..4),
        part in prop_oneof![Just(1_usize), 2..40_usize, Just(4096)],
    ) {
        let mut stream = messages.concat().into_bytes();
        for change in &changes {
            change.apply(&mut stream);
        }
        compare(&stream, part);
    }
}

#[test]
fn the_reference_itself_reads_what_was_meant() {
    let (requests, end) = reference(MESSAGES[..9].concat().as_bytes());
    assert_eq!(end, End::Quiet);
    assert_eq!(requests.len(), 9);
    assert_eq!(requests[3].2, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n0\r");
    assert_eq!(requests[5].2, b"hello0123456789");
    for (at, end) in [(9, End::Closed), (10, End::Closed), (11, End::Refused)] {
        assert_eq!(reference(MESSAGES[at].as_bytes()).1, end);
    }
}
