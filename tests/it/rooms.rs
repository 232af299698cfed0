//! The rooms keep their import rules: who may name whom, read from the paths that the sources name.

use std::path::{Path, PathBuf};

use crate::docs::{project, read};

/// A room and the paths that it must not name.
struct Rule {
    room: &'static str,
    forbidden: &'static [&'static str],
}

/// DESIGN: who may name whom. A path is forbidden with everything below it.
const RULES: &[Rule] = &[
    Rule {
        room: "policy",
        forbidden: &[
            "tokio",
            "tokio_rustls",
            "hyper",
            "hyper_util",
            "tracing",
            "std::fs",
            "std::io",
            "std::thread",
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::os::unix::net",
            "socket2",
            "notify",
            "rusqlite",
            "std::time::Instant",
            "std::time::SystemTime",
            "crate::clock::now",
            "crate::clock::unix",
            "crate::clock::monotonic",
            "crate::proxy",
            "crate::control",
            "crate::ledger",
            "crate::telemetry",
            "crate::listen",
            "crate::lifecycle",
            "crate::current",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "config",
        forbidden: &[
            "tokio",
            "hyper",
            "hyper_util",
            "tracing",
            "crate::telemetry",
            "crate::listen",
            "crate::lifecycle",
            "crate::runtime",
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::ledger",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "proxy",
        forbidden: &[
            "std::fs",
            "rusqlite",
            "crate::control",
            "crate::secret::webhook",
            "crate::ledger::Ledger",
            "crate::ledger::backlog",
            "crate::ledger::health",
            "crate::ledger::store",
            "crate::ledger::writer",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "control",
        forbidden: &[
            "rusqlite",
            "crate::secret::webhook",
            "crate::proxy",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "ledger",
        forbidden: &[
            "tokio",
            "hyper",
            "hyper_util",
            "crate::secret::webhook",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "telemetry",
        forbidden: &[
            "crate::secret::webhook",
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "lifecycle",
        forbidden: &[
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "listen",
        forbidden: &[
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "secret",
        forbidden: &[
            "tokio",
            "hyper",
            "crate::config",
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::cli",
        ],
    },
    Rule {
        room: "clock",
        forbidden: &[
            "hyper",
            "crate::config",
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::cli",
        ],
    },
    Rule {
        room: "refetch",
        forbidden: &[
            "crate::config",
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "errand",
        forbidden: &[
            "crate::config",
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "current",
        forbidden: &[
            "hyper",
            "crate::proxy",
            "crate::control",
            "crate::ledger",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "runtime",
        forbidden: &[
            "crate::config",
            "crate::policy",
            "crate::proxy",
            "crate::control",
            "crate::cli",
            "crate::app",
        ],
    },
    Rule {
        room: "app",
        forbidden: &["crate::cli"],
    },
];

#[test]
fn every_room_has_a_rule() {
    let library = read("src/lib.rs");
    let rooms = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for room in rooms.filter(|room| *room != "cli") {
        assert!(
            RULES.iter().any(|rule| rule.room == room),
            "nobody says what `{room}` must not name"
        );
    }
}

#[test]
fn the_rooms_keep_their_import_rules() {
    let mut broken = Vec::new();
    let source = project().join("src");
    for file in rust_files(&source) {
        let module = module_of(file.strip_prefix(&source).unwrap());
        broken.extend(violations(&module, &read(&file)));
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn only_the_clock_reads_the_clock_and_only_policy_makes_permits() {
    let mut broken = Vec::new();
    let source = project().join("src");
    for file in rust_files(&source) {
        let module = module_of(file.strip_prefix(&source).unwrap());
        if is_test(&module) {
            continue;
        }
        for path in paths(&code(&read(&file)), &module) {
            let reads = ["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"];
            if module[0] != "clock" && reads.iter().any(|read| path.ends_with(read)) {
                broken.push(format!("{} reads the clock: {path}", module.join("::")));
            }
            if module[0] != "policy" && path.ends_with("Permit::new") {
                broken.push(format!("{} makes a permit: {path}", module.join("::")));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn only_the_egress_connects_to_receivers_and_only_to_checked_addresses() {
    let mut broken = Vec::new();
    let source = project().join("src");
    for file in rust_files(&source) {
        let module = module_of(file.strip_prefix(&source).unwrap());
        if is_test(&module) {
            continue;
        }
        let is_egress = module.starts_with(&["proxy".to_owned(), "egress".to_owned()]);
        for path in paths(&code(&read(&file)), &module) {
            let connects = ["TcpStream::connect", "TcpSocket::connect", "lookup_host"];
            if is_egress && module[2..] != ["connect"] && connects.iter().any(|connect| path.ends_with(connect)) {
                broken.push(format!("{} connects by itself: {path}", module.join("::")));
            }
            if !is_egress && path.contains("hickory_resolver") {
                broken.push(format!("{} resolves names: {path}", module.join("::")));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn the_rule_keeper_sees_through_every_way_of_naming() {
    let policy = vec!["policy".to_owned(), "decide".to_owned()];
    for text in [
        "use tokio::time::sleep;",
        "use std::{collections::HashMap, fs::{self, File}};",
        "use std::{\n    fs,\n    net::IpAddr,\n};",
        "fn f() { let x = std::fs::read(\"x\"); }",
        "fn f() { hyper::body::Incoming; }",
        "use crate::proxy::ingress;",
        "use super::super::proxy::ingress;",
        "use crate::{clock::{self, Now}, secret};\nfn f() { clock::now(); }",
        "use crate::clock;\nfn f() { clock::unix(); }",
        "async fn f() {}",
        "use std::net::{IpAddr, TcpStream};",
        "pub use tracing as t;",
        "use ::tokio::spawn;",
    ] {
        assert_ne!(violations(&policy, text), [""; 0], "{text}");
    }
    for text in [
        "use std::net::IpAddr;\nuse crate::clock::Now;\nuse crate::config::routes::Access;",
        "//! Nothing here names tokio::time.\n/// Nor hyper::body.\nfn f() { let x = \"tokio::time\"; }",
        "use crate::secret::Digest; // not std::fs",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    use tokio::time;\n}",
    ] {
        assert_eq!(violations(&policy, text), [""; 0], "{text}");
    }
}

pub fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `policy/keyring/mod.rs` → `["policy", "keyring"]`.
pub fn module_of(file: &Path) -> Vec<String> {
    let mut module: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

pub fn is_test(module: &[String]) -> bool {
    module.iter().any(|part| part == "tests")
}

/// Which rules of its room a file breaks. Test modules are free.
fn violations(module: &[String], text: &str) -> Vec<String> {
    if is_test(module) {
        return Vec::new();
    }
    let code = code(text);
    let named = paths(&code, module);
    let mut broken = Vec::new();
    for rule in RULES.iter().filter(|rule| module[0] == rule.room) {
        for path in &named {
            for forbidden in rule.forbidden {
                if path == forbidden || path.starts_with(&format!("{forbidden}::")) {
                    broken.push(format!("{} names {path}", module.join("::")));
                }
            }
        }
        let words = words(&code);
        if rule.room == "policy" && words.iter().any(|word| word == "async" || word == "await") {
            broken.push(format!("{} is async", module.join("::")));
        }
    }
    broken
}

/// A file's text without comments, string literals and its test module.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut code = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                for c in chars.by_ref() {
                    if c == '\n' {
                        break;
                    }
                }
                code.push('\n');
            }
            'r' if raw_string(&mut chars) => code.push_str("\"\""),
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
                code.push_str("\"\"");
            }
            '\'' => {
                // A character literal (a lifetime has no closing quote near).
                let ahead: Vec<char> = chars.clone().take(3).collect();
                match ahead.as_slice() {
                    ['\\', ..] => {
                        chars.next();
                        chars.next();
                        for c in chars.by_ref() {
                            if c == '\'' {
                                break;
                            }
                        }
                    }
                    [_, '\'', ..] => {
                        chars.next();
                        chars.next();
                    }
                    _ => code.push(' '),
                }
            }
            c => code.push(c),
        }
    }
    code
}

/// Skips `"…"` or `#"…"#` behind an `r`, if that is what comes.
fn raw_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let rest: String = chars.clone().collect();
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    if !rest[hashes..].starts_with('"') {
        return false;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let Some(length) = rest[hashes + 1..].find(&end) else {
        return false;
    };
    let skipped = rest[..hashes + 1 + length + end.len()].chars().count();
    chars.by_ref().take(skipped).for_each(drop);
    true
}

/// Identifiers, `::` and every other character that is not a space.
fn words(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = c.to_string();
            while let Some(next) = chars.next_if(|next| next.is_alphanumeric() || *next == '_') {
                word.push(next);
            }
            words.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            words.push("::".to_owned());
        } else if !c.is_whitespace() {
            words.push(c.to_string());
        }
    }
    words
}

/// Every path that the code names, with `use` trees spread out, names that `use` brought in put in full, and `super`,
/// `self` and `crate` resolved.
fn paths(code: &str, module: &[String]) -> Vec<String> {
    let words = words(code);
    let mut raw: Vec<Vec<String>> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if is_name(&words[at]) && (at == 0 || words[at - 1] != "::") {
            at = spread(&words, at, &[], &mut raw).max(at + 1);
        } else {
            at += 1;
        }
    }
    let uses: Vec<Vec<String>> = use_trees(&words);
    raw.extend(uses.iter().cloned());
    let mut named = Vec::new();
    for path in raw {
        let full = resolve(&path, module);
        if let Some(import) = uses
            .iter()
            .find(|import| path.len() > 1 && import.last() == path.first() && **import != path)
        {
            let mut through = resolve(import, module);
            through.extend(path[1..].iter().cloned());
            named.push(through.join("::"));
        }
        named.push(full.join("::"));
    }
    named
}

fn is_name(word: &str) -> bool {
    word.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// The paths of all `use` items, single names included.
fn use_trees(words: &[String]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if word == "use" {
            let start = if words.get(at + 1).is_some_and(|word| word == "::") {
                at + 2
            } else {
                at + 1
            };
            spread(words, start, &[], &mut paths);
        }
    }
    for path in &mut paths {
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
    }
    paths
}

/// Reads `a::b::{c, d::e}` from `at` on; gives where it ends.
fn spread(words: &[String], at: usize, before: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    let mut at = at;
    loop {
        match words.get(at) {
            Some(word) if is_name(word) => {
                path.push(word.clone());
                at += 1;
            }
            Some(word) if word == "{" && (path.len() > before.len() || before.is_empty()) => {
                at += 1;
                while words.get(at).is_some_and(|word| word != "}") {
                    let next = spread(words, at, &path, paths);
                    at = next.max(at + 1);
                    if words.get(at).is_some_and(|word| word == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            _ => break,
        }
        if words.get(at).is_some_and(|word| word == "::") {
            at += 1;
        } else {
            break;
        }
    }
    if path.len() > 1 || !before.is_empty() || (path.len() == 1 && before.is_empty()) {
        paths.push(path);
    }
    at
}

fn resolve(path: &[String], module: &[String]) -> Vec<String> {
    let Some(first) = path.first() else {
        return Vec::new();
    };
    let mut base: Vec<String> = module.to_vec();
    let mut rest = path;
    match first.as_str() {
        "self" if path.len() > 1 => rest = &rest[1..],
        "super" => {
            while rest.first().is_some_and(|word| word == "super") {
                base.pop();
                rest = &rest[1..];
            }
        }
        _ => return path.to_vec(),
    }
    let mut full = vec!["crate".to_owned()];
    full.extend(base);
    full.extend(rest.iter().cloned());
    full
}
