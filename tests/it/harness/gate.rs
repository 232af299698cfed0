//! The program under test: the real binary in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::leaks;
use super::{ALPHA, Upstream, key, key_file, wait_until};

/// The binary.
pub fn keygate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
    command.env_remove("KEYGATE_CONFIG").env_remove("RUST_LOG");
    command
}

/// A private directory with the operator's files.
pub struct Home {
    directory: TempDir,
    /// Keys that the test itself has written into files.
    told: Mutex<leaks::Told>,
}

impl Home {
    /// An empty one, mode 0700.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            directory,
            told: Mutex::default(),
        }
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The path of a file, as text.
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file in place, mode 0600.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        self.tell(&path, text.as_ref());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Writes a file by making another and renaming it, as editors do.
    pub fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        self.tell(&self.path(name), text.as_ref());
        let new = self.write(&format!(".{name}.new"), text);
        std::fs::rename(new, self.path(name)).unwrap();
    }

    /// The test writes these bytes into this file.
    fn tell(&self, path: &Path, bytes: &[u8]) {
        let keys = leaks::keys_in(bytes);
        if !keys.is_empty() {
            self.told
                .lock()
                .unwrap()
                .entry(path.to_owned())
                .or_default()
                .extend(keys);
        }
    }

    /// Runs a command of the program here and waits for its end.
    pub fn keygate(&self, arguments: &[&str]) -> Output {
        keygate()
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            leaks::refuse_in_files(self.directory.path(), &self.told.lock().unwrap());
        }
    }
}

/// A usual configuration and where it differs.
pub struct Setup {
    /// `listen` of `[ingress]`, as TOML.
    pub listen: String,
    /// More lines of `[ingress]`.
    pub ingress: String,
    /// More lines of `[admin]`.
    pub admin: String,
    /// `url` of `[upstreams.default]`.
    pub url: String,
    /// More lines of `[upstreams.default]`.
    pub upstream: String,
    /// More lines of `[keys]`.
    pub keys: String,
    /// More tables.
    pub more: String,
    /// The key file; by default [`ALPHA`] as `key_alpha` with the permissions `read` and `send`.
    pub records: String,
}

impl Setup {
    /// In front of this upstream.
    pub fn before(upstream: &Upstream) -> Self {
        Self::url(&upstream.url())
    }

    /// In front of this URL.
    pub fn url(url: &str) -> Self {
        Self {
            listen: "[\"127.0.0.1:0\"]".to_owned(),
            ingress: String::new(),
            admin: String::new(),
            url: url.to_owned(),
            upstream: String::new(),
            keys: String::new(),
            more: String::new(),
            records: key_file(&[key("key_alpha", ALPHA, "permissions = [\"read\", \"send\"]")]),
        }
    }

    /// The text of `config.toml`.
    pub fn config(&self) -> String {
        format!(
            "[ingress]\nlisten = {}\n{}\n\n[admin]\nlisten = [\"127.0.0.1:0\"]\n{}\n\n[upstreams.default]\nurl = \"{}\"\n{}\n\n\
             [keys]\nfile = \"keys.toml\"\n{}\n\n{}\n",
            self.listen, self.ingress, self.admin, self.url, self.upstream, self.keys, self.more
        )
    }

    /// Writes both files.
    pub fn write(&self, home: &Home) {
        home.write("config.toml", self.config());
        home.write("keys.toml", &self.records);
    }
}

/// A running `keygate run`.
pub struct Gate {
    child: Child,
    /// Its files.
    pub home: Home,
    lines: Arc<Mutex<Vec<String>>>,
    stdout: Arc<Mutex<Vec<u8>>>,
}

impl Gate {
    /// Starts with a usual configuration and waits until it is ready.
    #[track_caller]
    pub fn start(setup: &Setup) -> Self {
        Self::start_in(Home::new(), setup)
    }

    /// As [`Gate::start`], with files that were prepared.
    #[track_caller]
    pub fn start_in(home: Home, setup: &Setup) -> Self {
        setup.write(&home);
        let mut gate = Self::spawn(home, |_| ());
        gate.wait_ready();
        gate
    }

    /// Starts on the files as they are, without waiting.
    pub fn spawn(home: Home, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = keygate();
        command.args(["run", "--config"]).arg(home.path("config.toml"));
        change(&mut command);
        Self::spawn_command(home, &mut command)
    }

    /// Starts this command.
    pub fn spawn_command(home: Home, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stdout = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let theirs = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                theirs.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let output = BufReader::new(child.stdout.take().unwrap());
        let theirs = Arc::clone(&stdout);
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                theirs.lock().unwrap().extend_from_slice(&line);
            }
        });
        Self {
            child,
            home,
            lines,
            stdout,
        }
    }

    /// Starts again on the same files, once it has ended, and waits until it is ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.wait_for_end();
        let home = std::mem::replace(&mut self.home, Home::new());
        *self = Self::spawn(home, |_| ());
        self.wait_ready();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait_for_end();
    }

    /// Waits for `ready`; a gate that ends instead is a failure that shows what it said.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        wait_until("keygate to be ready", || {
            let ready = self.log().iter().any(|line| line["message"] == "ready");
            if !ready && let Some(status) = self.child.try_wait().unwrap() {
                panic!("keygate ended with {status}:\n{}", self.log_lines().join("\n"));
            }
            ready.then_some(())
        });
    }

    /// The addresses that it said it listens on, in order: `127.0.0.1:40001` or `unix:/path`.
    pub fn listeners(&self, listener: &str) -> Vec<String> {
        self.log()
            .iter()
            .filter(|line| line["message"] == "listening" && line["listener"] == listener)
            .map(|line| line["address"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The first TCP address for clients.
    #[track_caller]
    pub fn ingress(&self) -> SocketAddr {
        self.tcp("ingress")
    }

    /// The TCP address for operators.
    #[track_caller]
    pub fn admin(&self) -> SocketAddr {
        self.tcp("admin")
    }

    #[track_caller]
    fn tcp(&self, listener: &str) -> SocketAddr {
        self.listeners(listener)
            .iter()
            .find_map(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("no {listener} listener in:\n{}", self.log_lines().join("\n")))
    }

    /// `http://` and the ingress address and this target.
    #[track_caller]
    pub fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.ingress())
    }

    /// `http://` and the admin address and this target.
    #[track_caller]
    pub fn admin_url(&self, target: &str) -> String {
        format!("http://{}{target}", self.admin())
    }

    /// Everything that it wrote on stderr.
    pub fn log_lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Everything that it wrote on stdout.
    pub fn stdout(&self) -> Vec<u8> {
        self.stdout.lock().unwrap().clone()
    }

    /// The log lines that are JSON.
    pub fn log(&self) -> Vec<Value> {
        self.log_lines()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The access lines, in order.
    pub fn access(&self) -> Vec<Value> {
        self.log()
            .into_iter()
            .filter(|line| line["target"] == "access")
            .collect()
    }

    /// Waits for a log line.
    #[track_caller]
    pub fn wait_for_log(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let mut seen = 0;
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(what, || {
                let log = self.log();
                let found = log.iter().skip(seen).find(|line| wanted(line)).cloned();
                seen = log.len();
                found
            })
        }));
        found.unwrap_or_else(|_| panic!("no log line for {what} in:\n{}", self.log_lines().join("\n")))
    }

    /// Waits for the access line of the request with this path.
    #[track_caller]
    pub fn access_line(&self, path: &str) -> Value {
        self.wait_for_log(&format!("the access line of {path}"), |line| {
            line["target"] == "access" && line["path"] == path
        })
    }

    /// `/metrics`, and in it the sum of all samples whose name and labels contain all of `parts`.
    #[track_caller]
    pub fn metric(&self, parts: &[&str]) -> f64 {
        self.metrics()
            .lines()
            .filter(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// The text of `/metrics`.
    #[track_caller]
    pub fn metrics(&self) -> String {
        let answer = super::exchange(
            self.admin(),
            "GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(answer.status(), 200);
        answer.text()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Sends a signal by name: `TERM`, `INT`, `HUP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> ExitStatus {
        wait_until("keygate to end", || self.child.try_wait().unwrap())
    }

    /// SIGTERM, and how it ended.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_end()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.log_lines();
            let tail = lines.len().saturating_sub(30);
            eprintln!("--- the last lines of the gate's log\n{}", lines[tail..].join("\n"));
            return;
        }
        for line in self.log_lines() {
            assert!(
                leaks::keys_in(line.as_bytes()).is_empty(),
                "a key is in the log: {line}"
            );
        }
        assert!(leaks::keys_in(&self.stdout()).is_empty(), "a key is on standard output");
    }
}
