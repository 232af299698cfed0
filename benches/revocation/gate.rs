//! The program under test: its files, its process, its addresses.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

/// How long anything of it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The operator's token.
const TOKEN: &str = "operators-token-of-the-benchmark";

/// A running `keygate run`; ended on drop.
pub struct Gate {
    child: Child,
    directory: TempDir,
    /// For clients.
    pub ingress: SocketAddr,
    admin: SocketAddr,
}

impl Gate {
    /// Starts it in front of this upstream, with these keys.
    pub fn start(upstream: SocketAddr, keys: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.toml");
        fs::write(&path, configuration(upstream)).expect("a file");
        let mut child = {
            write(&directory.path().join("keys.jsonl"), keys);
            let built = env!("CARGO_BIN_EXE_keygate").into();
            Command::new(std::env::var_os("KEYGATE_BIN").unwrap_or(built))
                .args(["run", "--config"])
                .arg(&path)
                .env_remove("RUST_LOG")
                .env_remove("KEYGATE_CONFIG")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program")
        };
        let lines = lines_of(&mut child);
        let (ingress, admin) = addresses(&lines);
        Self {
            child,
            directory,
            ingress,
            admin,
        }
    }

    /// Writes a key file beside the one in force.
    pub fn prepare(&self, keys: &str) {
        write(&self.path("keys.next"), keys);
    }

    /// Puts the prepared file in the place of the one in force, or of another that nobody reads: what it costs the machine to
    /// write a file and to free another is the same.
    pub fn replace(&self, name: &str) {
        fs::rename(self.path("keys.next"), self.path(name)).expect("a file to rename");
    }

    /// Pushes a revocation; the status of the answer, once it is here.
    pub fn revoke(&self, key: &str) -> u16 {
        let body = "{\"file\":false}";
        let request = format!(
            "POST /admin/v1/keys/{key}/revoke HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.admin).expect("the admin listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket of ours");
        stream.write_all(request.as_bytes()).expect("a call");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One record as a line of JSON.
pub fn record(id: &str, key: &str, more: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"name\":\"{id}\",\"organization\":\"acme\",\"hash\":\"sha256:{}\"{more}}}\n",
        hex::encode(keygate::secret::Digest::of(key.as_bytes()).0)
    )
}

fn configuration(upstream: SocketAddr) -> String {
    let hash = hex::encode(keygate::secret::Digest::of(TOKEN.as_bytes()).0);
    format!(
        "[ingress]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = [\"127.0.0.1:0\"]\n\
         [[admin.tokens]]\nname = \"bench\"\nrole = \"operator\"\nhash = \"sha256:{hash}\"\n\
         [upstreams.default]\nurl = \"http://{upstream}\"\n[keys]\nfile = \"keys.jsonl\"\n[state]\npath = \"keygate.db\"\n\
         [telemetry]\naccess_log = \"off\"\n[limits]\ncredential_failures = false\n"
    )
}

/// On the disk when it returns, as who replaces a file should have it.
fn write(path: &std::path::Path, keys: &str) {
    fs::write(path, keys).expect("a file");
    fs::File::open(path).and_then(|file| file.sync_all()).expect("a disk");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a file of ours");
}

/// What it says, line by line, for as long as it runs.
fn lines_of(child: &mut Child) -> Receiver<String> {
    let (said, lines) = channel();
    let stderr = child.stderr.take().expect("a pipe");
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody listens any more once it is ready; it must not be held up for that.
            let _ = said.send(line);
        }
    });
    lines
}

fn addresses(lines: &Receiver<String>) -> (SocketAddr, SocketAddr) {
    let (mut ingress, mut admin) = (None, None);
    let mut said = Vec::new();
    while let Ok(line) = lines.recv_timeout(PATIENCE) {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let address = || event["address"].as_str()?.parse().ok();
        match (event["message"].as_str(), event["listener"].as_str()) {
            (Some("listening"), Some("ingress")) => ingress = address(),
            (Some("listening"), Some("admin")) => admin = address(),
            (Some("ready"), _) => return (ingress.expect("an address"), admin.expect("an address")),
            _ => {}
        }
        said.push(line);
    }
    panic!("the program does not get ready:\n{}", said.join("\n"));
}
