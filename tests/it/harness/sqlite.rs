//! The real `sqlite3`, as an operator uses it.

use std::path::Path;
use std::process::{Command, Stdio};

/// The shell, with this database.
pub fn sqlite3(database: &Path) -> Command {
    let mut command = Command::new("sqlite3");
    command
        .args(["-batch", "-init", "/dev/null", "-cmd", ".timeout 5000"])
        .arg(database);
    command
}

/// What a query gives: a line for each row, with `|` between its columns.
#[track_caller]
pub fn rows(database: &Path, query: &str) -> Vec<String> {
    let output = sqlite3(database)
        .arg(query)
        .stdin(Stdio::null())
        .output()
        .expect("sqlite3 is installed");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{query}: {complaints}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}
