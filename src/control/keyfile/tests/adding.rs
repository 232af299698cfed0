//! What happens to files on disk when records are added.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;

fn try_add(place: &Place, key: &NewKey) -> Result<Added, EditError> {
    add(place, key, Some("Acme"), &mut Scope::open(NOW))
}

fn added(place: &Place, key: &NewKey) -> Added {
    try_add(place, key).unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
}

#[test]
fn a_new_file_is_private_and_reads_as_documented() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("keys.toml");
    let mut key = key("say \"hi\"\\");
    key.permissions = vec!["read".to_owned(), "send".to_owned()];
    key.environment = Some("live".to_owned());
    key.expires_at = Some(NOW + 60);
    key.allowed_sources = vec!["10.0.0.0/8".parse().unwrap()];
    key.owner = Some("Ada".to_owned());
    let done = added(&alone(&file), &key);
    assert!(done.is_new && done.organization_added);
    assert_eq!(done.file, fs::canonicalize(&file).unwrap());
    assert_eq!(mode(&file), 0o600);
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        format!(
            "[[organizations]]\nid = \"42\"\nname = \"Acme\"\n\n[[keys]]\nid = \"{}\"\nname = \"say \\\"hi\\\"\\\\\"\norganization = \
             \"42\"\nhash = \"sha256:{}\"\nhint = \"{}\"\npermissions = [\"read\", \"send\"]\nenvironment = \"live\"\ncreated_at = \
             2026-01-15T10:00:00Z\nexpires_at = 2026-01-15T10:01:00Z\nallowed_sources = [\"10.0.0.0/8\"]\nowner = \"Ada\"\n",
            key.id,
            hex::encode(key.digest.0),
            key.hint
        )
    );
    assert_eq!(names_in(home.path()), ["keys.toml"]);
}

#[test]
fn what_stands_in_the_file_stays_byte_for_byte() {
    let starts = [
        "# mine\n[[organizations]]  # first\nid = '42'\n\n\n# the end",
        "# mine\r\n[[organizations]]\r\nid = '42'\r\n",
        "[[keys]]\nname = 'a'\nid = 'z'\norganization = '42'\nhash = \
         'sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb'\n[keys.metadata]\nx = 1\n[[organizations]]\nid = \
         '42'\n[organizations.metadata]\ny = \"\"\"\n[[keys]]\n\"\"\"\n",
        "",
        "\n\n",
    ];
    for start in starts {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("keys.toml");
        fs::write(&file, start).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let before = load(&file).keys.len();
        let done = added(&alone(&file), &key("new"));
        assert!(!done.is_new);
        assert_eq!(done.organization_added, !start.contains("42"));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(start), "{text}");
        assert_eq!(text.contains("\r\n"), start.contains("\r\n"));
        assert_eq!(text.matches('\n').count(), text.lines().count());
        assert_eq!(mode(&file), 0o640);
        assert_eq!(load(&file).keys.len(), before + 1);
    }
}

#[test]
fn records_go_into_json_lines_as_lines() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("keys.jsonl");
    fs::write(&file, "\n{\"id\": \"7\"}").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let key = key("a \"b\"");
    added(&alone(&file), &key);
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        &lines[..3],
        ["", "{\"id\": \"7\"}", "{\"id\":\"42\",\"name\":\"Acme\"}"]
    );
    assert!(lines[3].starts_with(&format!(
        "{{\"id\":\"{}\",\"name\":\"a \\\"b\\\"\",\"organization\":\"42\"",
        key.id
    )));
    let again = added(
        &alone(&file),
        &NewKey {
            id: "k2".to_owned(),
            ..NewKey::mint("", "a \"b\"", "42", NOW).0
        },
    );
    assert!(!again.organization_added);
    assert_eq!(again.namesakes, 1);
    assert_eq!(load(&file).keys.len(), 2);
}

#[test]
fn in_a_directory_the_organization_may_be_in_another_file() {
    let home = tempfile::tempdir().unwrap();
    let keys = home.path().join("keys");
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("organizations.jsonl"), "{\"id\":\"42\"}\n").unwrap();
    fs::set_permissions(keys.join("organizations.jsonl"), fs::Permissions::from_mode(0o600)).unwrap();
    let place = |name: &str| Place {
        root: keys.clone(),
        file: keys.join(name),
    };
    for name in ["a.toml", "a.toml", "b.jsonl"] {
        assert!(!added(&place(name), &key("n")).organization_added, "{name}");
    }
    assert_eq!(load(&keys).keys.len(), 3);
    for name in ["keys.txt", ".a.toml"] {
        assert!(
            matches!(try_add(&place(name), &key("n")), Err(EditError::Stranger(_))),
            "{name}"
        );
    }
    assert!(matches!(
        try_add(&alone(&keys), &key("n")),
        Err(EditError::Directory(_))
    ));
    assert_eq!(names_in(&keys), ["a.toml", "b.jsonl", "organizations.jsonl"]);
}

#[test]
fn a_link_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let (real, link) = (home.path().join("real.toml"), home.path().join("keys.toml"));
    fs::write(&real, "# here\n").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("real.toml", &link).unwrap();
    added(&alone(&link), &key("n"));
    assert!(link.is_symlink());
    assert!(fs::read_to_string(&real).unwrap().starts_with("# here\n\n[[org"));
    assert_eq!(load(&link).keys.len(), 1);
    let nowhere = home.path().join("nowhere.toml");
    symlink("missing.toml", &nowhere).unwrap();
    assert!(matches!(
        try_add(&alone(&nowhere), &key("n")),
        Err(EditError::System { .. })
    ));
    assert!(nowhere.is_symlink());
}

#[test]
fn nothing_changes_when_the_result_would_not_load() {
    let cases = [
        (
            "keys = []\n",
            "keys.toml:1:1: error: keys: is written as keys = […], to which nothing can be added",
        ),
        (
            "organizations = [{ id = '7' }]\n",
            "keys.toml:1:1: error: organizations: is written as organizations = […], to which nothing can be added",
        ),
        ("[[keys]]\nid = 'half", "keys.toml:2:11: error: does not parse: "),
        (
            "nonsense = 1\n",
            "keys.toml:1:1: error: nonsense: is not a known option",
        ),
    ];
    for (text, expected) in cases {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("keys.toml");
        fs::write(&file, text).unwrap();
        let inode = fs::metadata(&file).unwrap().ino();
        let Err(EditError::Invalid(problems)) = try_add(&alone(&file), &key("n")) else {
            panic!("{text}")
        };
        assert!(problems.to_string().contains(expected), "{problems}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
        assert_eq!(names_in(home.path()), ["keys.toml"]);
    }
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("keys.toml");
    let one = key("n");
    added(&alone(&file), &one);
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        matches!(try_add(&alone(&file), &one), Err(EditError::Invalid(_))),
        "the same id twice"
    );
    let mut closed = Scope::open(NOW);
    closed.key_limit = 1;
    assert!(
        matches!(
            add(&alone(&file), &key("n"), None, &mut closed),
            Err(EditError::Invalid(_))
        ),
        "the limit"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn what_the_system_refuses_is_said_with_what_helps() {
    let place = alone(Path::new("/nonexistent-directory/keys.toml"));
    let error = try_add(&place, &key("n")).unwrap_err();
    assert_eq!(error.to_string(), "cannot find /nonexistent-directory");
    assert_eq!(error.help(), "make its directory first, or correct the path");
    let error = try_add(&alone(Path::new("/proc/keys.toml")), &key("n")).unwrap_err();
    assert!(matches!(error, EditError::System { .. }));
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let file: PathBuf = home.path().join("keys.toml");
    std::thread::scope(|scope| {
        for n in 0..16 {
            let file = &file;
            scope.spawn(move || added(&alone(file), &key(&format!("n{n}"))));
        }
    });
    let records = load(&file);
    assert_eq!((records.keys.len(), records.organizations.len()), (16, 1));
    assert_eq!(names_in(home.path()), ["keys.toml"]);
}
