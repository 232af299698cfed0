//! The real curl.

use std::process::{Command, Stdio};

use super::message::code;

/// What curl got.
pub struct Answer {
    /// The status of the last answer; 0 when there was none.
    pub status: u16,
    /// Its body, trailers not included.
    pub body: Vec<u8>,
    /// The protocol: `1.1` or `2`.
    pub version: String,
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
}

/// Runs curl with these arguments.
#[track_caller]
pub fn curl<S: AsRef<str>>(arguments: &[S]) -> Answer {
    let output = Command::new("curl")
        .args(["-q", "--silent", "--show-error", "--noproxy", "*", "--path-as-is"])
        .args(["--max-time", "30", "--write-out", "%{stderr}\n%{json}"])
        .args(arguments.iter().map(AsRef::as_ref))
        .stdin(Stdio::null())
        .output()
        .expect("curl is installed");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let (complaints, facts) = stderr.rsplit_once('\n').unwrap_or(("", &stderr));
    let facts: serde_json::Value = serde_json::from_str(facts).unwrap_or_default();
    Answer {
        status: u16::try_from(facts["http_code"].as_u64().unwrap_or(0)).unwrap(),
        body: output.stdout,
        version: facts["http_version"].as_str().unwrap_or_default().to_owned(),
        exit: output.status.code().unwrap_or(-1),
        complaints: complaints.to_owned(),
    }
}
