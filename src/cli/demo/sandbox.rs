//! The demonstration's own files: a configuration, a key file and a webhook in a private directory that goes when they go.
//!
//! They are written as an operator would write them, since a curious reader opens them while the demonstration runs. The
//! key file holds hashes as always; the keys themselves live in [`Sandbox`] alone. What events are signed with has to be written
//! down; it stands in a file of its own.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::receiver;
use crate::secret::webhook::{Kind, generate};
use crate::secret::{Digest, Secret, generated};

/// What the demonstration's keys begin with.
const PREFIX: &str = "demo_";

/// The id of the one webhook.
pub const WEBHOOK: &str = "wh_acme";

/// The directory, with what is in it. Dropping it removes the directory.
pub struct Sandbox {
    directory: TempDir,
    /// May send and read.
    pub sender: Secret,
    /// May read, a little.
    pub reader: Secret,
    /// What events are signed with, `whsec_` and base64.
    pub webhook: Secret,
}

/// What differs between one demonstration and another.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Where the sample service listens.
    pub service: SocketAddr,
    /// Where the sample receiver listens.
    pub receiver: SocketAddr,
    /// Where Keygate is to listen on the loopback address; 0 takes a free port.
    pub port: u16,
    /// Whether requests are logged.
    pub log: bool,
}

impl Sandbox {
    /// Makes the directory (mode 0700), the keys and the files (mode 0600).
    ///
    /// # Errors
    /// When the directory or a file cannot be written.
    pub fn new(setup: Setup) -> io::Result<Self> {
        let private = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new()
            .prefix("keygate-demo-")
            .permissions(private)
            .tempdir()?;
        let sandbox = Self {
            directory,
            sender: generated::generate(PREFIX),
            reader: generated::generate(PREFIX),
            webhook: generate(Kind::Standard).secret,
        };
        write(&sandbox.config_file(), &config(setup))?;
        write(&sandbox.key_file(), &keys(&sandbox.sender, &sandbox.reader))?;
        write(&sandbox.webhook_file(), &webhooks(setup))?;
        write(&sandbox.directory().join("acme.secret"), sandbox.webhook.expose())?;
        Ok(sandbox)
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `config.toml`
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory().join("config.toml")
    }

    /// `keys.toml`
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.directory().join("keys.toml")
    }

    /// `webhooks.toml`
    #[must_use]
    pub fn webhook_file(&self) -> PathBuf {
        self.directory().join("webhooks.toml")
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, Permissions::from_mode(0o600))
}

fn config(setup: Setup) -> String {
    let Setup {
        service,
        receiver,
        port,
        log,
    } = setup;
    let events = receiver.port();
    let (level, access) = if log { ("info", "all") } else { ("warn", "off") };
    format!(
        r#"# The configuration of this demonstration. It is removed when the demonstration ends.

[ingress]
listen = ["127.0.0.1:{port}"]
workers = 1

[admin]
listen = ["127.0.0.1:0"]

[upstreams.default]
url = "http://{service}"

[keys]
file = "keys.toml"
refresh = "1s"

# Where the service brings events for its customers, and where these may go. The
# customer's server is on this machine, where events do not go otherwise.
[egress]
listen = ["127.0.0.1:0"]

[webhooks]
file = "webhooks.toml"
allow_networks = ["127.0.0.1"]
allow_ports = [{events}]

# Sending and reading need a permission each; the other doors need a valid key.
# What is not listed does not exist.
[[routes]]
path = "/v1/messages"
methods = ["POST"]
permission = "send"

[[routes]]
path = "/v1/messages"
methods = ["GET"]
permission = "read"

[[routes]]
path = "/v1/notify"
permission = "send"

[[routes]]
path = "/v1/echo"

[[routes]]
path = "/v1/stream"

[[routes]]
path = "/v1/events"

[plans.default]
limits = [{{ name = "minute", requests = 600, per = "1m" }}]

[plans.small]
limits = [{{ name = "minute", requests = 5, per = "1m" }}]

[timeouts]
drain_delay = "0s"
drain = "1s"

[telemetry]
log_format = "text"
log_level = "{level}"
access_log = "{access}"
audit_log = {log}
"#
    )
}

fn webhooks(setup: Setup) -> String {
    let (receiver, path) = (setup.receiver, receiver::PATH);
    format!(
        r#"# The webhooks of this demonstration. Keygate reads this file again whenever it changes.

[[webhooks]]
id = "{WEBHOOK}"
organization = "acme"
url = "http://{receiver}{path}"
events = ["message.*"]
secret = {{ file = "acme.secret", encoding = "whsec" }}
"#
    )
}

fn keys(sender: &Secret, reader: &Secret) -> String {
    let hash = |key: &Secret| hex::encode(Digest::of(key.expose().as_bytes()).0);
    let hint = |key: &Secret| generated::hint(PREFIX, key.expose());
    format!(
        r#"# The keys of this demonstration: hashes only. Keygate reads this file again whenever it changes.

[[organizations]]
id = "acme"
name = "Acme Messaging"

[[keys]]
id = "key_demo_sender"
name = "sender"
organization = "acme"
hash = "sha256:{}"
hint = "{}"
permissions = ["read", "send"]
active = true

[[keys]]
id = "key_demo_reader"
name = "reader"
organization = "acme"
hash = "sha256:{}"
hint = "{}"
permissions = ["read"]
plan = "small"
active = true
"#,
        hash(sender),
        hint(sender),
        hash(reader),
        hint(reader),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::Sources;

    fn sandbox() -> Sandbox {
        let [service, receiver] = [3000, 4000].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Sandbox::new(Setup {
            service,
            receiver,
            port: 0,
            log: false,
        })
        .expect("a sandbox")
    }

    #[test]
    fn only_its_owner_may_look_inside_and_no_key_is_there() {
        let sandbox = sandbox();
        let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(sandbox.directory()), 0o700);
        let secret = sandbox.directory().join("acme.secret");
        for file in [
            sandbox.config_file(),
            sandbox.key_file(),
            sandbox.webhook_file(),
            secret,
        ] {
            assert_eq!(mode(&file), 0o600);
            let text = fs::read_to_string(&file).expect("readable");
            assert!(!text.contains(sandbox.sender.expose()) && !text.contains(sandbox.reader.expose()));
        }
    }

    #[test]
    fn what_is_written_is_valid_and_raises_no_eyebrow() {
        let sandbox = sandbox();
        let loaded = crate::config::load(&sandbox.config_file(), &mut Sources::default()).expect("valid");
        assert_eq!(loaded.warnings, Vec::new());
        let names: Vec<_> = loaded.config.records.keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["sender", "reader"]);
    }

    #[test]
    fn it_goes_when_it_is_dropped() {
        let sandbox = sandbox();
        let directory = sandbox.directory().to_owned();
        drop(sandbox);
        assert!(!directory.exists());
    }

    #[test]
    fn every_run_has_keys_of_its_own() {
        let (one, two) = (sandbox(), sandbox());
        let keys = [&one.sender, &one.reader, &two.sender, &two.reader].map(Secret::expose);
        assert!(
            keys.iter()
                .all(|key| keys.iter().filter(|other| *other == key).count() == 1)
        );
        assert!(keys.iter().all(|key| generated::checksum_ok(key.as_bytes())));
    }
}
