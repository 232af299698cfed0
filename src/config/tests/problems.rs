//! Bad input, and every word that is said about it: the cases stand in `problems.txt`.

use super::{Place, completed};

const CASES: &str = include_str!("problems.txt");

/// The title, the configuration, and what is printed: problems where it is refused, or else the warnings.
fn cases() -> Vec<(&'static str, &'static str, &'static str)> {
    CASES
        .split("\n=== ")
        .skip(1)
        .map(|case| {
            let (title, rest) = case.split_once('\n').unwrap();
            let (text, expected) = rest.split_once("\n---").unwrap();
            (title, text, expected.trim())
        })
        .collect()
}

fn printed(text: &str) -> String {
    let place = Place::new();
    match place.load(&completed(text)) {
        Ok(loaded) => place.shown(&super::super::problem::Problems(loaded.warnings)),
        Err(problems) => problems,
    }
}

#[test]
fn each_case_is_answered_word_for_word() {
    let mut wrong = String::new();
    let cases = cases();
    for (title, text, expected) in &cases {
        let found = printed(text);
        if found != *expected {
            wrong.push_str(&format!("=== {title}\n{text}\n---\n{found}\n\n"));
        }
    }
    assert!(cases.len() > 40);
    assert!(wrong.is_empty(), "these cases are answered like this:\n\n{wrong}");
}
