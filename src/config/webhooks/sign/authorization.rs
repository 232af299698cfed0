//! `{ scheme = "authorization" }`: a header that carries the secret itself.

use http::HeaderName;
use http::header::AUTHORIZATION;

use crate::config::names;
use crate::config::reader::Table;

/// Where the secret goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// `header`: default `Authorization`.
    pub header: HeaderName,
    /// `word`: what stands before it, an authentication scheme (RFC 9110 §11.1); default nothing.
    pub word: Option<String>,
}

pub(super) fn read(table: &Table<'_>) -> Option<Authorization> {
    let (header, word) = (table.get("header"), table.get("word"));
    let header = match header {
        Some(item) => super::names::header(&item),
        None => Some(AUTHORIZATION),
    };
    let word = match word {
        Some(item) => {
            let word = item.text()?;
            if !names::is_token(word) {
                item.error(
                    "is not one word",
                    "for example \"Bearer\"; without one the secret stands alone",
                );
                return None;
            }
            Some(word.to_owned())
        }
        None => None,
    };
    Some(Authorization { header: header?, word })
}
