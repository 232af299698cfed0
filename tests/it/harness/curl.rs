//! The real curl.

use std::process::{Command, Stdio};

use super::message::{Head, code};

/// What curl got.
pub struct Answer {
    /// The status of the last answer; 0 when there was none.
    pub status: u16,
    /// Its head.
    pub head: Head,
    /// Its body, trailers not included.
    pub body: Vec<u8>,
    /// The protocol: `1.1` or `2`.
    pub version: String,
    /// How many connections it opened.
    pub connects: u64,
    /// curl's exit code.
    pub exit: i32,
    /// curl's own complaints.
    pub complaints: String,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `code` of the problem document.
    pub fn code(&self) -> String {
        code(&self.body)
    }

    /// A header's only value.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.header(name)
    }
}

/// Runs curl with these arguments.
#[track_caller]
pub fn curl<S: AsRef<str>>(arguments: &[S]) -> Answer {
    let directory = tempfile::tempdir().unwrap();
    let head = directory.path().join("head");
    let output = Command::new("curl")
        .args(["-q", "--silent", "--show-error", "--noproxy", "*", "--path-as-is"])
        .args(["--max-time", "30", "--write-out", "%{stderr}\n%{json}", "--dump-header"])
        .arg(&head)
        .args(arguments.iter().map(AsRef::as_ref))
        .stdin(Stdio::null())
        .output()
        .expect("curl is installed");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let (complaints, facts) = stderr.rsplit_once('\n').unwrap_or(("", &stderr));
    let facts: serde_json::Value = serde_json::from_str(facts).unwrap_or_default();
    Answer {
        status: u16::try_from(facts["http_code"].as_u64().unwrap_or(0)).unwrap(),
        head: last_head(&std::fs::read(&head).unwrap_or_default()),
        body: output.stdout,
        version: facts["http_version"].as_str().unwrap_or_default().to_owned(),
        connects: facts["num_connects"].as_u64().unwrap_or(0),
        exit: output.status.code().unwrap_or(-1),
        complaints: complaints.to_owned(),
    }
}

/// The last head of what `--dump-header` wrote: interim answers come before it, trailers (without a start line) after.
fn last_head(dump: &[u8]) -> Head {
    let text = String::from_utf8_lossy(dump);
    let last = text
        .split_inclusive("\r\n\r\n")
        .filter(|block| block.starts_with("HTTP/"))
        .last()
        .unwrap_or_default();
    Head {
        bytes: last.as_bytes().to_vec(),
    }
}
