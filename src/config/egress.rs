//! `[egress]`: where the service behind Keygate brings the events that it sends to its customers.
//!
//! # Security
//! Whoever reaches this listener has events signed in the name of the service. It is on loopback, or on a Unix socket; any other
//! address is a decision (`allow_remote`) and needs a token.

use super::files::Files;
use super::ingress::{self, Listen};
use super::reader::{Place, Table};
use super::token;
use crate::secret::Digest;

/// The listener for events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// `listen`: default `["127.0.0.1:8081"]`.
    pub listen: Vec<Listen>,
    /// `[[egress.tokens]]`: who is let in; everybody who can connect where there is none.
    pub tokens: Vec<Token>,
}

/// Lets a service in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is, for the log.
    pub name: String,
    /// SHA-256 of the token.
    pub digest: Digest,
}

/// Reads `[egress]`. The places are those of its addresses.
pub(super) fn read<'d>(table: &Table<'d>, files: &Files) -> (Egress, Vec<Place<'d>>) {
    let tokens = read_tokens(table);
    let allow_remote = table
        .get("allow_remote")
        .and_then(|item| item.boolean())
        .unwrap_or(false);
    let (listen, places): (Vec<Listen>, Vec<Place<'d>>) = match table.get("listen") {
        Some(item) => {
            let listen: Vec<_> = ingress::read_listen(&item, files);
            if listen.is_empty() {
                item.error(
                    "names no address",
                    "for example [\"127.0.0.1:8081\"]; without [egress] there is no such listener",
                );
            }
            listen.into_iter().unzip()
        }
        None => (
            vec![Listen::Tcp(([127, 0, 0, 1], 8081).into())],
            vec![table.place().clone()],
        ),
    };
    for (address, place) in listen.iter().zip(&places) {
        check_reach(address, place, allow_remote, !tokens.is_empty());
    }
    (Egress { listen, tokens }, places)
}

/// Whether others than this machine's own processes can connect, and are let in by nothing but that.
fn check_reach(address: &Listen, place: &Place<'_>, allow_remote: bool, has_token: bool) {
    let is_remote = match address {
        Listen::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        Listen::Unix(_) => false,
    };
    if is_remote && !allow_remote {
        place.error(
            "can be reached from other machines, and whoever connects there sends events in your name",
            "listen on 127.0.0.1 or a Unix socket; or write allow_remote = true and add [[egress.tokens]]",
        );
    } else if is_remote && !has_token {
        place.error(
            "can be reached from other machines, and asks for no token",
            "add [[egress.tokens]]; `keygate admin new-token --egress --name service` makes one",
        );
    }
}

fn read_tokens(table: &Table<'_>) -> Vec<Token> {
    const HELP: &str = "`keygate admin new-token --egress --name service` makes a token and prints these lines";
    let tables = table.get("tokens").and_then(|item| item.tables()).unwrap_or_default();
    let mut tokens: Vec<Token> = Vec::new();
    for table in &tables {
        let is_taken = |name: &str| tokens.iter().any(|token| token.name == name);
        if let Some((name, digest)) = token::read(table, "an egress token", HELP, is_taken) {
            tokens.push(Token { name, digest });
        }
    }
    tokens
}
