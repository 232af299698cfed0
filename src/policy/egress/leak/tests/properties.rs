//! Whatever the body, and wherever it is cut.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::bodies::scan;
use super::*;

/// Cuts a body into parts at these places.
fn cut<'b>(body: &'b [u8], at: &[Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = at.iter().map(|index| index.index(body.len() + 1)).collect();
    places.extend([0, body.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect()
}

/// Text that is full of what the search looks at.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        "[A-Za-z0-9+/]{0,600}".prop_map(String::into_bytes),
        select(vec![
            "kg_live_", "kx_", "\\", "\\u00", "%", "%2", "\"", "=", "people", "\\\\"
        ])
        .prop_map(|text| text.into()),
        "(kg_live_|kx_)[0-9A-Za-z]{0,40}".prop_map(String::into_bytes),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn world() -> World {
    World::new("", &[])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_live_key_between_separators_is_always_found(
        before in text(),
        after in text(),
        (id, key) in select(LIVE.to_vec()),
        left in select(vec!["\"", " ", "\n", "\t", "'", "<", ">", "&", "\\\"", "\u{e4}"]),
        right in select(vec!["\"", " ", "\n", "\\\"", "\\n", "'", "<", ">", "&", "\u{e4}", "%20", "\\u0022"]),
        at in vec(any::<Index>(), 0..8),
    ) {
        let body = [&before, left.as_bytes(), key.as_bytes(), right.as_bytes(), &after].concat();
        // An escape that began before takes what follows.
        prop_assume!(!before.ends_with(b"\\") && !before.ends_with(b"\\u00") && !before.ends_with(b"\\\\"));
        let world = world();
        let findings = scan(&world, &cut(&body, &at));
        prop_assert_eq!(findings.live.as_deref(), Some(id));
    }

    #[test]
    fn a_generated_key_is_found_within_any_word(
        before in "[A-Za-z0-9+/=._-]{0,2000}",
        after in "[A-Za-z0-9+/=._-]{0,2000}",
        at in vec(any::<Index>(), 0..8),
    ) {
        let body = format!("{before}{GENERATED}{after}");
        let world = world();
        let findings = scan(&world, &cut(body.as_bytes(), &at));
        prop_assert_eq!(findings.live.as_deref(), Some("generated"));
    }

    #[test]
    fn nothing_of_a_key_is_let_go_before_it_is_found(
        before in text(),
        (_, key) in select(LIVE.to_vec()),
        left in select(vec!["\"", " ", "<"]),
        length in 1_usize..50,
    ) {
        prop_assume!(!before.ends_with(b"\\") && !before.ends_with(b"\\u00"));
        let escaped: String = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        let body = [&before, left.as_bytes(), escaped.as_bytes(), b"\""].concat();
        let world = world();
        let search = world.search();
        let mut scanner = super::super::Scanner::new(&world.leaks);
        let (mut fed, mut let_go) = (0, 0);
        for part in body.chunks(length) {
            if scanner.feed(part, &search).is_break() {
                break;
            }
            fed += part.len();
            let_go = fed - scanner.held();
        }
        prop_assert!(let_go <= before.len() + left.len(), "{let_go}");
        prop_assert!(scanner.end(&search).live.is_some());
    }

    #[test]
    fn a_body_without_a_key_is_never_blocked_and_parts_make_no_difference(
        body in text(),
        at in vec(any::<Index>(), 0..8),
    ) {
        let world = world();
        let whole = scan(&world, &[&body]);
        prop_assert_eq!(&whole.live, &None);
        prop_assert!(whole.dead.is_empty());
        let parts = scan(&world, &cut(&body, &at));
        prop_assert_eq!(format!("{whole:?}"), format!("{parts:?}"));
    }

    #[test]
    fn scrubbing_twice_removes_nothing_more(value in "[!-~]([ -~]{0,60}[!-~])?") {
        let world = world();
        let mut headers = http::HeaderMap::new();
        headers.insert("x-any", http::HeaderValue::from_str(&value).expect("a value"));
        let first = world.leaks.scrub(&mut headers, &world.search());
        prop_assert_eq!(first.len() + headers.len(), 1);
        prop_assert!(world.leaks.scrub(&mut headers, &world.search()).is_empty());
    }
}
