//! Makes one call and says what is different from what the case expects.

use std::collections::BTreeMap;

use super::cases::{Answer, Behind, Case};
use super::stage::Stage;
use crate::harness::{Connection, Recorded, Response};

/// The header lines that ask for a WebSocket (RFC 6455 §4.1).
pub const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Everything that is not as the case says.
pub fn one(stage: &Stage, case: &Case) -> Vec<String> {
    let address = stage.gate.ingress();
    let mut connection = match case.from {
        Some(source) => Connection::open_from(source, address),
        None => Connection::open(address),
    };
    let (method, _) = words(&case.request);
    let request = bytes(case);
    let (at_least, at_most) = case
        .calls
        .as_ref()
        .map_or((1, 1), |calls| (calls.at_least, calls.at_most));
    let mut number = 1;
    let (answer, before) = loop {
        let before = requests(stage).len();
        connection.send(&request);
        let answer = match method {
            "HEAD" => connection.answer_to_head(),
            _ => connection.answer(),
        };
        if number == at_most || answer.status() == case.answer.status && number >= at_least {
            break (answer, before);
        }
        if !(200..300).contains(&answer.status()) {
            return vec![format!("call {number} is answered {} already", answer.status())];
        }
        number += 1;
    };
    let mut wrong = Vec::new();
    compare_answer(&case.answer, &answer, &mut wrong);
    if case.websocket && answer.status() == 101 {
        there_and_back(&mut connection);
    }
    compare_upstream(&case.upstream, requests(stage).split_off(before), &mut wrong);
    wrong
}

/// Every request that any upstream got, with the upstream's name.
fn requests(stage: &Stage) -> Vec<(&str, Recorded)> {
    let all = stage.upstreams.iter();
    all.flat_map(|(name, upstream)| upstream.requests().into_iter().map(|request| (name.as_str(), request)))
        .collect()
}

/// The request, as a client sends it.
pub fn bytes(case: &Case) -> String {
    let (method, target) = words(&case.request);
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: gate.test\r\n");
    if case.websocket {
        text += WEBSOCKET;
    }
    if !case.body.is_empty() {
        text += &format!("Content-Length: {}\r\n", case.body.len());
    }
    for line in &case.headers {
        text += &format!("{line}\r\n");
    }
    format!("{text}\r\n{}", case.body)
}

fn words(request: &str) -> (&str, &str) {
    request.split_once(' ').expect("METHOD /target")
}

/// A masked text frame (RFC 6455 §5.7) comes back unmasked.
fn there_and_back(connection: &mut Connection) {
    connection.send(b"\x81\x85\0\0\0\0hello");
    assert_eq!(connection.bytes(7), b"\x81\x05hello");
}

/// What is different about an answer.
pub fn compare_answer(expected: &Answer, answer: &Response, wrong: &mut Vec<String>) {
    if answer.status() != expected.status {
        wrong.push(format!(
            "the status is {}, not {}: {}",
            answer.status(),
            expected.status,
            answer.text()
        ));
        return;
    }
    compare_headers(
        &expected.headers,
        &expected.absent,
        |name| answer.head.all(name),
        "answer",
        wrong,
    );
    if let Some(code) = expected.code.as_ref().filter(|code| **code != answer.code()) {
        wrong.push(format!("the code is {:?}, not {code:?}", answer.code()));
    }
    if let Some(body) = expected.body.as_ref().filter(|body| **body != answer.text()) {
        wrong.push(format!("the body is {:?}, not {body:?}", answer.text()));
    }
    if let Some(json) = &expected.json {
        let expected: serde_json::Value = serde_json::from_str(json).expect("the case's JSON");
        match serde_json::from_slice::<serde_json::Value>(&answer.body) {
            Ok(body) if body == expected => {}
            Ok(_) | Err(_) => wrong.push(format!("the body is {}, not {json}", answer.text())),
        }
    }
}

fn compare_upstream(expected: &Behind, mut arrived: Vec<(&str, Recorded)>, wrong: &mut Vec<String>) {
    let names: Vec<&str> = arrived.iter().map(|(name, _)| *name).collect();
    if expected.reached == "nothing" {
        if !names.is_empty() {
            wrong.push(format!("it reached {names:?}"));
        }
        return;
    }
    if names != [expected.reached.as_str()] {
        wrong.push(format!("it reached {names:?}, not {:?}", expected.reached));
        return;
    }
    let (_, request) = arrived.remove(0);
    let arrived = format!("{} {}", request.head.word(0), request.target());
    if let Some(line) = expected.request.as_ref().filter(|line| **line != arrived) {
        wrong.push(format!("{arrived:?} arrived, not {line:?}"));
    }
    if let Some(body) = expected.body.as_ref().filter(|body| body.as_bytes() != request.body) {
        let arrived = String::from_utf8_lossy(&request.body);
        wrong.push(format!("the body {arrived:?} arrived, not {body:?}"));
    }
    compare_headers(
        &expected.headers,
        &expected.absent,
        |name| request.head.all(name),
        "upstream",
        wrong,
    );
}

/// `Name: value` lists all lines of that name; `Name` alone says that there is one.
pub fn compare_headers(
    expected: &[String],
    absent: &[String],
    all: impl Fn(&str) -> Vec<String>,
    place: &str,
    wrong: &mut Vec<String>,
) {
    let mut lines: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in expected {
        match line.split_once(": ") {
            Some((name, value)) => lines.entry(name.to_ascii_lowercase()).or_default().push(value),
            None if all(line).is_empty() => wrong.push(format!("{place}: there is no {line}")),
            None => {}
        }
    }
    for (name, values) in lines {
        let there = all(&name);
        if there != values {
            wrong.push(format!("{place}: {name} is {there:?}, not {values:?}"));
        }
    }
    for name in absent {
        let there = all(name);
        if !there.is_empty() {
            wrong.push(format!("{place}: {name} is there: {there:?}"));
        }
    }
}
