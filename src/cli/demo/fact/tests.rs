//! Each fact holds for the answer that it describes, and for no other.

use super::*;

fn answer(status: StatusCode, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().expect("a value"));
    }
    Answer {
        status,
        headers: map,
        body: body.to_owned(),
        before: Vec::new(),
        arrivals: Vec::new(),
    }
}

fn with_body(body: &str) -> Answer {
    answer(StatusCode::OK, &[], body)
}

#[track_caller]
fn holds(fact: &Fact, answer: &Answer, came: &str) {
    let expected = Verdict {
        holds: true,
        came: came.to_owned(),
    };
    assert_eq!(fact.judge(answer), expected, "{fact}");
}

#[track_caller]
fn differs(fact: &Fact, answer: &Answer, came: &str) {
    let expected = Verdict {
        holds: false,
        came: came.to_owned(),
    };
    assert_eq!(fact.judge(answer), expected, "{fact}");
}

#[test]
fn statuses() {
    let fact = Fact::Status(StatusCode::OK);
    holds(&fact, &answer(StatusCode::OK, &[], ""), "200 OK");
    differs(&fact, &answer(StatusCode::NO_CONTENT, &[], ""), "204 No Content");

    let fact = Fact::Before(vec![StatusCode::OK, StatusCode::TOO_MANY_REQUESTS]);
    let after = |before: &[StatusCode]| Answer {
        before: before.to_vec(),
        ..with_body("")
    };
    holds(
        &fact,
        &after(&[StatusCode::OK, StatusCode::TOO_MANY_REQUESTS]),
        "200 429",
    );
    differs(
        &fact,
        &after(&[StatusCode::TOO_MANY_REQUESTS, StatusCode::OK]),
        "429 200",
    );
    differs(&fact, &after(&[StatusCode::OK]), "200");
}

#[test]
fn problem_documents() {
    let fact = Fact::Problem("rate_limited");
    let problem = |kind, id, body| {
        answer(
            StatusCode::FORBIDDEN,
            &[("content-type", kind), ("x-request-id", id)],
            body,
        )
    };
    let body = r#"{"code": "rate_limited", "request_id": "r1"}"#;
    holds(&fact, &problem("application/problem+json", "r1", body), "rate_limited");
    differs(
        &fact,
        &problem("application/json", "r1", body),
        r#"a body of type "application/json""#,
    );
    differs(
        &fact,
        &problem("application/problem+json", "r2", body),
        "a request_id other than X-Request-Id",
    );
    differs(&fact, &problem("application/problem+json", "r1", "oops"), "oops");
    let other = r#"{"code": "draining", "request_id": "r1"}"#;
    differs(&fact, &problem("application/problem+json", "r1", other), "draining");
}

#[test]
fn headers() {
    let all = answer(
        StatusCode::OK,
        &[("a", "1"), ("b", "x"), ("b", "y"), ("c", ""), ("d", "0"), ("e", "+5")],
        "",
    );
    holds(&Fact::Header("A", Form::Something), &all, "1");
    holds(&Fact::Header("A", Form::Exactly("1")), &all, "1");
    holds(&Fact::Header("A", Form::Begins("")), &all, "1");
    holds(&Fact::Header("A", Form::Seconds), &all, "1");
    differs(&Fact::Header("A", Form::Exactly("2")), &all, "1");
    differs(&Fact::Header("A", Form::Begins("12")), &all, "1");
    differs(&Fact::Header("B", Form::Something), &all, "x and y");
    differs(&Fact::Header("C", Form::Something), &all, "");
    differs(&Fact::Header("C", Form::Seconds), &all, "");
    differs(&Fact::Header("D", Form::Seconds), &all, "0");
    differs(&Fact::Header("E", Form::Seconds), &all, "+5");
    differs(&Fact::Header("F", Form::Something), &all, "none");
}

#[test]
fn bodies() {
    holds(&Fact::Holds("b c".to_owned()), &with_body("a b c"), "a b c");
    differs(&Fact::Holds("x".to_owned()), &with_body(""), "an empty body");
}

#[test]
fn what_the_service_saw() {
    let echo = with_body(r#"{"headers": ["host: h", "x-auth-key-id: k1", "x-twice: a", "x-twice: a"]}"#);
    let saw = |name, value: &str| Fact::ServiceSaw(name, value.to_owned());
    holds(&saw("X-Auth-Key-Id", "k1"), &echo, "k1");
    differs(&saw("X-Auth-Key-Id", "k2"), &echo, "k1");
    differs(&saw("X-Twice", "a"), &echo, "a and a");
    differs(&saw("X-Absent", "a"), &echo, "none");
    differs(&saw("Host", "h"), &with_body("<html>"), "none");
}

#[test]
fn what_the_service_did_not_see() {
    let fact = Fact::ServiceDidNotSee("X-API-Key", "s3cret".to_owned());
    holds(&fact, &with_body(r#"{"headers": ["host: h"]}"#), "1 other headers");
    differs(
        &fact,
        &with_body(r#"{"headers": ["x-api-key: other"]}"#),
        "X-API-Key, 1 times",
    );
    differs(
        &fact,
        &with_body(r#"{"headers": ["cookie: s3cret"]}"#),
        "the key, elsewhere",
    );
    differs(&fact, &with_body(r#"{"headers": []}"#), "0 other headers");
    differs(&fact, &with_body("oops"), "oops");
}

#[test]
fn what_the_receiver_saw() {
    let echo = with_body(r#"{"headers": ["webhook-signature: v1,abc", "webhook-id: 1"]}"#);
    let saw = Fact::ReceiverSaw;
    holds(&saw("Webhook-Signature", Form::Begins("v1,")), &echo, "v1,abc");
    differs(&saw("Webhook-Signature", Form::Begins("v1a,")), &echo, "v1,abc");
    differs(&saw("Webhook-Timestamp", Form::Seconds), &echo, "none");
    let unseen = Fact::ReceiverDidNotSee("X-API-Key", "abc".to_owned());
    differs(&unseen, &echo, "the key, elsewhere");
    holds(&unseen, &with_body(r#"{"headers": ["host: h"]}"#), "1 other headers");
}

#[test]
fn one_by_one() {
    let fact = Fact::OneByOne(3, Duration::from_millis(200));
    let came = |millis: &[u64]| Answer {
        arrivals: millis.iter().copied().map(Duration::from_millis).collect(),
        ..with_body("")
    };
    holds(&fact, &came(&[0, 100, 200]), "3 in 0.2 s");
    differs(&fact, &came(&[200, 200, 200]), "3 in 0.0 s");
    differs(&fact, &came(&[0, 200]), "2 in 0.2 s");
    differs(&fact, &came(&[]), "0 in 0.0 s");
}
