//! Directories, links and modes on a real disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;
use crate::config::sources::Sources;

/// Reads a directory made of (name, text), with all that is said about it.
fn directory(entries: &[(&str, &str)]) -> (tempfile::TempDir, Records, String) {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in entries {
        fs::write(home.path().join(name), text).unwrap();
        fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (records, said) = load_from(home.path());
    (home, records, said)
}

fn paths(records: &Records) -> Vec<&Path> {
    records.files.iter().map(|file| file.path.as_path()).collect()
}

fn load_from(root: &Path) -> (Records, String) {
    let report = Report::new();
    let records = load(root, &mut scope(), &mut Sources::default(), &report);
    (records, report.into_problems().to_string())
}

#[test]
fn a_directory_is_read_by_name_without_hidden_files() {
    let key = |id: &str| {
        let hash = digits(id);
        format!("{{\"id\":\"{id}\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"sha256:{hash}\"}}\n")
    };
    let (home, records, said) = directory(&[
        ("b.jsonl", &key("b")),
        ("a.toml", &hashed("")),
        ("c.jsonl", &key("c")),
        (".hidden.toml", "broken ["),
        ("notes.txt", "x"),
    ]);
    assert!(
        said.ends_with("help: rename it, or move it out of the key directory"),
        "{said}"
    );
    assert_eq!(said.matches("is not read").count(), 1, "{said}");
    let ids: Vec<&str> = records.keys.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, ["key_1", "b", "c"]);
    assert_eq!(
        paths(&records),
        ["a.toml", "b.jsonl", "c.jsonl"].map(|name| home.path().join(name))
    );
}

#[test]
fn a_kubernetes_volume_is_read_through_its_links() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("..2026_01_15");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("keys.toml"), hashed("")).unwrap();
    fs::set_permissions(data.join("keys.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("..2026_01_15", home.path().join("..data")).unwrap();
    symlink("..data/keys.toml", home.path().join("keys.toml")).unwrap();
    for root in [home.path().to_owned(), home.path().join("keys.toml")] {
        let (records, said) = load_from(&root);
        assert_eq!(said, "");
        assert_eq!(records.keys.len(), 1);
        assert_eq!(paths(&records), [home.path().join("keys.toml")]);
    }
}

#[test]
fn files_that_cannot_be_used_say_why() {
    let (home, _, said) = directory(&[("a.toml", "x")]);
    assert!(said.contains("a.toml:1:2: error: does not parse"), "{said}");
    let file = home.path().join("a.toml");
    fs::write(&file, b"# one\nname = '\xff'").unwrap();
    assert!(
        load_from(&file)
            .1
            .contains("a.toml: error: is not UTF-8 text: line 2 holds other bytes")
    );
    fs::write(&file, hashed("")).unwrap();
    for (mode, warning) in [(0o640, None), (0o604, Some("read")), (0o646, Some("changed"))] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let said = load_from(&file).1;
        let expected = warning.map_or_else(String::new, |verb| {
            let shown = file.display();
            format!("{shown}: warning: can be {verb} by every user of this machine\n  help: chmod o-rwx {shown}")
        });
        assert_eq!(said, expected);
    }
    assert!(
        load_from(&home.path().join("b.toml"))
            .1
            .contains("b.toml: error: does not exist")
    );
    symlink("nowhere", home.path().join("c.toml")).unwrap();
    assert!(load_from(home.path()).1.contains("c.toml: error: does not exist"));
    let (_home, _, said) = directory(&[("a.txt", "")]);
    assert!(said.contains("error: holds no *.toml and no *.jsonl file"), "{said}");
}
