//! A key that dies takes with it what is open under it, whatever that is, and nothing else.

mod accounts;
mod calls;
mod http1;
mod http2;
mod stage;
mod time;
mod tunnels;
mod ways;

use crate::harness::{ALPHA, BETA, Gate, Setup, Upstream, key, key_file};

/// Says of a record that its key is revoked.
const REVOKED: &str = "revoked_at = 2020-01-01T00:00:00Z\n";

/// A key file: alpha with these lines, beta as always.
fn records(alpha: &str) -> String {
    key_file(&[key("key_alpha", ALPHA, alpha), key("key_beta", BETA, "")])
}

/// A usual configuration in which alpha and beta have keys.
fn setup(upstream: &Upstream) -> Setup {
    Setup {
        records: records(""),
        ..Setup::before(upstream)
    }
}

fn revoke(gate: &Gate) {
    gate.home.write("keys.toml", records(REVOKED));
}

/// Waits for the access line of this path, which has to tell of a withdrawal for this reason.
#[track_caller]
fn told(gate: &Gate, path: &str, code: &str, reason: &str) {
    let line = gate.access_line(path);
    assert_eq!(
        (&line["decision"], &line["reason"]),
        (&code.into(), &reason.into()),
        "{line}"
    );
}
