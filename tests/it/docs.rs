//! What the project says about itself is true: examples parse, commands exist, the map is complete.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::{Home, key_file, keygate};
use crate::rooms::{is_test, module_of, rust_files};

/// The project's directory.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the project.
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> String {
    let path = project().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_example_configuration_is_valid() {
    let home = Home::new();
    home.write("config.toml", read("config.example.toml"));
    home.write("keys.toml", key_file(&[]));
    let output = home.keygate(&["check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_kubernetes_configuration_is_valid() {
    let manifest = read("deploy/kubernetes.yaml");
    let (_, rest) = manifest.split_once("config.toml: |\n").unwrap();
    let config: String = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    let home = Home::new();
    std::fs::create_dir(home.path("keys")).unwrap();
    std::fs::create_dir(home.path("webhooks")).unwrap();
    std::fs::create_dir(home.path("state")).unwrap();
    home.write("config.toml", config.replace("/var/lib/keygate", &home.text("state")));
    home.write("keys/keys.toml", key_file(&[]));
    let readme = read("README.md");
    let (_, webhooks) = readme.split_once("# webhooks.toml\n").unwrap();
    home.write("webhooks/webhooks.toml", webhooks.split("```").next().unwrap());
    let secret = home.keygate(&["webhooks", "new-secret"]).stdout;
    home.write("webhooks/acme.secret", secret);
    let output = home.keygate(&["check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    for port in manifest.lines().filter_map(|line| line.split_once("containerPort: ")) {
        let number = port.1.trim_end_matches(" }");
        assert!(config.contains(&format!(":{number}\"]")), "nobody listens on {number}");
    }
}

#[test]
fn the_documented_key_file_is_valid_and_has_every_field() {
    let document = read("docs/keys.md");
    let (_, rest) = document.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let home = Home::new();
    home.write("keys.toml", text);
    let output = home.keygate(&["keys", "list", "--file", "keys.toml", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = read("src/config/records/write.rs");
    for record in ["struct KeyLine", "struct OrganizationLine", "struct TombstoneLine"] {
        let (_, fields) = written.split_once(record).unwrap();
        let (fields, _) = fields.split_once("\n}").unwrap();
        let names = fields.lines().filter_map(|line| line.trim().split_once(": "));
        for (name, _) in names.filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')) {
            assert!(text.contains(&format!("{name} = ")), "nobody documents {name}");
        }
    }
}

#[test]
fn the_readmes_commands_exist() {
    let readme = read("README.md");
    assert!(readme.contains("demo"), "the first command shows the main job");
    assert!(readme.contains("tests/run"), "the second passes the tests");
    let mut commands = BTreeSet::new();
    for line in readme.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<_> = line.split("keygate ").skip(1).collect();
        for part in parts {
            let words: Vec<String> = part
                .split_whitespace()
                .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
                .take(2)
                .map(str::to_owned)
                .collect();
            commands.insert(words);
        }
    }
    let known = [
        "run",
        "check",
        "keys",
        "explain",
        "status",
        "usage",
        "audit",
        "webhooks",
        "reload",
        "admin",
        "demo",
        "completions",
    ];
    let mut seen = 0;
    for words in commands {
        let Some(verb) = words.first().filter(|verb| known.contains(&verb.as_str())) else {
            continue;
        };
        seen += 1;
        let mut command = keygate();
        command.arg(verb);
        if verb == "keys" || verb == "admin" || verb == "audit" || verb == "webhooks" {
            command.args(words.get(1));
        }
        assert!(
            command.arg("--help").output().unwrap().status.success(),
            "keygate {words:?}"
        );
    }
    assert!(seen >= 3, "the README shows commands");
}

#[test]
fn the_test_command_of_the_readme_is_there_and_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(project().join("tests/run"))
        .unwrap()
        .permissions()
        .mode();
    assert_ne!(mode & 0o111, 0);
}

#[test]
fn the_library_documentation_is_the_map_of_the_house() {
    let library = read("src/lib.rs");
    let docs: String = library.lines().filter(|line| line.starts_with("//!")).collect();
    for line in library.lines() {
        if let Some(room) = line.strip_prefix("pub mod ").and_then(|line| line.strip_suffix(';')) {
            assert!(docs.contains(&format!("`{room}`")), "`{room}` is not on the map");
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for file in rust_files(&project().join("src")) {
        let text = read(&file);
        assert!(
            is_test(&module_of(&file)) || text.starts_with("//!"),
            "{} does not open with `//!`",
            file.display()
        );
    }
}
