//! The language of `[[events]]` in `cases.toml`: what the service sends, and every byte of what arrives.

use serde::Deserialize;

use super::cases::Answer;
use super::exact;
use crate::harness::Verifier;

/// One request of the service, and what has to come of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventCase {
    /// What it shows, in words.
    pub name: String,
    /// The gateway's behaviours that it shows, by the names in [`super::rows`].
    pub rows: Vec<String>,
    /// `METHOD /target` or, as clients of a forward proxy send it, `METHOD URL` with the URL of a webhook.
    pub request: String,
    /// Header lines; `Host` and `Content-Length` are written besides.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The request's body.
    #[serde(default)]
    pub body: String,
    /// What the service gets.
    pub answer: Answer,
    /// Who gets the event, with the same body; nobody else does.
    #[serde(default)]
    pub receivers: Vec<Arrival>,
}

/// What arrives at the server behind a webhook.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    /// The webhook's id.
    pub webhook: String,
    /// `METHOD /target`
    pub request: String,
    /// Every header line in its order, as it stands on the wire, in the language of [`exact`].
    pub headers: Vec<String>,
    /// Who finds that it is signed with the webhook's secret, and with no other.
    #[serde(default)]
    pub verified_by: Vec<Verifier>,
    /// The header that the signature stands in, for those who verify that alone.
    pub signature: Option<String>,
}

/// Whether it says what it has to.
pub fn check(case: &EventCase) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{}: {what}", case.name));
    if case.rows.is_empty() {
        return wrong("shows no row");
    }
    for arrival in &case.receivers {
        if arrival.headers.is_empty() {
            return wrong("has no headers");
        }
        let mut is_signed = false;
        for line in &arrival.headers {
            let signs = exact::parse(line).map_err(|error| format!("{}: {line}: {error}", case.name))?;
            is_signed |= signs.iter().any(exact::Piece::proves);
        }
        if is_signed && arrival.verified_by.is_empty() {
            return wrong("nobody verifies it");
        }
    }
    Ok(())
}
