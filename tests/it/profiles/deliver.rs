//! Brings one event and says what arrives otherwise than the case expects; then has others verify what has arrived.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::events::{Arrival, EventCase};
use super::exact;
use super::replay::compare_answer;
use super::stage::{Receiver, Stage};
use crate::harness::{Recorded, Verifier, exchange};

/// What somebody else is asked about.
pub struct Proof {
    name: String,
    verifier: Verifier,
    case: Value,
    is_right: bool,
}

/// Everything that is not as the case says.
pub fn one(stage: &Stage, profile: &str, case: &EventCase, proofs: &mut Vec<Proof>) -> Vec<String> {
    let answer = exchange(stage.egress(), bytes(stage, case));
    let mut wrong = Vec::new();
    compare_answer(&case.answer, &answer, &mut wrong);
    if !wrong.is_empty() {
        return wrong;
    }
    let expected: BTreeSet<&str> = case.receivers.iter().map(|arrival| arrival.webhook.as_str()).collect();
    for arrival in &case.receivers {
        let receiver = stage.receiver(&arrival.webhook);
        let mut requests = receiver.server.wait_for_requests(1);
        if requests.len() != 1 {
            wrong.push(format!("{}: {} requests", arrival.webhook, requests.len()));
        }
        let request = requests.remove(0);
        compare(arrival, receiver, &case.body, &request, &mut wrong);
        for verifier in &arrival.verified_by {
            let name = format!("{}: {}", case.name, arrival.webhook);
            proofs.extend(proofs_of(&name, profile, *verifier, arrival, receiver, &request));
        }
    }
    for receiver in &stage.receivers {
        if !expected.contains(receiver.id.as_str()) && !receiver.server.requests().is_empty() {
            wrong.push(format!("it reached {}", receiver.id));
        }
    }
    wrong
}

/// The request, as the service sends it, with the receivers' own addresses.
fn bytes(stage: &Stage, case: &EventCase) -> String {
    let (method, target) = case.request.split_once(' ').expect("METHOD TARGET");
    let mut target = target.to_owned();
    for receiver in &stage.receivers {
        let origin = &receiver.url[..receiver.url.len() - super::stage::path_of(&receiver.url).len()];
        if let Some(rest) = target.strip_prefix(origin) {
            target = format!("{}{rest}", receiver.server.url());
        }
    }
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n");
    for line in &case.headers {
        text += &format!("{line}\r\n");
    }
    format!("{text}Content-Length: {}\r\n\r\n{}", case.body.len(), case.body)
}

fn compare(arrival: &Arrival, receiver: &Receiver, body: &str, request: &Recorded, wrong: &mut Vec<String>) {
    let id = &receiver.id;
    let text = request.head.text();
    let lines: Vec<&str> = text.trim_end_matches("\r\n").split("\r\n").collect();
    let start = format!("{} HTTP/1.1", arrival.request);
    if lines[0] != start {
        wrong.push(format!("{id}: {:?} arrived, not {start:?}", lines[0]));
    }
    if request.body != body.as_bytes() {
        let arrived = String::from_utf8_lossy(&request.body);
        wrong.push(format!("{id}: the body {arrived:?} arrived"));
    }
    let host = receiver.server.address().to_string();
    let is_same = lines.len() == arrival.headers.len() + 1
        && lines[1..].iter().zip(&arrival.headers).all(|(line, expected)| {
            let pieces = exact::parse(expected).expect("checked when it was read");
            exact::is_same(&pieces, line, &host, &receiver.secret)
        });
    if !is_same {
        let (there, expected) = (lines[1..].join("\n    "), arrival.headers.join("\n    "));
        wrong.push(format!("{id}: the headers are\n    {there}\n  not\n    {expected}"));
    }
}

/// That it is signed with the secret; and that who verifies it would say so of no other secret, and of no other body.
fn proofs_of(
    name: &str,
    profile: &str,
    verifier: Verifier,
    arrival: &Arrival,
    receiver: &Receiver,
    request: &Recorded,
) -> Vec<Proof> {
    let headers: Map<String, Value> = request
        .head
        .headers()
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.into()))
        .collect();
    let body = String::from_utf8(request.body.clone()).expect("cases are text");
    let case = json!({
        "form": profile.replace('-', "_"),
        "secret": receiver.secret,
        "body": body,
        "headers": headers,
        "signature": arrival.signature,
    });
    // Behind `whsec_`, so that what is decoded is another key, too.
    let mut characters: Vec<char> = receiver.secret.chars().collect();
    let swapped = characters[10];
    characters[10] = if swapped == 'A' { 'B' } else { 'A' };
    let mut other_secret = case.clone();
    other_secret["secret"] = characters.into_iter().collect::<String>().into();
    let mut other_body = case.clone();
    other_body["body"] = format!("{body} ").into();
    let signs_body = !headers_prove_by_secret(arrival);
    let mut proofs = vec![(case, true), (other_secret, false)];
    if signs_body {
        proofs.push((other_body, false));
    }
    proofs
        .into_iter()
        .map(|(case, is_right)| Proof {
            name: name.to_owned(),
            verifier,
            case,
            is_right,
        })
        .collect()
}

/// Whether the secret itself is there, which says nothing of the body.
fn headers_prove_by_secret(arrival: &Arrival) -> bool {
    let mut lines = arrival.headers.iter();
    lines.any(|line| line.contains("{secret}"))
}

/// Asks all who verify, each of them once; what they say otherwise than expected.
pub fn verify(proofs: &[Proof]) -> Vec<String> {
    let mut by_verifier: BTreeMap<Verifier, Vec<&Proof>> = BTreeMap::new();
    for proof in proofs {
        by_verifier.entry(proof.verifier).or_default().push(proof);
    }
    let mut wrong = Vec::new();
    for (verifier, proofs) in by_verifier {
        let cases: Vec<Value> = proofs.iter().map(|proof| proof.case.clone()).collect();
        let verdicts = verifier.ask(&cases);
        assert_eq!(verdicts.len(), proofs.len(), "{verifier:?}");
        for (proof, verdict) in proofs.into_iter().zip(verdicts) {
            if verdict != proof.is_right {
                wrong.push(format!("{}: {verifier:?} says {verdict} of {}", proof.name, proof.case));
            }
        }
    }
    wrong
}
