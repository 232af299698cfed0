//! The audit trail: every change to a key, every reload, every refused admin call; who did it, from where, and what was
//! before and after.
//!
//! A room of its own because a record is only worth something when nobody can quietly take a line out of it. Rows are chained
//! by hash ([`chain`]), the state file refuses to change them, and every entry is a log event too (`target = "audit"`), with
//! its number and hash: who ships logs elsewhere holds a second witness, against whoever can rewrite the whole file.
//!
//! Two ways lead in: [`Audit`], a handle for the running sidecar, whose writer thread appends at once; and [`append`], for a
//! command in another process, which may work on the same file at the same time.
//!
//! Invariants:
//! - An entry is in the file, or waits in memory until it can be; how many wait is bounded, and what is given up is counted
//!   (`keygate_audit_lost_total`) and logged as an error, with everything in it.
//! - Every entry is a log event at once, whether or not the file can be had.
//! - Without `[state]` there is no chain, and entries are log events only.
//!
//! # Security
//! `detail` says what was before and after. Whoever makes an entry leaves secrets and hashes out of it.

pub mod chain;
mod entry;
mod handle;
#[cfg(test)]
mod tests;
pub mod verify;

use std::path::Path;

pub use chain::Link;
pub use entry::{Action, Actor, Entry, Source};
pub use handle::{Audit, Recorded};
pub(super) use handle::{Pending, QUEUED, log};

use super::store::{self, Unavailable};

/// Appends one entry to the trail in the state file at `path`, whoever else has it open; makes the file (0600) where there is
/// none. Gives the entry's place in the chain once it is on disk.
///
/// Waits up to five seconds for other writers: not for a thread that must not block.
///
/// # Errors
/// When the file cannot be had or is damaged, with what helps.
pub fn append(path: &Path, entry: &Entry) -> Result<Link, Unavailable> {
    store::append(path, entry)
}
