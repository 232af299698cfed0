//! A profile at work: the real program on the profile's own files, with a recording upstream for each that it names, and a
//! recording receiver for each webhook.
//!
//! The files are used as they are, but for the addresses: each address that the configuration listens on and each URL that
//! it sends to stands in it exactly once, and is replaced by one of this test's own. Secrets are made as the README says.

use std::net::SocketAddr;
use std::process::Output;

use crate::docs::project;
use crate::harness::{Conversation, Gate, Home, Next, Upstream, websocket_server};

/// Upstreams by name, and the program in front of them.
pub struct Stage {
    /// The running program.
    pub gate: Gate,
    /// Every `[upstreams.NAME]`.
    pub upstreams: Vec<(String, Upstream)>,
    /// Every `[[webhooks]]`.
    pub receivers: Vec<Receiver>,
}

/// The server behind a webhook.
pub struct Receiver {
    /// The webhook's id.
    pub id: String,
    /// The profile's URL of it.
    pub url: String,
    /// What stands in the secret's file.
    pub secret: String,
    /// The server itself.
    pub server: Upstream,
}

/// A profile's files in a directory of their own.
pub struct Files {
    home: Home,
    upstreams: Vec<(String, Upstream)>,
    receivers: Vec<Receiver>,
}

/// What a server does with each request.
pub type Script = fn(&mut Conversation) -> Next;

impl Stage {
    /// Copies a profile's files.
    #[track_caller]
    pub fn files(profile: &str) -> Files {
        Self::files_with(profile, take)
    }

    /// Copies a profile's files, and lets every receiver do this.
    #[track_caller]
    pub fn files_with(profile: &str, receive: Script) -> Files {
        let home = shipped(profile);
        let mut text = std::fs::read_to_string(home.path("config.toml")).unwrap();
        let config: toml::Table = toml::from_str(&text).unwrap();
        for section in ["ingress", "admin", "egress"] {
            let Some(section) = config.get(section) else { continue };
            for address in section["listen"].as_array().unwrap() {
                replace_only(&mut text, address.as_str().unwrap(), "127.0.0.1:0");
            }
        }
        let mut upstreams = Vec::new();
        for (name, settings) in config["upstreams"].as_table().unwrap() {
            let upstream = Upstream::tcp(serve);
            replace_only(&mut text, settings["url"].as_str().unwrap(), &upstream.url());
            upstreams.push((name.clone(), upstream));
        }
        let mut receivers = Vec::new();
        if config.contains_key("webhooks") {
            receivers = make_receivers(&home, receive);
            let ports: Vec<u16> = receivers
                .iter()
                .map(|receiver| receiver.server.address().port())
                .collect();
            assert_eq!(text.matches("[webhooks]\n").count(), 1);
            text = text.replace(
                "[webhooks]\n",
                &format!("[webhooks]\nallow_networks = [\"127.0.0.0/8\"]\nallow_ports = {ports:?}\n"),
            );
        }
        home.write("config.toml", text);
        Files {
            home,
            upstreams,
            receivers,
        }
    }

    /// Copies a profile's files and starts the program on them.
    #[track_caller]
    pub fn set(profile: &str) -> Self {
        Self::files(profile).start()
    }

    /// Where the service brings its events.
    pub fn egress(&self) -> SocketAddr {
        self.gate.listeners("egress")[0].parse().unwrap()
    }

    /// The server behind this webhook.
    #[track_caller]
    pub fn receiver(&self, id: &str) -> &Receiver {
        let mut receivers = self.receivers.iter();
        receivers
            .find(|receiver| receiver.id == id)
            .unwrap_or_else(|| panic!("no webhook {id}"))
    }
}

/// A profile's files as they are, with the secrets that its README says how to make.
#[track_caller]
pub fn shipped(profile: &str) -> Home {
    let home = Home::new();
    for entry in std::fs::read_dir(project().join("deploy/profiles").join(profile)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // Whoever follows the README here has some already.
        if !name.ends_with(".secret") {
            home.write(&name, std::fs::read(entry.path()).unwrap());
        }
    }
    for command in readme_commands(profile) {
        if let Some(file) = command.into {
            home.write(&file, succeed(&home, &command.arguments));
        }
    }
    home
}

/// Puts the receivers' addresses into the webhooks' URLs.
#[track_caller]
fn make_receivers(home: &Home, receive: Script) -> Vec<Receiver> {
    let mut text = std::fs::read_to_string(home.path("webhooks.toml")).unwrap();
    let webhooks: toml::Table = toml::from_str(&text).unwrap();
    let mut receivers = Vec::new();
    for webhook in webhooks["webhooks"].as_array().unwrap() {
        let word = |key: &str| webhook[key].as_str().unwrap().to_owned();
        let (url, file) = (word("url"), webhook["secret"]["file"].as_str().unwrap());
        assert!(url.starts_with("https://"), "{url} is safe");
        let server = Upstream::tcp(receive);
        replace_only(&mut text, &url, &format!("{}{}", server.url(), path_of(&url)));
        let secret = std::fs::read_to_string(home.path(file)).unwrap();
        receivers.push(Receiver {
            id: word("id"),
            url,
            secret: secret.trim_end().to_owned(),
            server,
        });
    }
    home.write("webhooks.toml", text);
    receivers
}

/// Path and query of an URL.
pub fn path_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    &rest[rest.find('/').unwrap()..]
}

#[track_caller]
fn succeed(home: &Home, arguments: &[String]) -> Vec<u8> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = home.keygate(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output.stdout
}

impl Files {
    /// Runs a command of the program on them.
    pub fn keygate(&self, arguments: &[&str]) -> Output {
        self.home.keygate(arguments)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        self.home.write(name, text);
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
            receivers: self.receivers,
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

/// Takes every event.
pub fn take(it: &mut Conversation) -> Next {
    it.read_body();
    it.answer("200 OK", "", "taken")
}

/// A command of a README.
pub struct Command {
    /// Without the program's name.
    pub arguments: Vec<String>,
    /// The file that its output goes to.
    pub into: Option<String>,
}

/// The commands of a profile's README, in which no path leads out of the profile: `keygate …`, or
/// `(umask 077; keygate … > FILE)`.
pub fn readme_commands(profile: &str) -> Vec<Command> {
    let directory = format!("deploy/profiles/{profile}/");
    let readme = crate::docs::read(format!("{directory}README.md"));
    let words = |text: &str| {
        text.split_whitespace()
            .map(|word| word.replace(&directory, ""))
            .collect()
    };
    let command = |line: &str| {
        if let Some(command) = line.strip_prefix("    keygate ") {
            return Some(Command {
                arguments: words(command),
                into: None,
            });
        }
        let (command, file) = line
            .strip_prefix("    (umask 077; keygate ")?
            .strip_suffix(')')?
            .split_once(" > ")?;
        Some(Command {
            arguments: words(command),
            into: Some(file.replace(&directory, "")),
        })
    };
    readme.lines().filter_map(command).collect()
}
