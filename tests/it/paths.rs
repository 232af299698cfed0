//! The path that is matched is the path that is forwarded.

use crate::harness::{ALPHA, Gate, Setup, Upstream, exchange, get, presents};

const AMBIGUOUS: [(&str, &str); 18] = [
    ("/a/../b", "dot_segment"),
    ("/..", "dot_segment"),
    ("/a/./b", "dot_segment"),
    ("/a/.", "dot_segment"),
    ("/a/%2e%2e/b", "dot_segment"),
    ("/a/.%2E/b", "dot_segment"),
    ("/a/%2e/b", "dot_segment"),
    ("/a%2fb", "encoded_slash"),
    ("/a%2Fb", "encoded_slash"),
    ("/a%5cb", "encoded_slash"),
    ("/a\\b", "backslash"),
    ("/a\\..\\b", "backslash"),
    ("//a", "empty_segment"),
    ("/a//b", "empty_segment"),
    ("/a%zz", "percent_encoding"),
    ("/a%2", "percent_encoding"),
    ("/a%00b", "percent_encoding"),
    ("/a%0ab", "percent_encoding"),
];

#[test]
fn paths_that_keygate_and_the_upstream_could_read_differently_are_refused() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    let mut wrong = Vec::new();
    for (path, reason) in AMBIGUOUS {
        let answer = exchange(gate.ingress(), get(path, &presents(ALPHA)));
        let got = (answer.status(), answer.code());
        if got != (400, "request_invalid".to_owned()) {
            wrong.push(format!("{path} ({reason}): {got:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn the_log_says_what_is_wrong_with_a_path() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for (path, reason) in AMBIGUOUS {
        exchange(gate.ingress(), get(path, &presents(ALPHA)));
        gate.wait_for_log(&format!("{path}: {reason}"), |line| {
            line["target"] == "access" && line["decision"] == "request_invalid" && line["reason"] == reason
        });
    }
}

#[test]
fn unambiguous_paths_are_forwarded_byte_for_byte() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup::before(&upstream));
    for target in [
        "/",
        "/a%20b/~x;p=1/%C3%A4/(y)!$&'*+,=:@",
        "/a.b/..c/d../...",
        "/trailing/",
        "/CaSe/%7e%7E",
        "/?",
        "/a?",
        "/a?x=../..//%2f%5c\\&y=%zz",
        "/a?b?c",
    ] {
        let answer = exchange(gate.ingress(), get(target, &presents(ALPHA)));
        assert_eq!(answer.status(), 200, "{target}: {}", answer.text());
        assert_eq!(upstream.last_request().target(), target);
    }
}

#[test]
fn no_spelling_of_a_path_reaches_behind_a_public_route() {
    let upstream = Upstream::hello();
    let gate = Gate::start(&Setup {
        more: "[[routes]]\npath = \"/open/{*rest}\"\naccess = \"public\"\n\n[[routes]]\npath = \"/{*rest}\"\n"
            .to_owned(),
        ..Setup::before(&upstream)
    });
    assert_eq!(exchange(gate.ingress(), get("/open/x", "")).status(), 200);
    for path in [
        "/open/../secret",
        "/open/%2e%2e/secret",
        "/open/..%2fsecret",
        "/open%2f..%2fsecret",
        "/open\\..\\secret",
        "/open//../secret",
        "/secret",
        "/OPEN/x",
        "/open/..;/secret",
        "/%6fpen/x",
    ] {
        let answer = exchange(gate.ingress(), get(path, ""));
        assert!(matches!(answer.status(), 400 | 401), "{path}: {}", answer.status());
    }
    for request in upstream.requests() {
        assert!(request.target().starts_with("/open/"), "{}", request.target());
    }
}

#[test]
fn an_upstream_may_loosen_each_path_rule() {
    let table = [
        ("allow_dot_segments", "/a/../b"),
        ("allow_encoded_slashes", "/a%2fb"),
        ("allow_backslashes", "/a\\b"),
        ("allow_empty_segments", "/a//b"),
    ];
    for (option, own) in table {
        let upstream = Upstream::hello();
        let gate = Gate::start(&Setup {
            more: format!("[upstreams.default.paths]\n{option} = true\n"),
            ..Setup::before(&upstream)
        });
        for (_, path) in table {
            let answer = exchange(gate.ingress(), get(path, &presents(ALPHA)));
            let expected = if path == own { 200 } else { 400 };
            assert_eq!(answer.status(), expected, "{path} with {option}");
        }
        assert_eq!(upstream.only_request().target(), own, "forwarded as it came");
    }
}
