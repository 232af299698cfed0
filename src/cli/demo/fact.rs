//! What the tour promises about an answer, one fact at a time.
//!
//! A room of its own so that a promise and its proof are the same value: [`Fact`]'s text is what the tour prints, and
//! [`Fact::judge`] is what the check does with a real answer.

use std::fmt;
use std::time::Duration;

use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, StatusCode};
use serde_json::Value;

/// What came back, as far as facts look at it.
pub struct Answer {
    /// Of the last answer.
    pub status: StatusCode,
    /// Of the last answer.
    pub headers: HeaderMap,
    /// Of the last answer; a WebSocket's text frames, one a line.
    pub body: String,
    /// The statuses of a burst's answers before the last one.
    pub before: Vec<StatusCode>,
    /// When each piece of the body came, from the answer's head on.
    pub arrivals: Vec<Duration>,
}

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The answer's status.
    Status(StatusCode),
    /// The statuses of the answers before the last one, in order.
    Before(Vec<StatusCode>),
    /// The body is a problem document (RFC 9457) with this code and the answer's request id.
    Problem(&'static str),
    /// A header is there, once, and its value is as described.
    Header(&'static str, Form),
    /// The body holds this text.
    Holds(String),
    /// The service received this header, exactly once.
    ServiceSaw(&'static str, String),
    /// The service received no header of this name, and the text (a key) nowhere else.
    ServiceDidNotSee(&'static str, String),
    /// The receiver got this header, once, and its value is as described.
    ReceiverSaw(&'static str, Form),
    /// The receiver got no header of this name, and the text (a key) nowhere else.
    ReceiverDidNotSee(&'static str, String),
    /// The body came in this many pieces, and took at least this long from the first to the last.
    OneByOne(usize, Duration),
}

/// How a header's value looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Anything but empty.
    Something,
    /// This and nothing else.
    Exactly(&'static str),
    /// This at the beginning.
    Begins(&'static str),
    /// A whole number of seconds, at least 1.
    Seconds,
}

/// What the check found.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the promise is kept.
    pub holds: bool,
    /// What came, in the fact's own terms.
    pub came: String,
}

impl Fact {
    /// Compares the promise with what came.
    #[must_use]
    pub fn judge(&self, answer: &Answer) -> Verdict {
        match self {
            Self::Status(status) => verdict(answer.status == *status, answer.status.to_string()),
            Self::Before(statuses) => verdict(answer.before == *statuses, codes(&answer.before)),
            Self::Problem(code) => problem(code, answer),
            Self::Header(name, form) => header(name, form, &answer.headers),
            Self::Holds(text) => verdict(answer.body.contains(text), excerpt(&answer.body)),
            Self::ServiceSaw(name, value) => {
                let seen = seen(&answer.body, name);
                verdict(seen == [value.as_str()], list(&seen))
            }
            Self::ServiceDidNotSee(name, secret) | Self::ReceiverDidNotSee(name, secret) => {
                unseen(name, secret, &answer.body)
            }
            Self::ReceiverSaw(name, form) => described(form, &seen(&answer.body, name)),
            Self::OneByOne(pieces, least) => one_by_one(*pieces, *least, &answer.arrivals),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Before(statuses) => write!(f, "first {}", codes(statuses)),
            Self::Problem(code) => write!(f, "problem code {code}"),
            Self::Header(name, form) => write!(f, "header {name}{form}"),
            Self::Holds(text) => write!(f, "body holds {text}"),
            Self::ServiceSaw(name, value) => write!(f, "service saw {name}: {value}"),
            Self::ServiceDidNotSee(name, _) => write!(f, "service did not see {name}, nor the key"),
            Self::ReceiverSaw(name, form) => write!(f, "receiver saw {name}{form}"),
            Self::ReceiverDidNotSee(name, _) => write!(f, "receiver did not see {name}, nor the key"),
            Self::OneByOne(pieces, _) => write!(f, "{pieces} events, one by one"),
        }
    }
}

impl fmt::Display for Form {
    /// What follows the header's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Something => Ok(()),
            Self::Exactly(value) => write!(f, ": {value}"),
            Self::Begins(value) => write!(f, ": {value}…"),
            Self::Seconds => f.write_str(": whole seconds"),
        }
    }
}

fn verdict(holds: bool, came: String) -> Verdict {
    Verdict { holds, came }
}

fn problem(code: &str, answer: &Answer) -> Verdict {
    let media_type = answer
        .headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    if media_type != b"application/problem+json" {
        return verdict(
            false,
            format!("a body of type {:?}", String::from_utf8_lossy(media_type)),
        );
    }
    let Ok(document) = serde_json::from_str::<Value>(&answer.body) else {
        return verdict(false, excerpt(&answer.body));
    };
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let request_id = answer
        .headers
        .get("x-request-id")
        .map_or(&b""[..], |value| value.as_bytes());
    if text("request_id").as_bytes() != request_id {
        return verdict(false, "a request_id other than X-Request-Id".to_owned());
    }
    verdict(text("code") == code, text("code").to_owned())
}

fn unseen(name: &str, secret: &str, body: &str) -> Verdict {
    match (seen(body, name).len(), body.contains(secret)) {
        (0, false) => verdict(is_echo(body), excerpt_of_echo(body)),
        (0, true) => verdict(false, "the key, elsewhere".to_owned()),
        (times, _) => verdict(false, format!("{name}, {times} times")),
    }
}

fn header(name: &str, form: &Form, headers: &HeaderMap) -> Verdict {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    described(form, &values)
}

fn described<T: AsRef<str>>(form: &Form, values: &[T]) -> Verdict {
    let [value] = values else {
        return verdict(false, list(values));
    };
    let value = value.as_ref();
    let holds = match form {
        Form::Something => !value.is_empty(),
        Form::Exactly(expected) => value == *expected,
        Form::Begins(expected) => value.starts_with(*expected),
        Form::Seconds => value.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<u64>().is_ok_and(|s| s >= 1),
    };
    verdict(holds, value.to_owned())
}

/// The values that the echoed request holds for `name`.
fn seen(body: &str, name: &str) -> Vec<String> {
    echoed(body)
        .unwrap_or_default()
        .iter()
        .filter_map(|line| line.split_once(": "))
        .filter(|(seen, _)| seen.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
        .collect()
}

/// The header lines of an echo, if `body` is one.
fn echoed(body: &str) -> Option<Vec<String>> {
    let document: Value = serde_json::from_str(body).ok()?;
    serde_json::from_value(document.get("headers")?.clone()).ok()
}

/// Nothing was seen: true of every echo with headers, and of nothing else.
fn is_echo(body: &str) -> bool {
    echoed(body).is_some_and(|lines| !lines.is_empty())
}

fn excerpt_of_echo(body: &str) -> String {
    echoed(body).map_or_else(|| excerpt(body), |lines| format!("{} other headers", lines.len()))
}

fn one_by_one(pieces: usize, least: Duration, arrivals: &[Duration]) -> Verdict {
    let span = match arrivals {
        [first, .., last] => last.saturating_sub(*first),
        [_] | [] => Duration::ZERO,
    };
    let came = format!("{} in {:.1} s", arrivals.len(), span.as_secs_f64());
    verdict(arrivals.len() == pieces && span >= least, came)
}

fn codes(statuses: &[StatusCode]) -> String {
    statuses.iter().map(StatusCode::as_str).collect::<Vec<_>>().join(" ")
}

fn list<T: AsRef<str>>(values: &[T]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" and ")
}

/// A body on one short line.
fn excerpt(body: &str) -> String {
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None if line.is_empty() => "an empty body".to_owned(),
        None => line,
    }
}

#[cfg(test)]
mod tests;
