//! A profile at work: the real program on the profile's own files, with a recording upstream for each that it names.
//!
//! The files are used as they are, but for the addresses: each address that the configuration listens on and each URL that
//! it sends to stands in it exactly once, and is replaced by one of this test's own.

use std::process::Output;

use crate::docs::project;
use crate::harness::{Conversation, Gate, Home, Next, Upstream, websocket_server};

/// Upstreams by name, and the program in front of them.
pub struct Stage {
    /// The running program.
    pub gate: Gate,
    /// Every `[upstreams.NAME]`.
    pub upstreams: Vec<(String, Upstream)>,
}

/// A profile's files in a directory of their own.
pub struct Files {
    home: Home,
    upstreams: Vec<(String, Upstream)>,
}

impl Stage {
    /// Copies a profile's files.
    #[track_caller]
    pub fn files(profile: &str) -> Files {
        let directory = project().join("deploy/profiles").join(profile);
        let home = Home::new();
        for entry in std::fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            home.write(
                entry.file_name().to_str().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            );
        }
        let mut text = std::fs::read_to_string(directory.join("config.toml")).unwrap();
        let config: toml::Table = toml::from_str(&text).unwrap();
        for section in ["ingress", "admin"] {
            for address in config[section]["listen"].as_array().unwrap() {
                replace_only(&mut text, address.as_str().unwrap(), "127.0.0.1:0");
            }
        }
        let mut upstreams = Vec::new();
        for (name, settings) in config["upstreams"].as_table().unwrap() {
            let upstream = Upstream::tcp(serve);
            replace_only(&mut text, settings["url"].as_str().unwrap(), &upstream.url());
            upstreams.push((name.clone(), upstream));
        }
        home.write("config.toml", text);
        Files { home, upstreams }
    }

    /// Copies a profile's files and starts the program on them.
    #[track_caller]
    pub fn set(profile: &str) -> Self {
        Self::files(profile).start()
    }
}

impl Files {
    /// Runs a command of the program on them.
    pub fn keygate(&self, arguments: &[&str]) -> Output {
        self.home.keygate(arguments)
    }

    /// Adds text to a file.
    pub fn append(&self, name: &str, more: &str) {
        let text = std::fs::read_to_string(self.home.path(name)).unwrap();
        self.home.write(name, text + more);
    }

    /// Replaces what stands in a file once.
    #[track_caller]
    pub fn replace(&self, name: &str, old: &str, new: &str) {
        let text = std::fs::read_to_string(self.home.path(name)).unwrap();
        assert_eq!(text.matches(old).count(), 1, "{old} stands in {name} once");
        self.home.write(name, text.replace(old, new));
    }

    /// Puts another service behind, in place of every recording upstream.
    #[track_caller]
    pub fn before(mut self, url: &str) -> Self {
        for (_, upstream) in std::mem::take(&mut self.upstreams) {
            self.replace("config.toml", &format!("\"{}\"", upstream.url()), &format!("\"{url}\""));
        }
        self
    }

    /// Starts the program on them.
    #[track_caller]
    pub fn start(self) -> Stage {
        let mut gate = Gate::spawn(self.home, |_| ());
        gate.wait_ready();
        Stage {
            gate,
            upstreams: self.upstreams,
        }
    }
}

/// Replaces the string `old`, in its quotes, which stands in `text` once.
#[track_caller]
fn replace_only(text: &mut String, old: &str, new: &str) {
    let quoted = format!("\"{old}\"");
    assert_eq!(
        text.matches(&quoted).count(),
        1,
        "{quoted} stands in the configuration once"
    );
    *text = text.replace(&quoted, &format!("\"{new}\""));
}

/// Takes every message, lists none, and sends back what comes on WebSockets.
fn serve(it: &mut Conversation) -> Next {
    let json = "Content-Type: application/json\r\n";
    match it.head.word(0).as_str() {
        _ if it.head.header("upgrade").is_some() => websocket_server(it),
        "POST" => it.answer("202 Accepted", json, "{\"status\":\"accepted\"}"),
        _ => it.answer("200 OK", json, "{\"status\":\"ok\"}"),
    }
}

/// The commands of a profile's README, without the program's name, in which no path leads out of the profile.
pub fn readme_commands(profile: &str) -> Vec<Vec<String>> {
    let directory = format!("deploy/profiles/{profile}/");
    let readme = crate::docs::read(format!("{directory}README.md"));
    readme
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("keygate "))
        .map(|command| {
            command
                .split_whitespace()
                .map(|word| word.replace(&directory, ""))
                .collect()
        })
        .collect()
}
