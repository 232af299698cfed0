//! What one line of the audit trail says.

use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

/// How long a detail may be, as JSON text.
const DETAIL_BYTES: usize = 64 << 10;

/// One thing that was done, or refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, in Unix seconds.
    pub at: i64,
    /// Who did it.
    pub actor: Actor,
    /// From where.
    pub source: Source,
    /// What was done.
    pub action: Action,
    /// To what: a key's id, or a webhook's, where it was one.
    pub target: Option<String>,
    /// An object that says more: `before` and `after` of what was changed, a `reason`. Never a secret, nor a hash of one.
    pub detail: Value,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has the admin token with this name.
    Token(String),
    /// A user of the system, as far as it says who.
    User {
        /// Its number.
        uid: Option<u32>,
        /// Its name.
        name: Option<String>,
    },
    /// Whoever called the admin listener without saying who.
    Unknown,
    /// Whoever wrote the files that Keygate reads.
    File,
    /// Keygate by itself.
    Keygate,
}

/// From where it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Over the network.
    Address(IpAddr),
    /// Over the admin listener's Unix socket.
    Unix,
    /// By a command on this machine.
    Cli,
    /// By a signal.
    Signal,
    /// By a change of files.
    File,
    /// In the sidecar itself.
    Keygate,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// `key.create`
    KeyCreate,
    /// `key.change`: fields of its record
    KeyChange,
    /// `key.rotate`
    KeyRotate,
    /// `key.revoke`
    KeyRevoke,
    /// `key.disable`
    KeyDisable,
    /// `key.enable`
    KeyEnable,
    /// `key.import`
    KeyImport,
    /// `key.expire`: it came to its end, or is about to
    KeyExpire,
    /// `reload.applied`
    ReloadApplied,
    /// `reload.refused`
    ReloadRefused,
    /// `reload.held`
    ReloadHeld,
    /// `reload.accepted`
    ReloadAccepted,
    /// `keys.last_good`: a start on the last good keys, because the key file could not be used
    KeysLastGood,
    /// `keys.stale`: the key file has not been readable for too long, or is again
    KeysStale,
    /// `webhook.pause`: nothing is sent to it for now
    WebhookPause,
    /// `webhook.resume`
    WebhookResume,
    /// `webhook.replay`: an event is sent again
    WebhookReplay,
    /// `webhook.test`: a sample event was sent
    WebhookTest,
    /// `admin.refused`
    AdminRefused,
    /// `audit.begun`: a new trail, because the file of the old one was damaged, removed or replaced
    AuditBegun,
}

impl Entry {
    /// The detail as the text that is chained: JSON in one line. One that is too long is left out, and says so.
    #[must_use]
    pub(in crate::ledger) fn detail_text(&self) -> String {
        let text = self.detail.to_string();
        if text.len() <= DETAIL_BYTES {
            return text;
        }
        json!({ "left_out": "too long", "bytes": text.len() }).to_string()
    }
}

impl Actor {
    /// The user that this process runs as.
    #[must_use]
    pub fn own_user() -> Self {
        // The owner of a process's directory is its user; where there is none, nobody says.
        let uid = std::fs::metadata("/proc/self").ok().map(|own| own.uid());
        Self::user(uid)
    }

    /// The user with this number.
    #[must_use]
    pub fn user(uid: Option<u32>) -> Self {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::User {
            name: uid.and_then(|uid| name_of(uid, &users)),
            uid,
        }
    }
}

/// The name in a line such as `root:x:0:0:…`.
fn name_of(uid: u32, users: &str) -> Option<String> {
    let uid = uid.to_string();
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number == uid && !name.is_empty()).then(|| name.to_owned())
    })
}

impl fmt::Display for Actor {
    /// `token:ops`, `user:0:root`, `user:1000`, `user`, `unknown`, `file`, `keygate`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(name) => write!(f, "token:{name}"),
            Self::User { uid: None, .. } => f.write_str("user"),
            Self::User {
                uid: Some(uid),
                name: None,
            } => write!(f, "user:{uid}"),
            Self::User {
                uid: Some(uid),
                name: Some(name),
            } => write!(f, "user:{uid}:{name}"),
            Self::Unknown => f.write_str("unknown"),
            Self::File => f.write_str("file"),
            Self::Keygate => f.write_str("keygate"),
        }
    }
}

impl fmt::Display for Source {
    /// An address, or `unix`, `cli`, `signal`, `file`, `keygate`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{}", address.to_canonical()),
            Self::Unix => f.write_str("unix"),
            Self::Cli => f.write_str("cli"),
            Self::Signal => f.write_str("signal"),
            Self::File => f.write_str("file"),
            Self::Keygate => f.write_str("keygate"),
        }
    }
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 20] = [
        Self::KeyCreate,
        Self::KeyChange,
        Self::KeyRotate,
        Self::KeyRevoke,
        Self::KeyDisable,
        Self::KeyEnable,
        Self::KeyImport,
        Self::KeyExpire,
        Self::ReloadApplied,
        Self::ReloadRefused,
        Self::ReloadHeld,
        Self::ReloadAccepted,
        Self::KeysLastGood,
        Self::KeysStale,
        Self::WebhookPause,
        Self::WebhookResume,
        Self::WebhookReplay,
        Self::WebhookTest,
        Self::AdminRefused,
        Self::AuditBegun,
    ];

    /// Stable, for people and machines alike.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::KeyCreate => "key.create",
            Self::KeyChange => "key.change",
            Self::KeyRotate => "key.rotate",
            Self::KeyRevoke => "key.revoke",
            Self::KeyDisable => "key.disable",
            Self::KeyEnable => "key.enable",
            Self::KeyImport => "key.import",
            Self::KeyExpire => "key.expire",
            Self::ReloadApplied => "reload.applied",
            Self::ReloadRefused => "reload.refused",
            Self::ReloadHeld => "reload.held",
            Self::ReloadAccepted => "reload.accepted",
            Self::KeysLastGood => "keys.last_good",
            Self::KeysStale => "keys.stale",
            Self::WebhookPause => "webhook.pause",
            Self::WebhookResume => "webhook.resume",
            Self::WebhookReplay => "webhook.replay",
            Self::WebhookTest => "webhook.test",
            Self::AdminRefused => "admin.refused",
            Self::AuditBegun => "audit.begun",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_where_the_system_names_them() {
        let users = "root:x:0:0:root:/root:/bin/sh\nops:x:1000:1000::/:/bin/sh\n:x:7:7\n";
        assert_eq!(name_of(1000, users).as_deref(), Some("ops"));
        assert_eq!(name_of(0, users).as_deref(), Some("root"));
        assert_eq!(name_of(7, users), None);
        assert_eq!(name_of(8, users), None);
        let user = Actor::User {
            uid: Some(1000),
            name: Some("ops".to_owned()),
        };
        assert_eq!(user.to_string(), "user:1000:ops");
        assert!(Actor::own_user().to_string().starts_with("user:"));
    }

    #[test]
    fn a_detail_that_is_too_long_is_left_out_and_says_so() {
        let mut entry = Entry {
            at: 0,
            actor: Actor::Keygate,
            source: Source::Keygate,
            action: Action::ReloadApplied,
            target: None,
            detail: json!({ "added": "x".repeat(DETAIL_BYTES - 12) }),
        };
        assert_eq!(entry.detail_text().len(), DETAIL_BYTES);
        entry.detail = json!({ "added": "x".repeat(DETAIL_BYTES - 11) });
        assert_eq!(entry.detail_text(), "{\"bytes\":65537,\"left_out\":\"too long\"}");
    }
}
