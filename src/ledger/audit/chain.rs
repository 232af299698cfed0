//! How rows hang together, byte by byte, so that anybody can check it without Keygate.
//!
//! A row's hash is the SHA-256, in lower-case hexadecimal, of this text, in UTF-8 and without a line end:
//!
//! ```text
//! {"seq":7,"previous":"<hash of row 6>","at":"2026-01-31T23:00:00Z","actor":"user:0:root","source":"cli","action":"key.revoke","target":"key_1","detail":{"reason":"lost"}}
//! ```
//!
//! Members are in this order, with no space between them. `target` may be `null`. `detail` is the text of its column,
//! verbatim. Strings escape `"` and `\` with a `\`, and the characters below U+0020 as `\b \t \n \f \r` or `\u00xx` in
//! lower case; everything else stands as it is. The first row's `previous` is 64 zeroes.
//!
//! A line of an export is the same text with `,"hash":"<hash>"` before its last brace, so that a shell can check it:
//! `sed 's/,"hash":"[0-9a-f]*"}$/}/' | tr -d '\n' | sha256sum`.

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use crate::secret::Digest;

/// A place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The row's number, from 1; 0 is before the first.
    pub seq: i64,
    /// The row's hash, in hexadecimal.
    pub hash: String,
}

/// A row as it stands in the file, true or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its number.
    pub seq: i64,
    /// The hash of the row before.
    pub previous: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Who ([`Actor`](super::Actor)).
    pub actor: String,
    /// From where ([`Source`](super::Source)).
    pub source: String,
    /// What ([`Action`](super::Action)).
    pub action: String,
    /// To what.
    pub target: Option<String>,
    /// More, as JSON text.
    #[serde(serialize_with = "verbatim")]
    pub detail: String,
    /// The hash of all of the above.
    pub hash: String,
}

impl Link {
    /// Before the first row.
    #[must_use]
    pub fn origin() -> Self {
        Self {
            seq: 0,
            hash: "0".repeat(64),
        }
    }

    /// As it stands in `meta`: `7 <hash>`.
    pub(in crate::ledger) fn parse(text: &str) -> Option<Self> {
        let (seq, hash) = text.split_once(' ')?;
        let link = Self {
            seq: seq.parse().ok().filter(|seq| *seq >= 0)?,
            hash: hash.to_owned(),
        };
        (is_hash(hash) && link.to_string() == text).then_some(link)
    }
}

impl std::fmt::Display for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.seq, self.hash)
    }
}

impl Row {
    /// The row of an entry that comes after `previous`.
    pub(in crate::ledger) fn after(previous: &Link, entry: &Entry) -> Self {
        let mut row = Self {
            seq: previous.seq.saturating_add(1),
            previous: previous.hash.clone(),
            at: jiff::Timestamp::from_second(entry.at)
                .unwrap_or(jiff::Timestamp::MAX)
                .to_string(),
            actor: entry.actor.to_string(),
            source: entry.source.to_string(),
            action: entry.action.word().to_owned(),
            target: entry.target.clone(),
            detail: entry.detail_text(),
            hash: String::new(),
        };
        row.hash = row.computed_hash();
        row
    }

    /// Its place in the chain.
    #[must_use]
    pub fn link(&self) -> Link {
        Link {
            seq: self.seq,
            hash: self.hash.clone(),
        }
    }

    /// The hash that its columns make.
    #[must_use]
    pub fn computed_hash(&self) -> String {
        hex::encode(Digest::of(self.canonical().as_bytes()).0)
    }

    /// The text that is hashed.
    #[must_use]
    pub fn canonical(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        format!(
            "{{\"seq\":{},\"previous\":{},\"at\":{},\"actor\":{},\"source\":{},\"action\":{},\"target\":{},\"detail\":{}}}",
            self.seq,
            text(&self.previous),
            text(&self.at),
            text(&self.actor),
            text(&self.source),
            text(&self.action),
            self.target.as_deref().map_or_else(|| "null".to_owned(), text),
            self.detail,
        )
    }
}

/// 64 lower-case hexadecimal digits.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A detail is JSON already; where somebody has made it something else, it is a string.
fn verbatim<S: serde::Serializer>(detail: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_str::<&serde_json::value::RawValue>(detail) {
        Ok(raw) if !detail.contains(['\n', '\r']) => raw.serialize(serializer),
        Ok(_) | Err(_) => serializer.serialize_str(detail),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ledger::audit::{Action, Actor, Source};

    fn row() -> Row {
        let entry = Entry {
            at: 1_769_900_400,
            actor: Actor::Token("o\"ps\\\u{1}\né".to_owned()),
            source: Source::Cli,
            action: Action::KeyRevoke,
            target: Some("key_1".to_owned()),
            detail: json!({ "reason": "lost" }),
        };
        Row::after(&Link::origin(), &entry)
    }

    #[test]
    fn the_text_that_is_hashed_is_written_as_documented() {
        let zeroes = "0".repeat(64);
        assert_eq!(
            row().canonical(),
            format!(
                "{{\"seq\":1,\"previous\":\"{zeroes}\",\"at\":\"2026-01-31T23:00:00Z\",\
                 \"actor\":\"token:o\\\"ps\\\\\\u0001\\né\",\"source\":\"cli\",\"action\":\"key.revoke\",\
                 \"target\":\"key_1\",\"detail\":{{\"reason\":\"lost\"}}}}"
            )
        );
        let nothing = Row { target: None, ..row() };
        assert!(nothing.canonical().contains("\"target\":null,"));
    }

    #[test]
    fn a_line_of_an_export_is_the_text_that_is_hashed_with_the_hash_at_its_end() {
        let row = row();
        let line = serde_json::to_string(&row).unwrap();
        let canonical = row.canonical();
        let opened = canonical.strip_suffix('}').unwrap();
        assert_eq!(line, format!("{opened},\"hash\":\"{}\"}}", row.hash));
    }

    #[test]
    fn places_are_read_as_they_are_written_and_in_no_other_way() {
        let link = row().link();
        assert_eq!(Link::parse(&link.to_string()), Some(link.clone()));
        for wrong in [
            format!("01 {}", link.hash),
            format!("+1 {}", link.hash),
            format!("-1 {}", link.hash),
            format!("1 {}", link.hash.to_uppercase()),
            format!("1  {}", link.hash),
            format!("1 {}0", link.hash),
            "1".to_owned(),
        ] {
            assert_eq!(Link::parse(&wrong), None, "{wrong}");
        }
    }
}
