//! The shape of every answer, for every code.

use std::collections::BTreeSet;

use http::HeaderName;
use http::header;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::config::credentials::default_sources;
use crate::config::errors;
use crate::config::template::{Escape, Template};
use crate::policy::refusal::{Exceeded, Exhausted, Hygiene, Invalid};

const CALLER: caller::Facts<'_> = caller::Facts {
    key_id: Some("key_1"),
    user_id: None,
    key_name: Some("backend \"prod\""),
    organization_id: Some("42"),
    organization_name: Some("Acme"),
    permissions: None,
    environment: Some("live"),
    subscriptions: &[],
    plan: Some("standard"),
    status: "key",
};

const FACTS: Facts<'_> = Facts {
    request_id: "req-1",
    caller: CALLER,
    method: Some("POST"),
    path: Some("/v1/messages/7"),
    route: None,
    pattern: Some("/v1/messages/{id}"),
    time_unix: 1_700_000_000,
    grpc: false,
};

fn exceeded() -> Exceeded {
    Exceeded {
        window: "sec".to_owned(),
        limit: 80,
        retry_after: 3,
    }
}

fn spent() -> Exhausted {
    Exhausted {
        quota: "month".to_owned(),
        limit: 100_000,
        retry_after: 86_400,
        renews_at: 1_767_222_000,
    }
}

/// One of every refusal; [`refusal_is_listed`] does not compile until a new one is looked at here.
fn refusals() -> Vec<Refusal> {
    let hygiene = [
        Hygiene::Syntax,
        Hygiene::Method,
        Hygiene::Expectation,
        Hygiene::Version,
        Hygiene::HeadTooLarge,
        Hygiene::TargetTooLong,
        Hygiene::UnknownTransferCoding,
        Hygiene::HeadTimeout,
    ];
    let others = [
        Refusal::TlsRequired,
        Refusal::RouteUnknown,
        Refusal::CredentialMissing,
        Refusal::CredentialMalformed("scheme"),
        Refusal::CredentialConflict,
        Refusal::CredentialInvalid(Invalid::Revoked),
        Refusal::CredentialFailuresExceeded(7),
        Refusal::SourceDenied,
        Refusal::EnvironmentDenied("prefix"),
        Refusal::PermissionDenied,
        Refusal::KeysStale,
        Refusal::SubscriptionDenied,
        Refusal::TenantDenied,
        Refusal::HeaderMissing,
        Refusal::ConcurrencyExceeded,
        Refusal::RateLimited(exceeded()),
        Refusal::QuotaExceeded(spent()),
        Refusal::BodyTooLarge,
        Refusal::Draining,
    ];
    hygiene.into_iter().map(Refusal::RequestInvalid).chain(others).collect()
}

fn failures() -> Vec<Failure> {
    vec![
        Failure::UpstreamUnreachable,
        Failure::UpstreamConnectTimeout,
        Failure::UpstreamTimeout,
        Failure::UpstreamIdleTimeout,
        Failure::TotalTimeout,
        Failure::UpstreamInvalid,
        Failure::ClientBodyTimeout,
        Failure::ClientBodyInvalid,
        Failure::ClientGone,
        Failure::TunnelsExhausted,
        Failure::VerifierBusy,
        Failure::UserKeysUnavailable,
    ]
}

/// Counts the variants, so that the lists above cannot fall behind.
fn failure_is_listed(failure: Failure) -> usize {
    match failure {
        Failure::UpstreamUnreachable => 0,
        Failure::UpstreamConnectTimeout => 1,
        Failure::UpstreamTimeout => 2,
        Failure::UpstreamIdleTimeout => 3,
        Failure::TotalTimeout => 4,
        Failure::UpstreamInvalid => 5,
        Failure::ClientBodyTimeout => 6,
        Failure::ClientBodyInvalid => 7,
        Failure::ClientGone => 8,
        Failure::TunnelsExhausted => 9,
        Failure::VerifierBusy => 10,
        Failure::UserKeysUnavailable => 11,
    }
}

fn refusal_is_listed(refusal: &Refusal) -> usize {
    match refusal {
        Refusal::RequestInvalid(_) => 0,
        Refusal::TlsRequired => 1,
        Refusal::RouteUnknown => 2,
        Refusal::CredentialMissing => 3,
        Refusal::CredentialMalformed(_) => 4,
        Refusal::CredentialConflict => 5,
        Refusal::CredentialInvalid(_) => 6,
        Refusal::CredentialFailuresExceeded(_) => 7,
        Refusal::SourceDenied => 8,
        Refusal::EnvironmentDenied(_) => 9,
        Refusal::PermissionDenied => 10,
        Refusal::ConcurrencyExceeded => 11,
        Refusal::RateLimited(_) => 12,
        Refusal::BodyTooLarge => 13,
        Refusal::Draining => 14,
        Refusal::SubscriptionDenied => 15,
        Refusal::TenantDenied => 16,
        Refusal::HeaderMissing => 17,
        Refusal::QuotaExceeded(_) => 18,
        Refusal::KeysStale => 19,
    }
}

fn header(text: &str) -> Template<Field> {
    Template::of(text, Escape::Header)
}

fn plain() -> Answers {
    Answers::compile(&Errors::default(), &default_sources())
}

fn templated(code: &str, template: ErrorTemplate) -> Answers {
    let errors = Errors {
        templates: vec![(code.to_owned(), template)],
    };
    Answers::compile(&errors, &default_sources())
}

/// Every answer under `facts`, with what it should say: status, code, detail and wait.
fn every(answers: &Answers, facts: &Facts<'_>) -> Vec<(Answer, StatusCode, &'static str, &'static str, Option<u64>)> {
    let refusals = refusals().into_iter().map(|refusal| {
        let answer = answers.refusal(&refusal, facts);
        (
            answer,
            refusal.status(),
            refusal.code(),
            refusal.detail(Audience::default()),
            refusal.retry_after(),
        )
    });
    let failures = failures().into_iter().map(|failure| {
        let answer = answers.failure(failure, facts);
        (
            answer,
            failure.status(),
            failure.code(),
            failure.detail(),
            failure.retry_after(),
        )
    });
    refusals.chain(failures).collect()
}

fn lines(answer: &Answer, name: HeaderName) -> Vec<&str> {
    answer
        .headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

#[test]
fn the_lists_hold_every_variant() {
    let refused: BTreeSet<_> = refusals().iter().map(refusal_is_listed).collect();
    let failed: BTreeSet<_> = failures().into_iter().map(failure_is_listed).collect();
    assert_eq!(refused, (0..20).collect());
    assert_eq!(failed, (0..12).collect());
}

#[test]
fn the_configuration_knows_exactly_these_codes() {
    let answered: BTreeSet<_> = every(&plain(), &FACTS)
        .into_iter()
        .map(|(_, _, code, _, _)| code)
        .collect();
    let known: BTreeSet<_> = errors::CODES.iter().copied().collect();
    assert_eq!(answered, known);
    assert_eq!(errors::CODES.len(), known.len());
}

#[test]
fn the_readme_lists_every_code_with_its_statuses() {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once("## What callers see").unwrap();
    let listed: BTreeSet<(BTreeSet<u16>, BTreeSet<&str>)> = section
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .map(|line| {
            let (statuses, codes) = line.trim_matches(['|', ' ']).split_once(" | ").unwrap();
            let statuses = statuses.split(", ").map(|status| status.parse().unwrap());
            (
                statuses.collect(),
                codes.split(", ").map(|code| code.trim_matches('`')).collect(),
            )
        })
        .collect();
    let said = |code: &str| listed.iter().find(|(_, codes)| codes.contains(code));
    let mut answered = BTreeSet::new();
    for (_, status, code, _, _) in every(&plain(), &FACTS) {
        // Nobody is there to read it.
        if code == "client_gone" {
            continue;
        }
        let (statuses, codes) = said(code).unwrap_or_else(|| panic!("the README does not list {code}"));
        assert!(statuses.contains(&status.as_u16()), "{code} is {status}");
        answered.insert((status.as_u16(), codes.clone()));
    }
    for (statuses, codes) in &listed {
        for status in statuses {
            assert!(
                answered.contains(&(*status, codes.clone())),
                "none of {codes:?} is {status}"
            );
        }
        for code in codes {
            assert!(errors::CODES.contains(code), "{code}");
        }
    }
}

#[test]
fn every_code_has_a_problem_document() {
    for (answer, status, code, detail, retry_after) in every(&plain(), &FACTS) {
        assert_eq!(answer.status, status, "{code}");
        assert_eq!(
            lines(&answer, header::CONTENT_TYPE),
            ["application/problem+json"],
            "{code}"
        );
        assert_eq!(lines(&answer, header::CACHE_CONTROL), ["no-store"], "{code}");
        let body: Value = serde_json::from_slice(&answer.body).expect(code);
        let mut expected = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap(),
            "status": status.as_u16(),
            "detail": detail,
            "code": code,
            "request_id": "req-1",
        });
        let mut header = Vec::new();
        if let Some(seconds) = retry_after {
            expected["retry_after"] = seconds.into();
            header.push(seconds.to_string());
        }
        if code == "quota_exceeded" {
            expected["renews_at"] = "2025-12-31T23:00:00Z".into();
        }
        assert_eq!(body, expected);
        assert_eq!(lines(&answer, header::RETRY_AFTER), header, "{code}");
        let unauthorized = status == StatusCode::UNAUTHORIZED;
        assert_eq!(
            answer.headers.contains_key(header::WWW_AUTHENTICATE),
            unauthorized,
            "{code}"
        );
        let not_allowed = status == StatusCode::METHOD_NOT_ALLOWED;
        assert_eq!(answer.headers.contains_key(header::ALLOW), not_allowed, "{code}");
        assert!(!answer.headers.contains_key(header::CONTENT_LENGTH), "{code}");
    }
}

#[test]
fn all_reasons_of_an_invalid_key_look_alike() {
    let answers = plain();
    let all = [
        Invalid::Unknown,
        Invalid::Checksum,
        Invalid::Disabled,
        Invalid::Revoked,
        Invalid::NotYetValid,
        Invalid::Expired,
    ];
    let seen: BTreeSet<String> = all
        .into_iter()
        .map(|invalid| format!("{:?}", answers.refusal(&Refusal::CredentialInvalid(invalid), &FACTS)))
        .collect();
    assert_eq!(seen.len(), 1);
}

#[test]
fn grpc_callers_get_trailers_only() {
    let facts = Facts { grpc: true, ..FACTS };
    let expected = |status: StatusCode| match status.as_u16() {
        400 => "13",
        401 => "16",
        403 => "7",
        404 | 405 | 417 | 501 | 505 => "12",
        408 | 504 => "4",
        413 | 414 | 429 | 431 => "8",
        502 | 503 => "14",
        other => panic!("no gRPC status is written down for {other}"),
    };
    for (answer, status, code, _, retry_after) in every(&plain(), &facts) {
        assert_eq!(answer.status, StatusCode::OK, "{code}");
        assert!(answer.body.is_empty(), "{code}");
        assert_eq!(lines(&answer, header::CONTENT_TYPE), ["application/grpc"], "{code}");
        assert_eq!(
            lines(&answer, HeaderName::from_static("grpc-status")),
            [expected(status)],
            "{code}"
        );
        assert_eq!(
            answer.headers.contains_key(header::RETRY_AFTER),
            retry_after.is_some(),
            "{code}"
        );
        assert!(answer.headers.contains_key("grpc-message"), "{code}");
    }
}

#[test]
fn a_template_replaces_status_headers_and_body() {
    let body = r#"{"code":"{code}","http":{status},"title":"{title}","wait":{retry_after},"id":"{request_id}","key":"{key.id}: {key.name}",
        "of":["{organization}","{organization.id}",{organization.name}],"say":"{detail}","at":"{time}","on":[{environment},{plan}],
        "call":"{method} {path}","route":{route}}"#;
    let x_window = HeaderName::from_static("x-window");
    let answers = templated(
        "rate_limited",
        ErrorTemplate {
            status: Some(StatusCode::SERVICE_UNAVAILABLE),
            headers: vec![
                (header::CONTENT_TYPE, header("application/json; charset=utf-8")),
                (header::CACHE_CONTROL, header("private")),
                (x_window.clone(), header("{window}/{limit} of {organization}")),
            ],
            body: Some(Template::of(body, Escape::Json)),
        },
    );
    let answer = answers.refusal(&Refusal::RateLimited(exceeded()), &FACTS);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        lines(&answer, header::CONTENT_TYPE),
        ["application/json; charset=utf-8"]
    );
    assert_eq!(lines(&answer, header::CACHE_CONTROL), ["private"]);
    assert_eq!(lines(&answer, header::RETRY_AFTER), ["3"]);
    assert_eq!(lines(&answer, x_window.clone()), ["sec/80 of 42"]);
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.body).unwrap(),
        serde_json::json!({
            "code": "rate_limited",
            "http": 503,
            "title": "Service Unavailable",
            "wait": 3,
            "id": "req-1",
            "key": "key_1: backend \"prod\"",
            "of": ["42", "42", "Acme"],
            "say": "The rate limit of this API key is spent.",
            "at": "2023-11-14T22:13:20Z",
            "on": ["live", "standard"],
            "call": "POST /v1/messages/7",
            "route": "/v1/messages/{id}",
        })
    );
    // Another code keeps its own answer, and a gRPC caller its shape.
    let other = answers.refusal(&Refusal::ConcurrencyExceeded, &FACTS);
    assert_eq!(other.status, StatusCode::TOO_MANY_REQUESTS);
    let grpc = answers.refusal(&Refusal::RateLimited(exceeded()), &Facts { grpc: true, ..FACTS });
    assert_eq!(grpc.status, StatusCode::OK);
    assert!(grpc.body.is_empty());
    assert_eq!(lines(&grpc, header::CONTENT_TYPE), ["application/grpc"]);
    assert_eq!(lines(&grpc, HeaderName::from_static("grpc-status")), ["8"]);
    assert_eq!(lines(&grpc, x_window), ["sec/80 of 42"]);
}

#[test]
fn what_has_no_value_is_empty() {
    let every = "{retry_after}{window}{limit}{key.id}{key.name}{organization}{organization.name}{environment}{plan}{path}{route}";
    let plain = ErrorTemplate {
        status: None,
        headers: vec![(HeaderName::from_static("x-what"), header(&format!("of {every}")))],
        body: Some(Template::of(every, Escape::None)),
    };
    let answers = templated("route_unknown", plain);
    let answer = answers.refusal(&Refusal::RouteUnknown, &Facts::default());
    assert!(answer.body.is_empty() && !answer.headers.contains_key("x-what"));
    let json = ErrorTemplate {
        status: None,
        headers: Vec::new(),
        body: Some(Template::of(
            r#"[{retry_after},"{retry_after}",{window}]"#,
            Escape::Json,
        )),
    };
    let answer = templated("route_unknown", json).refusal(&Refusal::RouteUnknown, &Facts::default());
    assert_eq!(answer.body, r#"[null,"",null]"#);
}

#[test]
fn a_door_that_is_said_not_to_be_there_is_not_named() {
    let template = ErrorTemplate {
        status: None,
        headers: Vec::new(),
        body: Some(Template::of("{route}", Escape::None)),
    };
    let told = |code: &str, refusal| templated(code, template.clone()).refusal(&refusal, &FACTS).body;
    assert_eq!(told("route_unknown", Refusal::RouteUnknown), "");
    assert_eq!(
        told("permission_denied", Refusal::PermissionDenied),
        "/v1/messages/{id}"
    );
}

#[test]
fn a_template_without_a_body_keeps_the_problem_document() {
    let answers = templated(
        "permission_denied",
        ErrorTemplate {
            status: Some(StatusCode::UNAUTHORIZED),
            headers: vec![(HeaderName::from_static("x-why"), header("{code}"))],
            body: None,
        },
    );
    let answer = answers.refusal(&Refusal::PermissionDenied, &FACTS);
    assert_eq!(lines(&answer, header::WWW_AUTHENTICATE), ["Bearer realm=\"keygate\""]);
    assert_eq!(lines(&answer, HeaderName::from_static("x-why")), ["permission_denied"]);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&body["status"], &body["title"]), (&401.into(), &"Unauthorized".into()));
}

#[test]
fn values_are_escaped_for_where_they_stand() {
    let table = [
        (Escape::Json, r#"a\"<b>'\n&"#),
        (Escape::Markup, "a&quot;&lt;b&gt;&#39;\n&amp;"),
        (Escape::None, "a\"<b>'\n&"),
    ];
    let facts = Facts {
        caller: caller::Facts {
            key_name: Some("a\"<b>'\n&"),
            ..CALLER
        },
        ..FACTS
    };
    for (escape, expected) in table {
        let answers = templated(
            "source_denied",
            ErrorTemplate {
                status: None,
                headers: Vec::new(),
                body: Some(Template::of("<\"{key.name}\">", escape)),
            },
        );
        let answer = answers.refusal(&Refusal::SourceDenied, &facts);
        assert_eq!(answer.body, format!("<\"{expected}\">"), "{escape:?}");
    }
}

#[test]
fn the_words_fit_who_is_spoken_to() {
    let doors = [(0, Audience::Users), (1, Audience::Both), (2, Audience::Keys)];
    let doors = doors.map(|(index, audience)| (RouteIndex(index), default_sources(), audience));
    let answers = plain().with_routes(doors.into_iter());
    let said = |refusal: &Refusal, route: Option<u16>, caller: caller::Facts<'_>| {
        let route = route.map(RouteIndex);
        let answer = answers.refusal(refusal, &Facts { route, caller, ..FACTS });
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        problem["detail"].as_str().unwrap().to_owned()
    };
    let nobody = caller::Facts::default();
    let user = caller::Facts {
        user_id: Some("ann"),
        ..nobody
    };
    let missing = |route| said(&Refusal::CredentialMissing, route, nobody);
    assert_eq!(missing(Some(0)), "No token was sent.");
    assert_eq!(missing(Some(1)), "Neither an API key nor a token was sent.");
    assert_eq!(missing(Some(2)), "No API key was sent.");
    assert_eq!(missing(None), "No API key was sent.");
    for refusal in refusals() {
        let to_user = said(&refusal, Some(1), user);
        let malformed = matches!(refusal, Refusal::CredentialMalformed(_));
        let by_address = refusal == Refusal::SourceDenied;
        let invalid = matches!(refusal, Refusal::CredentialInvalid(_));
        assert!(
            malformed || by_address || invalid || !to_user.contains("API key"),
            "{to_user} ({})",
            refusal.code()
        );
        assert_eq!(said(&refusal, Some(1), CALLER), said(&refusal, Some(2), nobody));
    }
}

proptest! {
    #[test]
    fn no_value_breaks_a_document_or_a_header(name in any::<String>(), id in any::<String>(), status in 400..600u16) {
        let answers = templated(
            "draining",
            ErrorTemplate {
                status: StatusCode::from_u16(status).ok(),
                headers: vec![
                    (HeaderName::from_static("x-name"), header("{key.name}")),
                    (header::CACHE_CONTROL, header("{key.name}")),
                    (header::CONTENT_TYPE, header("application/json")),
                ],
                body: Some(Template::of(
                    r#"{"name":"{key.name}","bare":{key.name},"id":"{request_id}"}"#,
                    Escape::Json,
                )),
            },
        );
        let caller = caller::Facts { key_name: Some(&name), ..CALLER };
        let facts = Facts { request_id: &id, caller, ..FACTS };
        let answer = answers.refusal(&Refusal::Draining, &facts);
        let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
        prop_assert_eq!(&body["name"], &Value::from(name.as_str()));
        prop_assert_eq!(&body["id"], &Value::from(id.as_str()));
        prop_assert_eq!(&body["bare"], &Value::from(name.as_str()));
        let told = answer.headers.get("x-name").map(|value| value.to_str().expect("visible ASCII"));
        let decoded = told.map(|told| percent_encoding::percent_decode_str(told).decode_utf8().expect("UTF-8"));
        prop_assert_eq!(decoded.as_deref().unwrap_or_default(), name.as_str());
        prop_assert!(told.is_some() || answer.headers[header::CACHE_CONTROL] == "no-store");
        let plain: Value = serde_json::from_slice(&plain().refusal(&Refusal::Draining, &facts).body).expect("JSON");
        prop_assert_eq!(&plain["request_id"], &Value::from(id.as_str()));
    }
}

#[test]
fn a_spent_quota_tells_when_it_renews() {
    let refusal = Refusal::QuotaExceeded(spent());
    let answer = plain().refusal(&refusal, &FACTS);
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["retry-after"]),
        (429, &HeaderValue::from(86_400))
    );
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["code"], "quota_exceeded");
    assert_eq!(told["renews_at"], "2025-12-31T23:00:00Z");
    assert_eq!(told["retry_after"], 86_400);

    let template = ErrorTemplate {
        status: None,
        headers: vec![],
        body: Some(Template::of(
            "{window} {limit} {retry_after} {renews_at} ",
            Escape::None,
        )),
    };
    let answer = templated("quota_exceeded", template).refusal(&refusal, &FACTS);
    assert_eq!(answer.body, "month 100000 86400 2025-12-31T23:00:00Z ");
}
