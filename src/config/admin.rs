//! `[admin]`: the operator's listener, and who may ask it for more than probes.

use super::files::Files;
use super::ingress::{self, Listen};
use super::names;
use super::reader::{Place, Table};
use super::records;
use crate::secret::Digest;

/// The admin listener: probes, metrics, and questions about the running process.
#[derive(Debug, Clone)]
pub struct Admin {
    /// `listen`: default `["127.0.0.1:9901"]`; an empty list turns it off.
    pub listen: Vec<Listen>,
    /// `[[admin.tokens]]`
    pub tokens: Vec<Token>,
}

/// Lets an operator in.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whose it is, for the log.
    pub name: String,
    /// SHA-256 of the token.
    pub digest: Digest,
}

/// Reads `[admin]`. The places are those of its addresses.
pub(super) fn read<'d>(table: &Table<'d>, files: &Files) -> (Admin, Vec<Place<'d>>) {
    let tokens = read_tokens(table);
    let Some(item) = table.get("listen") else {
        let listen = vec![Listen::Tcp(([127, 0, 0, 1], 9901).into())];
        return (Admin { listen, tokens }, vec![table.place().clone()]);
    };
    let (listen, places) = ingress::read_listen(&item, files).into_iter().unzip();
    (Admin { listen, tokens }, places)
}

fn read_tokens(table: &Table<'_>) -> Vec<Token> {
    const HELP: &str = "`keygate admin new-token --name ops` makes a token and prints these lines";
    let tables = table.get("tokens").and_then(|item| item.tables()).unwrap_or_default();
    let mut tokens: Vec<Token> = Vec::new();
    for table in &tables {
        let name = table.require("name", HELP);
        let hash = table.require("hash", HELP);
        let name = name.and_then(|item| {
            let name = item.text()?;
            names::check("an admin token", name, &item);
            if tokens.iter().any(|token| token.name == name) {
                item.error(
                    format!("there is already an admin token named {name:?}"),
                    "give each a name of its own",
                );
            }
            Some(name.to_owned())
        });
        let digest = hash.and_then(|item| records::read_sha256(&item, HELP));
        tokens.extend(name.zip(digest).map(|(name, digest)| Token { name, digest }));
    }
    tokens
}
