//! What the tests are made of: a [`Gate`] (the real binary), an [`Upstream`] (a real server that records exact bytes),
//! and real clients.
//!
//! Everything that waits waits for a condition, at most [`BOUND`].

mod certificates;
mod curl;
mod desk;
mod dns;
mod front;
mod gate;
mod h2;
mod installed;
mod issuer;
mod leaks;
mod message;
mod raw;
mod records;
mod sqlite;
mod upstream;
mod verifiers;
mod websocket;

use std::time::{Duration, Instant};

pub use certificates::Authority;
pub use curl::{Answer, curl};
pub use desk::{Desk, Done, finish_command};
pub use dns::{Dns, Reply};
pub use front::{Face, Front};
pub use gate::{Gate, Home, Setup, keygate};
pub use h2::{H2Client, H2Upstream, finish};
pub use installed::installed;
pub use issuer::{SigningKey, hmac_token, key_set};
pub use message::Response;
pub use raw::{Connection, exchange, get, post, presents};
pub use records::{ALPHA, BETA, GAMMA, key, key_file, sha256};
pub use sqlite::{rows, sqlite3};
pub use upstream::{Conversation, Next, Recorded, Upstream};
pub use verifiers::Verifier;
pub use websocket::{WebSocketClient, accept_websocket, websocket_server};

/// How long anything may take before a test gives up on it.
pub const BOUND: Duration = Duration::from_secs(20);

/// Waits until `probe` says something, at most [`BOUND`].
#[track_caller]
pub fn wait_until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + BOUND;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waited {BOUND:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs async client code on a runtime of its own, at most three times [`BOUND`].
#[track_caller]
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(BOUND * 3, future).await })
        .expect("the client code ends in time")
}
