use http::Method;
use proptest::prelude::*;

use super::Match::{Ambiguous, Matched, MethodNotRouted, None as NoRoute};
use super::*;

fn route(path: &str, methods: &[Method], permission: &str) -> Route {
    Route {
        path: path.into(),
        methods: methods.to_vec(),
        permission: Some(Permission::Any(vec![permission.to_owned()])),
        ..Route::unmatched(Access::Key)
    }
}

fn routes(table: &[(&str, &[Method], &str)]) -> Routes {
    let routes: Vec<Route> = table
        .iter()
        .map(|(path, methods, permission)| route(path, methods, permission))
        .collect();
    Routes::compile(&routes, Access::Deny).unwrap()
}

fn to(index: u16) -> Match {
    Matched(RouteIndex(index))
}

#[test]
fn without_routes_nothing_matches() {
    let routes = Routes::compile(&[], Access::Key).unwrap();
    assert_eq!(routes.find(&Method::GET, "/x"), NoRoute);
    assert_eq!(routes.find(&Method::OPTIONS, "*"), NoRoute);
}

#[test]
fn the_most_specific_pattern_wins_and_its_methods_decide() {
    let routes = routes(&[
        ("/v1/{*rest}", &[], "a"),
        ("/v1/messages", &[Method::POST], "b"),
        ("/v1/messages", &[Method::GET], "c"),
        ("/v1/messages/{id}", &[Method::GET, Method::DELETE], "d"),
        ("/v1/messages/{message}", &[], "e"),
        ("/files/{name}.json", &[], "f"),
    ]);
    for (method, path, expected) in [
        (Method::POST, "/v1/messages", to(1)),
        (Method::GET, "/v1/messages", to(2)),
        (Method::HEAD, "/v1/messages", to(2)),
        (Method::PUT, "/v1/messages", MethodNotRouted),
        (Method::DELETE, "/v1/messages/7", to(3)),
        (Method::HEAD, "/v1/messages/7", to(3)),
        (Method::PUT, "/v1/messages/7", to(4)),
        (Method::PUT, "/v1/messages/7/x", to(0)),
        (Method::PUT, "/v1/other", to(0)),
        (Method::PUT, "/v1/", to(0)),
        (Method::PUT, "/v1", to(0)),
        (Method::GET, "/", NoRoute),
        (Method::GET, "/V1/messages", NoRoute),
        (Method::OPTIONS, "*", NoRoute),
        (Method::GET, "/files/a.json", to(5)),
        (Method::GET, "/files/a.xml", NoRoute),
    ] {
        assert_eq!(routes.find(&method, path), expected, "{method} {path}");
    }
}

#[test]
fn a_catch_all_at_the_root_is_everything() {
    let routes = routes(&[("/{*all}", &[], "a")]);
    for path in ["/", "/x", "/x/", "/x/y%20z;a"] {
        assert_eq!(routes.find(&Method::GET, path), to(0), "{path}");
    }
}

#[test]
fn a_path_that_could_be_read_around_a_permission_is_ambiguous() {
    let routes = routes(&[
        ("/v1/{*rest}", &[], "read"),
        ("/v1/admin", &[], "admin"),
        ("/v1/users/{id}", &[], "read"),
        ("/v1/send:now", &[Method::POST], "send"),
        ("/docs", &[], "read"),
        ("/docs/", &[], "write"),
        ("/caf%C3%A9", &[], "read"),
        ("/größe", &[], "read"),
    ]);
    for (path, expected) in [
        ("/v1/admin", to(1)),
        ("/v1/%61dmin", Ambiguous),
        ("/v1/admin/", Ambiguous),
        ("/v1/admi%6e/", Ambiguous),
        ("/v1/%2561dmin", Ambiguous),
        ("/v1/admin%253Bx/", Ambiguous),
        ("/v1/100%25", to(0)),
        ("/v1/users/a%2540b", to(2)),
        ("/v1/admin;x=y", Ambiguous),
        ("/v1/admin%3Bx", Ambiguous),
        ("/v1/admin;x/", Ambiguous),
        ("/v1/admin/x", to(0)),
        ("/v1/admin%20", to(0)),
        ("/v1/other/", to(0)),
        ("/v1/%6fther;a/", to(0)),
        ("/v1/users/a%40b.example", to(2)),
        ("/v1/users/%7Ea", to(2)),
        ("/v1/users/7/", to(0)),
        ("/v1/users/a%2Fb", to(2)),
        ("/v1/send%3Anow", Ambiguous),
        ("/docs", to(4)),
        ("/docs/", to(5)),
        ("/d%6Fcs", NoRoute),
        ("/caf%C3%A9", to(6)),
        ("/gr%C3%B6%C3%9Fe", to(7)),
    ] {
        assert_eq!(routes.find(&Method::POST, path), expected, "{path}");
    }
}

#[test]
fn a_slash_at_the_end_is_no_way_around_the_door_without_one() {
    let routes = routes(&[
        ("/messages", &[Method::POST], "send"),
        ("/messages/{*rest}", &[], "read"),
        ("/orgs/{org}", &[], "manage"),
        ("/orgs/{org}/{*rest}", &[], "read"),
        ("/files", &[], "read"),
        ("/files/{*rest}", &[], "read"),
        ("/admin/{*rest}", &[], "manage"),
    ]);
    for (path, expected) in [
        ("/messages", to(0)),
        ("/messages/", Ambiguous),
        ("/messages/7", to(1)),
        ("/messages/7/", to(1)),
        ("/orgs/7", to(2)),
        ("/orgs/7/", Ambiguous),
        ("/files/", to(5)),
        ("/admin/", to(6)),
    ] {
        assert_eq!(routes.find(&Method::POST, path), expected, "{path}");
    }
}

#[test]
fn a_parameter_goes_before_all_that_follows() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let table = [
            ("/v1/{*rest}", &[][..], "any"),
            ("/v1/{org}/x", &[][..], "x"),
            ("/v1/{org}/{*rest}", &[][..], "org"),
        ];
        let routes = routes(&order.map(|index| table[index]));
        for (path, expected) in [("/v1/a/x", 1), ("/v1/a/y", 2), ("/v1/a", 2), ("/v1/", 0), ("/v1", 0)] {
            let found = routes.find(&Method::GET, path);
            let place = order.iter().position(|&index| index == expected).unwrap();
            assert_eq!(found, to(u16::try_from(place).unwrap()), "{path} {order:?}");
        }
        // A trailing slash or an encoding is no way from one to another.
        assert_eq!(routes.find(&Method::GET, "/v1/a/x/"), Ambiguous);
        assert_eq!(routes.find(&Method::GET, "/v1/a/%78"), Ambiguous);
    }
}

#[test]
fn patterns_that_cannot_stand_are_refused_with_their_route() {
    for (patterns, route) in [
        (&["/a", "/{b}{c}"][..], 1),
        (&["/{*rest}/a"], 0),
        (&["/{}"], 0),
        (&["/{open"], 0),
        (&["/a/{one}x", "/a/y{two}"], 1),
    ] {
        let table: Vec<Route> = patterns
            .iter()
            .map(|path| super::tests::route(path, &[], "a"))
            .collect();
        let refused = Routes::compile(&table, Access::Deny)
            .err()
            .map(|unroutable| unroutable.route);
        assert_eq!(refused, Some(RouteIndex(route)), "{patterns:?}");
    }
}

#[test]
fn patterns_are_compared_without_their_parameters_names() {
    for (pattern, expected) in [
        ("/a/{id}/b/{*rest}", "/a/{p0}/b/{*p1}"),
        ("/{{a}}/{id}.json", "/{{a}}/{p0}.json"),
        ("/plain", "/plain"),
        ("/{}/{", "/{}/{"),
    ] {
        assert_eq!(patterns::anonymous(pattern), expected);
    }
}

proptest! {
    /// However a path is encoded, it never leads to demands that its plain spelling does not lead to.
    #[test]
    fn encoding_never_finds_another_door(path in "/(v1|admin|x)(/(admin|open|[a-z]{1,3})){0,2}/?", mask in any::<u64>()) {
        let routes = routes(&[
            ("/{*rest}", &[], "key"),
            ("/v1/admin", &[], "admin"),
            ("/admin/{*rest}", &[], "admin"),
            ("/v1/open/{name}", &[], "open"),
        ]);
        let encoded: String = path.char_indices().map(|(at, character)| match character {
            '/' => "/".to_owned(),
            other if mask >> (at % 64) & 1 == 1 => format!("%{:02x}", u32::from(other)),
            other => other.to_string(),
        }).collect();
        let plain = routes.find(&Method::GET, &path);
        let found = routes.find(&Method::GET, &encoded);
        prop_assert!(found == plain || found == Ambiguous, "{encoded}: {found:?}, {path}: {plain:?}");
    }
}
