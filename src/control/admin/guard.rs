//! Who asks the admin listener, and whether it may: the one lock on this door.
//!
//! Everything below `/admin/` asks here first and gets an [`Identity`], which goes with the call to its end: into the log,
//! into the audit trail, and to whatever needs to know what its [`Role`] may.
//!
//! # Security
//! Tokens are kept as digests, and only digests are compared: whoever could steer one byte by byte would have broken
//! SHA-256. A source that presents bad tokens is told to wait; a good token is never held back by it. What was presented
//! is in no log and no answer.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use tokio::net::UnixStream;

use crate::clock;
use crate::config::admin::{Admin, Role};
use crate::ledger::audit::{Actor, Source};
use crate::policy::limits::Failures;
use crate::secret::Digest;

const X_ADMIN_KEY: HeaderName = HeaderName::from_static("x-admin-key");

/// The lock.
pub(super) struct Guard {
    failures: Mutex<Arc<Failures>>,
    /// The user that this process runs as, where the system says, and root.
    trusted: Vec<(u32, Actor)>,
}

/// The other end of an admin connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Caller {
    /// On TCP.
    Network(IpAddr),
    /// On a Unix socket, the user, if the system says which.
    Local(Option<u32>),
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// By its token's name, or as a user of this system.
    pub(super) actor: Actor,
    /// What it may do.
    pub(super) role: Role,
    /// Where it asks from.
    pub(super) source: Caller,
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
    /// Whoever it is may do less than this needs.
    Role {
        /// What it needs.
        needed: Role,
        /// What the caller is.
        has: Role,
    },
}

impl Guard {
    pub(super) fn new(settings: &Admin) -> Self {
        Self {
            failures: Mutex::new(Failures::new(settings.token_failures.as_ref())),
            trusted: own_user()
                .ok()
                .into_iter()
                .chain([0])
                .map(|user| (user, Actor::user(Some(user))))
                .collect(),
        }
    }

    /// Who this caller is, by one of the tokens of these settings or by what the system says.
    ///
    /// # Errors
    /// Why it is nobody.
    pub(super) fn identify(&self, settings: &Admin, source: Caller, headers: &HeaderMap) -> Result<Identity, Denied> {
        if let Some(actor) = self.trusted_user(source) {
            return Ok(Identity {
                actor: actor.clone(),
                role: Role::Admin,
                source,
            });
        }
        let mut presented = presented(headers).map(Digest::of);
        let Some(first) = presented.next() else {
            return Err(match settings.tokens.is_empty() {
                true => Denied::NotConfigured,
                false => Denied::Missing,
            });
        };
        // Of several, none may be another: which of them was meant is not for us to guess. And nothing is no token, whatever
        // digest somebody has configured.
        let known = settings.tokens.iter().find(|known| known.digest == first);
        let known = known.filter(|_| first != Digest::of(b""));
        if let Some(known) = known
            && presented.all(|other| other == first)
        {
            return Ok(Identity {
                actor: Actor::Token(known.name.clone()),
                role: known.role,
                source,
            });
        }
        let spent = self.failures(settings).spend(source.address(), clock::monotonic());
        Err(match spent {
            Ok(()) => Denied::Invalid,
            Err(wait) => Denied::Exhausted(wait),
        })
    }

    /// The buckets of sources that fail; new ones where the setting is another.
    fn failures(&self, settings: &Admin) -> Arc<Failures> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures = Failures::renew(&failures, settings.token_failures.as_ref());
        Arc::clone(&failures)
    }

    /// The user that Keygate runs as could read all that it knows anyway, and so could root.
    fn trusted_user(&self, source: Caller) -> Option<&Actor> {
        match source {
            Caller::Local(Some(user)) => {
                let trusted = self.trusted.iter().find(|(trusted, _)| *trusted == user);
                trusted.map(|(_, actor)| actor)
            }
            Caller::Local(None) | Caller::Network(_) => None,
        }
    }
}

impl Identity {
    /// That it may do what needs this role.
    ///
    /// # Errors
    /// When it may not.
    pub(super) fn may(&self, needed: Role) -> Result<(), Denied> {
        if self.role >= needed {
            return Ok(());
        }
        Err(Denied::Role { needed, has: self.role })
    }
}

impl Caller {
    /// The caller on the other end of this connection.
    pub(super) fn of_unix(socket: &UnixStream) -> Self {
        Self::Local(socket.peer_cred().ok().map(|credentials| credentials.uid()))
    }

    /// Who that may be, before anything else is known.
    pub(super) fn actor(self) -> Actor {
        match self {
            Self::Network(_) | Self::Local(None) => Actor::Unknown,
            Self::Local(user) => Actor::User { uid: user, name: None },
        }
    }

    /// As the audit trail says it.
    pub(super) fn source(self) -> Source {
        match self {
            Self::Network(address) => Source::Address(address),
            Self::Local(_) => Source::Unix,
        }
    }

    pub(super) fn address(self) -> Option<IpAddr> {
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
            Self::Role { .. } => "admin_role_denied",
        }
    }

    /// What to do about it.
    pub(super) fn detail(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
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
            Self::Role { needed, has } => {
                return Cow::Owned(format!(
                    "This needs the role {needed}; the token's is {has}. The role is part of its [[admin.tokens]]."
                ));
            }
        })
    }
}

/// All that was presented, in either header. An `Authorization` of another scheme counts, as a token that nobody has.
fn presented(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let bearers = headers.get_all(AUTHORIZATION).iter().map(|value| {
        let value = value.as_bytes();
        match value.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token,
            Some(_) | None => value,
        }
    });
    let keys = headers.get_all(X_ADMIN_KEY).iter().map(|value| value.as_bytes());
    bearers.chain(keys).map(<[u8]>::trim_ascii)
}

/// The kernel tells each end of a pair who made the other.
fn own_user() -> io::Result<u32> {
    let (own, _other) = UnixStream::pair()?;
    Ok(own.peer_cred()?.uid())
}
