//! A directory in which `keygate keys` is called as an operator calls it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use super::leaks;

/// A directory to work in.
pub struct Desk {
    directory: TempDir,
    /// Keys that the test itself has written into files.
    told: Mutex<leaks::Told>,
}

/// What a command did.
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            leaks::refuse_in_files(self.directory.path(), &self.told.lock().unwrap());
        }
    }
}

impl Desk {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            told: Mutex::default(),
        }
    }

    /// With a configuration of the smallest useful kind, and `more` behind it.
    pub fn with_config(more: &str) -> Self {
        let desk = Self::new();
        desk.write(
            "config.toml",
            &format!(
                "[ingress]\nlisten = [\"127.0.0.1:0\"]\n[upstreams.default]\nurl = \"http://127.0.0.1:3000\"\n[keys]\nfile = \
                 \"keys.toml\"\n{more}"
            ),
        );
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let keys = leaks::keys_in(text.as_bytes());
        self.told
            .lock()
            .unwrap()
            .entry(self.path(name))
            .or_default()
            .extend(keys);
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Starts `keygate keys` with arguments separated by spaces.
    pub fn start(&self, arguments: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_keygate"))
            .arg("keys")
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .env_remove("KEYGATE_CONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub fn keys(&self, arguments: &str) -> Done {
        self.keys_with(arguments, b"")
    }

    pub fn keys_with(&self, arguments: &str, input: &[u8]) -> Done {
        let mut child = self.start(arguments);
        // A command that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        finish_command(child)
    }

    /// Makes a key and gives its secret.
    pub fn new_key(&self, arguments: &str) -> String {
        let done = self.keys(&format!("new {arguments}"));
        assert_eq!(done.code, 0, "{}", done.err);
        done.out.trim_end().to_owned()
    }

    /// Exit code and first line of `verify`.
    pub fn verify(&self, arguments: &str, key: &str) -> (i32, String) {
        let done = self.keys_with(&format!("verify {arguments}"), key.as_bytes());
        (done.code, done.out.lines().next().unwrap_or(&done.err).to_owned())
    }
}

/// Waits for a command.
pub fn finish_command(child: Child) -> Done {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Done {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}
