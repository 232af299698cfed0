//! The leak guard: what belongs to Keygate or to the upstream does not reach a customer's server.
//!
//! A room of its own because a service sends what it has at hand, and what it has at hand is a request that came through
//! Keygate: its headers, its body, its caller's key. Headers are scrubbed ([`Leaks::scrub`]); bodies are searched part by
//! part ([`Scanner`]), whatever their size.
//!
//! # What is found
//! Only digests of keys are known, so a key is found by hashing what could be one. Text is split into *spans* at white space,
//! control characters, everything outside ASCII, quotes, `` ` ``, `<`, `>` and `&`, with one level of JSON's escapes (`\/`,
//! `\u002b`) and of percent-encoding undone on the way. In a span these are hashed, where their length may be a key's
//! (16 characters to `[limits] key_bytes`):
//! - the whole span; its runs of `A-Z a-z 0-9 _ - + / = . ~`; their runs of `A-Z a-z 0-9 _ -`; each of them also without
//!   the punctuation around it: a key in any form that stands alone, in a list, in a URL or behind a `key=`;
//! - from each of the first eight separators of a span to its end: what holds such characters itself;
//! - wherever a known prefix begins (of environments, sources, new keys, and what hints show), even within a word: the
//!   key that Keygate makes, whatever follows it, by its length and checksum; and, for the first sixteen in a span, all that
//!   follows, from eight characters on. Where the environment declares `checksum = true`, what has none is not looked up.
//!
//! Keys that are disabled, or not valid yet, are live: they may come to life. Keys that are revoked or have expired are told,
//! and no leak. A key with a slow hash is only suspected, by its lead: who wants to know asks [`Suspect::confirm`], off
//! the data path.
//!
//! # What is not found
//! A key shorter than 16 characters without a known prefix; one that another word touches on a side without its prefix or
//! a separator; one that holds quotes, `&`, `<` or `>`, or a `%` or `\` that reads as an escape; one that is encoded twice,
//! compressed, encrypted, in UTF-16, wrapped in base64 within a body, or cut into pieces; one whose record is only a slow
//! hash, where it does not begin with its lead at a separator or prefix.
//!
//! # What it costs
//! One core searches some 90 MB of JSON a second, 40 with a pepper in use, and of the worst bodies known 10: every pepper is
//! another HMAC for each text that is looked up. How many keys there are makes no difference.
//!
//! # Security
//! - Work is bounded for each byte, whatever the bytes: no text is quadratic (`candidates`).
//! - What was read is wiped; verdicts name keys by their public id, and headers by their name.

mod candidates;
mod headers;
mod prefixes;
mod scanner;
mod search;
#[cfg(test)]
mod tests;
mod unescape;

use http::HeaderName;

use super::super::header_law::names::Names;
use crate::config::Config;
use crate::config::credentials::Source;
use crate::policy::credential::Taken;
use crate::policy::user;

use self::prefixes::Prefixes;

pub use headers::Removed;
pub use scanner::{Findings, Scanner};
pub use search::{Search, Suspect};

/// What a token of `[[egress.tokens]]` may stand in.
pub const X_EGRESS_TOKEN: HeaderName = HeaderName::from_static("x-egress-token");

/// What one generation's leaks are recognised by. It grows with the number of different prefixes, not of keys.
#[derive(Debug, Clone)]
pub struct Leaks {
    names: Names,
    sources: Box<[Source]>,
    /// All of `sources`.
    all: Taken,
    prefixes: Prefixes,
    /// The longest key that callers may present, in bytes.
    longest: usize,
}

impl Leaks {
    /// Compiles what `config` says; `strip` are names that go besides. Hints count while `config` still holds its records.
    #[must_use]
    pub fn compile(config: &Config, strip: &[HeaderName]) -> Self {
        let sources = user::places(config);
        let mut names = Names::compile(&sources, &config.identity);
        names.reserve(&X_EGRESS_TOKEN);
        strip.iter().for_each(|name| names.reserve(name));
        Self {
            names,
            all: Taken::all(sources.len()),
            sources: sources.into(),
            prefixes: Prefixes::compile(config),
            longest: config.limits.key_bytes,
        }
    }
}
