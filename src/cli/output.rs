//! What commands print: results on standard output, everything else on standard error.
//!
//! A room of its own because a stream can be gone: a reader that has had enough (`| head`) is no error, a full disk is one
//! like any other, and neither is a reason to panic, as the standard macros do.

use std::fmt;
use std::io::{self, Write};

/// Writes to standard output. A reader that has had enough is no error.
///
/// # Errors
/// When standard output cannot take it for another reason.
pub(super) fn print(text: &str) -> io::Result<()> {
    match deliver(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes to standard output what must arrive.
///
/// # Errors
/// When nobody reads it any more, too.
pub(super) fn deliver(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line to standard error. When that cannot be written to, there is nobody left to be told.
pub(super) fn tell(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
