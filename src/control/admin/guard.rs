//! Who may ask the admin listener for more than probes and metrics.
//!
//! A room of its own because it is the one lock on this door. Today whoever has a token, or is the same user on a Unix
//! socket, may do everything that the listener offers, which is to look; where a path is to need more than that, its need
//! stands beside [`Guard::admit`].
//!
//! # Security
//! Tokens are kept as digests, and only digests are compared: whoever could steer one byte by byte would have broken
//! SHA-256. A source that presents bad tokens is told to wait; a good token is never held back by it. A refused call is
//! logged with its reason, and never with what was presented.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Request};
use hyper::body::Incoming;
use tokio::net::UnixStream;
use tracing::{debug, info, warn};

use crate::clock;
use crate::config::admin::Token;
use crate::config::limits::CredentialFailures;
use crate::policy::limits::Failures;
use crate::secret::Digest;

const X_ADMIN_KEY: HeaderName = HeaderName::from_static("x-admin-key");
/// How many bad tokens one source may present at once, and how long it takes until that many are back.
const BAD_TOKENS: CredentialFailures = CredentialFailures {
    requests: 10,
    per: Duration::from_secs(60),
};

/// The lock.
pub(super) struct Guard {
    failures: Arc<Failures>,
    /// The user that this process runs as; `None` where the system does not say.
    own_user: Option<u32>,
}

/// The other end of an admin connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller {
    /// On TCP.
    Network(IpAddr),
    /// On a Unix socket, the user, if the system says which.
    Local(Option<u32>),
}

/// Why somebody may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// No token was presented, and none is configured.
    NotConfigured,
    /// No token was presented.
    Missing,
    /// A token was presented that nobody has.
    Invalid,
    /// Too many such tokens from one source; seconds until the next is looked at.
    Exhausted(u64),
}

impl Guard {
    pub(super) fn new() -> Self {
        Self {
            failures: Failures::new(Some(&BAD_TOKENS)),
            own_user: own_user().ok(),
        }
    }

    /// Whether this caller may ask for this by one of these tokens, or by who it is.
    ///
    /// # Errors
    /// Why not; it has been logged.
    pub(super) fn admit(&self, tokens: &[Token], caller: Caller, request: &Request<Incoming>) -> Result<(), Denied> {
        if self.is_same_user(caller) {
            admitted(caller, "user", request);
            return Ok(());
        }
        let denied = match presented(request.headers()) {
            None if tokens.is_empty() => Denied::NotConfigured,
            None => Denied::Missing,
            Some(token) => {
                let digest = Digest::of(token);
                if let Some(known) = tokens.iter().find(|known| known.digest == digest) {
                    admitted(caller, &known.name, request);
                    return Ok(());
                }
                match self.failures.spend(caller.address(), clock::monotonic()) {
                    Ok(()) => Denied::Invalid,
                    Err(wait) => Denied::Exhausted(wait),
                }
            }
        };
        let path = request.uri().path();
        warn!(message = "admin call refused", source = %caller, path, reason = denied.code());
        Err(denied)
    }

    /// The user that Keygate runs as could read all that it knows anyway, and so could root.
    fn is_same_user(&self, caller: Caller) -> bool {
        match caller {
            Caller::Local(Some(user)) => user == 0 || Some(user) == self.own_user,
            Caller::Local(None) | Caller::Network(_) => false,
        }
    }
}

impl Caller {
    /// The caller on the other end of this connection.
    pub(super) fn of_unix(socket: &UnixStream) -> Self {
        Self::Local(socket.peer_cred().ok().map(|credentials| credentials.uid()))
    }

    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Network(address) => Some(address),
            Self::Local(_) => None,
        }
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Network(address) => write!(f, "{address}"),
            Self::Local(Some(user)) => write!(f, "unix, user {user}"),
            Self::Local(None) => f.write_str("unix"),
        }
    }
}

impl Denied {
    /// The stable code for callers and the log.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NotConfigured => "admin_token_not_configured",
            Self::Missing => "admin_token_missing",
            Self::Invalid => "admin_token_invalid",
            Self::Exhausted(_) => "admin_failures_exceeded",
        }
    }

    /// What to do about it.
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::NotConfigured => {
                "No admin token is configured. `keygate admin new-token --name ops` makes one and prints the [[admin.tokens]] \
                 lines for the configuration; on a Unix socket in admin.listen, the user that Keygate runs as needs none."
            }
            Self::Missing => {
                "This needs an admin token: Authorization: Bearer TOKEN, or X-Admin-Key: TOKEN. The command takes it from \
                 KEYGATE_ADMIN_TOKEN or --token-file."
            }
            Self::Invalid => "The admin token is not one of [[admin.tokens]].",
            Self::Exhausted(_) => "Too many wrong admin tokens came from this source; wait before the next.",
        }
    }
}

/// Writes down a call that was let in. Whoever only looks may look every second, so that is detail.
fn admitted(caller: Caller, by: &str, request: &Request<Incoming>) {
    let path = request.uri().path();
    if request.method().is_safe() {
        debug!(message = "admin call", source = %caller, by, path);
    } else {
        info!(message = "admin call", source = %caller, by, path);
    }
}

/// The token, from either header; the first of several.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    });
    bearer
        .or_else(|| headers.get(X_ADMIN_KEY).map(|value| value.as_bytes()))
        .map(<[u8]>::trim_ascii)
}

/// The kernel tells each end of a pair who made the other.
fn own_user() -> io::Result<u32> {
    let (own, _other) = UnixStream::pair()?;
    Ok(own.peer_cred()?.uid())
}
