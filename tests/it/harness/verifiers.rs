//! Programs that verify signatures as receivers do, with libraries that are not Keygate's. `tests/run` installs them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::installed;

/// Who verifies. Each takes cases `{"secret", "body", "headers"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
pub enum Verifier {
    /// Python's own `hmac`; a case says besides which `form` it is of.
    #[serde(rename = "Python hmac")]
    PythonHmac,
    /// The Python library of Standard Webhooks.
    #[serde(rename = "PyPI standardwebhooks")]
    PythonStandard,
    /// The JavaScript library of Standard Webhooks; and Node's own ed25519.
    #[serde(rename = "npm standardwebhooks")]
    NodeStandard,
    /// What receivers of GitHub's webhooks verify `sha256=…` with; a case says besides in which header that is: `signature`.
    #[serde(rename = "npm @octokit/webhooks-methods")]
    NodeOctokit,
}

impl Verifier {
    /// What it says of each case.
    #[track_caller]
    pub fn ask(self, cases: &[Value]) -> Vec<bool> {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/verify");
        let program = |name: &str| programs.join(name);
        let mut command;
        match self {
            Self::PythonHmac => {
                command = Command::new("python3");
                command.arg(program("own.py"));
            }
            Self::PythonStandard => {
                command = Command::new(installed("python/bin/python"));
                command.arg(program("standard.py"));
            }
            Self::NodeStandard => {
                command = Command::new("node");
                command.arg(program("standard.mjs")).arg(node_libraries());
            }
            Self::NodeOctokit => {
                command = Command::new("node");
                command.arg(program("octokit.mjs")).arg(node_libraries());
            }
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = serde_json::to_vec(cases).unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{self:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// As an absolute path, which `import` needs.
#[track_caller]
fn node_libraries() -> PathBuf {
    installed("node").canonicalize().unwrap()
}
