//! `[admin]`: the operator's listener, and who may ask it for more than probes.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::files::Files;
use super::ingress::{self, Listen};
use super::limits::{self, CredentialFailures};
use super::part;
use super::problem::Problems;
use super::reader::{Place, Table};
use super::token;
use crate::secret::Digest;

/// How many bad tokens one source may present at once, and how long it takes until that many are back.
const BAD_TOKENS: CredentialFailures = CredentialFailures {
    requests: 10,
    per: Duration::from_secs(60),
};

/// The admin listener: probes, metrics, and the operators' API.
#[derive(Debug, Clone)]
pub struct Admin {
    /// `listen`: default `["127.0.0.1:9901"]`; an empty list turns it off.
    pub listen: Vec<Listen>,
    /// `[[admin.tokens]]`
    pub tokens: Vec<Token>,
    /// `token_failures`: how many bad tokens one source may present; `None` (written `false`) is off.
    pub token_failures: Option<CredentialFailures>,
}

/// Lets an operator in.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whose it is, for the log and the audit trail.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the token.
    pub digest: Digest,
}

/// What an operator may do; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Viewer,
    /// Keep the gate running: also reload, and revoke, disable and enable keys.
    Operator,
    /// Everything: also make and rotate keys, accept a reload that is held, and export the audit trail.
    Admin,
}

impl Role {
    /// All of them, each may do what those before it may.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Reads `[admin]` alone of the configuration in the file at `path`: whatever is wrong with the rest, the key file included, is
/// what one asks a running sidecar about.
///
/// # Errors
/// Every problem of the section, when at least one of them is an error.
pub fn load(path: &Path) -> Result<Option<Admin>, Problems> {
    part::load(path, |root, files| Some(read(&root.section("admin"), files).0))
}

/// Reads `[admin]`. The places are those of its addresses.
pub(super) fn read<'d>(table: &Table<'d>, files: &Files) -> (Admin, Vec<Place<'d>>) {
    let tokens = read_tokens(table);
    let token_failures = match table.get("token_failures") {
        Some(item) => item.or_off(limits::read_failures),
        None => Some(BAD_TOKENS),
    };
    let (listen, places) = match table.get("listen") {
        Some(item) => ingress::read_listen(&item, files).into_iter().unzip(),
        None => (
            vec![Listen::Tcp(([127, 0, 0, 1], 9901).into())],
            vec![table.place().clone()],
        ),
    };
    let admin = Admin {
        listen,
        tokens,
        token_failures,
    };
    (admin, places)
}

fn read_tokens(table: &Table<'_>) -> Vec<Token> {
    const HELP: &str = "`keygate admin new-token --name ops` makes a token and prints these lines";
    let tables = table.get("tokens").and_then(|item| item.tables()).unwrap_or_default();
    let mut tokens: Vec<Token> = Vec::new();
    for table in &tables {
        let is_taken = |name: &str| tokens.iter().any(|token| token.name == name);
        let token = token::read(table, "an admin token", HELP, is_taken);
        let role = match table.get("role") {
            Some(item) => item.word(&Role::ALL.map(|role| (role.word(), role))),
            None => Some(Role::Viewer),
        };
        if let (Some((name, digest)), Some(role)) = (token, role) {
            tokens.push(Token { name, role, digest });
        }
    }
    tokens
}
