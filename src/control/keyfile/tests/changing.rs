//! Records that are revoked, turned off and on: what is written, and what stays.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::*;
use crate::config::records::KeyState;

/// A file in which `HASH` stands for a hash, and what became of it.
struct Case {
    name: &'static str,
    before: &'static str,
    after: &'static str,
}

fn filled(text: &str) -> String {
    text.replace("HASH2", &sha256("b")).replace("HASH", &sha256("a"))
}

fn check(cases: &[Case], change: fn(&Place, &mut Scope) -> Result<Changed, EditError>) {
    for case in cases {
        let before = filled(case.before);
        let outcome = changed(case.name, &before, change);
        let done = outcome.done.unwrap_or_else(|error| panic!("{before}: {error:?}"));
        assert!(done.written);
        assert_eq!(outcome.text, filled(case.after), "{before}");
        let again = changed(case.name, &outcome.text, change);
        let done = again.done.unwrap();
        assert!(!done.written, "{}", outcome.text);
        assert_eq!(done.before, done.after);
        assert_eq!(again.text, outcome.text);
    }
}

const FIRST: &str =
    "[[organizations]]\nid = '42'\n\n[[keys]]\nid = 'other'\nname = 'other'\norganization = '42'\nhash = 'HASH2'\n";

#[test]
fn revoking_writes_into_the_record_and_buries_what_it_was_recognised_by() {
    let first = |text: &str| -> &'static str { format!("{FIRST}{text}").leak() };
    let cases = [
        Case {
            name: "keys.toml",
            before: first(
                "# before\n  [[keys]] # header\n  id='k'  # the id\n  \"name\" = 'n'\n  organization = '42'\n\n  hash = 'HASH'   # last\n# \
                 behind\n\n[keys.metadata]\nx = 1\n# the end",
            ),
            after: first(
                "# before\n  [[keys]] # header\n  id='k'  # the id\n  \"name\" = 'n'\n  organization = '42'\n\n  hash = 'HASH'   # \
                 last\n  revoked_at = 2026-01-15T10:00:00Z\n  revoked_reason = \"a \\\"leak\\\"\"\n# behind\n\n[keys.metadata]\nx = 1\n# the \
                 end\n\n[[tombstones]]\nkey = \"k\"\nhashes = [\"HASH\"]\nrevoked_at = 2026-01-15T10:00:00Z\nreason = \"a \
                 \\\"leak\\\"\"\n",
            ),
        },
        Case {
            name: "keys.toml",
            before: "[[organizations]]\r\nid = '42'\r\n[[keys]]\r\nid = 'k'\r\nname = 'n'\r\norganization = '42'\r\nhash = \
                     'HASH'\r\nrevoked_at = 2030-01-01T00:00:00Z\r\n",
            after: "[[organizations]]\r\nid = '42'\r\n[[keys]]\r\nid = 'k'\r\nname = 'n'\r\norganization = '42'\r\nhash = \
                    'HASH'\r\nrevoked_at = 2026-01-15T10:00:00Z\r\nrevoked_reason = \"a \\\"leak\\\"\"\r\n\r\n[[tombstones]]\r\nkey = \
                    \"k\"\r\nhashes = [\"HASH\"]\r\nrevoked_at = 2026-01-15T10:00:00Z\r\nreason = \"a \\\"leak\\\"\"\r\n",
        },
        // Without a line end, and written in a list.
        Case {
            name: "keys.toml",
            before: "organizations = [{ id = '42' }]\nkeys = [\n  { id = 'k', name = 'n', organization = '42', hash = 'HASH' }, # one\n]",
            after: "organizations = [{ id = '42' }]\nkeys = [\n  { id = 'k', name = 'n', organization = '42', hash = 'HASH', revoked_at \
                    = 2026-01-15T10:00:00Z, revoked_reason = \"a \\\"leak\\\"\" }, # one\n]\n\n[[tombstones]]\nkey = \"k\"\nhashes = \
                    [\"HASH\"]\nrevoked_at = 2026-01-15T10:00:00Z\nreason = \"a \\\"leak\\\"\"\n",
        },
        Case {
            name: "keys.jsonl",
            before: "{\"id\": \"42\"}\n\n{ \"name\": \"n\", \"revoked_at\": null, \"id\": \"k\", \"organization\": \"42\", \"hash\": \
                     \"HASH\" }\n{\"id\":\"other\",\"name\":\"o\",\"organization\":\"42\",\"hash\":\"HASH2\"}",
            after: "{\"id\": \"42\"}\n\n{ \"name\": \"n\", \"revoked_at\": \"2026-01-15T10:00:00Z\", \"id\": \"k\", \"organization\": \
                    \"42\", \"hash\": \"HASH\", \"revoked_reason\": \"a \\\"leak\\\"\" \
                    }\n{\"id\":\"other\",\"name\":\"o\",\"organization\":\"42\",\"hash\":\"HASH2\"}\n{\"key\":\"k\",\"hashes\":[\"HASH\"],\"revoked_at\":\"2026-01-15T10:00:00Z\",\"reason\":\"a \
                    \\\"leak\\\"\"}\n",
        },
        // Revoked by hand: only the tombstone is missing.
        Case {
            name: "keys.jsonl",
            before: "{\"id\":\"42\"}\n{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"HASH\",\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n",
            after: "{\"id\":\"42\"}\n{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"HASH\",\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n{\"key\":\"k\",\"hashes\":[\"HASH\"],\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n",
        },
    ];
    check(&cases, |place, scope| {
        let done = revoke(place, "k", Some("a \"leak\""), scope, NOW)?;
        assert_eq!(done.after.state, KeyState::Revoked);
        Ok(done)
    });
}

#[test]
fn a_key_is_turned_off_and_on_again() {
    let record = "[[organizations]]\nid = '42'\n[[keys]]\nid = 'k'\nname = 'n'\norganization = '42'\nhash = 'HASH'\n";
    let off = [
        Case {
            name: "keys.toml",
            before: record,
            after: format!("{record}active = false\n").leak(),
        },
        Case {
            name: "keys.toml",
            before: format!("{record}active = true # for now\nowner = 'x'").leak(),
            after: format!("{record}active = false # for now\nowner = 'x'").leak(),
        },
        Case {
            name: "keys.toml",
            before: record.trim_end().replace('\n', "\r\n").leak(),
            after: format!("{record}active = false\n").replace('\n', "\r\n").leak(),
        },
    ];
    check(&off, |place, scope| {
        let done = disable(place, "n", scope, NOW)?;
        assert_eq!(done.after.state, KeyState::Disabled);
        Ok(done)
    });
    let on = [
        Case {
            name: "keys.toml",
            before: format!("{record}active = false # why\nowner = 'x'\n").leak(),
            after: format!("{record}owner = 'x'\n").leak(),
        },
        Case {
            name: "keys.jsonl",
            before: "{\"id\":\"42\"}\n{\"active\":false,\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"HASH\"}\n",
            after: "{\"id\":\"42\"}\n{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"HASH\"}\n",
        },
        Case {
            name: "keys.jsonl",
            before: "{\"id\":\"42\"}\n{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"HASH\", \"active\": false}\n",
            after: "{\"id\":\"42\"}\n{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"HASH\"}\n",
        },
        Case {
            name: "keys.toml",
            before: "keys = [{ active = false, id = 'k', name = 'n', organization = '42', hash = 'HASH' }]\n[[organizations]]\nid = '42'\n",
            after: "keys = [{ id = 'k', name = 'n', organization = '42', hash = 'HASH' }]\n[[organizations]]\nid = '42'\n",
        },
    ];
    check(&on, |place, scope| {
        let done = enable(place, "k", scope, NOW)?;
        assert_eq!(done.after.state, KeyState::Active);
        Ok(done)
    });
}

#[test]
fn what_is_revoked_stays_off_by_record_or_by_tombstone() {
    let record = filled(
        "{\"id\":\"42\"}\n{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"HASH\",\"active\":false",
    );
    let tombstones = [
        ",\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n".to_owned(),
        "}\n{\"key\":\"k\",\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n".to_owned(),
        filled("}\n{\"hashes\":[\"HASH\"],\"revoked_at\":\"2026-01-01T00:00:00Z\"}\n"),
    ];
    for tombstone in tombstones {
        let text = format!("{record}{tombstone}");
        let outcome = changed("keys.jsonl", &text, |place, scope| enable(place, "k", scope, NOW));
        assert!(
            matches!(outcome.done, Err(EditError::Revoked { id }) if id == "k"),
            "{text}"
        );
        assert_eq!(outcome.text, text);
    }
}

#[test]
fn a_key_is_named_by_its_id_or_a_name_that_is_its_own() {
    let line = |id: &str, name: &str, secret: &str| {
        format!(
            "{{\"id\":\"{id}\",\"name\":\"{name}\",\"organization\":\"42\",\"hash\":\"{}\"}}\n",
            sha256(secret)
        )
    };
    let text = [
        "{\"id\":\"42\"}\n".to_owned(),
        line("key_1", "backend", "1"),
        line("key_2", "batch", "2"),
        line("key_3", "batch", "3"),
    ]
    .concat();
    let found = |which: &str| changed("keys.jsonl", &text, |place, scope| find(place, which, scope, NOW)).done;
    assert_eq!(found("key_2").unwrap().key.id, "key_2");
    assert_eq!(found("backend").unwrap().view.id, "key_1");
    let said = |which: &str| {
        let error = found(which).unwrap_err();
        format!("{error}; {}", error.help())
    };
    assert_eq!(
        said("batch"),
        "2 keys have the name batch; name it by its id: key_2, key_3"
    );
    assert_eq!(
        said("backed"),
        "there is no key with the id or name backed; did you mean backend?"
    );
    assert_eq!(
        said("nothing like it"),
        "there is no key with the id or name nothing like it; `keygate keys list` shows all keys"
    );
    let (_, secret) = NewKey::mint("kg_", "n", "42", NOW);
    let told = said(secret.expose());
    assert!(
        told.starts_with("there is no key with this id or name: it looks like a key itself;"),
        "{told}"
    );
}

#[test]
fn in_a_directory_the_file_that_holds_the_record_is_changed_links_followed() {
    let home = tempfile::tempdir().unwrap();
    let (keys, outside) = (home.path().join("keys"), home.path().join("outside"));
    fs::create_dir(&keys).unwrap();
    fs::create_dir(&outside).unwrap();
    write(&keys.join("a.jsonl"), "{\"id\":\"42\"}\n");
    let record = filled("[[keys]]\nid = 'k'\nname = 'n'\norganization = '42'\nhash = 'HASH'\n");
    write(&outside.join("b.toml"), &record);
    symlink("../outside/b.toml", keys.join("b.toml")).unwrap();
    let inode = fs::metadata(keys.join("a.jsonl")).unwrap().ino();
    let done = disable(&alone(&keys), "k", &mut Scope::open(NOW), NOW).unwrap();
    assert_eq!(done.file, fs::canonicalize(outside.join("b.toml")).unwrap());
    assert!(keys.join("b.toml").is_symlink());
    assert_eq!(
        fs::read_to_string(outside.join("b.toml")).unwrap(),
        format!("{record}active = false\n")
    );
    assert_eq!(fs::metadata(keys.join("a.jsonl")).unwrap().ino(), inode);
    let named = Place {
        root: keys.clone(),
        file: keys.join("a.jsonl"),
    };
    assert!(matches!(
        enable(&named, "k", &mut Scope::open(NOW), NOW),
        Err(EditError::Elsewhere { .. })
    ));
}

#[test]
fn what_kubelet_put_there_is_not_changed() {
    let home = tempfile::tempdir().unwrap();
    let dated = home.path().join("..2026_01_15");
    fs::create_dir(&dated).unwrap();
    let text = filled("{\"id\":\"42\"}\n{\"id\":\"k\",\"name\":\"n\",\"organization\":\"42\",\"hash\":\"HASH\"}\n");
    write(&dated.join("keys.jsonl"), &text);
    symlink("..2026_01_15", home.path().join("..data")).unwrap();
    let file = home.path().join("keys.jsonl");
    symlink("..data/keys.jsonl", &file).unwrap();
    for place in [alone(&file), alone(home.path())] {
        let error = revoke(&place, "k", None, &mut Scope::open(NOW), NOW).unwrap_err();
        assert!(
            matches!(error, EditError::Mounted(_)) && error.is_read_only(),
            "{error}"
        );
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn what_cannot_be_added_to_is_refused_with_what_helps() {
    let text = filled(
        "tombstones = []\n[[organizations]]\nid = '42'\n[[keys]]\nid = 'k'\nname = 'n'\norganization = '42'\nhash = 'HASH'\n",
    );
    let outcome = changed("keys.toml", &text, |place, scope| revoke(place, "k", None, scope, NOW));
    let Err(EditError::Invalid(problems)) = outcome.done else {
        panic!()
    };
    assert!(
        problems
            .to_string()
            .contains("tombstones: is written as tombstones = […]"),
        "{problems}"
    );
    assert_eq!(outcome.text, text);
}
