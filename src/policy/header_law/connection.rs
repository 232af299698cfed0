//! The `Connection` header: every line of it, every option on every line (RFC 9110 §7.6.1).

use http::header::{CONNECTION, HeaderMap, HeaderName, TE, UPGRADE};
use smallvec::SmallVec;

use crate::policy::credential::fields;

/// What all `Connection` lines of one message say together.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The header names among the options, without those that are hop-by-hop anyway.
    pub(crate) named: SmallVec<[HeaderName; 2]>,
    /// Whether `upgrade` is among them.
    pub(crate) upgrade: bool,
    /// Whether some option is not a token.
    pub(crate) malformed: bool,
}

/// Reads all `Connection` lines. Empty list elements are allowed (RFC 9110 §5.6.1.2).
pub(crate) fn options(headers: &HeaderMap) -> Options {
    let mut options = Options::default();
    for line in headers.get_all(CONNECTION) {
        for option in fields::entries(line.as_bytes())
            .map(fields::trim)
            .filter(|option| !option.is_empty())
        {
            options.add(option);
        }
    }
    options
}

impl Options {
    /// Whether `name` is an option.
    pub(crate) fn names(&self, name: &HeaderName) -> bool {
        self.named.contains(name)
    }

    fn add(&mut self, option: &[u8]) {
        if option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive") {
            return;
        }
        match HeaderName::from_bytes(option) {
            Ok(name) if name == UPGRADE => self.upgrade = true,
            Ok(name) if name == TE => {}
            Ok(name) => self.named.push(name),
            Err(_) => self.malformed = true,
        }
    }
}
